import { describe, expect, inject, it } from 'vitest'
import { runCli } from './run-cli.js'

const { bert, tiny } = inject('models')

function lengthOf(vector: number[]): number {
  return Math.hypot(...vector)
}

describe('embed', () => {
  it('prints a line of numbers for each text', async () => {
    const { code, stdout, stderr } = await runCli(['embed', tiny, 'one', 'two'])
    expect(code).toBe(0)
    expect(stderr).toBe('')
    const rows = stdout
      .trimEnd()
      .split('\n')
      .map((line) => line.split(' ').map(Number))
    expect(rows.map((row) => row.length)).toEqual([64, 64])
    for (const row of rows) expect(lengthOf(row)).toBeCloseTo(1, 5)
  })

  it('reads texts from stdin, one a line, more than a batch', async () => {
    const lines = Array.from({ length: 150 }, (_, i) => `text ${i}`)
    const { code, stdout } = await runCli(['embed', tiny, '--json'], {
      input: `${lines.join('\r\n')}\n\n`,
    })
    expect(code).toBe(0)
    const rows = JSON.parse(stdout) as number[][]
    expect(rows).toHaveLength(150)
    const { stdout: alone } = await runCli(['embed', tiny, 'text 149', '--json'])
    const [vector] = JSON.parse(alone) as number[][]
    vector!.forEach((value, i) => {
      expect(rows[149]![i]).toBeCloseTo(value, 3)
    })
  })

  it('keeps the length that the model gives with --no-normalize', async () => {
    const { stdout } = await runCli(['embed', bert, 'hello', '--no-normalize', '--json'])
    const [vector] = JSON.parse(stdout) as number[][]
    expect(Math.abs(lengthOf(vector!) - 1)).toBeGreaterThan(0.01)
  })

  it('refuses a text longer than the context, unless it may be cut', async () => {
    const options = ['embed', tiny, '--context', '256', 'x y '.repeat(1000)]
    expect(await runCli(options)).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/\(ERR_PROMPT_TOO_LONG\)\n$/),
    })
    expect((await runCli([...options, '--truncate'])).code).toBe(0)
  })

  it('refuses to embed nothing', async () => {
    const { code, stderr } = await runCli(['embed', tiny])
    expect(code).toBe(1)
    expect(stderr).toMatch(/received none \(ERR_PROMPT_INVALID\)\n$/)
  })
})
