// global-setup.ts: the models that tests share: tiny ones made here, the real one from its registry.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'
import { pullModel } from '../../lib/models/pull.js'
import { makeTinyModel } from '../../scripts/make-tiny-model.mjs'

export interface TestModels {
  tiny: string
  tools: string
  thinking: string
  untemplated: string
  bert: string
  rerank: string
  lora: string
  real: string
}

declare module 'vitest' {
  export interface ProvidedContext {
    models: TestModels
  }
}

const thinking =
  "{% for message in messages %}{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% if enable_thinking is defined and not enable_thinking %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}{% endif %}"

export default async function setup(project: TestProject): Promise<() => void> {
  const folder = mkdtempSync(join(tmpdir(), 'sotto-models-'))
  const { path: real } = await pullModel('smollm2-135m-instruct')
  project.provide('models', {
    tiny: makeTinyModel(join(folder, 'tiny.gguf')),
    tools: makeTinyModel(join(folder, 'tools.gguf'), { template: 'tools' }),
    thinking: makeTinyModel(join(folder, 'thinking.gguf'), { template: thinking }),
    untemplated: makeTinyModel(join(folder, 'untemplated.gguf'), { template: 'none' }),
    bert: makeTinyModel(join(folder, 'bert.gguf'), { kind: 'bert' }),
    rerank: makeTinyModel(join(folder, 'rerank.gguf'), { kind: 'rerank' }),
    lora: makeTinyModel(join(folder, 'lora.gguf'), { kind: 'lora' }),
    real,
  })
  return () => rmSync(folder, { recursive: true, force: true })
}
