import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest'
import { writeLayered } from '../helpers/layered-model.js'
import { runCli, startCli, startOnTerminal } from './run-cli.js'

const { tiny } = inject('models')
let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sotto-cli-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

describe('split and merge', () => {
  it('cut a model, show it whole, answer from its shards, and make one file of them', async () => {
    const out = join(folder, 'shards')
    const split = await runCli(['split', tiny, '--names', 'layer-%02d.bin', '--out', out])
    expect(split.code).toBe(0)
    const paths = ['layer-00.bin', 'layer-01.bin', 'tiny.manifest.json'].map((n) => join(out, n))
    expect(split.stdout).toMatch(/in 2 shards\n$/)
    expect(split.stdout.split('\n').slice(0, 3)).toEqual(paths)
    expect(split.stderr).toMatch(/splitting .* 100% of/)

    const [whole, sharded] = await Promise.all(
      [tiny, paths[2]!].map(async (path) =>
        JSON.parse((await runCli(['inspect', path, '--json'])).stdout),
      ),
    )
    expect(sharded.paths).toEqual(paths.slice(0, 2))
    expect(sharded).toMatchObject({ loads: true, memory: whole.memory })
    expect(sharded.tensors.map((tensor: { name: string }) => tensor.name)).toEqual(
      whole.tensors.map((tensor: { name: string }) => tensor.name),
    )
    expect((await runCli(['inspect', paths[2]!])).stdout).toMatch(/ in 2 shards\n/)

    const run = (model: string) =>
      runCli(['run', model, '--raw', '--temperature', '0', '--max-tokens', '8', 'Once'])
    expect((await run(paths[2]!)).stdout).toBe((await run(tiny)).stdout)

    const merged = join(folder, 'merged.gguf')
    const { code, stdout } = await runCli(['merge', paths[2]!, merged])
    expect({ code, stdout }).toMatchObject({ code: 0, stdout: expect.stringContaining(merged) })
    expect(readFileSync(merged).equals(readFileSync(tiny))).toBe(true)
    const listed = join(folder, 'listed.gguf')
    expect((await runCli(['merge', paths[0]!, paths[1]!, listed])).code).toBe(0)
    expect(readFileSync(listed).equals(readFileSync(tiny))).toBe(true)
  })

  it('--shards and --max-size, and the result as JSON', async () => {
    const one = await runCli(['split', tiny, '--shards', '1', '--out', folder, '--json'])
    expect(JSON.parse(one.stdout)).toMatchObject({
      paths: [join(folder, 'tiny-00001-of-00001.gguf')],
    })
    const two = await runCli(['split', tiny, '--max-size', '0.25MB', '--out', folder, '--json'])
    expect(JSON.parse(two.stdout).paths.length).toBeGreaterThan(1)
  })

  it('inspect shows a shard alone, and why it does not load', async () => {
    await runCli(['split', tiny, '--out', folder])
    const [first, second] = [1, 2].map((i) => join(folder, `tiny-0000${i}-of-00002.gguf`))
    const inspect = async (path: string) =>
      JSON.parse((await runCli(['inspect', path, '--json'])).stdout)
    expect(await inspect(second!)).toMatchObject({ loads: false, code: 'ERR_MODEL_FORMAT' })
    expect((await runCli(['inspect', second!])).stdout).toMatch(/Does not load: .*name the first/)
    rmSync(second!)
    const { loads, code, paths } = await inspect(first!)
    expect({ loads, code, paths }).toEqual({
      ...{ loads: false, code: 'ERR_MODEL_NOT_FOUND' },
      paths: [first],
    })
  })

  it('pull takes no single shard into the store', async () => {
    await runCli(['split', tiny, '--out', folder])
    const { code, stderr } = await runCli(['pull', join(folder, 'tiny-00001-of-00002.gguf')], {
      env: { SOTTO_HOME: join(folder, 'home') },
    })
    expect(code).toBe(2)
    expect(stderr).toMatch(/sotto merge/)
  })

  it.each([
    [['split', tiny, '--shards', '3'], /--shards of at most 2.* \(ERR_OPTION_INVALID\)/],
    [['split', tiny, '--shards', '2', '--max-size', '1GB'], /cannot be used/],
    [['split', tiny, '--max-size', 'much'], /Expected a size such as 2GB/],
    [['split', tiny, '--max-size', '1kB'], /--max-size of at least/],
    [['split', tiny, '--names', '../%d'], /--names to be a file name/],
    [['merge', tiny], /Expected a first shard/],
    [['merge', tiny, tiny], /Expected no file/],
  ])('%j is a usage error', async (args, line) => {
    const { code, stderr } = await runCli(args)
    expect(code).toBe(2)
    expect(stderr).toMatch(line)
  })

  it('Ctrl-C leaves nothing, and says so', async () => {
    const model = writeLayered(join(folder, 'large.gguf'), { columns: 3_000_000 })
    const out = join(folder, 'out')
    const running = startCli(['split', model, '--names', '%d', '--out', out])
    running.process.stderr.once('data', () => running.process.kill('SIGINT'))
    const { code, stderr } = await running.ended
    expect(code).toBe(130)
    expect(stderr).toMatch(/interrupted; nothing was kept\n$/)
    expect(readdirSync(out)).toEqual([])
  })

  it('a terminal sees a bar', async () => {
    const { stdout, code } = await startOnTerminal(['split', tiny, '--out', folder]).ended
    expect(code).toBe(0)
    expect(stdout).toMatch(/splitting .*% of/)
  })
})
