// legacy.ts: what a file is that is not GGUF, so that the refusal can say what to do.

/** The formats before GGUF, by the four bytes they begin with (llama.cpp before August 2023). */
const legacyMagics: Record<string, string> = {
  lmgg: 'a GGML file (unversioned, before March 2023)',
  fmgg: 'a GGMF file (March 2023)',
  tjgg: 'a GGJT file (April to August 2023)',
  algg: 'a legacy GGLA LoRA adapter',
}

/** Names a legacy model format, or returns undefined. */
export function describeLegacy(start: Uint8Array): string | undefined {
  return legacyMagics[Buffer.from(start.subarray(0, 4)).toString('latin1')]
}

/** Whether it is a model that `readLegacy` may read. */
export function isLegacyModel(start: Uint8Array): boolean {
  return ['lmgg', 'fmgg', 'tjgg'].includes(Buffer.from(start.subarray(0, 4)).toString('latin1'))
}

/** Names what a file looks like, for an error message. */
export function describeForeign(start: Uint8Array): string {
  const head = Buffer.from(start)
  const text = head.toString('latin1')
  if (head.length === 0) return 'an empty file'
  if (text.startsWith('version https://git-lfs'))
    return 'a Git LFS pointer: run "git lfs pull" to get the file itself'
  if (/^\s*(<!doctype|<html)/i.test(text))
    return 'a web page: the download was probably answered by an error or login page'
  if (text.startsWith('PK\x03\x04'))
    return 'a ZIP archive (PyTorch checkpoints are): convert it to GGUF with convert_hf_to_gguf.py of llama.cpp'
  if (
    text.startsWith('\x1f\x8b') ||
    text.startsWith('\xfd7zXZ') ||
    text.startsWith('\x28\xb5\x2f\xfd')
  )
    return 'a compressed file: unpack it first'
  if (head.length > 9 && text[8] === '{' && head.readBigUInt64LE(0) < 2n ** 32n) {
    return 'a safetensors file: convert it to GGUF with convert_hf_to_gguf.py of llama.cpp'
  }
  return `a file that begins with ${JSON.stringify(text.slice(0, 4))}`
}
