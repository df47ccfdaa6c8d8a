// index.ts: the public face of sotto/ggml: re-exports and nothing else.

export { type ErrorCode, SottoError } from '../errors.js'
export { Context, type ContextOptions } from './context.js'
export { type Device, devices } from './devices.js'
export { RopeType, ScaleFlag } from './flags.js'
export { type LoadedGguf, type LoadGgufOptions, loadGguf, saveGguf } from './gguf.js'
export { type ComputeOptions, Graph, type GraphOptions } from './graph.js'
export { type GenerateOptions, Llama, ModelParams, type ModelParamsOptions } from './llama.js'
export type {
  GluOp,
  OpHint,
  PoolOp,
  Precision,
  ScaleMode,
  SortOrder,
  TriangleType,
  UnaryOp,
} from './operations.js'
export { Tensor } from './tensor.js'
export type { TensorData, TensorTypeName } from './types.js'
