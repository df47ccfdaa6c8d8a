import {
  copyFileSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import * as ggml from '../../lib/ggml/index.js'
import { readGguf } from '../../lib/gguf/index.js'
import { expectCode } from '../helpers/expect-code.js'

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'sotto-door-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('a GGUF file', () => {
  it('gives its tensors, under their names and with the bytes of the file', async () => {
    const path = inject('models').real
    const file = await readGguf(path)
    const { context, tensors, metadata } = await ggml.loadGguf(path, {
      filter: (name) => name.startsWith('blk.0.') || name === 'output_norm.weight',
    })
    expect(tensors.size).toBeGreaterThan(8)
    expect(metadata.get('general.architecture')).toBe('llama')
    const bytes = readFileSync(path)
    for (const { name, type, dimensions, offset, bytes: size } of file.tensors) {
      const tensor = tensors.get(name)
      if (!tensor) continue
      expect(tensor).toMatchObject({ name, type, shape: dimensions })
      const begin = file.dataOffset + offset
      expect(Buffer.from(tensor.bytes()).equals(bytes.subarray(begin, begin + size))).toBe(true)
    }
    await context.close()
  })

  it('is written, and read again', async () => {
    const path = join(folder, 'written.gguf')
    const context = new ggml.Context({ memSize: 2 ** 20 })
    const numbers = Float32Array.from({ length: 256 }, (_, i) => Math.cos(i))
    const tensors = {
      weights: context.tensor('Q4_K', [256], numbers),
      half: context.tensor('F16', [4, 2], [1, 2, 3, 4, 5, 6, 7, 8]),
      turned: context.transpose(context.tensor('F32', [2, 3], [1, 2, 3, 4, 5, 6])),
      ids: context.tensor('I64', [2], [7n, -7n]),
    }
    ggml.saveGguf(path, tensors, [{ key: 'general.architecture', type: 'string', value: 'mine' }])
    const again = await ggml.loadGguf(path)
    expect([...again.tensors.keys()]).toEqual(Object.keys(tensors))
    for (const [name, tensor] of Object.entries(tensors)) {
      expect(again.tensors.get(name)!.get()).toEqual(tensor.get())
    }
    expect(again.metadata.get('general.architecture')).toBe('mine')
    await context.close()
    await again.context.close()
  })

  it('passes the gate before anything else', async () => {
    const cut = join(folder, 'cut.gguf')
    copyFileSync(inject('models').tiny, cut)
    truncateSync(cut, 200_000)
    await expectCode('ERR_MODEL_FORMAT', () => ggml.loadGguf(cut))
    const other = join(folder, 'other.gguf')
    writeFileSync(other, 'ggjt and more')
    await expectCode('ERR_MODEL_FORMAT', () => ggml.loadGguf(other))
    await expectCode('ERR_MODEL_NOT_FOUND', () => ggml.loadGguf(join(folder, 'missing.gguf')))
    await expectCode('ERR_MODEL_UNREADABLE', () => ggml.loadGguf(folder))
    await expectCode('ERR_OPTION_INVALID', () => ggml.loadGguf(7 as unknown as string))
  })

  it('is let go of when the signal says so', () =>
    expectCode('ERR_ABORTED', () =>
      ggml.loadGguf(inject('models').tiny, { signal: AbortSignal.abort() }),
    ))

  it('that cannot be written is ERR_DISK, and a closed tensor is none', async () => {
    const context = new ggml.Context({ memSize: 2 ** 16 })
    const a = context.tensor('F32', [2])
    await expectCode('ERR_DISK', () => ggml.saveGguf(join(folder, 'no', 'where.gguf'), { a }))
    await expectCode('ERR_OPTION_INVALID', () =>
      ggml.saveGguf(join(folder, 'x.gguf'), { ['n'.repeat(64)]: a }),
    )
    await expectCode('ERR_TENSOR_FOREIGN', () =>
      ggml.saveGguf(join(folder, 'x.gguf'), { a: {} as ggml.Tensor }),
    )
    await context.close()
    await expectCode('ERR_TENSOR_CLOSED', () => ggml.saveGguf(join(folder, 'x.gguf'), { a }))
  })
})
