// system.ts: sotto system

import { storeFolder } from '../../models/home.js'
import { systemInfo } from '../../system.js'
import type { ExitCode } from '../main.js'
import { megabytes } from '../progress.js'

export async function system(flags: { json?: boolean }): Promise<ExitCode> {
  const info = { ...systemInfo(), node: process.version, platform: `${process.platform}-${process.arch}`, store: storeFolder() }
  if (flags.json) {
    process.stdout.write(`${JSON.stringify(info)}\n`)
    return 0
  }
  const { cpu, devices, versions, buildOptions } = info
  process.stdout.write(
    `${info.platform}, Node ${info.node}, llama.cpp ${versions.llama}, ggml ${versions.ggml}\n` +
      `${cpu.model}: ${cpu.physical} cores (${cpu.performance} fast), ${cpu.logical} threads${cpu.quota ? `, quota ${cpu.quota}` : ''}\n` +
      `CPU variant ${cpu.variant}: ${cpu.features.join(' ')}\n` +
      `Build options: ${buildOptions.join(' ') || 'none'}\n`,
  )
  for (const { name, description, type, memoryTotal } of devices) {
    process.stdout.write(`${name} (${type}): ${description}, ${megabytes(memoryTotal)}\n`)
  }
  process.stdout.write(`Store: ${info.store}\n`)
  return 0
}
