// load.ts: from a name or a path to a Model: find the file, look at it with memory-safe eyes, check that it fits, load it.

import { readFileSync } from 'node:fs'
import { freemem, totalmem } from 'node:os'
import { onAbort, throwIfAborted } from './abort.js'
import { nativeSpeculation, type Speculation, speculationRule } from './completion.js'
import { received, SottoError } from './errors.js'
import { estimateMemory, type MemoryEstimate } from './gguf/estimate.js'
import { checkModelFile } from './gguf/gate.js'
import { checkModelFiles, type ModelFiles } from './gguf/shards.js'
import { type SigningKey, signingKeyRule } from './gguf/signature.js'
import { checkPaths, Model } from './model.js'
import { filesOf, rememberOrigin } from './model-origin.js'
import { type PackedPlace, packedPlace } from './models/packed-cache.js'
import { resolveModel } from './models/store.js'
import { fromNative, type NativeModelOptions, native } from './native.js'
import {
  abortSignal,
  anyOf,
  callback,
  checkOptions,
  flag,
  integer,
  listOf,
  type OptionRules,
  object,
  oneOf,
  text,
} from './options.js'
import { RequestRouter } from './request-router.js'
import {
  probeThreads,
  recallThreads,
  rememberThreads,
  resolveThreads,
  type Threads,
  threadKey,
} from './threads.js'
import { HeldFiles, type PinnedFile, verifyBeforeLoad } from './verify.js'

const cacheTypes = ['f16', 'f32', 'bf16', 'q8_0', 'q4_0', 'q4_1', 'iq4_nl', 'q5_0', 'q5_1'] as const
export type CacheType = (typeof cacheTypes)[number]

export interface LoadOptions {
  /** Stops the load; it rejects with `ERR_ABORTED`. */
  signal?: AbortSignal
  /** Called now and then with 0 … 1, of what is done first where something is verified, and then of the load. */
  onProgress?: (progress: { fraction: number; phase: 'verifying' | 'loading' }) => void
  /**
   * Compare the SHA-256 of every file with what a manifest or the store says (`true`) or with a digest (of several files, one each, in order)
   * before native code opens any, and make sure that they are still the same files when they are loaded. What is remembered of unchanged
   * files counts. `true` and `publicKey` are about `draft` too, nothing is about `adapters`. Default false.
   */
  verify?: boolean | { sha256: string | string[] }
  /** The model's manifest must be signed by the owner of this Ed25519 key, as PEM or a KeyObject; its files are then verified. */
  publicKey?: SigningKey
  /** Tokens of KV cache, shared by all answers of the model. Default: the smaller of the training context and 4096. */
  contextSize?: number
  /** Most tokens computed in one step, 1 … 8192. Default 512. */
  batchSize?: number
  /** Most answers written at once, 1 … 200; more wait. Default 8. */
  maxSequences?: number
  /** Most requests that may wait, 1 … 10^6. Default 1024. Errors: `ERR_QUEUE_FULL`. */
  queueLimit?: number
  /** Layers to compute on a GPU, where a backend exists; −1: all. Default −1. */
  gpuLayers?: number
  /** Names of `systemInfo().devices` to use. Default: all. */
  devices?: string[]
  /** Map the file instead of reading it. Default true. */
  mmap?: boolean
  /** Keep the weights from being swapped out. Default false. */
  mlock?: boolean
  /**
   * Bring the weights that computing reads into memory before the load resolves: `true` all of them, `false` none, so that only what is used becomes
   * resident; `'auto'`: packed weights, beside the rest of the load. Of mapped files, on Linux. Default `'auto'`.
   */
  prefetch?: 'auto' | boolean
  /** Read the file past the system's cache, which keeps what other programs have there; it is not mapped then. Default false. */
  directRead?: boolean
  /** Look at every weight for NaN and infinity while loading. Default false. */
  checkTensors?: boolean
  /** `'upstream'`: compute with ggml's own CPU kernels instead of ours. See `model.info.kernels`. Default `'auto'`. */
  kernels?: 'auto' | 'upstream'
  /**
   * Keep weights, in the order that our CPU kernels read them in, in a file that later loads map and other processes share (`sotto cache`).
   * Where that cannot be, they stay in memory and `model.info.kernels.problem` says why. Default true.
   */
  packedCache?: boolean
  /** LoRA adapters, applied on top of each other. */
  adapters?: { path: string; scale?: number }[]
  /** How many threads compute. Default `'auto'`: performance cores within the cgroup's quota, improved by a short probe. */
  threads?: Threads
  /** Type of the KV cache. Default `f16`. Quantised ones need flash attention. */
  cacheType?: CacheType | { k?: CacheType; v?: CacheType }
  /** Default `'auto'`. */
  flashAttention?: 'auto' | boolean
  /** Keep the KV cache on the GPU beside the layers. Default true. */
  offloadKv?: boolean
  /** Remember prompts and answers, so that what begins alike is not processed twice. Default true. */
  prefixCache?: boolean
  /** Of answers that do not say; see {@link Speculation}. Default `'auto'`. */
  speculation?: Speculation
  /**
   * A small model of the same family, by name or path, that proposes tokens for this one to verify: at most `maxTokens` in a
   * step, 1 … 15, default 15. Its vocabulary must be the model's. Errors: `ERR_DRAFT_INVALID`.
   */
  draft?: string | { path: string; maxTokens?: number }
  /** How token vectors become one vector of a text. Default `'auto'`: the model's own, or mean. */
  pooling?: 'auto' | 'none' | 'mean' | 'cls' | 'last' | 'rank'
}

