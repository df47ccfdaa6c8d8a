// legacy-tokenizer.ts: a vocabulary out of a file before GGUF, as GGUF has it.

import { SottoError } from '../errors.js'
import type { GgufEntry } from './head-writer.js'
import type { LegacyModel } from './legacy-reader.js'

const kinds = { normal: 1, unknown: 2, control: 3, byte: 6 } as const
const ends = ['<unk>', '<s>', '</s>']
const firstByte = 3
const firstPiece = firstByte + 256

/** The metadata of a vocabulary of LLaMA's. The old files have tokens as the text that they stand for: a byte as that byte, a space as a space. */
export function legacyTokenizer({ tokens, scores }: LegacyModel): (GgufEntry | Uint8Array)[] {
  if (tokens.length <= ends.length)
    throw new SottoError(
      'ERR_MODEL_LEGACY',
      `Expected more than ${ends.length} tokens, received ${tokens.length}`,
    )
  const types = tokens.map((token, i) => kindOf(token, i))
  const texts = tokens.map((token, i) => {
    if (i < ends.length) return Buffer.from(ends[i]!)
    if (types[i] === kinds.byte)
      return Buffer.from(`<0x${token[0]!.toString(16).toUpperCase().padStart(2, '0')}>`)
    const text = Buffer.from(token).toString('latin1')
    return Buffer.from(text.replaceAll(' ', '\xe2\x96\x81'), 'latin1')
  })
  return [
    { key: 'tokenizer.ggml.model', type: 'string', value: 'llama' },
    { key: 'tokenizer.ggml.pre', type: 'string', value: 'default' },
    stringsEntry('tokenizer.ggml.tokens', texts),
    {
      key: 'tokenizer.ggml.scores',
      type: 'float32',
      // The first format had none; those of LLaMA's vocabulary count down from its first piece.
      value: scores ? [...scores] : tokens.map((_, i) => Math.min(0, firstPiece - i)),
    },
    { key: 'tokenizer.ggml.token_type', type: 'int32', value: types },
    { key: 'tokenizer.ggml.unknown_token_id', type: 'uint32', value: 0 },
    { key: 'tokenizer.ggml.bos_token_id', type: 'uint32', value: 1 },
    { key: 'tokenizer.ggml.eos_token_id', type: 'uint32', value: 2 },
  ]
}

function kindOf(token: Uint8Array, i: number): number {
  if (i === 0) return kinds.unknown
  if (i < ends.length || token.length === 0) return kinds.control
  return i >= firstByte && i < firstPiece && token.length === 1 ? kinds.byte : kinds.normal
}

// As bytes: a token need not be whole characters, which a string would not survive.
function stringsEntry(key: string, texts: Buffer[]): Uint8Array {
  const numbers = (...values: [bits: 32 | 64, value: number][]) =>
    Buffer.concat(
      values.map(([bits, value]) => {
        const bytes = Buffer.alloc(bits / 8)
        bytes.writeUInt32LE(value)
        return bytes
      }),
    )
  return Buffer.concat([
    numbers([64, key.length]),
    Buffer.from(key),
    numbers([32, 9], [32, 8], [64, texts.length]), // an array of strings
    ...texts.flatMap((text) => [numbers([64, text.length]), text]),
  ])
}
