// What quantising costs the real model, unpacked to F16, on 20,480 tokens of English prose with code. Large models lose a percent or two to
// Q4_K_M. This one has 134 million parameters, which all matter, and rows of 576, which no K-quant's blocks of 256 divide: upstream makes most of
// its Q4_K_M Q5_0, and of its Q5_K_M Q5_1. That is what it is with ggml's own kernels, too (SOTTO_CPU=off). An importance matrix takes back more than half.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import type { QuantizationType } from '../../lib/gguf/index.js'
import {
  compareModels,
  loadModel,
  type Model,
  makeImatrix,
  quantizeModel,
} from '../../lib/index.js'
import { calibrationText, qualityText } from '../../scripts/quality-text.mjs'

const patience = 900_000 // a minute or two where nothing else runs

describe('SmolLM2-135M, quantised from F16', () => {
  let folder: string
  let f16: Model
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'sotto-quality-'))
    const path = join(folder, 'model-F16.gguf')
    await quantizeModel(inject('models').real, 'F16', path, { allowRequantize: true })
    f16 = await loadModel(path, { contextSize: 256 })
  })
  afterAll(async () => {
    await f16.close()
    rmSync(folder, { recursive: true, force: true })
  })

  const compare = async (type: QuantizationType, chunks: number, imatrix?: string) => {
    const { path } = await quantizeModel(f16.info.path, type, undefined, {
      imatrix,
      overwrite: true,
    })
    return compareModels(f16, path, qualityText(), { chunks })
  }

  it(
    'with an importance matrix Q4_K_M keeps within 4 % of its perplexity over 20,480 tokens, Q5_K_M within 2 %, and neither without',
    async () => {
      const { path } = await makeImatrix(f16, calibrationText(), join(folder, 'imatrix.gguf'), {
        chunks: 20,
      })
      const { ratio, agreement, scored, chunks, contextSize } = await compare('Q4_K_M', 40, path)
      expect(chunks * contextSize).toBe(20_480)
      expect(scored).toBe(40 * 255)
      expect(ratio.error).toBeLessThan(0.006)
      expect(ratio.value + ratio.error).toBeLessThan(1.04)
      expect(ratio.value).toBeGreaterThan(1)
      expect(agreement.value).toBeGreaterThan(0.9)
      const five = await compare('Q5_K_M', 8, path)
      expect(five.ratio.value + five.ratio.error).toBeLessThan(1.02)
      for (const [type, least] of [
        ['Q4_K_M', 1.04],
        ['Q5_K_M', 1.02],
      ] as const) {
        const { ratio: plain } = await compare(type, 8)
        expect(plain.value).toBeGreaterThan(least)
        expect(plain.value).toBeLessThan(1.12)
      }
    },
    patience,
  )

  it.each(['Q8_0', 'Q6_K'] as const)(
    '%s keeps within 2 %, over 4,096 tokens',
    async (type) => {
      const { ratio, agreement } = await compare(type, 8)
      expect(ratio.value + 2 * ratio.error).toBeLessThan(1.02)
      expect(agreement.value).toBeGreaterThan(0.94)
    },
    patience,
  )
})