const loadRules: OptionRules<LoadOptions> = {
  signal: abortSignal(),
  onProgress: callback(),
  verify: anyOf<boolean | { sha256: string | string[] }>(
    flag(),
    object<{ sha256: string | string[] }>('an object { sha256 }'),
  ),
  publicKey: signingKeyRule,
  contextSize: integer(1, 2 ** 26),
  batchSize: integer(1, 8192),
  maxSequences: integer(1, 200),
  queueLimit: integer(1, 1e6),
  gpuLayers: integer(-1, 1e5),
  devices: listOf(text()),
  mmap: flag(),
  mlock: flag(),
  prefetch: oneOf<'auto' | boolean>('auto', true, false),
  directRead: flag(),
  checkTensors: flag(),
  kernels: oneOf('auto', 'upstream'),
  packedCache: flag(),
  adapters: {
    expected: 'an array of { path, scale? }',
    accepts: (value): value is { path: string; scale?: number }[] =>
      Array.isArray(value) &&
      value.every(
        (a) =>
          typeof a === 'object' &&
          a !== null &&
          typeof a.path === 'string' &&
          (a.scale === undefined || Number.isFinite(a.scale)),
      ),
  },
  threads: {
    expected: "'auto', a count or an object",
    accepts: (_value): _value is Threads => true,
  }, // threads.ts says more
  cacheType: anyOf<CacheType | { k?: CacheType; v?: CacheType }>(
    oneOf(...cacheTypes),
    object('an object { k, v } of such types'),
  ),
  flashAttention: oneOf<'auto' | boolean>('auto', true, false),
  offloadKv: flag(),
  prefixCache: flag(),
  speculation: speculationRule,
  draft: anyOf<string | { path: string; maxTokens?: number }>(
    text(),
    object<{ path: string; maxTokens?: number }>('an object { path, maxTokens? }'),
  ),
  pooling: oneOf('auto', 'none', 'mean', 'cls', 'last', 'rank'),
}

const cachedSequences = 24
const mostDrafted = 15 // kMostDrafted in native/engine/speculation.h

