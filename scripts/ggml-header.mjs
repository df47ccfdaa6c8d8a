// ggml-header.mjs: what ggml.h declares that makes or changes tensors, and what of it sotto/ggml leaves out. Read by make-ggml-operations.mjs,
// which writes lib/ggml/operations.ts, and by check-native.mjs, which notices when one of the three knows something the others do not.

import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const native = join(dirname(fileURLToPath(import.meta.url)), '..', 'native')
const header = join(native, 'ggml', 'llama.cpp', 'ggml', 'include', 'ggml.h')

/** Functions of ggml.h that return a tensor and are no operation of sotto/ggml, and why. */
export const refused = {
  ggml_new_tensor: 'Context.tensor',
  ggml_new_tensor_1d: 'Context.tensor',
  ggml_new_tensor_2d: 'Context.tensor',
  ggml_new_tensor_3d: 'Context.tensor',
  ggml_new_tensor_4d: 'Context.tensor',
  ggml_dup_tensor: 'Context.tensor',
  ggml_view_tensor: 'view1d … view4d',
  ggml_get_first_tensor: 'walks over a context, whose tensors the caller has',
  ggml_get_next_tensor: 'walks over a context, whose tensors the caller has',
  ggml_get_tensor: 'the caller has its tensors',
  ggml_set_name: 'Tensor.name',
  ggml_format_name: 'Tensor.name',
  ggml_set_zero: 'Tensor.set',
  ggml_add1: 'deprecated: add',
  ggml_add1_inplace: 'deprecated: addInplace',
  ggml_rope_custom: 'deprecated: ropeExt',
  ggml_rope_custom_inplace: 'deprecated: ropeExtInplace',
  ggml_upscale_ext: 'deprecated: interpolate',
  ggml_flash_attn_back: 'ggml aborts whatever it is given',
  ggml_map_custom1: 'takes a C function',
  ggml_map_custom1_inplace: 'takes a C function',
  ggml_map_custom2: 'takes a C function',
  ggml_map_custom2_inplace: 'takes a C function',
  ggml_map_custom3: 'takes a C function',
  ggml_map_custom3_inplace: 'takes a C function',
  ggml_custom_4d: 'takes a C function',
  ggml_custom_inplace: 'takes a C function',
  ggml_build_forward_select: 'Graph.expand',
  ggml_graph_node: 'the caller has its tensors',
  ggml_graph_get_tensor: 'the caller has its tensors',
  ggml_graph_get_grad: 'Graph.gradient',
  ggml_graph_get_grad_acc: 'Graph.gradient',
}

/** Functions that return no tensor but set something of one; every one of them is in the table. */
export const setters = [
  'ggml_prec_set_acc',
  'ggml_prec_set_src',
  'ggml_mul_mat_set_hint',
  'ggml_soft_max_add_sinks',
  'ggml_flash_attn_ext_set_n_kv_max',
  'ggml_flash_attn_ext_add_sinks',
]

/** Every function of ggml.h that returns a tensor, and the setters: name, parameters without the context, and the comment above. */
export function readHeader() {
  const text = readFileSync(header, 'utf8').replace(/\/\*[\s\S]*?\*\//g, (comment) =>
    comment.replace(/[^\n]/g, ''),
  )
  const declaration =
    /((?:[ \t]*\/\/[^\n]*\n)*)[ \t]*(?:GGML_DEPRECATED\()?(?:GGML_ATTRIBUTE_FORMAT\([^)]*\)\s*)?GGML_API\s+(struct ggml_tensor\s*\*|void|bool)\s*(ggml_\w+)\s*\(([^;]*?)\)\s*[;,]/g
  const functions = []
  for (const [, comment, result, name, list] of text.matchAll(declaration)) {
    if (!result.startsWith('struct') && !setters.includes(name)) continue
    const parameters = list
      .replace(/\/\/[^\n]*/g, '')
      .split(',')
      .map((parameter) => parameter.replace(/\s+/g, ' ').trim())
      .filter((parameter) => !/ggml_context/.test(parameter))
      .map((parameter) => {
        const match = /^(?:const )?(?:struct |enum )?(\w+) ?(\**) ?(\w*)(\[\w+\])?$/.exec(parameter)
        if (!match) return { name: parameter, type: parameter }
        return { name: match[3], type: match[1] + match[2] + (match[4] ? '[]' : '') }
      })
    const lines = comment.split('\n').map((line) => line.replace(/^\s*\/\/ ?/, '').trimEnd())
    functions.push({ name, parameters, comment: lines.filter((line) => line.trim()).join('\n') })
  }
  return functions
}

/** Enumerators of an enum of ggml.h: names without what they have in common, in lower case, and their numbers. */
export function readEnum(name, prefix) {
  const text = readFileSync(header, 'utf8')
  const [, body] = new RegExp(`enum ${name} \\{([\\s\\S]*?)\\};`).exec(text)
  const values = {}
  let next = 0
  for (const [, label, value] of body.matchAll(
    /^\s*(GGML_\w+)\s*(?:=\s*(\d+))?\s*(?:,|\/\/|$)/gm,
  )) {
    const number = value === undefined ? next : Number(value)
    next = number + 1
    if (/_COUNT$/.test(label)) continue
    values[label.slice(prefix.length).toLowerCase()] = number
  }
  return values
}

/** The native table: name, names of parameters, and which one may be left out. */
export function readTable() {
  const text = readFileSync(join(native, 'tensor', 'operations.cpp'), 'utf8')
  const row = /Make<&(\w+)>\("(\w+)", "([^"]*)", rules::\w+(?:, (\d+))?(?:, (\d+))?\)/g
  return [...text.matchAll(row)].map(([, symbol, name, parameters, nodes, optional]) => ({
    symbol,
    name,
    parameters: parameters.split(' '),
    changes: nodes === '0',
    optional: optional ? Number(optional) : undefined,
  }))
}
