// quality-text.mjs: what models are measured on here: English prose with code, of two packages in package-lock.json, so that it is the same
// text wherever they are installed. 27,303 tokens of SmolLM2's.

import { readFileSync } from 'node:fs'

const files = ['yauzl/README.md', 'commander/Readme.md']

/** @returns {string} */
export function qualityText() {
  const modules = new URL('../node_modules/', import.meta.url)
  return files.map((file) => readFileSync(new URL(file, modules), 'utf8')).join('\n')
}
