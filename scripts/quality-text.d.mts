export function qualityText(): string
export function calibrationText(): string
