// printable.ts: text from models and their files, made safe for a terminal. An escape sequence in it could rewrite what the user
// sees, or worse.

// C0 except tab and line feed, DEL, C1.
const controls = /[\x00-\x08\x0b-\x1f\x7f-\x9f]/g

/** The text with visible stand-ins for control characters. */
export function printable(text: string): string {
  return text.replace(controls, (character) => {
    const code = character.charCodeAt(0)
    if (code < 0x20) return String.fromCharCode(0x2400 + code)
    return code === 0x7f ? '\u2421' : '\ufffd'
  })
}
