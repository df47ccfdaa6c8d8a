// random-blocks.mjs: quantised weights that mean nothing, with scales that keep activations finite. The same seed, the same bytes.

import { tensorBytes } from '../dist/gguf/head-writer.js'

/** Mulberry32: 32 bits of state, the same numbers everywhere. */
export function randomNumbers(seed) {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

// Where a block keeps its f16 numbers, and what they are: [offset, bits]. The low three bits of a scale vary.
const blocks = {
  Q4_0: { bytes: 18, scale: [0, 0x211e] },
  Q4_1: { bytes: 20, scale: [0, 0x211e], minimum: [2, 0xac00] },
  Q5_0: { bytes: 22, scale: [0, 0x1d1e] },
  Q5_1: { bytes: 24, scale: [0, 0x1d1e], minimum: [2, 0xacf6] }, // −15.5 scales: zero in the middle, as trained weights have it
  Q8_0: { bytes: 34, scale: [0, 0x211e] },
  IQ4_NL: { bytes: 18, scale: [0, 0x111e] },
  Q4_K: { bytes: 144, scale: [0, 0x0ca0], minimum: [2, 0x1855] },
  Q5_K: { bytes: 176, scale: [0, 0x08a0], minimum: [2, 0x1879] },
  Q6_K: { bytes: 210, scale: [208, 0x086d], signedScales: [192, 16] },
  F16: { bytes: 2, scale: [0, 0x211e], signed: true },
  BF16: { bytes: 2, scale: [0, 0x3c23], signed: true },
}

/** The bytes of a tensor: a megabyte of random blocks, over and over. */
export function* randomBlocks(type, dimensions, seed) {
  const total = tensorBytes(type, dimensions)
  const random = randomNumbers(seed)
  const block = blocks[type]
  if (!block) throw new RangeError(`No random blocks of type ${type}`)
  const pattern = Buffer.alloc(Math.floor(2 ** 20 / block.bytes) * block.bytes)
  for (let i = 0; i < pattern.length; i++) pattern[i] = Math.floor(random() * 256)
  for (let at = 0; at < pattern.length; at += block.bytes) {
    const [offset, bits] = block.scale
    const sign = random() < 0.5 && block.signed ? 0x8000 : 0
    pattern.writeUInt16LE(bits + (pattern[at + offset] & 7) + sign, at + offset)
    if (block.minimum) pattern.writeUInt16LE(block.minimum[1], at + block.minimum[0])
    const [first, count] = block.signedScales ?? [0, 0]
    for (let i = at + first; i < at + first + count; i++)
      pattern.writeInt8((pattern[i] & 0x3f) - 32, i)
  }
  for (let left = total; left > 0; left -= pattern.length)
    yield pattern.subarray(0, Math.min(left, pattern.length))
}
