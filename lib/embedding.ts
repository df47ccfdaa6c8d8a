// embedding.ts: texts to vectors, and documents ranked by a query.

import { received, SottoError } from './errors.js'
import { type NativeEmbedding, NativeEventKind, type NativeModel } from './native.js'
import { abortSignal, checkOptions, checkText, flag, integer, text } from './options.js'
import { outcome } from './outcome.js'
import type { RequestRouter } from './request-router.js'

export interface EmbeddingOptions {
  /** Scale each vector to Euclidean length 1. Default true. */
  normalize?: boolean
  /** Cut a text that is longer than the context instead of failing with `ERR_PROMPT_TOO_LONG`. Default false. */
  truncate?: boolean
  principal?: string
  /** Rejects with `ERR_ABORTED`. */
  signal?: AbortSignal
}

export interface RerankOptions {
  /** Return only the best n documents. Default: all. */
  topN?: number
  truncate?: boolean
  principal?: string
  signal?: AbortSignal
}

export interface RankedDocument {
  /** Position in the documents given. */
  index: number
  /** The model's own score: higher is more relevant, the scale is the model's. */
  score: number
  document: string
}

/** @internal */
export async function embed(
  native: NativeModel,
  router: RequestRouter,
  inputs: string[],
  given: unknown,
): Promise<Float32Array[]> {
  const options = checkOptions<EmbeddingOptions>('options', given, {
    normalize: flag(),
    truncate: flag(),
    principal: text(),
    signal: abortSignal(),
  })
  checkTexts('texts', inputs)
  return runVectors(native, router, options.signal, {
    id: 0,
    principal: options.principal ?? '',
    rerank: false,
    query: '',
    inputs,
    normalize: options.normalize ?? true,
    truncate: options.truncate ?? false,
  })
}

/** @internal */
export async function rerank(
  native: NativeModel,
  router: RequestRouter,
  query: string,
  documents: string[],
  given: unknown,
): Promise<RankedDocument[]> {
  const options = checkOptions<RerankOptions>('options', given, {
    topN: integer(1, 2 ** 31 - 1),
    truncate: flag(),
    principal: text(),
    signal: abortSignal(),
  })
  checkText('query', query)
  checkTexts('documents', documents)
  const rows = await runVectors(native, router, options.signal, {
    id: 0,
    principal: options.principal ?? '',
    rerank: true,
    query,
    inputs: documents,
    normalize: false,
    truncate: options.truncate ?? false,
  })
  return rows
    .map((row, index) => ({ index, score: row[0]!, document: documents[index]! }))
    .sort((a, b) => b.score - a.score || a.index - b.index)
    .slice(0, options.topN)
}

function checkTexts(what: string, texts: unknown): void {
  if (!Array.isArray(texts) || texts.length === 0) {
    throw new SottoError(
      'ERR_OPTION_INVALID',
      `Expected ${what} to be a non-empty array of strings, received ${received(texts)}`,
    )
  }
  texts.forEach((item, i) => {
    checkText(`${what}[${i}]`, item)
  })
}

async function runVectors(
  native: NativeModel,
  router: RequestRouter,
  signal: AbortSignal | undefined,
  request: NativeEmbedding,
): Promise<Float32Array[]> {
  const rows: Float32Array[] = []
  await outcome(native, router, (id) => native.embed({ ...request, id }), {
    signal,
    aborted: 'The embedding was aborted',
    onEvent(kind, payload) {
      if (kind !== NativeEventKind.vectors) return
      const { data, columns } = payload as { data: Float32Array; columns: number }
      for (let at = 0; at < data.length; at += columns) rows.push(data.slice(at, at + columns))
    },
  })
  return rows
}
