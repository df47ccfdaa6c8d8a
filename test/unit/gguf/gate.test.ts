import { execFileSync } from 'node:child_process'
import {
  chmodSync,
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
import { checkModelFile, type GgufEntry, tensorBytes, writeGguf } from '../../../lib/gguf/index.js'
import { type ErrorCode, loadModel } from '../../../lib/index.js'
import { tinyModelParts } from '../../../scripts/make-tiny-model.mjs'
import { expectCode } from '../../helpers/expect-code.js'

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'sotto-gate-'))
})
afterAll(async () => {
  rmSync(folder, { recursive: true })
  // After all of it the process still loads and answers.
  await using model = await loadModel(inject('models').tiny)
  expect(
    (await model.complete('Once', { maxTokens: 2, ignoreEos: true }).result).usage.tokensGenerated,
  ).toBe(2)
})

function file(name: string, content: string | Uint8Array): string {
  const path = join(folder, name)
  writeFileSync(path, content)
  return path
}

/** A tiny model with some metadata replaced, added or (undefined) taken away. */
function variant(name: string, changes: Record<string, GgufEntry['value'] | undefined>): string {
  const { metadata, tensors } = tinyModelParts()
  const kept = metadata.filter(({ key }) => !(key in changes))
  for (const [key, value] of Object.entries(changes)) {
    if (value === undefined) continue
    const old = metadata.find((entry) => entry.key === key)
    const sample = Array.isArray(value) ? value[0] : value
    kept.push({ key, type: old?.type ?? (typeof sample === 'string' ? 'string' : 'uint32'), value })
  }
  const path = join(folder, `${name}.gguf`)
  writeGguf(path, kept, tensors)
  return path
}

describe('paths', () => {
  const cases: [string, () => string, ErrorCode][] = [
    ['nothing there', () => join(folder, 'missing.gguf'), 'ERR_MODEL_NOT_FOUND'],
    ['a name nobody knows', () => 'no-such-model', 'ERR_MODEL_NOT_FOUND'],
    ['NUL in a path', () => 'a\0b', 'ERR_MODEL_NOT_FOUND'],
    ['a directory', () => folder, 'ERR_MODEL_UNREADABLE'],
    ['a device', () => '/dev/null', 'ERR_MODEL_UNREADABLE'],
    ['an empty file', () => file('empty', ''), 'ERR_MODEL_FORMAT'],
    ['a text', () => file('text', 'hello'), 'ERR_MODEL_FORMAT'],
    ['a web page', () => file('page', '<!DOCTYPE html><html>'), 'ERR_MODEL_FORMAT'],
    ['a ZIP', () => file('zip', 'PK\x03\x04xxxxxxxxxx'), 'ERR_MODEL_FORMAT'],
    [
      'a Git LFS pointer',
      () => file('lfs', 'version https://git-lfs.github.com/spec/v1\n'),
      'ERR_MODEL_FORMAT',
    ],
    ['legacy GGML', () => file('ggml', 'lmgg\0\0\0\0'), 'ERR_MODEL_LEGACY'],
    ['legacy GGMF', () => file('ggmf', 'fmgg\x01\0\0\0'), 'ERR_MODEL_LEGACY'],
    ['legacy GGJT', () => file('ggjt', 'tjgg\x03\0\0\0'), 'ERR_MODEL_LEGACY'],
  ]
  it.each(cases)('%s', async (_, path, code) => {
    const error = await expectCode(code, () => loadModel(path()))
    if (code === 'ERR_MODEL_LEGACY') expect(error.message).toMatch(/convert/)
  })

  it('a FIFO is refused without being opened', async () => {
    const path = join(folder, 'fifo')
    execFileSync('mkfifo', [path])
    await expectCode('ERR_MODEL_UNREADABLE', () => loadModel(path))
  })

  it.skipIf(process.getuid?.() === 0)('an unreadable file', async () => {
    const path = file('secret.gguf', 'GGUF')
    chmodSync(path, 0)
    await expectCode('ERR_MODEL_UNREADABLE', () => loadModel(path))
  })

  it.each([[undefined], [null], [5], [''], [[]], [['']], [{}]])(
    'loadModel(%j) is ERR_OPTION_INVALID',
    async (path) => {
      await expectCode('ERR_OPTION_INVALID', () => loadModel(path as never))
    },
  )
})

