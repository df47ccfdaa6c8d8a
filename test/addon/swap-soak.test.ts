import { spawnSync } from 'node:child_process'
import { expect, it } from 'vitest'

// The soak itself makes a thousand with real sizes (npm run soak:swap); what memory does shows only then.
it('40 swaps under 16 streams lose no answer, and each is what its model says alone', () => {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ['scripts/soak-swap.mjs', '--swaps', '40', '--shape', 'tiny', '--growth', '1000'],
    { encoding: 'utf8' },
  )
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
  expect(stdout).toMatch(/swaps: 40,[\s\S]*lost: 0,\s+corrupt: 0,/)
  expect(Number(/answers: (\d+)/.exec(stdout)![1])).toBeGreaterThan(40)
})
