// digest-list.ts: lists of SHA-256 digests as `sha256sum` writes and reads them. Names in them lead nowhere but below the list's own folder.

import { readFileSync, realpathSync, statSync } from 'node:fs'
import { dirname, isAbsolute, join, relative, sep } from 'node:path'
import { received, SottoError } from '../errors.js'
import { checkPath, readStart } from './gate.js'

/** A line of a list. */
export interface ListedDigest {
  name: string
  /** 64 hex digits, lower case. */
  sha256: string
}

const mostBytes = 16 * 2 ** 20

/** The text of a list that `sha256sum -c` reads. */
export function formatDigestList(digests: ListedDigest[]): string {
  return digests
    .map(({ name, sha256 }) => {
      const escaped = name.replace(/[\\\n\r]/g, (character) => escapes[character]!)
      return `${escaped === name ? '' : '\\'}${sha256}  ${escaped}\n`
    })
    .join('')
}

const escapes: Record<string, string> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r' }

/** @internal Whether a file wants to be a digest list; a model begins with other bytes. */
export function isDigestList(path: string): boolean {
  checkPath(path)
  return /^(?:#|\\?[0-9a-f]{32})/i.test(readStart(path).toString('latin1'))
}

/**
 * Reads a list and finds its files, which lie in the list's folder or below it, also behind symbolic links.
 *
 * Errors: `ERR_MANIFEST_INVALID`, `ERR_MODEL_NOT_FOUND` (one of its files), `ERR_MODEL_UNREADABLE`.
 */
export function readDigestList(path: string): (ListedDigest & { path: string })[] {
  checkPath(path)
  if (statSync(path).size > mostBytes)
    throw invalid(path, `has more than ${mostBytes} bytes, which no list needs`)
  const folder = realpathSync(dirname(path))
  return parseDigestList(path, readFileSync(path, 'utf8')).map(({ name, sha256 }) => {
    const found = join(folder, name)
    if (name.includes('\0') || isAbsolute(name) || leaves(folder, found))
      throw invalid(path, `names ${received(name)}, which is not below its folder`)
    checkPath(found)
    const real = realpathSync(found)
    if (leaves(folder, real))
      throw invalid(path, `names ${received(name)}, which is a link that leaves its folder`)
    return { name, sha256, path: real }
  })
}

/** @internal What a text lists, without a look at its files. `path` is for messages. */
export function parseDigestList(path: string, text: string): ListedDigest[] {
  const listed = text.split('\n').flatMap((whole, i) => {
    const line = whole.replace(/\r$/, '')
    return line === '' || line.startsWith('#') ? [] : [parseLine(path, line, i + 1)]
  })
  if (listed.length === 0) throw invalid(path, 'lists nothing')
  return listed
}

function parseLine(path: string, line: string, number: number): ListedDigest {
  const [, escaped, sha256, name] = /^(\\?)([0-9a-f]+) [ *](.+)$/is.exec(line) ?? []
  if (!sha256 || !name) throw invalid(path, `has no digest and name in line ${number}`)
  if (sha256.length !== 64)
    throw invalid(path, `has ${sha256.length} hex digits in line ${number}, SHA-256 has 64`)
  const plain = escaped
    ? name.replace(/\\(.?)/gs, (_, letter: string) => {
        const character = Object.keys(escapes).find((key) => escapes[key] === `\\${letter}`)
        if (character === undefined) throw invalid(path, `has an unknown escape in line ${number}`)
        return character
      })
    : name
  return { name: plain, sha256: sha256.toLowerCase() }
}

function leaves(folder: string, path: string): boolean {
  const way = relative(folder, path)
  return way === '' || way === '..' || way.startsWith(`..${sep}`) || isAbsolute(way)
}

function invalid(path: string, what: string): SottoError {
  return new SottoError(
    'ERR_MANIFEST_INVALID',
    `Expected a list of SHA-256 digests as sha256sum writes it, ${path} ${what}`,
  )
}
