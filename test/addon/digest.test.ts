import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { digestFile } from '../../lib/digest.js'
import { native } from '../../lib/native.js'
import { expectCode } from '../helpers/expect-code.js'
import { runScript } from '../helpers/run-script.js'

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'sotto-digest-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function sparse(name: string, bytes: number): string {
  const path = join(folder, name)
  writeFileSync(path, '')
  truncateSync(path, bytes)
  return path
}

describe('digestFile', () => {
  it.each([0, 1, 262143, 262144, 262145, 3_000_001])(
    'of %i bytes is what node:crypto computes',
    async (bytes) => {
      const path = join(folder, `größe-${bytes}`)
      const content = Buffer.alloc(bytes, 'sotto')
      writeFileSync(path, content)
      const sha256 = createHash('sha256').update(content).digest('hex')
      expect(await digestFile(path)).toEqual({ sha256, bytes })
    },
  )

  it('reports progress that ends with all bytes', async () => {
    const path = inject('models').tiny
    const totalBytes = readFileSync(path).length
    const heard: number[] = []
    await digestFile(path, {
      onProgress: (progress) => {
        expect(progress.totalBytes).toBe(totalBytes)
        heard.push(progress.bytes)
      },
    })
    expect(heard.at(-1)).toBe(totalBytes)
    expect(heard).toEqual([...heard].sort((a, b) => a - b))
  })

  it('stops when its signal aborts, before and while it reads', async () => {
    const path = sparse('large', 2 ** 32)
    const controller = new AbortController()
    await expectCode('ERR_ABORTED', () =>
      digestFile(path, { signal: controller.signal, onProgress: () => controller.abort() }),
    )
    await expectCode('ERR_ABORTED', () => digestFile(path, { signal: controller.signal }))
  })

  it('rejects with what onProgress throws', async () => {
    const path = sparse('thrown', 2 ** 26)
    const onProgress = () => {
      throw new RangeError('enough')
    }
    await expect(digestFile(path, { onProgress })).rejects.toThrow(RangeError)
  })

  it('of no regular file is an error, and waits for no writer of a FIFO', async () => {
    await expectCode('ERR_MODEL_NOT_FOUND', () => digestFile(join(folder, 'none')))
    mkdirSync(join(folder, 'folder'))
    await expectCode('ERR_MODEL_UNREADABLE', () => digestFile(join(folder, 'folder')))
    const fifo = join(folder, 'fifo')
    execFileSync('mkfifo', [fifo])
    await expectCode('ERR_MODEL_UNREADABLE', () => digestFile(fifo))
    for (const path of [fifo, join(folder, 'none'), join(folder, 'folder')]) {
      const { hashFile, AbortFlag } = native()
      await expect(hashFile(path, undefined, new AbortFlag())).rejects.toMatchObject({
        code: 'ERR_MODEL_UNREADABLE',
      })
    }
  })

  it.each([[[]], [[5]], [['x', 5]], [['x', undefined, {}]]])(
    'the addon refuses arguments %j',
    (list) => {
      const hashFile = native().hashFile as (...list: unknown[]) => unknown
      expect(() => hashFile(...list)).toThrow(/Expected/)
    },
  )

  it('a process that exits does not wait for the end of the file', async () => {
    const path = sparse('exit', 2 ** 40)
    const outcome = await runScript(
      `sotto.digestFile(${JSON.stringify(path)}, { onProgress() {} })
setTimeout(() => process.exit(3), 50)`,
    )
    expect(outcome).toMatchObject({ code: 3, signal: null })
  })
})
