// table.mjs: writes the README's tables of figures, between their markers: of speed from bench/results/quick/*.csv, of what it is like to
// have the engine in one's program from bench/results/*.csv. A figure that was not measured is a dash: nothing is typed in by hand.

import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { root } from './paths.mjs'
import { read } from './results.mjs'

/** The cell of the one row of a trial that has these values. */
function figure(trial, where, column, quick = true) {
  const matches = (row) => Object.entries(where).every(([name, value]) => row[name] === value)
  return read(trial, quick).rows.find(matches)?.[column]
}

const shown = (value, format) => (value === undefined ? '–' : format(value))
const rate = (value) => shown(value, (v) => Number(v.toPrecision(3)).toLocaleString('en'))
const times = (value) => shown(value, (v) => `${v.toFixed(2)} ×`)
const percent = (value) => shown(value, (v) => `${(v * 100).toFixed(0)} %`)
const ms = (value) => shown(value, (v) => `${v.toFixed(0)} ms`)
const line = (cells) => `| ${cells.join(' | ')} |`
const table = (head, rows) =>
  [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')

/** Model → driver and peer, and what each is to reach: prompt and generation. */
const goals = [
  ['oneb Q4_0', '', 2.3, 1.6],
  ['oneb Q4_K_M', '', 3, 1.6],
  ['oneb Q8_0', '', 3.5, 1.7],
  ['oneb F16', '', 1.5, 1.2],
  ['oneb BF16', '', 1.2, 1.2],
  ['smol Q4_0', '', 2, 2],
  ['oneb Q4_K_M', ', AVX2', 1.3, 1.1],
]

function speeds() {
  const rows = goals.map(([model, isa, promptGoal, generationGoal]) => {
    const of = (driver, column) => figure('speed', { model, driver: `${driver}${isa}` }, column)
    const group = (metric, goal) => [
      rate(of('llama-bench', metric)),
      rate(of('sotto', metric)),
      `**${times(of('sotto', `${metric}OfPeer`))}**`,
      `${goal} ×`,
    ]
    return [
      `${model}${isa}`,
      ...group('promptPerSecond', promptGoal),
      ...group('tokensPerSecond', generationGoal),
    ]
  })
  const columns = ['llama-bench', 'sotto', 'ratio', 'goal']
  return table(
    [
      'tokens a second',
      ...columns.map((c) => `prompt: ${c}`),
      ...columns.map((c) => `generation: ${c}`),
    ],
    rows,
  )
}

function others() {
  const oneb = (trial, driver, column, where = {}) =>
    figure(trial, { model: 'oneb Q4_0', driver, ...where }, column)
  const beside = (company) => ({ beside: company })
  const cached = (driver, column) =>
    figure('cache', { driver, cacheType: 'q8_0', depth: 4096 }, column)
  const spoken = (kind, column) => figure('speculation', { kind }, column)
  const kept = (driver, company) => percent(oneb('contention', driver, 'ofQuiet', beside(company)))
  const warm = { state: 'warm' }
  const first = { state: 'first' }
  return table(
    ['', 'sotto', 'peer', 'goal'],
    [
      [
        'generation, oneb Q4_0, of measured memory bandwidth',
        percent(oneb('speed', 'sotto', 'ofBandwidth')),
        percent(oneb('speed', 'llama-bench', 'ofBandwidth')),
        '80 %',
      ],
      [
        'prompt, oneb Q4_K_M, of the vector int8 peak',
        percent(figure('speed', { model: 'oneb Q4_K_M', driver: 'sotto' }, 'ofPeak')),
        percent(figure('speed', { model: 'oneb Q4_K_M', driver: 'llama-bench' }, 'ofPeak')),
        '50 %',
      ],
      [
        'a step of 8 sequences against a step of 1, oneb Q4_0',
        times(oneb('batch', 'sotto', 'ofOne', { sequences: 8 })),
        times(oneb('batch', 'llama-batched-bench', 'ofOne', { sequences: 8 })),
        'at most 1.5 ×',
      ],
      [
        '8 streams, tokens/s in all, against llama-server, oneb Q4_0',
        `${rate(oneb('streams', 'sotto', 'tokensPerSecond'))}: **${times(oneb('streams', 'sotto', 'tokensPerSecondOfPeer'))}**`,
        rate(oneb('streams', 'llama-server', 'tokensPerSecond')),
        '3 ×',
      ],
      [
        'warm load to the first token, oneb Q4_0; peer: node-llama-cpp',
        ms(oneb('load', 'sotto', 'openMs', warm)),
        ms(oneb('load', 'node-llama-cpp', 'openMs', warm)),
        'under 150 ms',
      ],
      [
        'resident memory without KV, of the file; peer: node-llama-cpp',
        percent(oneb('load', 'sotto', 'residentOfFile', warm)),
        percent(oneb('load', 'node-llama-cpp', 'residentOfFile', warm)),
        'at most 110 %',
      ],
      [
        'first load, packing included; peer: llama-server, both as processes',
        ms(oneb('load', 'sotto', 'processMs', first)),
        ms(oneb('load', 'llama-server', 'processMs', first)),
        'no slower',
      ],
      [
        'generation beside a busy program, of quiet speed, oneb Q4_0',
        kept('sotto', 'one busy program'),
        kept('llama-bench', 'one busy program'),
        '65 %',
      ],
      [
        'the same beside a two-thread llama-bench',
        kept('sotto', 'llama-bench, two threads'),
        kept('llama-bench', 'llama-bench, two threads'),
        '35 %',
      ],
      [
        'prompt at depth 4,096 with Q8_0 KV, tokens/s, smol Q4_0',
        `${rate(cached('sotto', 'promptPerSecond'))}: **${times(cached('sotto', 'promptPerSecondOfPeer'))}**`,
        rate(cached('llama-bench', 'promptPerSecond')),
        '2 ×',
      ],
      [
        'generation at depth 4,096 with Q8_0 KV, tokens/s, smol Q4_0',
        `${rate(cached('sotto', 'tokensPerSecond'))}: **${times(cached('sotto', 'tokensPerSecondOfPeer'))}**`,
        rate(cached('llama-bench', 'tokensPerSecond')),
        '2 ×',
      ],
      [
        'speculation on prompts that are copied from, SmolLM2, of none',
        times(spoken('copy', 'gain')),
        '–',
        '1.8 ×',
      ],
      [
        'speculation on chat, the worst prompt',
        times(spoken('chat', 'leastGain')),
        '–',
        'never under 0.98 ×',
      ],
    ],
  )
}

const insideTrials = [
  ...['undisturbed', 'latency', 'prefix', 'pinned', 'restore', 'embed', 'start', 'integrity'],
]

function inside() {
  const whole = (trial, where, column) => figure(trial, where, column, false)
  const shapes = (cell) => ['smol', 'oneb'].map((shape) => `${cell(`${shape} Q4_0`)} ${shape}`)
  const kept = (condition) =>
    shapes((model) => percent(whole('undisturbed', { model, condition }, 'tokensPerSecondOfPeer')))
  const again = (driver) =>
    shapes((model) => {
      const of = (column) => whole('prefix', { model, driver }, column)
      const share = of('sharedFirstTokenMs') / of('firstTokenMs')
      return percent(Number.isNaN(share) ? undefined : share)
    })
  const restored = (file, column, format) =>
    shapes((model) => shown(whole('restore', { model, file }, column), format))
  const latency = (column) => shown(whole('latency', {}, column), (v) => `${v.toFixed(1)} ms`)
  const half = (column) =>
    shown(whole('undisturbed', { condition: '4,000 tokens' }, column), (v) => `${v.toFixed(0)} µs`)
  const texts = (driver) => rate(whole('embed', { driver }, 'textsPerSecond'))
  const rows = [
    [
      'generation while the JS thread waits 50 ms of every 100 in a synchronous call, of itself undisturbed',
      kept('JS waiting'),
    ],
    [
      'the same while the JS thread computes, with a thread left for it (one less than there are cores)',
      kept('one thread less, JS computing'),
    ],
    [
      'the same while the JS thread computes, every core in use by the engine: a thread more than cores',
      kept('JS computing'),
    ],
    ['event-loop delay p99 while generating, above idle', [latency('delayAboveIdleMs')]],
    ['abort during a prefill of 4,000 tokens, p99', [latency('abortP99Ms')]],
    [
      'an answer of 4,000 tokens: JS thread a token, first and second half',
      [half('firstHalfUs'), half('secondHalfUs')],
    ],
    ["first token of a prompt that shares 1,000 of 1,020 tokens, of the first's", again('sotto')],
    ['the same of llama-server', again('llama-server')],
    ...[250, 1000].map((prefix) => [
      `first token of a chat with a pinned system prompt of ${prefix} tokens, of one without a system prompt`,
      shapes((model) => percent(whole('pinned', { model, prefix }, 'pinnedOfNone'))),
    ]),
    [
      'SHA-256 of a model file in the page cache, one core: `digestFile`; `sha256sum`',
      ['sotto', 'sha256sum'].map((driver) =>
        shown(
          whole('integrity', { driver }, 'bytesPerSecond'),
          (v) => `${(v / 1e9).toFixed(2)} GB/s`,
        ),
      ),
    ],
    [
      'load with `verify: true`, the digest being remembered, of a load without',
      [times(whole('integrity', { driver: 'remembered' }, 'loadMsOfPeer'))],
    ],
    [
      'the next turn of a conversation of 2,000 tokens: reading it from an encrypted file, of computing it',
      restored('encrypted', 'restoreOfComputed', (v) => `${(v * 100).toFixed(1)} %`),
    ],
    [
      'the same of a plain file',
      restored('plain', 'restoreOfComputed', (v) => `${(v * 100).toFixed(1)} %`),
    ],
    [
      'its first token: in memory, out of an encrypted file, computed',
      ['keptMs', 'restoredMs', 'computedMs'].flatMap((column) =>
        restored('encrypted', column, (v) => `${v.toFixed(0)} ms`),
      ),
    ],
    [
      'all-MiniLM-L6-v2, texts a second: sotto; llama-server, node-llama-cpp, transformers.js (int8 ONNX)',
      [
        `**${texts('sotto')}**`,
        ...['llama-server', 'node-llama-cpp', 'transformers'].map((driver) => texts(driver)),
      ],
    ],
    [
      '`npm start`, everything being set up, to the first character',
      [ms(whole('start', {}, 'firstTokenMs'))],
    ],
  ]
  return table(
    ['what', 'measured'],
    rows.map(([what, figures]) => [what, figures.join(', ')]),
  )
}

function quality() {
  const ratio = (value, error) => shown(value, (v) => `${v.toFixed(3)} ± ${error.toFixed(3)}`)
  const rows = read('quality', false).rows.map((row) => [
    row.type,
    `${row.fileMb.toFixed(0)} MB`,
    ratio(row.ratio, row.ratioError),
    ratio(row.weighedRatio, row.weighedRatioError),
    shown(row.divergence, (v) => v.toFixed(4)),
    shown(row.weighedDivergence, (v) => v.toFixed(4)),
    shown(row.agreement, (v) => `${(v * 100).toFixed(1)} %`),
    rate(row.promptPerSecond),
    rate(row.tokensPerSecond),
  ])
  return table(
    [
      'type',
      'size',
      'perplexity, of F16',
      'with `--imatrix`',
      'divergence, nats',
      'with `--imatrix`',
      'same most likely token',
      'prompt, tokens a second',
      'generation',
    ],
    rows,
  )
}

function swaps() {
  const rows = ['smol Q4_0', 'tiny F32'].map((model) => {
    const of = (column) => figure('swap', { model }, column, false)
    const each = (columns, format) => columns.map((column) => shown(of(column), format)).join('; ')
    return [
      model,
      each(['swaps', 'answers'], (v) => v.toLocaleString('en')),
      each(['lost', 'corrupt'], String),
      each(
        ['longestWaitQuietMs', 'longestWaitMs', 'longestWarmingMs'],
        (v) => `${v.toFixed(0)} ms`,
      ),
      each(['growthKbASwap'], (v) => `${v.toFixed(1)} kB`),
    ]
  })
  const measured = read('memory', false).rows
  const estimates = [...new Set(measured.map(({ model }) => model))].map((model) => {
    const its = measured.filter((row) => row.model === model)
    const shares = its.map(({ estimatedOfUsed }) => estimatedOfUsed)
    return [
      model,
      its.map(({ usedMb }) => `${usedMb.toFixed(0)} MB`).join(', '),
      `${percent(Math.min(...shares))} … ${percent(Math.max(...shares))}`,
    ]
  })
  return [
    table(
      [
        'under 16 streams',
        'swaps; answers',
        'lost; wrong',
        'longest wait of a stream without swaps; with them; of these the first token of the new model',
        'growth a swap',
      ],
      rows,
    ),
    table(
      [
        'memory',
        'resident, with several contexts, steps and types of the cache',
        'estimated, of that',
      ],
      estimates.length > 0 ? estimates : [['–', '–', '–']],
    ),
  ].join('\n\n')
}

function plots() {
  const titles = {
    prompt: 'Prompts of 512 tokens',
    generation: 'Generation',
    depth: 'Generation behind a context',
    batch: 'A step of several sequences',
    contention: 'Beside other programs',
  }
  return Object.entries(titles)
    .filter(([name]) => existsSync(join(root, 'bench', 'results', `${name}.svg`)))
    .map(([name, title]) => `![${title}](bench/results/${name}.svg)`)
    .join('\n')
}

/** The readme with `text` between the markers of a table. */
function filled(readme, name, text) {
  const [begin, end] = [`<!-- ${name} -->`, `<!-- /${name} -->`]
  const [from, to] = [readme.indexOf(begin), readme.indexOf(end)]
  if (from < 0 || to < from) throw new Error(`Expected ${begin} and ${end} in README.md`)
  return `${readme.slice(0, from + begin.length)}\n${text}\n${readme.slice(to)}`
}

export function writeTables() {
  const path = join(root, 'README.md')
  const about = (trials, quick) =>
    [...new Set(trials.map((trial) => read(trial, quick).machine).filter(Boolean))].map(
      (machine) => `\`${machine}\``,
    )
  let readme = readFileSync(path, 'utf8')
  const [machine] = about(['speed'], true)
  if (machine) readme = filled(readme, 'bench', [machine, speeds(), others(), plots()].join('\n\n'))
  const machines = about(insideTrials, false)
  if (machines.length > 0)
    readme = filled(readme, 'bench inside', [machines.join('\\\n'), inside()].join('\n\n'))
  const qualityMachine = about(['quality'], false)
  if (qualityMachine.length > 0)
    readme = filled(readme, 'bench quality', [qualityMachine.join(), quality()].join('\n\n'))
  readme = filled(
    readme,
    'bench swap',
    [about(['swap', 'memory'], false).join('\\\n'), swaps()].join('\n\n').trimStart(),
  )
  writeFileSync(path, readme)
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) writeTables()
