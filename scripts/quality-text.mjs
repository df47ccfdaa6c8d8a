// quality-text.mjs: what models are measured on here, and what importance matrices are made of: English prose with code, of packages in
// package-lock.json, so that it is the same text wherever they are installed.

import { readFileSync } from 'node:fs'

function textOf(files) {
  const modules = new URL('../node_modules/', import.meta.url)
  return files.map((file) => readFileSync(new URL(file, modules), 'utf8')).join('\n')
}

/** 27,303 tokens of SmolLM2's. */
export const qualityText = () => textOf(['yauzl/README.md', 'commander/Readme.md'])

/** 47,389 tokens, nothing of the text above. */
export const calibrationText = () =>
  textOf(['tar', 'picomatch', 'minipass', 'semver', 'debug'].map((name) => `${name}/README.md`))
