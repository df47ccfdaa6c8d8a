// index.ts: the public face of sotto/gguf: re-exports and nothing else.

export { type ConvertOptions, type ConvertResult, convertLegacy } from './converter.js'
export type { CopyOptions, CopyProgress } from './copy.js'
export { formatDigestList, type ListedDigest, readDigestList } from './digest-list.js'
export { type EstimateOptions, estimateMemory, type MemoryEstimate } from './estimate.js'
export { type TensorType, tensorTypeNames, tensorTypes, type ValueType } from './format.js'
export { checkModelFile, type GateOptions } from './gate.js'
export { type GgufEntry, type TensorShape, tensorBytes } from './head-writer.js'
export { type ImportanceMatrix, readImatrix } from './imatrix.js'
export {
  type LegacyHyperparameters,
  type LegacyLimits,
  type LegacyModel,
  type LegacyTensor,
  readLegacy,
} from './legacy-reader.js'
export {
  type Manifest,
  type ManifestReadOptions,
  type ManifestShard,
  readManifest,
  signManifest,
} from './manifest.js'
export { type MergeOptions, mergeModel } from './merger.js'
export { type QuantizationType, quantizationTypes } from './quantisation-types.js'
export {
  defaultLimits,
  GgufArray,
  type GgufFile,
  type GgufLimits,
  type GgufScalar,
  type GgufTensor,
  type GgufValue,
  readGguf,
} from './reader.js'
export { checkModelFiles, type ModelFiles, type ShardTensor } from './shards.js'
export { type SigningKey, signedBytes } from './signature.js'
export type { UrlOptions } from './source-url.js'
export { type SplitOptions, type SplitResult, splitModel } from './splitter.js'
export { type GgufTensorSource, writeGguf } from './writer.js'
