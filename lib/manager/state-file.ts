// state-file.ts: a conversation in a file: a header, what was said, and what the model computed of it. Every byte is authenticated, by
// AES-256-GCM where there is a key and by SHA-256 where there is none, before anything is believed; the state, before native code sees any of it.

import {
  type Cipher,
  createCipheriv,
  createDecipheriv,
  createHash,
  type Decipher,
  type Hash,
  hkdfSync,
  type KeyObject,
  timingSafeEqual,
} from 'node:crypto'
import { constants, type FileHandle, open } from 'node:fs/promises'
import { type ChatMessage, checkMessages } from '../chat.js'
import { NewFile } from '../gguf/new-file.js'
import { type NativeContextState, native } from '../native.js'
import {
  broken,
  headerBytes,
  parseStateHeader,
  type StateHeader,
  tagBytes,
  writeStateHeader,
} from './state-header.js'

const pieceBytes = 2 ** 20 // copied or enciphered in well under a millisecond: the JS thread is never kept for long

/** One of the two parts of a file on its way through cipher or digest: the header is part of what is authenticated. */
class Seal {
  readonly #cipher: Cipher | Decipher | undefined
  readonly #hash: Hash | undefined

  private constructor(
    header: Uint8Array,
    part: number,
    key: KeyObject | undefined,
    make: typeof createCipheriv | typeof createDecipheriv,
  ) {
    if (!key) {
      this.#hash = createHash('sha256').update(header).update(Uint8Array.of(part))
      return
    }
    // A key of its own for each file, so that nonces may be random however many files one key has.
    const { salt, nonce } = parseStateHeader(header)
    const own = Buffer.from(hkdfSync('sha256', key.export(), salt, 'sotto conversation', 32))
    const its = Buffer.concat([nonce])
    its[11]! ^= part
    this.#cipher = make('aes-256-gcm', own, its).setAAD(header)
    own.fill(0)
  }

  static of(header: Uint8Array, part: number, key: KeyObject | undefined): Seal {
    return new Seal(header, part, key, createCipheriv)
  }

  static open(header: Uint8Array, part: number, key: KeyObject | undefined): Seal {
    return new Seal(header, part, key, createDecipheriv)
  }

  update(bytes: Uint8Array): Uint8Array {
    this.#hash?.update(bytes)
    return this.#cipher?.update(bytes) ?? bytes
  }

