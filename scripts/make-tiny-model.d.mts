import type { GgufEntry, GgufTensorSource } from '../lib/gguf/index.js'

export interface TinyModelOptions {
  kind?: 'llama' | 'bert' | 'rerank' | 'lora' | 'mamba'
  template?: string
  shape?: 'tiny' | 'wide' | 'words' | 'experts' | 'smol' | 'oneb' | 'qwen' | 'gemma' | 'sevenb'
  type?: string
  seed?: number
}
export function makeTinyModel(path: string, options?: TinyModelOptions): string
export function tinyModelParts(options?: TinyModelOptions): {
  metadata: GgufEntry[]
  tensors: GgufTensorSource[]
}
