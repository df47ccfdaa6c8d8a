import { expect, inject, it } from 'vitest'
import { runScript } from '../helpers/run-script.js'

const silent = { signal: null, stderr: '' }
const load = (options: string) =>
  `sotto.loadModel(${JSON.stringify(inject('models').real)}, { mmap: false, ${options} })`

// Without its exit listeners a worker ends as terminate() ends it: nobody tells the load. Upstream's log shows how far it went.
it('a worker that ends while it loads takes the load with it', async () => {
  const outcome = await runScript(`
process.env.SOTTO_LOG = 'info'
const { Worker } = await import('node:worker_threads')
const source = \`import(${JSON.stringify(new URL('../../dist/index.js', import.meta.url).href)}).then((sotto) =>
  ${load("onProgress() { process.removeAllListeners('exit'); process.exit(5) }")})\`
new Worker(source, { eval: true, execArgv: [] }).on('exit', (code) => console.log(code))
`)
  expect(outcome).toMatchObject({ code: 0, signal: null, stdout: '5\n' })
  expect(outcome.stderr).toContain('llama_model_loader')
  expect(outcome.stderr).not.toContain('constructing llama_context')
})

it('a load that nobody awaits ends, and the process after it', async () => {
  const outcome = await runScript(`${load('onProgress: ({ fraction }) => { last = fraction }')}
var last
process.on('exit', () => console.log(last))`)
  expect(outcome).toEqual({ code: 0, stdout: '1\n', ...silent })
})

it('what onProgress throws ends the load, which rejects with it', async () => {
  const outcome = await runScript(`
let calls = 0
await ${load('onProgress() { calls++; throw null }')}.catch((error) => console.log(error))
console.log(calls)`)
  expect(outcome).toEqual({ code: 0, stdout: 'null\n1\n', ...silent })
})

// A model that is kept weighs at least its vocabulary, some 30 MiB; what the garbage collector has not got to yet varies.
it('loads that are aborted give their memory back', async () => {
  const outcome = await runScript(`
const codes = new Set(), memory = []
for (let i = 0; i < 24; i++) {
  const controller = new AbortController()
  await ${load('signal: controller.signal, onProgress: ({ fraction }) => fraction > 0.3 && controller.abort()')}.catch((error) => codes.add(error.code))
  memory.push(process.memoryUsage.rss() / 2 ** 20)
}
console.log([...codes], memory[23] - memory[7] < 150 ? 'flat' : memory.map(Math.round))`)
  expect(outcome).toEqual({ code: 0, stdout: "[ 'ERR_ABORTED' ] flat\n", ...silent })
})

it('loads that fail give their memory back', async () => {
  const outcome = await runScript(`
const codes = new Set(), memory = []
for (let i = 0; i < 60; i++) {
  await sotto.loadModel(${JSON.stringify(inject('models').tiny)}, { devices: ['none'] }).catch((error) => codes.add(error.code))
  await sotto.loadModel(${JSON.stringify(inject('models').real)}, { adapters: [{ path: ${JSON.stringify(inject('models').lora)} }] }).catch((error) => codes.add(error.code))
  memory.push(process.memoryUsage.rss() / 2 ** 20)
}
console.log([...codes].sort().join(), memory[59] - memory[19] < 150 ? 'flat' : memory.map(Math.round))`)
  expect(outcome).toEqual({
    code: 0,
    stdout: 'ERR_ADAPTER_INVALID,ERR_OPTION_INVALID flat\n',
    ...silent,
  })
})
