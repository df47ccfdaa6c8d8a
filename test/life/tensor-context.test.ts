// Contexts of sotto/ggml at every stage of their lives.

import { expect, it } from 'vitest'
import { runScript } from '../helpers/run-script.js'

const prelude = `
const ggml = await import(${JSON.stringify(new URL('../../dist/ggml/index.js', import.meta.url).href)})
/** A graph that computes for some seconds, in many small steps. */
const long = (context) => {
  const a = context.tensor('F32', [256, 256])
  let b = context.tensor('F32', [256, 64])
  for (let i = 0; i < 4000; i++) b = context.mulMat(a, b)
  return context.graph(b)
}
const make = () => new ggml.Context({ memSize: 2 ** 29 })
const code = (promise) => promise.then(() => 'done', (error) => error.code)
`
const run = (source: string, flags: string[] = []) => runScript(prelude + source, { flags })
const said = (stdout: string) => ({ code: 0, signal: null, stdout, stderr: '' })

it('close() may be called twice, and at once; everything after it is ERR_TENSOR_CLOSED', async () => {
  const outcome = await run(`
const context = make()
const a = context.tensor('F32', [2])
const graph = context.graph(context.sqr(a))
await Promise.all([context.close(), context.close()])
await context.close()
const codes = []
for (const use of [
  () => a.get(), () => a.set([1, 2]), () => a.name, () => a.setParam(), () => context.sqr(a), () => context.tensor('F32', [1]),
  () => context.used, () => context.graph(a), () => graph.expand(a), () => graph.backward(), () => graph.reset(), () => graph.nodes,
  () => graph.gradient(a), () => graph.compute(),
]) { try { await use(); codes.push('none') } catch (error) { codes.push(error.code) } }
console.log([...new Set(codes)].join(), codes.length)`)
  expect(outcome).toEqual(said('ERR_TENSOR_CLOSED 14\n'))
})

it('close() while a graph computes stops it', async () => {
  const outcome = await run(`
const context = make()
const running = code(long(context).compute({ threads: 1 }))
setTimeout(() => context.close().then(() => console.log('closed')), 20)
console.log(await running)`)
  expect(outcome.stdout.split('\n').sort().join(' ').trim()).toBe('ERR_ABORTED closed')
  expect(outcome.code).toBe(0)
})

it('a graph that computes keeps its context, whatever is collected', async () => {
  const outcome = await run(
    `
const start = () => { const context = make(); const b = context.sqr(context.tensor('F32', [2], [2, 3])); return { done: long(context).expand(b).compute({ threads: 1 }), b } }
const { done, b } = start()
for (let i = 0; i < 20; i++) { globalThis.gc(); await new Promise((resolve) => setTimeout(resolve, 5)) }
await done
console.log([...b.get()].join())`,
    ['--expose-gc'],
  )
  expect(outcome).toEqual(said('4,9\n'))
})

it.runIf(process.platform === 'linux')(
  'contexts that are forgotten give their memory back',
  async () => {
    const outcome = await run(
      `
const { readFileSync } = await import('node:fs')
const resident = () => Number(/VmRSS:\\s+(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]) / 1024
const use = async () => {
  const context = new ggml.Context({ memSize: 80 * 2 ** 20 })
  const a = context.tensor('F32', [2 ** 24]) // 64 MB of zeros
  await context.graph(context.view1d(a, 4, 0)).compute({ threads: 1 })
}
const before = resident()
for (let i = 0; i < 40; i++) { await use(); globalThis.gc(); await new Promise((resolve) => setTimeout(resolve, 5)) }
for (let i = 0; i < 50 && resident() - before > 300; i++) { globalThis.gc(); await new Promise((resolve) => setTimeout(resolve, 20)) }
console.log(resident() - before < 300)`,
      ['--expose-gc'],
    )
    expect(outcome).toEqual(said('true\n'))
  },
)

it('V8 is told of the memory: it collects contexts that nobody holds without being asked', async () => {
  const outcome = await run(`
let collected = 0
const registry = new FinalizationRegistry(() => collected++)
for (let i = 0; i < 400 && collected === 0; i++) {
  registry.register(new ggml.Context({ memSize: 2 ** 26 }))
  await new Promise((resolve) => setTimeout(resolve, 1))
}
console.log(collected > 0)`)
  expect(outcome).toEqual(said('true\n'))
})

it('process.exit while a graph computes ends soon, with its code', async () => {
  const outcome = await run(`
long(make()).compute({ threads: 2 }).catch(() => {})
setTimeout(() => process.exit(5), 20)`)
  expect(outcome).toEqual({ code: 5, signal: null, stdout: '', stderr: '' })
})

it('the end of the program with an open context is clean', async () => {
  expect(
    await run(
      `globalThis.context = make(); context.sqr(context.tensor('F32', [2])); console.log('end')`,
    ),
  ).toEqual(said('end\n'))
})

const inWorkers = (body: string, then: string) => `
const { Worker } = await import('node:worker_threads')
const source = \`
const { parentPort } = require('node:worker_threads')
const main = async () => { ${prelude.replaceAll('\\', '\\\\').replaceAll('`', '\\`').replaceAll('${', '\\${')} ${body} }
main()\`
const workers = Array.from({ length: 3 }, () => new Worker(source, { eval: true, execArgv: [] }))
const exits = workers.map((worker) => new Promise((resolve) => worker.once('exit', resolve)))
await Promise.all(workers.map((worker) => new Promise((resolve, reject) => { worker.once('message', resolve); worker.once('error', reject) })))
${then}`

it('workers that are terminated while they compute leave the process whole', async () => {
  const outcome = await run(
    inWorkers(
      `long(make()).compute({ threads: 1 }).catch(() => {}); setTimeout(() => parentPort.postMessage('going'), 20)`,
      `await Promise.all(workers.map((worker) => worker.terminate()))
const context = make()
const b = context.sqr(context.tensor('F32', [1], [3]))
await context.graph(b).compute()
console.log(b.get()[0])
await context.close()`,
    ),
  )
  expect(outcome).toEqual(said('9\n'))
})

it('process.exit ends workers that compute', async () => {
  const outcome = await run(
    inWorkers(
      `long(make()).compute({ threads: 1 }).catch(() => {}); setTimeout(() => parentPort.postMessage('going'), 20)`,
      `process.exit(6)`,
    ),
  )
  expect(outcome).toEqual({ code: 6, signal: null, stdout: '', stderr: '' })
})
