import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { NativeModel, NativeSystemInfo } from '../../lib/native.js'
import { probeThreads, recallThreads, rememberThreads, resolveThreads } from '../../lib/threads.js'
import { expectCode } from '../helpers/expect-code.js'

const cpu: NativeSystemInfo['cpu'] = {
  model: 'x',
  logical: 16,
  physical: 8,
  performance: 6,
  quota: 0,
  features: [],
  variant: 'native',
  kernels: 'off',
}

describe('counts', () => {
  it.each([
    ['performance cores by default', undefined, cpu, undefined, undefined, [6, 6]],
    [
      'the cgroup quota when it is smaller',
      undefined,
      { ...cpu, quota: 2.5 },
      undefined,
      undefined,
      [2, 2],
    ],
    ['at least one', undefined, { ...cpu, quota: 0.2 }, undefined, undefined, [1, 1]],
    ['a number for both', 3, cpu, undefined, '8', [3, 3]],
    ['OMP_NUM_THREADS without an option', undefined, cpu, undefined, '4', [4, 4]],
    ['its first level', undefined, cpu, undefined, '5,2', [5, 5]],
    ['nothing of a broken one', undefined, cpu, undefined, 'many', [6, 6]],
    ['auto rather than OMP_NUM_THREADS when asked', 'auto' as const, cpu, undefined, '4', [6, 6]],
    ['what a probe has found, for generation', undefined, cpu, 4, undefined, [4, 6]],
    ['separate counts', { generation: 2, prompt: 7 }, cpu, undefined, undefined, [2, 7]],
  ])('%s', (_, option, machine, remembered, environment, [generation, prompt]) => {
    expect(resolveThreads(option, machine, remembered, environment)).toMatchObject({
      generation,
      prompt,
    })
  })

  it.each([
    [0],
    [-1],
    [1.5],
    [1000],
    ['2'],
    [{ generation: 0 }],
    [{ priority: 'max' }],
    [{ poll: 101 }],
    [{ affinity: [-1] }],
  ])('%j is refused', async (option) => {
    await expectCode('ERR_OPTION_INVALID', () => resolveThreads(option as never, cpu, undefined))
  })

  it('probes only what is a guess', () => {
    expect(resolveThreads(undefined, cpu, undefined, undefined).probe).toBe(true)
    expect(resolveThreads(4, cpu, undefined, undefined).probe).toBe(false)
    expect(resolveThreads(undefined, cpu, 4, undefined).probe).toBe(false)
    expect(resolveThreads(undefined, cpu, undefined, '4').probe).toBe(false)
  })
})

describe('the probe', () => {
  const modelOf = (times: Record<number, number>) =>
    ({ measure: async (threads: number) => times[threads] ?? 1 }) as unknown as NativeModel
  const quiet = () => 0
  it('takes the fastest count', async () => {
    expect(await probeThreads(modelOf({ 8: 10, 7: 5, 4: 20 }), 8, quiet)).toBe(7)
  })
  it('keeps more threads unless fewer are clearly faster', async () => {
    expect(await probeThreads(modelOf({ 8: 10, 7: 9.8, 4: 20 }), 8, quiet)).toBe(8)
  })
  it('remembers nothing that it saw beside a busy program', async () => {
    const busy = spawn(process.execPath, ['-e', "console.log('on'); for (;;);"])
    try {
      await once(busy.stdout, 'data')
      const slow = { measure: () => setTimeout(150, 1) } as unknown as NativeModel
      expect(await probeThreads(slow, 8)).toBeUndefined()
      expect(await probeThreads(slow, 8, quiet)).toBe(8)
    } finally {
      busy.kill('SIGKILL')
    }
  })
  it('gives up when the model is busy', async () => {
    expect(await probeThreads(modelOf({ 8: -1 }), 8)).toBeUndefined()
  })
})

describe('its memory', () => {
  let home: string
  const previous = process.env['SOTTO_HOME']
  beforeEach(() => {
    home = mkdtempSync(join(tmpdir(), 'sotto-threads-'))
    process.env['SOTTO_HOME'] = home
  })
  afterEach(() => {
    if (previous === undefined) delete process.env['SOTTO_HOME']
    else process.env['SOTTO_HOME'] = previous
    rmSync(home, { recursive: true })
  })

  it('is remembered, bounded, and survives rubbish', () => {
    for (let i = 0; i < 300; i++) rememberThreads(`key ${i}`, 2)
    expect(recallThreads('key 299')).toBe(2)
    expect(Object.keys(JSON.parse(readFileSync(join(home, 'threads.json'), 'utf8')))).toHaveLength(
      200,
    )
    mkdirSync(home, { recursive: true })
    for (const rubbish of ['', '[]', '{"a": 0}', '{"a": "x"}', 'null']) {
      writeFileSync(join(home, 'threads.json'), rubbish)
      expect(recallThreads('a')).toBeUndefined()
    }
  })
})
