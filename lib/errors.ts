// errors.ts: the table of error codes and the one error class. Imports nothing, so every room may use it.
// native/base/error-codes.h repeats the codes that C++ throws; scripts/check-native.mjs compares the two.

/** Every code a {@link SottoError} can carry, with what it means. Codes are stable across minor versions. */
export const errorCodes = {
  ERR_ABORTED: 'An AbortSignal stopped a load, a download or a job before it finished.',
  ERR_ADAPTER_INVALID: 'A LoRA adapter could not be read or does not fit the model.',
  ERR_CACHE_CLOSED: 'The cache of conversations was closed before the call.',
  ERR_CHAT_BUSY: 'A chat was asked to go on while its last answer is still being written.',
  ERR_CONTEXT_FULL: 'The context window has no room: for another token, or for a prefix to pin.',
  ERR_DECODE_FAILED: 'The compute backend failed while processing a batch.',
  ERR_DIGEST_MISMATCH: 'A file does not have the SHA-256 digest that was expected of it.',
  ERR_DISK: 'A file could not be written: disk full, no permission, or an I/O error.',
  ERR_DOWNLOAD_FAILED: 'A download was refused, cut off, or answered with something unexpected.',
  ERR_DRAFT_INVALID: 'A draft model does not fit the model that it should draft for.',
  ERR_EMBEDDING_UNSUPPORTED: 'The model cannot produce embeddings with these options.',
  ERR_GRAMMAR_INVALID: 'A GBNF grammar does not parse, nests too deeply, or recurses to the left.',
  ERR_GRAPH_FAILED: 'A device failed while it computed a graph.',
  ERR_GRAPH_FULL: 'A graph has more tensors than it was made for.',
  ERR_GRAPH_GRADIENT: 'Gradients cannot be computed of a graph as it is.',
  ERR_IMATRIX_INVALID: 'An importance matrix could not be read, or is one of another model.',
  ERR_INTERNAL: 'A fault in sotto itself. Please report it.',
  ERR_MANIFEST_INVALID:
    'A manifest is not what it should be, or its files are not what it says of them.',
  ERR_MANAGER_CLOSED: 'The model manager was closed before or while the call ran.',
  ERR_MODEL_CHANGED:
    'A file of a loaded model was cut short or cannot be read any more where it is mapped.',
  ERR_MODEL_CLOSED: 'The model was closed before or while the call ran.',
  ERR_MODEL_FORMAT: 'The file is not a GGUF model, is truncated, or contradicts itself.',
  ERR_MODEL_LEGACY: 'The file is a model in a format older than GGUF.',
  ERR_MODEL_LIMIT: 'The model file exceeds a safety limit of the reader.',
  ERR_MODEL_LOAD: 'The engine refused to load the model; the message carries its reason.',
  ERR_MODEL_MEMORY: 'There is not enough memory for the model or its context.',
  ERR_MODEL_NOT_FOUND: 'There is no model under this path or name.',
  ERR_MODEL_UNREADABLE: 'The model path is a directory, a device, or not readable.',
  ERR_MODEL_UNSUPPORTED: 'The model needs something that this build does not have.',
  ERR_MODEL_VERSION: 'The GGUF version is not one that this build reads.',
  ERR_NAME_TAKEN: 'A model is served under this name already.',
  ERR_NAME_UNKNOWN: 'No model is served under this name.',
  ERR_NATIVE_MISSING: 'No native addon for this platform could be loaded.',
  ERR_OFFLINE: 'A model is not in the store and its source cannot be reached.',
  ERR_OPTION_INVALID: 'An option has the wrong type or is out of range.',
  ERR_OPTION_UNKNOWN: 'An option is not known; the message names the nearest one.',
  ERR_PROMPT_INVALID: 'The prompt is empty where it may not be, or is not valid text.',
  ERR_PROMPT_TOO_LONG: 'The prompt has more tokens than the context can hold.',
  ERR_QUANTIZE_FAILED: 'The quantiser refused the model or ended; the message carries its reason.',
  ERR_QUEUE_FULL: 'Too many requests are waiting for this model.',
  ERR_RERANK_UNSUPPORTED: 'The model is not a reranker.',
  ERR_SCHEMA_INVALID: 'A JSON schema cannot be turned into a grammar.',
  ERR_SIGNATURE_INVALID: 'A manifest is not signed, or not by the owner of the key that was given.',
  ERR_SOURCE_INVALID: 'A model source is not one of the documented forms.',
  ERR_STATE_INVALID:
    'A saved conversation is damaged, or of another version, key, owner or model; it is computed again.',
  ERR_STREAM_LOCKED: 'A stream has a reader already; it can be read once.',
  ERR_TEMPLATE_INVALID: 'A chat template, its messages or its tools could not be applied.',
  ERR_TEMPLATE_MISSING: 'The model carries no chat template and none was given.',
  ERR_TENSOR_BUSY: 'A context was used while a graph of it is being computed.',
  ERR_TENSOR_CLOSED: 'A context was closed before it was used, or while it computed.',
  ERR_TENSOR_FOREIGN: 'A value is not a tensor, or one of another context.',
  ERR_TENSOR_MEMORY: 'A context has no room for a tensor, or could not get its memory.',
  ERR_TENSOR_SHAPE: 'The shape or layout of a tensor does not fit an operation.',
  ERR_TENSOR_TYPE: 'The type of a tensor is not one that an operation takes.',
  ERR_TENSOR_VALUE:
    'What is inside of a tensor, or is to be, does not fit: an index, NaN, too large a number.',
  ERR_TEXT_TOO_SHORT: 'A text has fewer tokens than a measurement needs.',
  ERR_VOCABULARY_MISMATCH: 'Two models that are to be compared have different vocabularies.',
} as const

/** One of the keys of {@link errorCodes}. */
export type ErrorCode = keyof typeof errorCodes

/**
 * The one error class of sotto. `code` is stable, `message` says what was expected, what was received and what to do.
 *
 * @example
 * ```ts
 * import { loadModel, SottoError } from 'sotto'
 * try {
 *   await loadModel('./missing.gguf')
 * } catch (error) {
 *   if (error instanceof SottoError && error.code === 'ERR_MODEL_NOT_FOUND') console.error(error.message)
 *   else throw error
 * }
 * ```
 */
export class SottoError extends Error {
  readonly code: ErrorCode

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'SottoError'
    this.code = code
  }
}

/** Says what a wrong value was, briefly and without quoting secrets or megabytes. */
export function received(value: unknown): string {
  if (value === null || value === undefined) return String(value)
  if (typeof value === 'string') {
    return value.length > 60 ? `a string of ${value.length} characters` : JSON.stringify(value)
  }
  if (typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint') {
    return String(value)
  }
  if (typeof value === 'function') return 'a function'
  if (Array.isArray(value)) return `an array of ${value.length}`
  return `an instance of ${(value as object).constructor?.name ?? 'Object'}`
}
