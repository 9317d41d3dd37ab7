/** How large a prompt is, before a provider has counted it. Fairness and guards use it. */
import { BYTES_PER_TOKEN } from '../core/estimate.ts'

/** Images and sounds count nothing: their bytes say nothing about their tokens. */
export const estimateTokens = (textBytes: number): number => Math.max(1, Math.ceil(textBytes / BYTES_PER_TOKEN))
