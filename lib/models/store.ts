// store.ts: the complete models of this machine. A model is in the store when its file and its manifest are: the manifest is
// written last, so that a crash leaves a file nobody believes in.

import { existsSync } from 'node:fs'
import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { received, SottoError } from '../errors.js'
import { catalog } from './catalog.js'
import { storeFolder } from './home.js'

export interface StoredModel {
  name: string
  path: string
  bytes: number
  sha256: string
  /** Where it came from. */
  source: string
  /** ISO 8601. */
  addedAt: string
}

const namePattern = /^[A-Za-z0-9][\w.+-]{0,127}$/

/** Names become file names: nothing that could leave the store. */
export function checkModelName(name: unknown): string {
  if (typeof name === 'string' && namePattern.test(name) && !name.includes('..')) return name
  throw new SottoError(
    'ERR_OPTION_INVALID',
    `Expected a model name of letters, digits, ".", "_", "+" and "-", received ${received(name)}`,
  )
}

/** @internal */
export function modelPath(name: string): string {
  return join(storeFolder(), `${name}.gguf`)
}

function manifestPath(name: string): string {
  return join(storeFolder(), `${name}.json`)
}

/** The stored model of a name, or undefined. */
export async function findModel(name: string): Promise<StoredModel | undefined> {
  if (!namePattern.test(name)) return undefined
  try {
    const manifest = JSON.parse(await readFile(manifestPath(name), 'utf8')) as Omit<
      StoredModel,
      'path'
    >
    const path = modelPath(name)
    const { size } = await stat(path)
    return size === manifest.bytes ? { ...manifest, name, path } : undefined
  } catch {
    return undefined // absent, half written or damaged: pulling makes it whole
  }
}

/** Every stored model, by name. */
export async function listModels(): Promise<StoredModel[]> {
  const names = await readdir(storeFolder()).catch(() => [])
  const models = await Promise.all(
    names
      .filter((file) => file.endsWith('.json'))
      .map((file) => findModel(file.slice(0, -'.json'.length))),
  )
  return models.filter((model) => model !== undefined).sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** Removes a model from the store. Returns whether there was one. */
export async function removeModel(name: string): Promise<boolean> {
  checkModelName(name)
  const there = (await findModel(name)) !== undefined
  await rm(manifestPath(name), { force: true })
  await rm(modelPath(name), { force: true })
  return there
}

/** @internal Makes a verified file a model: durable first, then visible. */
export async function addToStore(
  partial: string,
  model: Omit<StoredModel, 'path'>,
): Promise<StoredModel> {
  await syncFile(partial)
  await rename(partial, modelPath(model.name))
  const manifest = `${manifestPath(model.name)}.${process.pid}`
  const file = await open(manifest, 'w')
  try {
    await file.writeFile(`${JSON.stringify(model, null, 2)}\n`)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(manifest, manifestPath(model.name))
  if (process.platform !== 'win32') await syncFile(storeFolder())
  return { ...model, path: modelPath(model.name) }
}

async function syncFile(path: string): Promise<void> {
  const file = await open(path, 'r')
  try {
    await file.sync()
  } catch (error) {
    // Some file systems cannot sync a folder or a file opened for reading; what they can they do by themselves.
    if (
      !['EINVAL', 'EPERM', 'EBADF', 'EISDIR'].includes((error as NodeJS.ErrnoException).code ?? '')
    )
      throw error
  } finally {
    await file.close()
  }
}

/** @internal */
export async function makeStore(): Promise<string> {
  const folder = storeFolder()
  try {
    await mkdir(folder, { recursive: true })
  } catch (cause) {
    throw new SottoError(
      'ERR_DISK',
      `Expected to make the folder ${folder}: ${(cause as Error).message}. Set SOTTO_HOME to one that can be written`,
      { cause },
    )
  }
  return folder
}

/**
 * The file of a model name or path.
 *
 * Errors: `ERR_MODEL_NOT_FOUND`; `ERR_OFFLINE` for a model of the catalogue that has not been pulled.
 */
export async function resolveModel(nameOrPath: string): Promise<string> {
  const stored = await findModel(nameOrPath)
  if (stored) return stored.path
  if (!nameOrPath.includes('\0') && existsSync(nameOrPath)) return nameOrPath
  const entry = Object.hasOwn(catalog, nameOrPath) ? catalog[nameOrPath] : undefined
  if (entry) {
    throw new SottoError(
      'ERR_OFFLINE',
      `${entry.title} is not in the store yet. Run "sotto pull ${entry.name}". ${byHand(entry)}`,
    )
  }
  const hint = /[/\\]|\.gguf$/.test(nameOrPath)
    ? 'Check the path'
    : `Known names: ${Object.keys(catalog).join(', ')}`
  throw new SottoError(
    'ERR_MODEL_NOT_FOUND',
    `Expected a model, there is none called ${received(nameOrPath)}. ${hint}`,
  )
}

/** @internal How to do without a network. */
export function byHand(entry: { name: string; source: string; sha256: string }): string {
  const file = entry.source.split('/').at(-1)
  return (
    `Without a network, bring the file ${file} (SHA-256 ${entry.sha256}) from elsewhere ` +
    `and run "sotto pull <path to it> --name ${entry.name}"`
  )
}
