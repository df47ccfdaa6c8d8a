import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, inject, it } from 'vitest'
import { runScript } from '../helpers/run-script.js'

// A home that remembers no thread counts: the first answer of a model then plans a probe, which must not hold the model.
const home = mkdtempSync(join(tmpdir(), 'sotto-gc-'))
afterAll(() => rmSync(home, { recursive: true, force: true }))

const prelude = () => `
process.env.SOTTO_HOME = ${JSON.stringify(home)}
const { readFileSync } = await import('node:fs')
const tiny = ${JSON.stringify(inject('models').tiny)}
const threads = () => Number(/Threads:\\s+(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1])
const collect = async () => {
  for (let i = 0; i < 10; i++) { globalThis.gc(); await new Promise((resolve) => setTimeout(resolve, 20)) }
}
// Awaited in a function of its own: a frame that waits may keep its last values alive.
const times = async (count, action) => { for (let i = 0; i < count; i++) await action() }
`
const run = (source: string) => runScript(prelude() + source, { flags: ['--expose-gc'] })
const said = (stdout: string) => ({ code: 0, signal: null, stdout, stderr: '' })

it.runIf(process.platform === 'linux')(
  'models that were never used, used, or dropped while they write end their threads',
  async () => {
    const outcome = await run(`
const first = await sotto.loadModel(tiny)   // starts what the process keeps
await first.close()
for (const use of [
  () => {},
  (model) => model.complete('x', { maxTokens: 2 }).result.then(() => {}),
  (model) => void model.complete('x', { ignoreEos: true, overflow: 'shift' }),
  (model) => void model.embed('x'),
  (model) => void model.close(),
]) {
  const before = threads()
  await times(8, async () => { await use(await sotto.loadModel(tiny)) })
  await collect()
  await new Promise((resolve) => setTimeout(resolve, 400))   // a planned probe has looked for its model
  await collect()
  // On a busy machine the work takes its time; what is never collected still stands after many rounds.
  for (let round = 0; round < 50 && threads() - before > 4; round++) await collect()
  const left = threads() - before
  console.log(left <= 4 ? 'few' : left)
}`)
    expect(outcome).toEqual(said('few\n'.repeat(5)))
  },
)

it('a stream that is read keeps its model', async () => {
  const outcome = await run(`
const open = async () => (await sotto.loadModel(tiny)).complete('Once', { maxTokens: 400, ignoreEos: true })
let parts = 0
for await (const _ of await open()) { if (++parts % 20 === 0) { globalThis.gc(); await new Promise(setImmediate) } }
console.log(parts > 0)`)
  expect(outcome).toEqual(said('true\n'))
})

it('a result that is awaited keeps its stream and its model', async () => {
  const outcome = await run(`
const open = async () => (await sotto.loadModel(tiny)).complete('Once', { maxTokens: 400, ignoreEos: true }).result
const result = open()
await collect()
console.log((await result).usage.tokensGenerated)`)
  expect(outcome).toEqual(said('400\n'))
})

it('a stream that nobody reads is stopped, and the process ends', async () => {
  const outcome = await run(`
const open = async () => { (await sotto.loadModel(tiny)).complete('Once', { ignoreEos: true, overflow: 'shift' }) }
await open()
await collect()
console.log('end')`)
  expect(outcome).toEqual(said('end\n'))
})

it('exit in the middle of a collection is as good as any', async () => {
  const outcome = await run(`
await times(6, async () => { (await sotto.loadModel(tiny)).complete('Once', { ignoreEos: true }) })
globalThis.gc()
setTimeout(() => process.exit(4), 1)`)
  expect(outcome).toEqual({ ...said(''), code: 4 })
})
