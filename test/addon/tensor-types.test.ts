import { expect, it } from 'vitest'
import { tensorTypes } from '../../lib/gguf/index.js'
import { native } from '../../lib/native.js'

it("the table of tensor types is native ggml's own: every type, its number, its blocks", () => {
  const ours = [...tensorTypes].map(([name, type]) => ({ name, ...type }))
  const theirs = native()
    .tensorTypes()
    .map(({ name, ...type }) => ({ name: name.toUpperCase(), ...type }))
  expect(theirs.length).toBeGreaterThan(30)
  expect(ours).toEqual(theirs)
})
