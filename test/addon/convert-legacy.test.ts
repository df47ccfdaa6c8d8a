import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { convertLegacy, readGguf, readLegacy } from '../../lib/gguf/index.js'
import { loadModel, quantizeModel } from '../../lib/index.js'
import { expectCode } from '../helpers/expect-code.js'
import { type LegacyFormat, writeLegacy, writePieceModel } from '../helpers/legacy-model.js'

let folder: string
const originals = new Map<string, string>()
const types = ['F32', 'F16', 'Q4_0', 'Q4_1', 'Q5_0', 'Q5_1', 'Q8_0'] as const
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sotto-legacy-'))
  const original = writePieceModel(join(folder, 'F32.gguf'))
  for (const type of types) {
    const path = join(folder, `${type}.gguf`)
    originals.set(type, path)
    if (path !== original) await quantizeModel(original, type, path, { pure: true })
  }
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const old = (type: string, { format, version }: LegacyFormat) =>
  writeLegacy(join(folder, `${format}-${version}-${type}.bin`), originals.get(type)!, {
    format,
    version,
  })

/** Text, tokens and log-probabilities of a greedy answer. */
async function answer(path: string): Promise<object> {
  await using model = await loadModel(path, { threads: 1, packedCache: false })
  const { text, logprobs } = await model.complete('Once upon a time there was é', {
    ...{ maxTokens: 12, temperature: 0, ignoreEos: true, logprobs: 20 },
  }).result
  const tokens = [...(await model.tokenize('the lazy dog, \n日', { addSpecial: true }))]
  const { bos, eos } = model.info
  return { text, logprobs, tokens, bos, eos }
}

const ggml = { format: 'ggml', version: 0 } as const
const ggmf = { format: 'ggmf', version: 1 } as const
const ggjt = (version: number) => ({ format: 'ggjt', version }) as const
const converted: [string, LegacyFormat][] = [
  ...(['F32', 'F16'] as const).flatMap((type) =>
    [ggml, ggmf, ggjt(1), ggjt(2), ggjt(3)].map(
      (format) => [type, format] as [string, LegacyFormat],
    ),
  ),
  ...(['Q5_0', 'Q5_1'] as const).flatMap((type) =>
    [ggjt(2), ggjt(3)].map((format) => [type, format] as [string, LegacyFormat]),
  ),
  ...(['Q4_0', 'Q4_1', 'Q8_0'] as const).map((type) => [type, ggjt(3)] as [string, LegacyFormat]),
]

describe('convertLegacy', () => {
  it.each(converted)(
    '%s of $format $version answers as the original, bit for bit',
    async (type, format) => {
      const path = join(folder, 'new.gguf')
      const input = await old(type, format)
      const seen: number[] = []
      const result = await convertLegacy(input, path, {
        contextLength: 8192,
        rmsEpsilon: 1e-5,
        onProgress: ({ bytes, totalBytes }) => seen.push(bytes / totalBytes),
      })
      expect(result).toEqual({ path, bytes: readFileSync(path).length })
      expect(seen.at(-1)).toBe(1)
      const [now, before] = [await readGguf(path), await readGguf(originals.get(type)!)]
      const plain = ({ tensors }: typeof now) =>
        Object.fromEntries(tensors.map(({ name, type, dimensions }) => [name, [type, dimensions]]))
      expect(plain(now)).toEqual(plain(before))
      for (const key of [
        'general.file_type',
        'llama.attention.head_count_kv',
        'llama.feed_forward_length',
      ])
        expect([key, now.metadata.get(key)]).toEqual([key, before.metadata.get(key)])
      expect(await answer(path)).toEqual(await answer(originals.get(type)!))
      rmSync(path)
    },
  )

  it.each([
    ...(['Q4_0', 'Q4_1', 'Q8_0'] as const).flatMap((type) =>
      [ggmf, ggjt(1), ggjt(2)].map((format) => [type, format, 3] as const),
    ),
    ...(['Q5_0', 'Q5_1'] as const).map((type) => [type, ggjt(1), 2] as const),
  ])(
    '%s of $format $version is described, and refused with what to do',
    async (type, format, since) => {
      const input = await old(type, format)
      expect(readLegacy(input)).toMatchObject({ ...format, fileType: type })
      const { message } = await expectCode('ERR_MODEL_LEGACY', () =>
        convertLegacy(input, join(folder, 'new.gguf')),
      )
      expect(message).toContain(`${type} of ${format.format} version ${format.version}`)
      expect(message).toContain(`ggjt version ${since}`)
      expect(message).toMatch(/sotto quantize/)
    },
  )

  it('an abort leaves nothing, a file that is there stays', async () => {
    const input = await old('F32', ggjt(3))
    const before = readdirSync(folder).sort()
    const controller = new AbortController()
    await expectCode('ERR_ABORTED', () =>
      convertLegacy(input, join(folder, 'new.gguf'), {
        signal: controller.signal,
        onProgress: () => controller.abort(),
      }),
    )
    await expectCode('ERR_OPTION_INVALID', () => convertLegacy(input, input))
    await expectCode('ERR_OPTION_UNKNOWN', () =>
      convertLegacy(input, join(folder, 'new.gguf'), { context: 1 } as object),
    )
    expect(readdirSync(folder).sort()).toEqual(before)
  })
})

it('loadModel refuses an old file and names the command that converts it', async () => {
  const { message } = await expectCode('ERR_MODEL_LEGACY', () =>
    loadModel(join(folder, 'ggjt-3-F32.bin')),
  )
  expect(message).toMatch(/sotto convert/)
})
