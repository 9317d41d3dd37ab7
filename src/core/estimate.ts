/** Bytes of English text per token, for estimates; other languages and code have fewer. */
export const BYTES_PER_TOKEN = 4
