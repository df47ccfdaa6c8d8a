// run-cli.ts: the compiled command as a child process, with pipes or on a terminal.

import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))
const pty = fileURLToPath(new URL('terminal.py', import.meta.url))

export interface Outcome {
  code: number | null
  stdout: string
  stderr: string
}

export interface CliOptions {
  input?: string
  env?: NodeJS.ProcessEnv
}

/** A running command. */
export class RunningCli {
  readonly process: ChildProcessWithoutNullStreams
  readonly ended: Promise<Outcome>
  stdout = ''
  stderr = ''
  #onOutput = () => {}

  constructor(command: string, args: string[], env: NodeJS.ProcessEnv) {
    // One thread each: tests run beside each other, and waiting threads spin.
    const own = { SOTTO_DEBUG: '', OMP_NUM_THREADS: '1' }
    this.process = spawn(command, args, { env: { ...process.env, ...own, ...env } })
    this.process.stdout.setEncoding('utf8').on('data', (text) => {
      this.stdout += text
      this.#onOutput()
    })
    this.process.stderr.setEncoding('utf8').on('data', (text) => {
      this.stderr += text
      this.#onOutput()
    })
    this.process.stdin.on('error', () => {}) // a command that ends does not read on
    this.ended = new Promise((resolve) => {
      this.process.on('close', (code) => {
        this.#onOutput()
        resolve({ code, stdout: this.stdout, stderr: this.stderr })
      })
    })
  }

  /** Resolves with everything on stdout when it has a match behind position `from`. */
  async shows(pattern: RegExp, from = 0): Promise<string> {
    let over = false
    void this.ended.then(() => {
      over = true
      this.#onOutput()
    })
    // Rather than the test's own time-out: a failure must say what was on the screen.
    const giveUp = setTimeout(() => this.process.kill('SIGKILL'), 60_000)
    try {
      while (!pattern.test(this.stdout.slice(from))) {
        if (over) {
          throw new Error(
            `Ended without ${pattern}: ${JSON.stringify(this.stdout.slice(from))} ${this.stderr}`,
          )
        }
        await new Promise<void>((resolve) => {
          this.#onOutput = resolve
        })
      }
    } finally {
      clearTimeout(giveUp)
    }
    return this.stdout
  }

  type(text: string): void {
    this.process.stdin.write(text)
  }
}

export function startCli(args: string[], env: NodeJS.ProcessEnv = {}): RunningCli {
  return new RunningCli(process.execPath, [main, ...args], env)
}

/** On a pseudo-terminal; stdout carries what the screen shows. */
export function startOnTerminal(args: string[], env: NodeJS.ProcessEnv = {}): RunningCli {
  return new RunningCli('python3', [pty, process.execPath, main, ...args], {
    TERM: 'xterm',
    ...env,
  })
}

export function runCli(
  args: string[],
  { input = '', env = {} }: CliOptions = {},
): Promise<Outcome> {
  const running = startCli(args, env)
  running.process.stdin.end(input)
  return running.ended
}
