// system.ts: sotto system: what to put into a bug report. Says what it can also where the addon does not load.

import { SottoError } from '../../errors.js'
import { storeFolder } from '../../models/home.js'
import { type SystemInfo, systemInfo } from '../../system.js'
import { type ExitCode, exitCodes } from '../exit-code.js'
import { write, writeJson } from '../output.js'
import { version } from '../program.js'
import { size } from '../size.js'

export async function system({ json }: { json?: boolean }): Promise<ExitCode> {
  const machine = {
    sotto: version(),
    node: process.version,
    platform: `${process.platform}-${process.arch}`,
    store: storeFolder(),
  }
  const native = nativeInfo()
  if (json) {
    await writeJson(
      native instanceof SottoError
        ? { ...machine, error: { code: native.code, message: native.message } }
        : { ...machine, ...native },
    )
  } else {
    await write(
      `sotto ${machine.sotto}, ${machine.platform}, Node ${machine.node}\nStore: ${machine.store}\n`,
    )
    await write(
      native instanceof SottoError
        ? `No native code: ${native.message} (${native.code})\n`
        : asText(native),
    )
  }
  return native instanceof SottoError ? exitCodes.failure : exitCodes.ok
}

function nativeInfo(): SystemInfo | SottoError {
  try {
    return systemInfo()
  } catch (error) {
    if (error instanceof SottoError) return error
    throw error
  }
}

function asText({ cpu, devices, versions, buildOptions }: SystemInfo): string {
  const quota = cpu.quota > 0 ? `, quota ${cpu.quota}` : ''
  const lines = [
    `llama.cpp ${versions.llama}, ggml ${versions.ggml}, Node-API ${versions.napi}`,
    `${cpu.model}: ${cpu.physical} cores (${cpu.performance} fast), ${cpu.logical} threads${quota}`,
    `CPU variant ${cpu.variant}, kernels ${cpu.kernels}: ${cpu.features.join(' ')}`,
    `Build options: ${buildOptions.join(' ') || 'none'}`,
    ...devices.map(
      ({ name, type, description, memoryFree, memoryTotal }) =>
        `${name} (${type}): ${description}, ${size(memoryFree)} of ${size(memoryTotal)} free`,
    ),
  ]
  return `${lines.join('\n')}\n`
}
