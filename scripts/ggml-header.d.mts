export function readTable(): { symbol: string; name: string; parameters: string[]; optional?: number }[]