/**
 * Loads a model by name (see `sotto list` and the catalogue), by the path of its file, its first shard (`…-00001-of-00005.gguf`) or its
 * manifest, or by the paths of all its shards, in order.
 *
 * Every file passes a memory-safe reader before native code opens any, and memory is estimated before it is taken.
 *
 * Errors: `ERR_MODEL_NOT_FOUND`, `ERR_OFFLINE`, `ERR_MODEL_UNREADABLE`, `ERR_MODEL_FORMAT`, `ERR_MODEL_LEGACY`,
 * `ERR_MODEL_VERSION`, `ERR_MANIFEST_INVALID`, `ERR_SIGNATURE_INVALID`, `ERR_DIGEST_MISMATCH`, `ERR_MODEL_LIMIT`, `ERR_MODEL_UNSUPPORTED`, `ERR_MODEL_MEMORY`, `ERR_MODEL_LOAD`,
 * `ERR_ADAPTER_INVALID`, `ERR_DRAFT_INVALID`, `ERR_ABORTED`, `ERR_OPTION_INVALID`, `ERR_OPTION_UNKNOWN`, `ERR_NATIVE_MISSING`.
 *
 * @example
 * ```ts
 * import { loadModel } from 'sotto'
 * await using model = await loadModel('smollm2-135m-instruct', { onProgress: ({ fraction }) => console.error(fraction) })
 * console.log(model.info.description)
 * ```
 */
export async function loadModel(
  nameOrPath: string | string[],
  given?: LoadOptions,
): Promise<Model> {
  const options = checkOptions<LoadOptions>('options', given, loadRules)
  const mapped = readMapped(options)
  throwIfAborted(options.signal, 'Loading')
  const named = checkPaths(nameOrPath)
  const source = typeof named === 'string' ? await resolveModel(named) : named
  const pinned = await pin(source, options)
  const files = await checkModelFiles(source)
  for (const adapter of options.adapters ?? [])
    await checkModelFile(adapter.path, { adapter: true })
  const cacheType = readCacheType(options.cacheType)
  const draft = readDraft(options.draft)
  const draftSource = draft && (await resolveModel(draft.path))
  // A digest is the model's.
  const pinnedDraft =
    draftSource && typeof options.verify !== 'object' ? await pin(draftSource, options) : undefined
  const draftFiles = draftSource ? await checkModelFiles(draftSource) : undefined
  checkMemory(memoryOf([files, draftFiles], options), options)
  throwIfAborted(options.signal, 'Loading')

  const { cpu } = native().systemInfo()
  const firstGuess = resolveThreads(options.threads, cpu, undefined)
  const packed = await packedFor(files, pinned, options)
  const nativeOptions: NativeModelOptions = {
    paths: [],
    gpuLayers: options.gpuLayers ?? -1,
    devices: options.devices ?? [],
    mmap: mapped,
    mlock: options.mlock ?? false,
    directRead: options.directRead ?? false,
    prefetch:
      options.prefetch === undefined || options.prefetch === 'auto' ? -1 : Number(options.prefetch),
    checkTensors: options.checkTensors ?? false,
    upstreamKernels: options.kernels === 'upstream',
    packedPath: packed.path,
    adapters: (options.adapters ?? []).map(({ path, scale = 1 }) => ({ path, scale })),
    contextSize: options.contextSize ?? 0,
    batchSize: options.batchSize ?? 512,
    sequences: options.maxSequences ?? 8,
    cachedSequences: options.prefixCache === false ? 1 : cachedSequences,
    queueLimit: options.queueLimit ?? 1024,
    cacheTypeK: cacheType.k,
    cacheTypeV: cacheType.v,
    flashAttention:
      options.flashAttention === undefined || options.flashAttention === 'auto'
        ? -1
        : Number(options.flashAttention),
    offloadKv: options.offloadKv ?? true,
    prefixCache: options.prefixCache ?? true,
    pooling: options.pooling ?? 'auto',
    speculation: nativeSpeculation(options.speculation ?? 'auto'),
    draftPaths: [],
    draftPackedPath: (await packedFor(draftFiles, pinnedDraft, options)).path,
    draftTokens: draft?.maxTokens ?? mostDrafted,
    threads: firstGuess,
  }

  const origin = {
    files: filesOf(files.paths, nativeOptions.adapters),
    cacheType,
    prefixCache: nativeOptions.prefixCache,
  }
  const router = new RequestRouter()
  const abort = new (native().AbortFlag)()
  const letGoOfSignal = onAbort(options.signal, () => abort.abort())
  const { onProgress } = options
  // Native code must never see an exception: what onProgress throws ends the load, and the load rejects with it.
  let thrown: { error: unknown } | undefined
  const report = (fraction: number) => {
    if (thrown) return
    try {
      onProgress?.({ fraction, phase: 'loading' })
    } catch (error) {
      thrown = { error }
      abort.abort()
    }
  }
  const held: HeldFiles[] = []
  const hold = (verified: PinnedFile[] | undefined, paths: string[]): string[] => {
    if (!verified) return paths
    const files = new HeldFiles(verified, paths)
    held.push(files)
    return files.paths
  }
  try {
    nativeOptions.paths = hold(pinned, files.paths)
    nativeOptions.draftPaths = hold(pinnedDraft, draftFiles?.paths ?? [])
    const loaded = await native().Model.load(
      nativeOptions,
      router.onEvents,
      onProgress && report,
      abort,
    )
    try {
      for (const verified of held) verified.check()
    } catch (error) {
      await loaded.close()
      throw error
    }
    const info = loaded.info()
    if (info.kernels.weights === 'memory') info.kernels.problem ||= packed.problem
    const key = threadKey(cpu, info)
    const threads = resolveThreads(options.threads, cpu, recallThreads(key))
    if (threads.generation !== firstGuess.generation) loaded.setThreads(threads)
    const inUse = { generation: threads.generation, prompt: threads.prompt }
    if (threads.probe && info.contextSize > 0) {
      // Native code holds the router for as long as the model lives: the router must not hold the model.
      const held = new WeakRef(loaded)
      const improve = async () => {
        const model = held.deref()
        if (!model) return
        const best = await probeThreads(model, threads.generation)
        if (best === undefined) return
        rememberThreads(key, best)
        if (best === threads.generation) return
        model.setThreads({ ...threads, generation: best })
        inUse.generation = best
      }
      // When the first answer has ended: a probe must not stand before the first token.
      router.onIdle = () => {
        router.onIdle = undefined
        // It fails when the model is closed meanwhile, and then the guess was good enough.
        setTimeout(() => void improve().catch(() => {}), 200).unref()
      }
    }
    rememberOrigin(loaded, origin)
    return new Model(loaded, router, { ...info, path: files.paths[0]!, threads: inUse })
  } catch (error) {
    throw thrown ? thrown.error : fromNative(error)
  } finally {
    letGoOfSignal()
    for (const files of held) files[Symbol.dispose]()
  }
}

