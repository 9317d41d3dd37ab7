/** Bytes of English text per token, for estimates; other languages and code have fewer. */
export const BYTES_PER_TOKEN = 4
/** Of an image, a sound or a file, whatever its size: about an image of 1024 × 1024. */
export const MEDIA_TOKENS = 1_000
