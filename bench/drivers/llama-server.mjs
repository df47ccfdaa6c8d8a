// llama-server.mjs: upstream's server over HTTP on the loopback interface, started for each measurement.

import { spawn } from 'node:child_process'
import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { upstream } from '../paths.mjs'
import { memory, promptTokens, sentences } from './prompts.mjs'

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address()
  await new Promise((resolve) => server.close(resolve))
  return port
}

async function withServer({ model, threads, args }, action) {
  const port = await freePort()
  const started = performance.now()
  const child = spawn(
    upstream('llama-server'),
    [
      ...['-m', model, '-t', String(threads), '--port', String(port), '--host', '127.0.0.1'],
      ...args,
    ],
    { stdio: 'ignore' },
  )
  const ended = new Promise((resolve) => child.once('exit', resolve))
  try {
    const post = (path, body) =>
      fetch(`http://127.0.0.1:${port}${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      })
    for (;;) {
      const health = await fetch(`http://127.0.0.1:${port}/health`).catch(() => undefined)
      if (health?.ok) break
      if (child.exitCode !== null) throw new Error(`llama-server ended with ${child.exitCode}`)
      await sleep(3)
    }
    return await action({ post, pid: child.pid, started })
  } finally {
    child.kill('SIGKILL')
    await ended
  }
}

const greedy = { temperature: 0, ignore_eos: true, stream: false }

function load({ model, threads, contextSize }) {
  const args = ['-c', String(contextSize), '-np', '1', '--no-warmup']
  return withServer({ model, threads, args }, async ({ post, pid, started }) => {
    const loadMs = performance.now() - started
    await (await post('/completion', { ...greedy, prompt: promptTokens(4), n_predict: 1 })).json()
    const openMs = performance.now() - started
    // It is a process of its own: opening is starting.
    return { openMs, loadMs, processMs: openMs, ...(await memory(pid)) }
  })
}

function streams({ model, threads, streams: count, prompt, generate }) {
  const args = ['-c', String(count * (prompt + generate + 64)), '-np', String(count)]
  return withServer({ model, threads, args }, async ({ post }) => {
    await (
      await post('/completion', { ...greedy, prompt: promptTokens(32, 99), n_predict: 4 })
    ).json()
    const read = async (seed) => {
      const body = {
        ...greedy,
        stream: true,
        prompt: promptTokens(prompt, seed),
        n_predict: generate,
      }
      const decoder = new TextDecoder()
      let text = ''
      for await (const chunk of (await post('/completion', body)).body)
        text += decoder.decode(chunk, { stream: true })
      const last = text
        .trim()
        .split('\n')
        .filter((line) => line.startsWith('data: '))
        .at(-1)
      return JSON.parse(last.slice('data: '.length)).tokens_predicted
    }
    const start = performance.now()
    const counts = await Promise.all(Array.from({ length: count }, (_, i) => read(i + 1)))
    const total = counts.reduce((sum, tokens) => sum + tokens, 0)
    return { tokensPerSecond: (total / (performance.now() - start)) * 1000 }
  })
}

function prefix({ model, threads, shared, own }) {
  const args = ['-c', String(4 * (shared + own)), '-np', '1']
  return withServer({ model, threads, args }, async ({ post }) => {
    const ask = async (seed) => {
      const prompt = [...promptTokens(shared, 2), ...promptTokens(own, seed)]
      const start = performance.now()
      await (
        await post('/completion', { ...greedy, prompt, n_predict: 1, cache_prompt: true })
      ).json()
      return performance.now() - start
    }
    const firstTokenMs = await ask(3)
    return { firstTokenMs, sharedFirstTokenMs: await ask(4) }
  })
}

function embed({ model, threads, texts: count }) {
  const args = ['--embedding', '-c', '4096', '-b', '4096', '-ub', '4096', '-np', '8']
  return withServer({ model, threads, args }, async ({ post }) => {
    const texts = sentences(count)
    const vectors = async (input) => (await (await post('/v1/embeddings', { input })).json()).data
    await vectors(texts.slice(0, 4))
    const start = performance.now()
    const { length } = await vectors(texts)
    return { textsPerSecond: (length / (performance.now() - start)) * 1000 }
  })
}

export const tasks = { load, streams, prefix, embed }
