/** How large a prompt is, before a provider has counted it. Fairness and guards use it. */

/** Of English text in the tokenizers of today; other languages and code have fewer. */
const BYTES_PER_TOKEN = 4

/** Images and sounds count nothing: their bytes say nothing about their tokens. */
export const estimateTokens = (textBytes: number): number => Math.max(1, Math.ceil(textBytes / BYTES_PER_TOKEN))
