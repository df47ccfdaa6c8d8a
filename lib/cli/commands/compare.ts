// compare.ts: sotto compare

import { type Comparison, compareModels } from '../../perplexity.js'
import type { ExitCode } from '../exit-code.js'
import { longWork } from '../long-work.js'
import { write, writeJson } from '../output.js'
import { printable } from '../printable.js'
import { readTextFile } from '../text-file.js'
import type { MeasuringFlags } from './perplexity.js'

export async function compare(
  model: string,
  other: string,
  { text, context, chunks, threads, json }: MeasuringFlags & { text: string },
): Promise<ExitCode> {
  return longWork(
    other,
    'interrupted',
    async (signal, bar) =>
      compareModels(model, other, await readTextFile(text, signal), {
        ...{ contextSize: context, chunks, threads, signal },
        onProgress: ({ phase, fraction }) => bar.share(phase, fraction),
      }),
    (found) => (json ? writeJson({ model, other, ...found }) : write(asText(model, other, found))),
  )
}

function asText(model: string, other: string, found: Comparison): string {
  const estimate = (
    { value, error }: { value: number; error: number },
    digits: number,
    scale = 1,
  ) => `${(value * scale).toFixed(digits)} ± ${(error * scale).toFixed(digits)}`
  const { first, second, ratio, divergence, divergence99, divergenceMost, agreement } = found
  const change = { value: ratio.value - 1, error: ratio.error }
  return printable(
    [
      `Perplexity of ${model}: ${estimate(first, 4)}`,
      `Perplexity of ${other}: ${estimate(second, 4)}`,
      `Ratio: ${estimate(ratio, 4)} (${ratio.value >= 1 ? '+' : ''}${estimate(change, 2, 100)} %)`,
      `Kullback-Leibler divergence: ${estimate(divergence, 5)} nats, 99 % below ${divergence99.toFixed(5)}, at most ${divergenceMost.toFixed(5)}`,
      `Same most likely token: ${estimate(agreement, 2, 100)} %`,
      `${found.scored} tokens in ${found.chunks} windows of ${found.contextSize}\n`,
    ].join('\n'),
  )
}
