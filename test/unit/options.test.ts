import { expect, it } from 'vitest'
import { checkOptions, checkText, integer, nearestName, text, toJson } from '../../lib/options.js'
import { expectCode } from '../helpers/expect-code.js'

const rules = { count: integer(1, 5), name: text() }

it('returns what is set and leaves out undefined', () => {
  expect({ ...checkOptions('options', { count: 2, name: undefined }, rules) }).toEqual({ count: 2 })
  expect(checkOptions('options', undefined, rules)).toEqual({})
})

it.each([[null], [5], [[]], ['x']])('%j is no object of options', async (value) => {
  await expectCode('ERR_OPTION_INVALID', () => checkOptions('options', value, rules))
})

it('says what was expected and what was received', async () => {
  const error = await expectCode('ERR_OPTION_INVALID', () =>
    checkOptions('options', { count: 9 }, rules),
  )
  expect(error.message).toBe('Expected options.count to be an integer from 1 to 5, received 9')
})

it.each([
  ['coutn', 'count'],
  ['Name', 'name'],
  ['max_tokens', undefined],
])('%s probably means %s', (given, meant) => {
  expect(nearestName(given, Object.keys(rules))).toBe(meant)
})

it('refuses lone surrogates and no others', async () => {
  expect(checkText('x', '🙂')).toBe('🙂')
  await expectCode('ERR_PROMPT_INVALID', () => checkText('x', '🙂'.slice(0, 1)))
})

it('turns endless and circular objects into an error, not a stack overflow', async () => {
  let deep: object = {}
  for (let i = 0; i < 1e5; i++) deep = { deep }
  await expectCode('ERR_SCHEMA_INVALID', () => toJson('x', deep, 'ERR_SCHEMA_INVALID'))
  await expectCode('ERR_SCHEMA_INVALID', () => toJson('x', undefined, 'ERR_SCHEMA_INVALID'))
})
