import { describe, expect, inject, it } from 'vitest'
import { systemInfo } from '../../lib/system.js'
import { runScript } from '../helpers/run-script.js'

const answer = `
const model = await sotto.loadModel(${JSON.stringify(inject('models').real)})
const { text } = await model.complete('The capital of France is', { maxTokens: 6, temperature: 0 }).result
console.log(sotto.systemInfo().cpu.kernels, /Paris/.test(text))
await model.close()`
const run = async (kernels: string) => {
  process.env['SOTTO_CPU'] = kernels
  try {
    return await runScript(answer)
  } finally {
    delete process.env['SOTTO_CPU']
  }
}

describe('SOTTO_CPU', () => {
  it.each(['off', 'generic'])('%s is used, and a real model makes sense', async (kernels) => {
    expect(await run(kernels)).toMatchObject({ code: 0, stdout: `${kernels} true\n`, stderr: '' })
  })

  const features = systemInfo().cpu.features
  it.runIf(features.includes('AVX2'))('avx2 is used where the CPU has it', async () => {
    expect(await run('avx2')).toMatchObject({ code: 0, stdout: 'avx2 true\n', stderr: '' })
  })

  it.runIf(features.includes('AVX512_VNNI'))(
    'avx512vnni is used where the CPU has it',
    async () => {
      expect(await run('avx512vnni')).toMatchObject({ stdout: 'avx512vnni true\n', stderr: '' })
    },
  )

  it.runIf(features.includes('AVX512_VNNI'))('the widest is what a CPU gets', async () => {
    const { code, stdout } = await run('')
    expect(code).toBe(0)
    expect(stdout).toMatch(/^avx512(vnni|amx) true\n$/)
  })

  it('what is no name of theirs leaves the work to ggml', async () => {
    expect(await run('avx9000')).toMatchObject({ code: 0, stdout: 'off true\n' })
  })
})
