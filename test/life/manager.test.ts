import { describe, expect, inject, it } from 'vitest'
import { runScript } from '../helpers/run-script.js'

const { tiny, real } = inject('models')
const prelude = `
const tiny = ${JSON.stringify(tiny)}, real = ${JSON.stringify(real)}
const manager = new sotto.ModelManager()
const endless = () => manager.complete('chat', 'Once', { ignoreEos: true, overflow: 'shift' })
`
const loaded = `await manager.load('chat', tiny)\n`
const at = (event: string) => `manager.once('${event}', () => end())\n`
const forever = 'await new Promise(() => setInterval(() => {}, 1000))'

/** Every stage of a swap, up to the moment named. */
const stages: [name: string, source: string][] = [
  ['while the first model loads', `${at('loading')}manager.load('chat', real)\n${forever}`],
  [
    'while the next model loads',
    `${loaded}endless().result.catch(() => {})\nmanager.swap('chat', real, { mmap: false, onProgress: () => end() })\n${forever}`,
  ],
  [
    'while it warms',
    `${loaded}endless().result.catch(() => {})\n${at('warming')}manager.swap('chat', real)\n${forever}`,
  ],
  [
    'when the name has turned to it',
    `${loaded}endless().result.catch(() => {})\n${at('switched')}manager.swap('chat', real)\n${forever}`,
  ],
  [
    'while the old one drains to make room',
    `const small = new sotto.ModelManager({ memoryBudget: 12 * 2 ** 20 })
await small.load('chat', tiny)
small.complete('chat', 'Once', { ignoreEos: true, overflow: 'shift' }).result.catch(() => {})
small.swap('chat', tiny, { whenFull: 'drain', onProgress: ({ phase }) => phase === 'draining' && setImmediate(end) })
${forever}`,
  ],
  [
    'with a lease',
    `${loaded}const lease = await manager.lease('chat')\nmanager.swap('chat', real)\nsetTimeout(() => end(), 100)\n${forever}`,
  ],
  [
    'while the manager closes',
    `${loaded}endless().result.catch(() => {})\nmanager.swap('chat', real).catch(() => {})\nmanager.close()\nend()\n${forever}`,
  ],
]

describe.each(stages)('%s', (_, source) => {
  const text = (end: string) => `${prelude}const end = () => { ${end} }\n${source}`

  it('process.exit ends with its code and without a word', async () => {
    expect(await runScript(text('process.exit(7)'))).toEqual({
      ...{ code: 7, signal: null, stdout: '', stderr: '' },
    })
  })

  it('SIGINT ends the process as SIGINT does', async () => {
    const outcome = await runScript(text("console.log('now')"), {
      kill: { on: 'now', signal: 'SIGINT' },
    })
    expect(outcome).toMatchObject({ code: null, signal: 'SIGINT', stderr: '' })
  })

  it('a worker that is terminated leaves its process in order', async () => {
    const worker = `
import(${JSON.stringify(new URL('../../dist/index.js', import.meta.url).href)}).then(async (sotto) => {
${text("require('node:worker_threads').parentPort.postMessage('now')").replaceAll('new URL', 'URL')}
})`
    const outcome = await runScript(`
const { Worker } = await import('node:worker_threads')
const worker = new Worker(${JSON.stringify(worker)}, { eval: true, execArgv: [] })
await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))
await worker.terminate()
const model = await sotto.loadModel(${JSON.stringify(tiny)})
console.log((await model.complete('Once', { maxTokens: 3, ignoreEos: true }).result).usage.tokensGenerated)
await model.close()`)
    expect(outcome).toEqual({ code: 0, signal: null, stdout: '3\n', stderr: '' })
  })
})

it('a manager with idle models does not keep the process', async () => {
  const outcome = await runScript(
    `const manager = new sotto.ModelManager({ idleTimeout: 100000 })\nawait manager.load('chat', ${JSON.stringify(tiny)})`,
  )
  expect(outcome).toEqual({ code: 0, signal: null, stdout: '', stderr: '' })
})

it('a lease that nobody can reach is given back', async () => {
  const outcome = await runScript(
    `${prelude}${loaded}
const forget = async () => { void (await manager.lease('chat')).source }
await forget()
const { drained } = await manager.swap('chat', tiny)
let free = false
drained.then(() => { free = true })
while (!free) { globalThis.gc(); await new Promise((resolve) => setTimeout(resolve, 10)) }
console.log(manager.list()[0].retiring)
await manager.close()`,
    { flags: ['--expose-gc'] },
  )
  expect(outcome).toEqual({ code: 0, signal: null, stdout: '0\n', stderr: '' })
})

it('the model of a lease that is forgotten keeps it', async () => {
  const outcome = await runScript(
    `${prelude}${loaded}
const take = async () => (await manager.lease('chat')).model
const model = await take()
await manager.swap('chat', tiny)
for (let i = 0; i < 20; i++) { globalThis.gc(); await new Promise((resolve) => setTimeout(resolve, 5)) }
console.log(manager.list()[0].retiring, (await model.complete('Once', { maxTokens: 3, ignoreEos: true }).result).usage.tokensGenerated)
await model.close()
await manager.close()`,
    { flags: ['--expose-gc'] },
  )
  expect(outcome).toEqual({ code: 0, signal: null, stdout: '1 3\n', stderr: '' })
})

it('what a listener throws is an uncaught exception, and no matter of the manager', async () => {
  const outcome = await runScript(`${prelude}
process.on('uncaughtException', (error) => console.log(error.message))
manager.on('loaded', () => { throw new Error('deliberate') })
${loaded}
console.log(manager.list()[0].state, (await manager.embed('chat', 'x')).length)
await manager.close()`)
  expect(outcome).toEqual({ code: 0, signal: null, stdout: 'deliberate\nready 64\n', stderr: '' })
})
