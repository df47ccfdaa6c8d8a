import { expect, inject, it } from 'vitest'
import { loadModel } from '../../lib/index.js'
import { expectCode } from '../helpers/expect-code.js'
import { runScript } from '../helpers/run-script.js'

it('close() may be called twice and at the same time', async () => {
  const model = await loadModel(inject('models').tiny)
  await Promise.all([model.close(), model.close()])
  await model.close()
})

it('close() rejects requests in flight with ERR_MODEL_CLOSED', async () => {
  const model = await loadModel(inject('models').real)
  const running = model.complete('Once', { ignoreEos: true })
  const iterator = running[Symbol.asyncIterator]()
  await iterator.next()
  const prefilling = model.complete(Array.from({ length: 3000 }, (_, i) => 400 + (i % 999)))
  const embedding = model.embed(Array(50).fill('word '.repeat(100)))
  const ends = [
    expectCode('ERR_MODEL_CLOSED', async () => {
      while (!(await iterator.next()).done);
    }),
    expectCode('ERR_MODEL_CLOSED', () => prefilling.result),
    expectCode('ERR_MODEL_CLOSED', () => embedding),
  ]
  await model.close()
  await Promise.all(ends)
})

it('every method fails with ERR_MODEL_CLOSED after close(), info does not', async () => {
  const model = await loadModel(inject('models').tiny)
  const chat = model.chat()
  await model.close()
  await expectCode('ERR_MODEL_CLOSED', () => model.complete('x'))
  await expectCode('ERR_MODEL_CLOSED', () => chat.send('x'))
  await expectCode('ERR_MODEL_CLOSED', () => model.embed('x'))
  await expectCode('ERR_MODEL_CLOSED', () => model.rerank('x', ['y']))
  await expectCode('ERR_MODEL_CLOSED', () => model.tokenize('x'))
  await expectCode('ERR_MODEL_CLOSED', () => model.detokenize([1]))
  await expectCode('ERR_MODEL_CLOSED', () => model.applyTemplate([{ role: 'user', content: 'x' }]))
  expect(model.info.architecture).toBe('llama')
})

it('closing while requests are being prepared loses none of them', async () => {
  const model = await loadModel(inject('models').tiny)
  const ends = Array.from({ length: 50 }, () =>
    model.complete('word '.repeat(500)).result.then(
      () => 'ended',
      (error) => error.code,
    ),
  )
  await model.close()
  for (const end of await Promise.all(ends)) expect(['ended', 'ERR_MODEL_CLOSED']).toContain(end)
})

it('aborting, reading and embedding while it closes are harmless', async () => {
  const outcome = await runScript(`
const ends = new Set(['stop', 'length', 'abort', 'ERR_MODEL_CLOSED', 'ERR_ABORTED'])
for (let i = 0; i < 60; i++) {
  const model = await sotto.loadModel(${JSON.stringify(inject('models').tiny)}, { contextSize: 1024 })
  const controllers = Array.from({ length: 4 }, () => new AbortController())
  const said = controllers.map(({ signal }, j) =>
    (j < 3 ? model.complete('Once', { signal, ignoreEos: true }).result : model.embed('Once', { signal })).then(
      (result) => result.finishReason ?? 'stop',
      (error) => error.code,
    ),
  )
  if (i % 3) await new Promise((resolve) => setTimeout(resolve, i % 7))
  const closing = model.close()
  // The scheduler ends on another thread meanwhile.
  for (const started = performance.now(); performance.now() - started < i % 4; );
  for (const controller of controllers) controller.abort()
  await Promise.all([closing, model.close()])
  for (const end of await Promise.all(said)) if (!ends.has(end)) console.log(end)
}
console.log('done')`)
  expect(outcome).toEqual({ code: 0, signal: null, stdout: 'done\n', stderr: '' })
})

it('an abort stops a load with ERR_ABORTED', async () => {
  const controller = new AbortController()
  await expectCode('ERR_ABORTED', () =>
    loadModel(inject('models').real, {
      mmap: false,
      signal: controller.signal,
      onProgress: () => controller.abort(),
    }),
  )
  await expectCode('ERR_ABORTED', () =>
    loadModel(inject('models').real, { signal: AbortSignal.abort() }),
  )
})

it('progress rises from 0 to 1', async () => {
  const seen: number[] = []
  await (
    await loadModel(inject('models').real, {
      mmap: false,
      onProgress: ({ fraction }) => seen.push(fraction),
    })
  ).close()
  expect(seen.at(-1)).toBe(1)
  expect(seen).toEqual([...seen].sort((a, b) => a - b))
})

it('a model and its streams that nobody holds are collected', async () => {
  const outcome = await runScript(
    `
const path = ${JSON.stringify(inject('models').tiny)}
const memory = []
for (let i = 0; i < 40; i++) {
  let model = await sotto.loadModel(path)
  model.complete('Once', { ignoreEos: true, overflow: 'shift' })   // endless, and nobody holds it
  model = undefined
  for (let j = 0; j < 4; j++) { globalThis.gc(); await new Promise((resolve) => setTimeout(resolve, 10)) }
  memory.push(process.memoryUsage().rss / 2 ** 20)
}
console.log(memory[39] - memory[15] < 60 ? 'flat' : memory.map(Math.round).join(' '))
`,
    { flags: ['--expose-gc'] },
  )
  expect(outcome).toEqual({ code: 0, signal: null, stdout: 'flat\n', stderr: '' })
})

it('two models answer side by side on one pool of threads', async () => {
  await using a = await loadModel(inject('models').tiny)
  await using b = await loadModel(inject('models').real)
  const results = await Promise.all(
    [a, b, a, b].map((model) => model.complete('Once', { maxTokens: 20, ignoreEos: true }).result),
  )
  for (const { usage } of results) expect(usage.tokensGenerated).toBe(20)
})
