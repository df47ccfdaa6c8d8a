export const examples: [method: string, ...arguments_: unknown[]][]
export const rawTypes: Set<string>
