// limits.mjs: what the machine can do at most, measured by probes/limits.cpp in the same run as what is compared with it.

import { join } from 'node:path'
import { here } from './paths.mjs'
import { must } from './prepare.mjs'

/**
 * `{ memory, int8, bf16, f32, … }` in bytes and operations a second, of 1 thread and of as many as are measured. A limit is the most that
 * was ever seen: `known` is what earlier probes of this run said, since somebody else may have had the machine for these seconds.
 */
export function measureLimits(threads, known = {}) {
  const [one, all] = JSON.parse(must(join(here, 'build', 'limits'), [String(threads)]))
  const most = (of, before = {}) =>
    Object.fromEntries(
      Object.entries(of).map(([name, value]) => [name, Math.max(value, before[name] ?? 0)]),
    )
  return { one: most(one, known.one), all: most(all, known.all) }
}

// The unit that computes the products of a weight type at best.
function peak(type, { int8, bf16 = 0, f32 }) {
  if (/^(F16|F32)$/.test(type)) return f32
  return type === 'BF16' ? Math.max(bf16, f32) : int8
}

/** How near to the limit a measured speed is: of memory bandwidth when generating, of the peak of products in a prompt. */
export function ofLimit(row, model, limits, depth = 0) {
  const type = model.name.split(' ')[1] ?? 'Q4_1'
  const share = {}
  if (row.tokensPerSecond)
    share.ofBandwidth =
      (row.tokensPerSecond * (model.tokenBytes + model.cacheBytes * depth)) / limits.all.memory
  if (row.promptPerSecond) {
    const operations = row.promptPerSecond * model.promptOperations
    share.ofPeak = operations / peak(type, limits.all)
    if (limits.all.amxInt8) share.ofAmxPeak = operations / limits.all.amxInt8
  }
  return Object.fromEntries(
    Object.entries(share).map(([name, value]) => [name, Number(value.toFixed(3))]),
  )
}
