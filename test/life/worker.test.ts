import { expect, inject, it } from 'vitest'
import { runScript } from '../helpers/run-script.js'

const inWorkers = (count: number, body: string, then: string) => `
const { Worker } = await import('node:worker_threads')
const entry = ${JSON.stringify(new URL('../../dist/index.js', import.meta.url).href)}
const source = \`
  const { parentPort } = require('node:worker_threads')
  import('\${entry}').then(async (sotto) => { ${body.replaceAll('`', '\\`').replaceAll('${', '\\${')} }).catch((error) => { throw error })
\`
const workers = Array.from({ length: ${count} }, () => new Worker(source, { eval: true, execArgv: [] }))
const failures = workers.map((worker) => new Promise((resolve) => worker.once('error', (error) => resolve(error.message))))
const exits = workers.map((worker) => new Promise((resolve) => worker.once('exit', resolve)))
const messages = Promise.all(workers.map((worker) => new Promise((resolve, reject) => { worker.once('message', resolve); worker.once('error', reject) })))
${then}
`
const model = (path: string) => `const model = await sotto.loadModel(${JSON.stringify(path)});`

it('four workers load a model each and write the same text', async () => {
  const body = `${model(inject('models').tiny)} parentPort.postMessage(await model.complete('Once', { temperature: 0, maxTokens: 20 }).text()); await model.close()`
  const outcome = await runScript(
    inWorkers(
      4,
      body,
      'const texts = await messages; console.log(new Set(texts).size, texts[0].length > 0)',
    ),
  )
  expect(outcome).toEqual({ code: 0, signal: null, stdout: '1 true\n', stderr: '' })
})

/** What a worker does when its end comes; each says 'going' when it has begun. */
const stages: [name: string, body: (real: string) => string][] = [
  [
    'mid-token',
    (real: string) =>
      `${model(real)} for await (const _ of model.complete('Once', { ignoreEos: true })) parentPort.postMessage('going')`,
  ],
  [
    'during prefill',
    (real: string) =>
      `${model(real)} model.complete(Array.from({ length: 4000 }, (_, i) => 400 + i % 999)); setTimeout(() => parentPort.postMessage('going'), 50)`,
  ],
  [
    'while loading',
    (real: string) =>
      `sotto.loadModel(${JSON.stringify(real)}, { mmap: false, onProgress: () => parentPort.postMessage('going') })`,
  ],
  [
    'while pinning, with a pin',
    (real: string) =>
      `${model(real)} await model.pin({ system: 'a' }); model.pin({ system: 'word '.repeat(2000) }).catch(() => {}); setTimeout(() => parentPort.postMessage('going'), 50)`,
  ],
  [
    'while embedding',
    (real: string) =>
      `${model(real)} model.embed(Array(100).fill('word '.repeat(100))); setTimeout(() => parentPort.postMessage('going'), 50)`,
  ],
  ['when idle', (real: string) => `${model(real)} parentPort.postMessage('going')`],
]

it.each(stages)('workers that are terminated %s leave the process whole', async (_, body) => {
  const then = `await messages
await Promise.all(workers.map((worker) => worker.terminate()))
const model = await sotto.loadModel(${JSON.stringify(inject('models').tiny)})
console.log((await model.complete('Once', { maxTokens: 5, ignoreEos: true }).result).usage.tokensGenerated)`
  const outcome = await runScript(inWorkers(3, body(inject('models').real), then))
  expect(outcome).toEqual({ code: 0, signal: null, stdout: '5\n', stderr: '' })
})

it.each(stages)('process.exit in the main thread ends workers %s', async (_, body) => {
  const outcome = await runScript(
    inWorkers(3, body(inject('models').real), 'await messages; process.exit(6)'),
  )
  expect(outcome).toEqual({ code: 6, signal: null, stdout: '', stderr: '' })
})

it.each(stages)('an uncaught exception ends only the worker that throws it %s', async (_, body) => {
  const thrower = body(inject('models').real).replace(
    "parentPort.postMessage('going')",
    "{ parentPort.postMessage('going'); setImmediate(() => { throw new Error('deliberate') }) }",
  )
  // The error may overtake the message.
  const then =
    'messages.catch(() => {}); console.log((await Promise.all([...failures, ...exits])).join())'
  const outcome = await runScript(inWorkers(2, thrower, then))
  expect(outcome).toEqual({
    code: 0,
    signal: null,
    stdout: 'deliberate,deliberate,1,1\n',
    stderr: '',
  })
})

it('a worker ends by itself while its model is open and idle', async () => {
  const body = `${model(inject('models').tiny)} parentPort.postMessage('loaded')`
  const then = "await messages; await Promise.all(exits)\nconsole.log('ended')"
  const outcome = await runScript(inWorkers(3, body, then))
  expect(outcome).toEqual({ code: 0, signal: null, stdout: 'ended\n', stderr: '' })
})

it('workers may come and go without the main thread ever loading the addon', async () => {
  const body = `${model(inject('models').tiny)} for await (const _ of model.complete('Once', { ignoreEos: true })) parentPort.postMessage('going')`
  const outcome = await runScript(`
for (let round = 0; round < 5; round++) {
  await (async () => {${inWorkers(4, body, 'await messages; await Promise.all(workers.map((worker) => worker.terminate()))')}})()
}
console.log('whole')`)
  expect(outcome).toEqual({ code: 0, signal: null, stdout: 'whole\n', stderr: '' })
})

it('a worker that calls process.exit mid-token ends alone', async () => {
  const body = `${model(inject('models').real)} for await (const _ of model.complete('Once', { ignoreEos: true })) { parentPort.postMessage('x'); process.exit(0) }`
  const outcome = await runScript(inWorkers(2, body, "await messages; console.log('alive')"))
  expect(outcome).toEqual({ code: 0, signal: null, stdout: 'alive\n', stderr: '' })
})
