#!/usr/bin/env node
// main.ts: the sotto command.

import { realpathSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { CommanderError } from 'commander'
import { type ExitCode, exitCodes } from './exit-code.js'
import { reportFailure } from './failure.js'
import { endWithTheReader } from './output.js'
import { makeProgram } from './program.js'

/** Runs a command line, without the program's own name, and returns its exit code. */
export async function main(argv: string[]): Promise<ExitCode> {
  let exit: ExitCode = exitCodes.ok
  endWithTheReader()
  try {
    const program = makeProgram((code) => {
      exit = code
    })
    await program.parseAsync(argv, { from: 'user' })
    return exit
  } catch (error) {
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return exitCodes.ok // --help, --version
      if (error.code === 'commander.help') return exitCodes.usage // no command: the help is on stderr
    }
    return reportFailure(error, argv)
  }
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  main(process.argv.slice(2)).then((code) => {
    process.exitCode = code
  })
}