  tag(): Uint8Array {
    if (this.#hash) return this.#hash.digest()
    this.#cipher!.final()
    return Buffer.concat([
      (this.#cipher as ReturnType<typeof createCipheriv> & { getAuthTag(): Buffer }).getAuthTag(),
      Buffer.alloc(16),
    ])
  }

  /** Throws unless what went through is what was sealed. */
  check(tag: Uint8Array, what: string): void {
    if (this.#hash) {
      if (!timingSafeEqual(this.#hash.digest(), tag))
        throw broken(`${what} that are not what was written`)
      return
    }
    try {
      const decipher = this.#cipher as ReturnType<typeof createDecipheriv> & {
        setAuthTag(tag: Uint8Array): void
      }
      decipher.setAuthTag(tag.subarray(0, 16))
      decipher.final()
    } catch {
      throw broken(`${what} that are not what was written, or were with another key`)
    }
  }
}

export interface StateOwner {
  owner: Uint8Array
  model: Uint8Array
  key: KeyObject | undefined
}

/** Writes a conversation under a path that it gets when it is whole. Errors: `ERR_DISK`. */
export async function writeState(
  path: string,
  { owner, model, key }: StateOwner,
  messages: ChatMessage[],
  state: NativeContextState | undefined,
): Promise<number> {
  const text = Buffer.from(JSON.stringify(messages))
  const tokens = state?.tokens() ?? new Int32Array()
  const stateBytes = state?.byteLength() ?? 0
  const header = writeStateHeader({
    encrypted: key !== undefined,
    messageBytes: text.length,
    stateBytes,
    tokens: tokens.length,
    owner,
    model,
  })

  const file = await NewFile.create(path, { mode: 0o600 })
  const piece = Buffer.alloc(pieceBytes)
  try {
    await file.write(header)
    const said = Seal.of(header, 1, key)
    await file.write(said.update(text))
    await file.write(said.tag())
    const computed = Seal.of(header, 2, key)
    const numbers = Buffer.alloc(4 * tokens.length)
    for (const [i, token] of tokens.entries()) numbers.writeInt32LE(token, 4 * i)
    await file.write(computed.update(numbers))
    for (let at = 0; at < stateBytes; at += pieceBytes) {
      const its = piece.subarray(0, Math.min(pieceBytes, stateBytes - at))
      state!.read(at, its)
      await file.write(computed.update(its))
    }
    await file.write(computed.tag())
    await file.close()
    await file.giveName()
    return file.bytes
  } catch (error) {
    await file.discard()
    throw error
  } finally {
    piece.fill(0)
    text.fill(0)
  }
}

/** A file whose header, size and owner are right. */
export class StateFile {
  readonly header: StateHeader
  readonly #handle: FileHandle
  readonly #bytes: Uint8Array
  readonly #key: KeyObject | undefined

  private constructor(handle: FileHandle, bytes: Uint8Array, key: KeyObject | undefined) {
    this.#handle = handle
    this.#bytes = bytes
    this.#key = key
    this.header = parseStateHeader(bytes)
  }

  /** Undefined where there is no such file. Errors: `ERR_STATE_INVALID`. */
  static async open(
    path: string,
    { owner, key }: Pick<StateOwner, 'owner' | 'key'>,
  ): Promise<StateFile | undefined> {
    let handle: FileHandle
    try {
      // Neither a link, whose target somebody else chose, nor a FIFO, whose writer never comes.
      handle = await open(
        path,
        constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0),
      )
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'ENOENT') return undefined
      throw broken(code === 'ELOOP' ? 'a symbolic link' : `a file that does not open: ${code}`)
    }
    try {
      const about = await handle.stat()
      if (!about.isFile()) throw broken('something that is no file')
      const bytes = await readAll(handle, 0, Math.min(headerBytes, about.size))
      const file = new StateFile(handle, bytes, key)
      const { fileBytes, encrypted } = file.header
      if (about.size !== fileBytes)
        throw broken(`a file of ${about.size} bytes that says it has ${fileBytes}`)
      if (encrypted && !key) throw broken('an encrypted one, and no key')
      if (!encrypted && key) throw broken('one that is not encrypted, and a key')
      if (!timingSafeEqual(file.header.owner, owner)) throw broken("somebody else's")
      return file
    } catch (error) {
      await handle.close()
      throw error
    }
  }

  /** What was said. */
  async messages(): Promise<ChatMessage[]> {
    const { messageBytes } = this.header
    const seal = Seal.open(this.#bytes, 1, this.#key)
    const text = seal.update(await readAll(this.#handle, headerBytes, messageBytes))
    seal.check(await readAll(this.#handle, headerBytes + messageBytes, tagBytes), 'messages')
    try {
      return checkMessages('messages', JSON.parse(Buffer.from(text).toString()))
    } catch (cause) {
      throw broken(`messages that are none: ${(cause as Error).name}`)
    }
  }

  /** What was computed, whole and checked; undefined where nothing was kept. The caller closes it. */
  async state(): Promise<NativeContextState | undefined> {
    const { messageBytes, stateBytes, tokens } = this.header
    if (tokens === 0) return undefined
    let at = headerBytes + messageBytes + tagBytes
    const seal = Seal.open(this.#bytes, 2, this.#key)
    const numbers = Buffer.from(seal.update(await readAll(this.#handle, at, 4 * tokens)))
    at += 4 * tokens
    const state = new (native().ContextState)(
      Int32Array.from({ length: tokens }, (_, i) => numbers.readInt32LE(4 * i)),
      stateBytes,
    )
    const piece = Buffer.alloc(Math.min(pieceBytes, stateBytes))
    try {
      for (let done = 0; done < stateBytes; ) {
        const its = piece.subarray(0, Math.min(pieceBytes, stateBytes - done))
        await fill(this.#handle, at + done, its)
        const plain = seal.update(its)
        state.write(done, plain)
        plain.fill(0)
        done += its.length
      }
      seal.check(await readAll(this.#handle, at + stateBytes, tagBytes), 'keys and values')
      return state
    } catch (error) {
      state.close()
      throw error
    } finally {
      piece.fill(0)
    }
  }

  close(): Promise<void> {
    return this.#handle.close()
  }
}

async function readAll(handle: FileHandle, position: number, bytes: number): Promise<Buffer> {
  const buffer = Buffer.alloc(bytes)
  await fill(handle, position, buffer)
  return buffer
}

async function fill(handle: FileHandle, position: number, buffer: Uint8Array): Promise<void> {
  for (let done = 0; done < buffer.length; ) {
    const { bytesRead } = await handle
      .read(buffer, done, buffer.length - done, position + done)
      .catch((error: NodeJS.ErrnoException) => {
        throw broken(`a file that cannot be read: ${error.code}`)
      })
    if (bytesRead === 0) throw broken('a file that was cut while it was read')
    done += bytesRead
  }
}
