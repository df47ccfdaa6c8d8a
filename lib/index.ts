// index.ts: the public surface: re-exports and nothing else.

export type {
  Chat,
  ChatAnswerOptions,
  ChatMessage,
  ChatOptions,
  TemplateOptions,
  ToolDefinition,
} from './chat.js'
export type { CompletionOptions, GenerationOptions, Prompt, Speculation } from './completion.js'
export { type DigestOptions, type DigestProgress, digestFile, type FileDigest } from './digest.js'
export type { EmbeddingOptions, RankedDocument, RerankOptions } from './embedding.js'
export { type ErrorCode, errorCodes, SottoError } from './errors.js'
export type { MemoryEstimate } from './gguf/estimate.js'
export { type ImatrixOptions, type ImatrixResult, makeImatrix } from './importance.js'
export { type CacheType, estimateModel, type LoadOptions, loadModel } from './load.js'
export { type LogLevel, setLogLevel } from './log.js'
export { ContextCache } from './manager/context-cache.js'
export type { ContextCacheEvent, ContextCacheOptions } from './manager/context-options.js'
export type { ManagerEvents, ServePhase } from './manager/events.js'
export type { KeptChat } from './manager/kept-chat.js'
export type { ModelLease } from './manager/lease.js'
export {
  type ManagedChatOptions,
  type ManagerOptions,
  ModelManager,
  type ServedModelInfo,
  type ServeOptions,
} from './manager/model-manager.js'
export type { ManagedContextEvent, ManagedContextOptions } from './manager/open-chats.js'
export type {
  PromptTemplate,
  PromptTemplateInfo,
  PromptTemplates,
} from './manager/prompt-templates.js'
export type { DetokenizeOptions, Model, ModelInfo, TokenizeOptions } from './model.js'
export { type CatalogEntry, catalog } from './models/catalog.js'
export { clearPacked, listPacked, type PackedFile } from './models/packed-cache.js'
export { type PullOptions, type PullProgress, pullModel } from './models/pull.js'
export { listModels, removeModel, type StoredModel } from './models/store.js'
export type { ChatCompletion, Completion, CompletionUsage } from './openai.js'
export {
  type Comparison,
  compareModels,
  type Estimate,
  measurePerplexity,
  type Perplexity,
  type PerplexityOptions,
} from './perplexity.js'
export type { PinnedPrefix, PinOptions } from './pin.js'
export { type QuantizeOptions, type QuantizeResult, quantizeModel } from './quantize.js'
export type { SamplerName, SamplingOptions } from './sampling.js'
export { type SystemInfo, systemInfo } from './system.js'
export type { ThreadOptions, Threads } from './threads.js'
export {
  type ChatPart,
  type FinishReason,
  type ReasoningPart,
  type StreamResult,
  type TextPart,
  type Timings,
  type TokenLogprob,
  type TokenLogprobs,
  TokenStream,
  type ToolCall,
  type ToolCallPart,
  type Usage,
} from './token-stream.js'
export {
  type ManifestOptions,
  makeManifest,
  type VerifiedFile,
  type VerifyOptions,
  verifyModel,
} from './verify.js'
