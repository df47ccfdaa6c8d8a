// options.test.ts: each build option either builds or says in one sentence what is missing. The builds with BLAS and with probes are
// made and run.

import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, expect, inject, it } from 'vitest'
import { runScript } from '../helpers/run-script.js'

function configure(...options: string[]): { status: number | null; sentence: string } {
  const { status, stderr, stdout } = spawnSync(
    process.execPath,
    ['scripts/bootstrap.mjs', 'build', ...options],
    { encoding: 'utf8', timeout: 600_000 },
  )
  return { status, sentence: `${stdout}${stderr}` }
}
const has = (command: string) =>
  spawnSync(command, ['--version'], { stdio: 'ignore' }).error === undefined

describe('options without their toolchain', () => {
  it.each([
    ['SOTTO_DIRECTML', 'ON', true, /not written yet/],
    ['SOTTO_METAL', 'ON', process.platform !== 'darwin', /macOS only/],
    ['SOTTO_CUDA', 'ON', !has('nvcc'), /CUDA toolkit/],
    ['SOTTO_VULKAN', 'ON', !has('glslc'), /Vulkan SDK/],
    ['SOTTO_SANITIZE', 'everything', true, /address, thread or undefined/],
    ['SOTTO_BLAS', 'NoSuchVendor', true, /libopenblas-dev/],
  ] as const)('%s=%s fails with a sentence', (name, value, missing, sentence) => {
    if (!missing) return // the toolchain is here: then it builds, which is not this test
    const outcome = configure(`--${name}=${value}`)
    expect(outcome.status).toBe(1)
    expect(outcome.sentence).toMatch(sentence)
  })

  it('an unknown option names the known ones', () => {
    expect(configure('--SOTTO_NOPE=1').sentence).toMatch(
      /unknown option SOTTO_NOPE[\s\S]*SOTTO_BLAS/,
    )
  })
})

const hasHeader = (name: string) =>
  ['x86_64-linux-gnu/', 'aarch64-linux-gnu/', ''].some((folder) =>
    existsSync(`/usr/include/${folder}${name}`),
  )
const openblas = hasHeader('cblas.h')

describe('the BLAS build', () => {
  it.skipIf(!openblas)(
    'multiplies with OpenBLAS and answers',
    async () => {
      const built = configure('--SOTTO_BLAS=OpenBLAS')
      expect(built.status, built.sentence).toBe(0)
      process.env['SOTTO_ADDON'] = resolve(join('build-blas-openblas', 'Release', 'sotto.node'))
      try {
        const outcome = await runScript(`
const model = await sotto.loadModel(${JSON.stringify(inject('models').real)})
const { usage } = await model.complete('word '.repeat(200), { maxTokens: 8, temperature: 0, ignoreEos: true }).result
const { buildOptions, devices } = sotto.systemInfo()
console.log(usage.tokensGenerated, buildOptions.includes('SOTTO_BLAS=OpenBLAS'), devices.some(({ name }) => name === 'BLAS'))
await model.close()`)
        expect(outcome).toMatchObject({ code: 0, stdout: '8 true true\n' })
      } finally {
        delete process.env['SOTTO_ADDON']
      }
    },
    900_000,
  )
})

const sdt = has('readelf') && hasHeader('sys/sdt.h')

describe('the build with probes', () => {
  it.skipIf(!sdt)(
    'carries every probe, and answers',
    async () => {
      const built = configure('--SOTTO_PROBES=ON')
      expect(built.status, built.sentence).toBe(0)
      const addon = resolve(join('build-probes-on', 'Release', 'sotto.node'))
      const { stdout } = spawnSync('readelf', ['--notes', addon], { encoding: 'utf8' })
      const names = [...stdout.matchAll(/Provider: sotto\s+Name: (\w+)/g)].map(([, name]) => name)
      expect([...new Set(names)].sort()).toEqual([
        'draft__verified',
        'request__admitted',
        'request__done',
        'request__failed',
        'request__first__token',
        'request__queued',
        'step__begin',
        'step__end',
        'threads__changed',
      ])
      process.env['SOTTO_ADDON'] = addon
      try {
        const outcome = await runScript(`
const model = await sotto.loadModel(${JSON.stringify(inject('models').tiny)})
console.log((await model.complete('Once', { maxTokens: 8, ignoreEos: true }).result).usage.tokensGenerated)`)
        expect(outcome).toMatchObject({ code: 0, stdout: '8\n' })
      } finally {
        delete process.env['SOTTO_ADDON']
      }
    },
    900_000,
  )
})