/**
 * How much memory `loadModel` would take with these options, in bytes, from the metadata of the model (and of `draft`) alone.
 *
 * Errors: those of `loadModel` that a file's head can cause; never `ERR_MODEL_MEMORY`.
 *
 * @example
 * ```ts
 * import { estimateModel } from 'sotto'
 * const { weights, kv, compute, total } = await estimateModel('smollm2-135m-instruct', { contextSize: 8192, cacheType: 'q8_0' })
 * console.log({ weights, kv, compute, total })
 * ```
 */
export async function estimateModel(
  nameOrPath: string | string[],
  given?: LoadOptions,
): Promise<MemoryEstimate> {
  const options = checkOptions<LoadOptions>('options', given, loadRules)
  const named = checkPaths(nameOrPath)
  const draft = readDraft(options.draft)
  const files = [typeof named === 'string' ? await resolveModel(named) : named]
  if (draft) files.push(await resolveModel(draft.path))
  return memoryOf(await Promise.all(files.map((file) => checkModelFiles(file))), options)
}

function memoryOf(
  models: (ModelFiles | undefined)[],
  {
    contextSize,
    batchSize,
    maxSequences,
    prefixCache,
    cacheType,
    flashAttention,
  }: Partial<LoadOptions>,
): MemoryEstimate {
  const sum: MemoryEstimate = { weights: 0, kv: 0, compute: 0, total: 0 }
  for (const model of models) {
    if (!model) continue
    const its = estimateMemory(model.whole, {
      ...{ contextSize, batchSize, flashAttention: flashAttention !== false },
      sequences: (maxSequences ?? 8) + (prefixCache === false ? 1 : cachedSequences),
      ...readCacheType(cacheType),
    })
    for (const part of ['weights', 'kv', 'compute', 'total'] as const) sum[part] += its[part]
  }
  return sum
}

