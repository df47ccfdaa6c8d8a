// layers.mjs: what the TypeScript and the binding cost, with a model so small that it costs next to nothing. Prints one line of JSON:
// name → { hz, rme }.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Benchmark from 'benchmark'
import { completionRules } from '../../dist/completion.js'
import { readGguf } from '../../dist/gguf/index.js'
import { loadModel } from '../../dist/index.js'
import { checkOptions } from '../../dist/options.js'
import { makeTinyModel } from '../../scripts/make-tiny-model.mjs'

const folder = mkdtempSync(join(tmpdir(), 'sotto-micro-'))
const path = makeTinyModel(join(folder, 'tiny.gguf'))
const model = await loadModel(path, { threads: 1, contextSize: 2048 })

const words = await loadModel(
  makeTinyModel(join(folder, 'words.gguf'), { shape: 'words', type: 'Q8_0' }),
  { threads: 1, contextSize: 2048, speculation: false },
)

const sentence = 'Once upon a time there was a little model. '
const page = sentence.repeat(200)
const tokens = await model.tokenize(page)
const messages = Array.from({ length: 10 }, (_, i) => ({
  role: i % 2 ? 'assistant' : 'user',
  content: sentence,
}))
const options = { maxTokens: 16, temperature: 0.7, topP: 0.9, stop: ['\n'], seed: 1 }
const greedy = { maxTokens: 1, temperature: 0, ignoreEos: true }

const cases = {
  'checkOptions: five options of a completion': () =>
    checkOptions('options', options, completionRules),
  'detokenize: a page': () => model.detokenize(tokens),
  'tokenize: a sentence': async () => model.tokenize(sentence),
  'tokenize: a page': async () => model.tokenize(page),
  'applyTemplate: ten messages': async () => model.applyTemplate(messages),
  'readGguf: the head of a file': async () => readGguf(path),
  'complete: one token': async () => model.complete([1, 2, 3], greedy).result,
  'complete: a hundred tokens of 128,256, the most likely': async () =>
    words.complete([1, 2, 3], { ...greedy, maxTokens: 100 }).result,
  'complete: a hundred tokens of 128,256, drawn': async () =>
    words.complete([1, 2, 3], { maxTokens: 100, ignoreEos: true, seed: 1 }).result,
  'complete: a hundred tokens through for await': async () => {
    for await (const _ of model.complete([1, 2, 3], { ...greedy, maxTokens: 100 }));
  },
}

const suite = new Benchmark.Suite()
for (const [name, action] of Object.entries(cases)) {
  const deferred = action.constructor.name === 'AsyncFunction'
  suite.add(name, {
    defer: deferred,
    maxTime: 1,
    fn: deferred ? (turn) => action().then(() => turn.resolve()) : action,
  })
}
await new Promise((resolve) => suite.on('complete', resolve).run({ async: true }))
await Promise.all([model.close(), words.close()])
rmSync(folder, { recursive: true })
const outcome = suite.map(({ name, hz, stats, error }) => {
  if (error) throw error
  return { what: name, us: 1e6 / hz, deviationPercent: stats.rme }
})
console.log(JSON.stringify(outcome))
