// size.ts: bytes for people.

const units = ['bytes', 'kB', 'MB', 'GB', 'TB']

/** 98362432 is `98.4 MB`. */
export function size(bytes: number): string {
  const unit = bytes < 1000 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(bytes) / 3))
  return `${(bytes / 1000 ** unit).toFixed(unit === 0 ? 0 : 1)} ${units[unit]}`
}
