/**
 * What an answer may contain, apart from bytes, checked where it arrives (routing/providers/openai): the log, the fold
 * and the renderers take whatever passed. The limits are not settings: no answer needs more.
 */

/** Everything after JSON.parse is recursive. Far above any answer's nesting, far below the stack's limit. */
export const MAX_DEPTH = 128
export const MAX_CHOICES = 1_024
/** Of one choice. */
export const MAX_TOOL_CALLS = 1_024
/** Names and texts of one document or event, and its lists and objects: each costs more than its bytes once parsed. */
export const MAX_TEXTS = 2_000_000
export const MAX_CONTAINERS = 350_000
/** Distinct names and short texts among them: JSON.parse takes some µs for each name that it has not seen before. */
export const MAX_DISTINCT = 100_000
/** One event or document of a chat: all that is done with it is done at a stretch. */
export const MAX_CHAT_RECORD_BYTES = 16 << 20
/** Items of its lists and objects, most of them numbers: 2,048 embeddings of 3,072 are 6.3 million. */
export const MAX_ITEMS = 8_000_000
export const MAX_CHAT_ITEMS = 1_000_000
