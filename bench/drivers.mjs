// drivers.mjs: who is measured, each as the command of a fresh process that prints one JSON line.

import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const here = dirname(fileURLToPath(import.meta.url))
const node = (script, ...args) => [process.execPath, join(here, 'trials', script), ...args]

const llamaBench = (model, threads, prompt, generated) => [
  join(here, 'build', 'bin', 'llama-bench'),
  ...['-m', model, '-t', String(threads), '-r', '1', '-o', 'json'],
  ...['-p', String(prompt), '-n', String(generated)],
]

/** Tokens a second of generation. */
export const generationDrivers = {
  'llama-bench': (model, { tokens, threads }) => llamaBench(model, threads, 0, tokens),
  sotto: (model, { tokens, threads }) =>
    node('sotto-generate.mjs', model, String(tokens), String(threads)),
  'sotto, JS blocked in a wait': (model, { tokens, threads }) =>
    node('sotto-generate.mjs', model, String(tokens), String(threads), 'waiting'),
  'sotto, JS blocked by computing': (model, { tokens, threads }) =>
    node('sotto-generate.mjs', model, String(tokens), String(threads), 'computing'),
  // A core for JavaScript: what its computing costs when it does not take one from the engine.
  'sotto, one thread less': (model, { tokens, threads }) =>
    node('sotto-generate.mjs', model, String(tokens), String(threads - 1)),
  'sotto, one thread less, JS blocked by computing': (model, { tokens, threads }) =>
    node('sotto-generate.mjs', model, String(tokens), String(threads - 1), 'computing'),
  'node-llama-cpp': (model, { tokens, threads }) =>
    node('peer-generate.mjs', model, String(tokens), String(threads)),
}

/** Tokens a second of a prompt. */
export const promptDrivers = {
  'llama-bench': (model, { tokens, threads }) => llamaBench(model, threads, tokens, 0),
  sotto: (model, { tokens, threads }) =>
    node('sotto-prompt.mjs', model, String(tokens), String(threads)),
  "sotto, SOTTO_CPU=off: ggml's kernels": (model, { tokens, threads }) => [
    'env',
    'SOTTO_CPU=off',
    ...node('sotto-prompt.mjs', model, String(tokens), String(threads)),
  ],
}

/** Tokens a second out of what a driver printed. */
export function tokensPerSecond(output) {
  const parsed = JSON.parse(output)
  return Array.isArray(parsed) ? parsed[0].avg_ts : parsed.tokensPerSecond
}
