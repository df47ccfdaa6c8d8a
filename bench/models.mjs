// models.mjs: the models that are measured: made when they are missing, and what a token of each costs.

import { existsSync, mkdirSync, renameSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { readGguf } from '../dist/gguf/index.js'
import { listModels } from '../dist/index.js'
import { makeTinyModel } from '../scripts/make-tiny-model.mjs'
import { here } from './paths.mjs'

/** The file of `oneb Q4_0`, of `oneb Q4_0 2` with other random weights, or of a model in the store by its name. */
export async function model(name) {
  const [shape, type, seed] = name.split(' ')
  if (!type) {
    const stored = (await listModels()).find((known) => known.name === name)
    if (!stored) throw new Error(`Expected ${name} in the store: run npx sotto pull ${name}`)
    return describe(name, stored.path)
  }
  mkdirSync(join(here, 'models'), { recursive: true })
  const path = join(here, 'models', `${name.replaceAll(' ', '-')}.gguf`)
  if (!existsSync(path)) {
    console.error(`Making ${name} …`)
    // Under its name only when it is whole: 7 B take a minute, and somebody may stop it.
    renameSync(
      makeTinyModel(`${path}.part`, { shape, type, ...(seed && { seed: Number(seed) }) }),
      path,
    )
  }
  return describe(name, path)
}

// What bounds speed: bytes read for each generated token, and multiplications for each prompt token. An embedding table that is
// not the output layer as well is only looked up in; a prompt needs the output layer for its last token alone.
async function describe(name, path) {
  const { metadata, tensors } = await readGguf(path)
  const number = (key) => Number(metadata.get(`${metadata.get('general.architecture')}.${key}`))
  const untied = tensors.some((tensor) => tensor.name === 'output.weight')
  const matrices = tensors.filter(
    (tensor) => tensor.dimensions.length === 2 && tensor.name !== 'token_embd.weight',
  )
  const elements = ({ dimensions: [columns, rows] }) => columns * rows
  const bytes = (list) => list.reduce((sum, tensor) => sum + tensor.bytes, 0)
  const read = tensors.filter((tensor) => !untied || tensor.name !== 'token_embd.weight')
  const headSize =
    number('attention.key_length') || number('embedding_length') / number('attention.head_count')
  return {
    name,
    path,
    fileBytes: statSync(path).size,
    tokenBytes: bytes(read),
    promptOperations:
      2 *
      matrices
        .filter((tensor) => tensor.name !== 'output.weight')
        .reduce((sum, tensor) => sum + elements(tensor), 0),
    // f16 keys and values of one token
    cacheBytes: number('block_count') * number('attention.head_count_kv') * headSize * 2 * 2,
  }
}
