// sotto-quality.mjs: what quantising does to a model: its size, and how far it is from what it was.

import { compareModels, makeImatrix, quantizeModel } from '../../dist/index.js'
import { calibrationText, qualityText } from '../../scripts/quality-text.mjs'

async function imatrix({ model, output, threads, chunks }) {
  const begin = performance.now()
  const { tokens } = await makeImatrix(model, calibrationText(), output, { threads, chunks })
  return { tokens, imatrixSeconds: (performance.now() - begin) / 1000 }
}

/** `type` out of `model`, in a file that is there afterwards. */
async function quantize({ model, type, output, threads, imatrix }) {
  const begin = performance.now()
  const { bytes } = await quantizeModel(model, type, output, {
    threads,
    imatrix,
    allowRequantize: true,
    overwrite: true,
  })
  return { fileMb: bytes / 1e6, quantizeSeconds: (performance.now() - begin) / 1000 }
}

async function compare({ model, other, threads, chunks }) {
  const found = await compareModels(model, other, qualityText(), { threads, chunks })
  return {
    perplexity: found.second.value,
    ratio: found.ratio.value,
    ratioError: found.ratio.error,
    divergence: found.divergence.value,
    divergence99: found.divergence99,
    agreement: found.agreement.value,
    tokensScored: found.scored,
  }
}

export const quality = { imatrix, quantize, compare }
