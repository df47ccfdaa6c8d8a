import { expect, inject, it } from 'vitest'
import { runScript } from '../helpers/run-script.js'

// Beside others it has less of a processor, never more: this cannot fail by load.
it('a model with one thread keeps one core busy, not a second one that waits for work', async () => {
  const { stdout, stderr } = await runScript(`
const model = await sotto.loadModel(${JSON.stringify(inject('models').real)}, { threads: 1 })
const answer = { temperature: 0, ignoreEos: true }
await model.complete('Once upon a time', { ...answer, maxTokens: 4 }).result
const before = process.cpuUsage(), begin = performance.now()
await model.complete('The sea is', { ...answer, maxTokens: 120 }).result
const { user, system } = process.cpuUsage(before)
console.log((user + system) / 1000 / (performance.now() - begin))
await model.close()`)
  expect(stderr).toBe('')
  expect(Number(stdout)).toBeGreaterThan(0.05)
  expect(Number(stdout)).toBeLessThan(1.25)
})