/** The files of a model as they were verified, where that is asked for. */
function pin(
  source: string | string[],
  { verify, publicKey, signal, onProgress }: Partial<LoadOptions>,
): Promise<PinnedFile[] | undefined> {
  return verifyBeforeLoad(source, {
    ...{ verify, publicKey, signal },
    onProgress:
      onProgress &&
      (({ bytes, totalBytes }) =>
        onProgress({ fraction: totalBytes ? bytes / totalBytes : 1, phase: 'verifying' })),
  })
}

async function packedFor(
  model: ModelFiles | undefined,
  pinned: PinnedFile[] | undefined,
  options: Partial<LoadOptions>,
): Promise<PackedPlace> {
  if (
    !model ||
    options.packedCache === false ||
    options.mmap === false ||
    options.kernels === 'upstream'
  )
    return { path: '', problem: '' }
  return packedPlace(
    model.paths,
    model.files,
    pinned?.map(({ sha256 }) => sha256),
  )
}

function readMapped({ mmap, directRead, mlock, prefetch }: Partial<LoadOptions>): boolean {
  const mapped = mmap ?? !directRead
  const wrong =
    (mapped && directRead && 'mmap') ||
    (directRead && mlock && 'mlock') ||
    (!mapped && prefetch === true && 'prefetch')
  if (!wrong) return mapped
  throw new SottoError(
    'ERR_OPTION_INVALID',
    wrong === 'prefetch'
      ? 'Expected options.prefetch of a file that is mapped: what is read is in memory anyway'
      : `Expected either options.directRead or options.${wrong}, received both`,
  )
}

function readCacheType(option: LoadOptions['cacheType']): { k: CacheType; v: CacheType } {
  if (typeof option === 'string') return { k: option, v: option }
  const checked = checkOptions<{ k?: CacheType; v?: CacheType }>('options.cacheType', option, {
    k: oneOf(...cacheTypes),
    v: oneOf(...cacheTypes),
  })
  return { k: checked.k ?? 'f16', v: checked.v ?? 'f16' }
}

function readDraft(option: LoadOptions['draft']): { path: string; maxTokens?: number } | undefined {
  if (option === undefined) return undefined
  const given = typeof option === 'string' ? { path: option } : option
  const { path, maxTokens } = checkOptions<{ path: string; maxTokens?: number }>(
    'options.draft',
    given,
    { path: text(), maxTokens: integer(1, mostDrafted) },
  )
  if (path) return maxTokens === undefined ? { path } : { path, maxTokens }
  throw new SottoError(
    'ERR_OPTION_INVALID',
    `Expected options.draft to name a model, received ${received(option)}`,
  )
}

// Mapped weights can be read again from the file, so only what cannot be mapped must fit now; but a model that is larger than
// all memory would be read from disk for every token.
function checkMemory(estimate: MemoryEstimate, options: Partial<LoadOptions>): void {
  const limit = memoryLimit()
  const { weights, kv, compute, total } = estimate
  const mapped = readMapped(options) && !options.mlock
  // What the system calls free is less than what it can free.
  const free = Math.min(freemem() * 1.5, limit)
  if (total <= limit && total - (mapped ? weights : 0) <= free) return
  const gib = (bytes: number) => `${(bytes / 2 ** 30).toFixed(1)} GiB`
  throw new SottoError(
    'ERR_MODEL_MEMORY',
    `Expected a model that needs at most ${gib(total > limit ? limit : free)} of memory, this one needs about ${gib(total)} (weights ${gib(weights)}` +
      `${mapped ? ', which are mapped' : ''}; KV cache ${gib(kv)}; compute ${gib(compute)}): use a smaller quantisation, a smaller contextSize or a quantised cacheType`,
  )
}

/** @internal Bytes of the machine, or of its cgroup. */
export function memoryLimit(): number {
  return Math.min(totalmem(), cgroupLimit())
}

function cgroupLimit(): number {
  for (const file of ['/sys/fs/cgroup/memory.max', '/sys/fs/cgroup/memory/memory.limit_in_bytes']) {
    try {
      const bytes = Number(readFileSync(file, 'utf8'))
      if (Number.isFinite(bytes) && bytes > 0) return bytes
    } catch {
      // not in a cgroup of this version
    }
  }
  return Number.POSITIVE_INFINITY
}
