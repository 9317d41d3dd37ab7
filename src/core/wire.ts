/** Usage and timing as they are spelled on every wire: OpenAI's names, snake_case, milliseconds. */
import type { Timing, Usage } from './job.ts'

export const wireUsage = (usage: Usage): Record<string, unknown> => ({
  prompt_tokens: usage.promptTokens,
  completion_tokens: usage.completionTokens,
  total_tokens: usage.promptTokens + usage.completionTokens,
  ...(usage.cachedTokens === undefined ? {} : { prompt_tokens_details: { cached_tokens: usage.cachedTokens } }),
  ...(usage.reasoningTokens === undefined
    ? {}
    : { completion_tokens_details: { reasoning_tokens: usage.reasoningTokens } }),
  estimated: usage.estimated,
})

const round = (ms: number | undefined): number | null => (ms === undefined ? null : Math.round(ms * 100) / 100)

export const wireTiming = (timing: Timing): Record<string, unknown> => ({
  queued_ms: round(timing.queuedMs),
  ttft_ms: round(timing.ttftMs),
  tpot_ms: round(timing.tpotMs),
  total_ms: round(timing.totalMs),
  attempts: timing.attempts,
})
