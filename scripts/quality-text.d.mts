export function qualityText(): string
