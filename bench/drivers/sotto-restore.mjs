// sotto-restore.mjs: the first token of a conversation's next turn: when its past is in memory, in a file, and nowhere.

import { randomBytes } from 'node:crypto'
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ContextCache, loadModel } from '../../dist/index.js'
import { median } from '../measure.mjs'
import { sentences } from './prompts.mjs'

export async function restore({ model: path, threads, tokens, asks, encrypted }) {
  const folder = mkdtempSync(join(tmpdir(), 'sotto-restore-'))
  const model = await loadModel(path, { threads, contextSize: 2 * tokens })
  try {
    const [sentence] = sentences(1)
    const count = Math.ceil(tokens / (await model.countTokens(sentence)))
    const options = { temperature: 0, maxTokens: 1, speculation: false }
    const system = sentences(count).join(' ')
    const ask = async (chat, more) =>
      (await chat.send('Is there room tonight?', { ...options, ...more }).result).timings
    const computed = await ask(model.chat({ system }), { reusePrefix: false })

    const key = encrypted ? randomBytes(32) : undefined
    let spilled = () => {}
    const onEvent = ({ type, error }) => {
      if (error) throw error
      if (type === 'spilled') spilled()
    }
    const writing = await ContextCache.create(model, { folder, key, maxTokens: 0, onEvent })
    const chat = await writing.open('measured', { system })
    const restored = []
    for (let i = 0; i <= asks; i++) {
      const done = new Promise((resolve) => {
        spilled = resolve
      })
      const timings = await ask(chat)
      if (i > 0) restored.push(timings) // the first one computes
      await done
    }
    const [file] = readdirSync(folder)
    const fileMb = statSync(join(folder, file)).size / 2 ** 20
    await writing.close()

    const keeping = await ContextCache.create(model, { folder, key, maxTokens: 2 * tokens })
    const kept = []
    const again = await keeping.open('measured')
    await ask(again)
    for (let i = 0; i < asks; i++) kept.push(await ask(again))
    await keeping.close()

    const firstToken = (list) => median(list.map(({ firstTokenMs }) => firstTokenMs))
    const least = Math.min(...restored.map(({ tokensReused }) => tokensReused))
    if (least < tokens / 2) throw new Error(`Expected ${tokens} tokens to come back, ${least} did`)
    return {
      tokens: computed.tokensPrompt,
      fileMb,
      computedMs: computed.firstTokenMs,
      restoredMs: firstToken(restored),
      keptMs: firstToken(kept),
      restoreOfComputed: (firstToken(restored) - firstToken(kept)) / computed.firstTokenMs,
    }
  } finally {
    await model.close()
    rmSync(folder, { recursive: true, force: true })
  }
}