describe('truncated models', () => {
  it('one byte short is refused with both sizes', async () => {
    const path = join(folder, 'short.gguf')
    copyFileSync(inject('models').tiny, path)
    truncateSync(path, readFileSync(path).length - 33)
    const error = await expectCode('ERR_MODEL_FORMAT', () => loadModel(path))
    expect(error.message).toMatch(/truncated.*\d+.*\d+/)
  })
  it('half of the real one too', async () => {
    const path = join(folder, 'half.gguf')
    copyFileSync(inject('models').real, path)
    truncateSync(path, 5e7)
    await expectCode('ERR_MODEL_FORMAT', () => loadModel(path))
  })
})

describe('models that would make native code abort', () => {
  const { metadata } = tinyModelParts()
  const tokens = metadata.find(({ key }) => key === 'tokenizer.ggml.tokens')!.value as string[]
  it.each([
    ['(13) no layers', { 'llama.block_count': 0 }],
    ['(13) 513 layers', { 'llama.block_count': 513 }],
    ['(13) no heads', { 'llama.attention.head_count': 0 }],
    ['heads that do not divide the width', { 'llama.attention.head_count': 7 }],
    ['more KV heads than heads', { 'llama.attention.head_count_kv': 8 }],
    ['no width', { 'llama.embedding_length': 0 }],
    ['no context', { 'llama.context_length': 0 }],
    ['experts out of nothing', { 'llama.expert_used_count': 4 }],
    ['expert groups out of nothing', { 'llama.expert_group_count': 2 }],
    ['an unknown rope scaling', { 'llama.rope.scaling.type': 'wizard' }],
    ['(12) an empty vocabulary', { 'tokenizer.ggml.tokens': [] }],
    ['(12) a begin token outside the vocabulary', { 'tokenizer.ggml.bos_token_id': 99999 }],
    ['token types of another length', { 'tokenizer.ggml.token_type': [1, 2, 3] }],
    [
      '(12) a malformed byte token',
      {
        'tokenizer.ggml.tokens': tokens.map((token, i) => (i === 300 ? '<0x-1>' : token)),
        'tokenizer.ggml.token_type': tokens.map((_, i) => (i === 300 ? 6 : 1)),
      },
    ],
    ['no architecture', { 'general.architecture': undefined }],
    ['a negative epsilon', { 'llama.attention.layer_norm_rms_epsilon': -1 }],
    ['no tokenizer', { 'tokenizer.ggml.tokens': undefined, 'tokenizer.ggml.model': undefined }],
  ] as [string, Record<string, GgufEntry['value'] | undefined>][])('%s', async (title, changes) => {
    const path = variant(title.replaceAll(/\W+/g, '-'), changes)
    await expectCode('ERR_MODEL_FORMAT', () => loadModel(path))
  })

  it.each([
    ['blk.0.attn_norm.weight', 'BF16'],
    ['blk.0.attn_norm.weight', 'F16'],
    ['blk.0.ffn_up.weight', 'I32'],
    ['token_embd.weight', 'F64'],
  ])('%s as %s', async (name, type) => {
    const { metadata, tensors } = tinyModelParts()
    const path = join(folder, `${name}-${type}.gguf`)
    const other = (tensor: (typeof tensors)[number]) => ({
      ...tensor,
      type,
      data: () => [new Uint8Array(tensorBytes(type, tensor.dimensions))],
    })
    writeGguf(
      path,
      metadata,
      tensors.map((tensor) => (tensor.name === name ? other(tensor) : tensor)),
    )
    const error = await expectCode('ERR_MODEL_FORMAT', () => loadModel(path))
    expect(error.message).toContain(`${name} as ${type}`)
  })

  // Of FNV-1a over words: the highest bits of two that are next to each other, turned around together, leave no trace in the product.
  it('tokens whose hashes meet are checked like others', async () => {
    const colliding = Array.from({ length: 1024 }, (_, number) =>
      Array.from({ length: 10 }, (_, bit) =>
        (number >> bit) & 1 ? 'aaa~aaa~' : 'aaa\x7faaa\x7f',
      ).join(''),
    )
    const check = (name: string, last: string[], types: number[] | undefined) => {
      const path = variant(name, {
        'tokenizer.ggml.tokens': [...colliding, ...last],
        'tokenizer.ggml.token_type': types,
      })
      const text = readFileSync(path, 'latin1').replaceAll('aaa\x7faaa\x7f', 'aaa\xfeaaa\xfe')
      writeFileSync(path, text, 'latin1')
      return checkModelFile(path, { duplicateTokens: true })
    }
    const types = [...colliding.map(() => 1), 1, 6]
    await check('colliding', ['x', '<0x41>'], types)
    await expect(check('twice', [colliding[5]!, 'x'], undefined)).rejects.toThrow(/text of another/)
    await expect(check('byte', ['x', '<0x-1>'], types)).rejects.toThrow(/byte token 1025/)
  })

  it('(14) a template of 2 MB is ERR_MODEL_LIMIT', async () => {
    await expectCode('ERR_MODEL_LIMIT', () =>
      loadModel(variant('template', { 'tokenizer.chat_template': 'x'.repeat(2 ** 21) })),
    )
  })

  it('(14) a template that counts to a billion loads, and refuses to be applied', async () => {
    await using model = await loadModel(
      variant('range', { 'tokenizer.chat_template': '{% for i in range(10**9) %}x{% endfor %}' }),
    )
    await expectCode('ERR_TEMPLATE_INVALID', () => model.chat().send('Hi').result)
  })

  it('an architecture that nobody knows is ERR_MODEL_UNSUPPORTED', async () => {
    const changes: Record<string, GgufEntry['value'] | undefined> = {
      'general.architecture': 'wizard',
    }
    for (const { key, value } of metadata)
      if (key.startsWith('llama.')) changes[key.replace('llama.', 'wizard.')] = value
    await expectCode('ERR_MODEL_UNSUPPORTED', () => loadModel(variant('architecture', changes)))
  })

  it('missing tensors are ERR_MODEL_LOAD with the reason', async () => {
    const { metadata: kept, tensors } = tinyModelParts()
    const path = join(folder, 'missing-tensor.gguf')
    writeGguf(
      path,
      kept,
      tensors.filter(({ name }) => name !== 'blk.1.ffn_up.weight'),
    )
    const error = await expectCode('ERR_MODEL_LOAD', () => loadModel(path))
    expect(error.message).toContain('ffn_up')
  })

  it('an assertion that no gate knows of fails the load, not the process: tokens that are one where text ends at NUL', async () => {
    const changed = tokens.map((token, i) => (i === 300 ? `${tokens[5]}\0x` : token))
    const error = await expectCode('ERR_MODEL_LOAD', () =>
      loadModel(variant('nul', { 'tokenizer.ggml.tokens': changed })),
    )
    expect(error.message).toContain('GGML_ASSERT')
  })

  it('the same token twice: found by the gate where it is asked to, else an error of the load', async () => {
    const path = variant('twice-the-same', {
      'tokenizer.ggml.tokens': tokens.map((token, i) => (i === 300 ? tokens[5]! : token)),
    })
    await expectCode('ERR_MODEL_FORMAT', () => checkModelFile(path, { duplicateTokens: true }))
    await expectCode(process.platform === 'win32' ? 'ERR_MODEL_FORMAT' : 'ERR_MODEL_LOAD', () =>
      loadModel(path),
    )
  })

  it('a shard whose sibling is missing', async () => {
    const { metadata: kept, tensors } = tinyModelParts()
    const path = join(folder, 'model-00001-of-00002.gguf')
    writeGguf(
      path,
      [
        ...kept,
        { key: 'split.count', type: 'uint16', value: 2 },
        { key: 'split.no', type: 'uint16', value: 0 },
      ],
      tensors,
    )
    await expectCode('ERR_MODEL_NOT_FOUND', () => loadModel(path))
  })

  it('a model larger than all memory is refused with numbers', async () => {
    const error = await expectCode('ERR_MODEL_MEMORY', () =>
      loadModel(inject('models').real, { contextSize: 2 ** 24 }),
    )
    expect(error.message).toMatch(/GiB/)
  })
})
