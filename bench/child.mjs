// child.mjs <driver> <task> <options as JSON>: one measurement in a process of its own. Prints its outcome as one line of JSON.

const [driver, task, options] = process.argv.slice(2)
const { tasks } = await import(`./drivers/${driver}.mjs`)
const outcome = await tasks[task](JSON.parse(options))
// Engines leave threads behind that would keep the process: what was measured ends here.
process.stdout.write(`${JSON.stringify(outcome)}\n`, () => process.exit(0))
