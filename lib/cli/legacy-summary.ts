// legacy-summary.ts: what sotto inspect says of a model in a format before GGUF.

import { SottoError } from '../errors.js'
import { formatName, planConversion } from '../gguf/converter.js'
import { checkPath, readStart } from '../gguf/gate.js'
import { isLegacyModel } from '../gguf/legacy.js'
import { type LegacyModel, readLegacy } from '../gguf/legacy-reader.js'
import { size } from './size.js'

export interface LegacySummary {
  lines: string[]
  json: object
}

/** Undefined: the file is of no such format. */
export function summarizeLegacy(
  path: string,
  tensors: boolean | undefined,
): LegacySummary | undefined {
  checkPath(path)
  if (!isLegacyModel(readStart(path))) return undefined
  const model = readLegacy(path)
  const refusal = judge(model)
  const { tokens, scores, ...rest } = model
  const verdict = refusal
    ? { converts: false, code: refusal.code, message: refusal.message }
    : { converts: true }
  return {
    lines: [path, ...asText(model, refusal, tensors)],
    json: {
      ...{ path, ...rest },
      vocabulary: { tokens: tokens.length, scores: scores !== undefined },
      ...{ loads: false, ...verdict },
    },
  }
}

function judge(model: LegacyModel): SottoError | undefined {
  try {
    planConversion(model, {})
    return undefined
  } catch (error) {
    if (error instanceof SottoError) return error
    throw error
  }
}

function* asText(
  model: LegacyModel,
  refusal: SottoError | undefined,
  tensors: boolean | undefined,
): Generator<string> {
  const { hyperparameters, tokens, scores, fileType, fileBytes } = model
  yield `${formatName(model)}, ${size(fileBytes)}`
  yield ''
  for (const [name, value] of Object.entries(hyperparameters)) yield `${name} = ${value}`
  yield `file type = ${fileType}`
  const shown = tokens.slice(259, 263).map((token) => JSON.stringify(Buffer.from(token).toString()))
  yield `tokens = ${tokens.length} ${scores ? 'with' : 'without'} scores ${shown.join(' ')} …`
  yield ''
  const byType = new Map<string, number>()
  for (const { type } of model.tensors) byType.set(type, (byType.get(type) ?? 0) + 1)
  yield `${model.tensors.length} tensors: ${[...byType].map(([type, count]) => `${count} ${type}`).join(', ')}`
  if (tensors) {
    for (const { name, type, dimensions, bytes } of model.tensors)
      yield `  ${name}  ${type}  ${dimensions.join(' x ')}  ${size(bytes)}`
  }
  yield refusal
    ? `Does not load, and cannot be converted: ${refusal.message} (${refusal.code})`
    : 'Does not load: make it GGUF by "sotto convert"'
}
