/** The message object: what its clients are told of an answer, streamed or whole. */
import type { JsonObject } from '../../core/fold.ts'
import type { JobId, Usage } from '../../core/job.ts'
import type { Rendering } from '../../core/ports/dialect.ts'
import type { End } from '../../core/record.ts'
import type { Block, Blocks } from '../blocks.ts'

const JOB = 'job_'
/**
 * Of thought that its model did not sign. Clients drop what has no signature; this one says that the text is all there
 * is, so there is nothing to keep from being altered.
 */
export const UNSIGNED = 'sluice.unsigned'

export const messageId = (job: JobId): string => `msg_${job.slice(JOB.length)}`

/** As a new message, of which nothing is there yet. */
export const messageOf = ({ id, model }: Rendering): JsonObject => ({
  id: messageId(id),
  type: 'message',
  role: 'assistant',
  model,
  content: [],
  stop_reason: null,
  stop_sequence: null,
  usage: usageOf(undefined),
})

/** Thought is for those who asked for it: others read the first block as the answer. */
export const showsThought = ({ dialect, shownAs }: Rendering): boolean =>
  dialect !== 'messages' || shownAs?.['thinking'] === true

export const isShown = ({ kind }: Block, thought: boolean): boolean => kind !== 'reasoning' || thought

/** As `content_block_start` has it, without its text; what is encrypted comes at once. */
export function begunBlock(job: Rendering, block: Block): JsonObject {
  const { kind, encrypted } = block
  if (encrypted !== '') return { type: 'redacted_thinking', data: encrypted }
  if (kind === 'reasoning') return { type: 'thinking', thinking: '', signature: '' }
  if (kind === 'call') return { type: 'tool_use', id: callId(job, block), name: block.name, input: {} }
  return { type: 'text', text: '' }
}

export function wholeBlock(job: Rendering, block: Block): JsonObject {
  const { kind, text, encrypted } = block
  const begun = begunBlock(job, block)
  if (encrypted !== '') return begun
  if (kind === 'reasoning') return { ...begun, thinking: text, signature: signatureOf(block) }
  if (kind === 'call') return { ...begun, input: inputOf(block) }
  return { ...begun, text }
}

export const signatureOf = ({ signature }: Block): string => signature || UNSIGNED

/** Some upstreams name no call; its result needs a name to refer to. */
const callId = ({ id }: Rendering, block: Block): string => block.id || `toolu_${id.slice(JOB.length)}_${block.index}`

/** What is no object is told as Anthropic tells clients to send it back. */
export function inputOf({ text, isCustom }: Block): JsonObject {
  if (isCustom) return { input: text }
  if (text.trim() === '') return {}
  try {
    const input = JSON.parse(text) as JsonObject
    if (typeof input === 'object' && input !== null && !Array.isArray(input)) return input
  } catch {
    // Told as it is, below
  }
  return { INVALID_JSON: text }
}

const REASONS: Readonly<Record<string, string>> = {
  length: 'max_tokens',
  tool_calls: 'tool_use',
  function_call: 'tool_use',
  content_filter: 'refusal',
}

export interface Stop {
  readonly stop_reason: string
  readonly stop_sequence: string | null
}

/** `refused`: a block of it was a refusal. Some upstreams end a tool call with "stop". */
export function stopOf({ finish, stop, calls }: Blocks, refused: boolean, { cut }: End): Stop {
  if (cut !== undefined) return { stop_reason: 'max_tokens', stop_sequence: null }
  const reason = REASONS[finish ?? '']
  if (reason !== undefined) return { stop_reason: reason, stop_sequence: null }
  if (refused) return { stop_reason: 'refusal', stop_sequence: null }
  if (calls.length > 0) return { stop_reason: 'tool_use', stop_sequence: null }
  return stop === null
    ? { stop_reason: 'end_turn', stop_sequence: null }
    : { stop_reason: 'stop_sequence', stop_sequence: stop }
}

/** Input here is what came from no cache, and was written to none. */
export function usageOf(usage: Usage | undefined): JsonObject {
  const {
    promptTokens = 0,
    completionTokens = 0,
    cachedTokens = 0,
    cacheWriteTokens = 0,
    reasoningTokens,
  } = usage ?? {}
  return {
    input_tokens: Math.max(0, promptTokens - cachedTokens - cacheWriteTokens),
    cache_creation_input_tokens: cacheWriteTokens,
    cache_read_input_tokens: cachedTokens,
    output_tokens: completionTokens,
    ...(reasoningTokens !== undefined && { output_tokens_details: { thinking_tokens: reasoningTokens } }),
  }
}
