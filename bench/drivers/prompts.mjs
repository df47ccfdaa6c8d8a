// prompts.mjs: the same tokens for every driver. Speed does not depend on which they are, the prefix cache does.

export const promptTokens = (length, seed = 1) =>
  Array.from({ length }, (_, i) => 300 + ((i * 7919 + seed * 104729) % 20000))

/** Sentences as long as a paragraph of a document that somebody searches. */
export const sentences = (count) =>
  Array.from(
    { length: count },
    (_, i) =>
      `Paragraph ${i} tells how the harbour of a small town was built, who paid for the ${i % 7} cranes on its quay, ` +
      `and why the fishing boats still leave at half past ${(i % 9) + 2} in the morning.`,
  )

/** Resident memory of a process in MB, as the kernel counts it. */
export async function memory(pid = 'self') {
  const { readFile } = await import('node:fs/promises')
  const text = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8')
  const of = (name) => Number(new RegExp(`^${name}: +(\\d+)`, 'm').exec(text)[1]) / 1024
  return {
    rssMb: of('Rss'),
    pssMb: of('Pss'),
    privateMb: of('Private_Clean') + of('Private_Dirty'),
  }
}

/** The tasks of a driver whose `steps({ counts, … })` measures steps of each of so many sequences, in one process. */
export const ofSteps = (steps) => ({
  batch: async ({ sequences, ...options }) => (await steps({ ...options, counts: [sequences] }))[0],
  widths: async (options) => {
    const each = await steps(options)
    return Object.fromEntries(options.counts.map((count, i) => [`stepMs${count}`, each[i].stepMs]))
  },
})
