/** Usage, timing and errors as they are spelled on the wire: OpenAI's names and forms, snake_case, milliseconds. */
import type { WireError } from './errors.ts'
import type { Timing, Usage } from './job.ts'
import { type Bytes, toBytes } from './record.ts'

/** OpenAI's error body, and that of Sluice's own API. */
export const errorJson = (error: WireError): Bytes => toBytes(JSON.stringify({ error }))

export const wireUsage = (usage: Usage): Record<string, unknown> => ({
  prompt_tokens: usage.promptTokens,
  completion_tokens: usage.completionTokens,
  total_tokens: usage.promptTokens + usage.completionTokens,
  ...details('prompt_tokens_details', {
    cached_tokens: usage.cachedTokens,
    cache_write_tokens: usage.cacheWriteTokens,
    audio_tokens: usage.audioPromptTokens,
  }),
  ...details('completion_tokens_details', {
    reasoning_tokens: usage.reasoningTokens,
    audio_tokens: usage.audioCompletionTokens,
  }),
  estimated: usage.estimated,
})

function details(name: string, parts: Readonly<Record<string, number | undefined>>): object {
  const told = Object.entries(parts).filter(([, tokens]) => tokens !== undefined)
  return told.length === 0 ? {} : { [name]: Object.fromEntries(told) }
}

const round = (ms: number | undefined): number | null => (ms === undefined ? null : Math.round(ms * 100) / 100)

export const wireTiming = (timing: Timing): Record<string, unknown> => ({
  queued_ms: round(timing.queuedMs),
  ttft_ms: round(timing.ttftMs),
  tpot_ms: round(timing.tpotMs),
  total_ms: round(timing.totalMs),
  attempts: timing.attempts,
})
