// examples.ts: code out of documentation, to be run. What it imports from the package comes from the compiled one.

import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'

/** The blocks of a language in a Markdown text or in comments. */
export function codeBlocks(text: string, language: string): string[] {
  return [...text.replace(/^ *\* ?/gm, '').matchAll(/```(\w+)\n([\s\S]*?)```/g)]
    .filter(([, its]) => its === language)
    .map(([, , code]) => code!)
}

/** An example as a program that runs in any folder. */
export function runnable(example: string): string {
  return example.replace(/from 'sotto(\/\w+)?'/g, (_, part = '') => {
    return `from ${JSON.stringify(pathToFileURL(resolve(`dist${part}/index.js`)).href)}`
  })
}
