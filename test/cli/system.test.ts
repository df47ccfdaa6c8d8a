import { expect, it } from 'vitest'
import { runCli } from './run-cli.js'

const env = { SOTTO_HOME: '/somewhere' }

it('system prints processor, versions and the store as JSON', async () => {
  const { code, stdout } = await runCli(['system', '--json'], { env })
  expect(code).toBe(0)
  const info = JSON.parse(stdout)
  expect(info).toMatchObject({ node: process.version, store: '/somewhere/models' })
  expect(info.cpu.physical).toBeGreaterThan(0)
  expect(info.devices.length).toBeGreaterThan(0)
  expect(info.versions.llama).toMatch(/\d/)
})

it('system prints the same for people', async () => {
  const { code, stdout } = await runCli(['system'], { env })
  expect(code).toBe(0)
  expect(stdout).toContain(`Node ${process.version}\nStore: /somewhere/models\n`)
  expect(stdout).toMatch(/^CPU variant \w+, kernels \w+: /m)
})
