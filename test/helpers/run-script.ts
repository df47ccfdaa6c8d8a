// run-script.ts: a program of its own, with the compiled package, for what ends a process.

import { spawn } from 'node:child_process'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'

export interface Outcome {
  code: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
}

/** Runs an ES module text; `sotto` in it is the package. Killed, and so failed, after a minute. */
export function runScript(
  source: string,
  {
    flags = [] as string[],
    env = {} as Record<string, string>,
    kill,
  }: {
    flags?: string[]
    env?: Record<string, string>
    kill?: { on: string; signal: NodeJS.Signals }
  } = {},
): Promise<Outcome> {
  const entry = pathToFileURL(resolve('dist/index.js')).href
  const program = `const sotto = await import(${JSON.stringify(entry)})\n${source}`
  const child = spawn(process.execPath, [...flags, '--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
    timeout: 60_000,
    killSignal: 'SIGKILL',
  })
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (chunk) => {
    stdout += chunk
    if (kill && stdout.includes(kill.on)) child.kill(kill.signal)
  })
  child.stderr.on('data', (chunk) => {
    stderr += chunk
  })
  return new Promise((done) =>
    child.on('close', (code, signal) => done({ code, signal, stdout, stderr })),
  )
}
