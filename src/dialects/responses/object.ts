/** The response object: of a job, of what of its answer is there, and of how it ended. */
import { codeOf, SluiceError } from '../../core/errors.ts'
import type { JsonObject } from '../../core/fold.ts'
import type { Usage } from '../../core/job.ts'
import type { Rendering } from '../../core/ports/dialect.ts'
import type { End } from '../../core/record.ts'
import { responseId } from './ids.ts'

export type Status = 'queued' | 'in_progress' | 'completed' | 'incomplete' | 'failed' | 'cancelled'

/** As OpenAI fills in what a request leaves open. */
const DEFAULTS: JsonObject = {
  background: false,
  instructions: null,
  max_output_tokens: null,
  max_tool_calls: null,
  parallel_tool_calls: true,
  previous_response_id: null,
  prompt_cache_key: null,
  reasoning: { effort: null, summary: null },
  safety_identifier: null,
  service_tier: 'default',
  store: true,
  temperature: 1,
  text: { format: { type: 'text' }, verbosity: 'medium' },
  tool_choice: 'auto',
  tools: [],
  top_logprobs: 0,
  top_p: 1,
  truncation: 'disabled',
  user: null,
  metadata: {},
}

export interface Outcome {
  readonly status: Status
  readonly output: readonly JsonObject[]
  readonly end: End | null
  /** The upstream's `finish_reason`. */
  readonly finish: string | null
}

export function responseOf(job: Rendering, { status, output, end, finish }: Outcome): JsonObject {
  const {
    lead: _lead,
    namespaces: _namespaces,
    thought: _thought,
    logprobs: _logprobs,
    ...echo
  } = (job.shownAs ?? {}) as JsonObject
  const usage = end?.usage
  return {
    id: responseId(job.id),
    object: 'response',
    created_at: Math.floor(job.acceptedAtMs / 1_000),
    status,
    completed_at: status === 'completed' ? endedAt(job, end) : null,
    error: status === 'failed' ? errorOf(end) : null,
    incomplete_details: status === 'incomplete' ? { reason: whyIncomplete(end, finish) } : null,
    model: job.model,
    output: [...output],
    ...DEFAULTS,
    ...echo,
    text: { ...(DEFAULTS['text'] as JsonObject), ...(echo['text'] as JsonObject | undefined) },
    reasoning: { ...(DEFAULTS['reasoning'] as JsonObject), ...(echo['reasoning'] as JsonObject | undefined) },
    usage: usage === undefined ? null : usageOf(usage),
  }
}

/** How a job that has ended is told. A cut answer is never told as whole. */
export function statusOf({ state, cut }: End, finish: string | null): Status {
  if (state === 'canceled') return 'cancelled'
  if (state !== 'done') return 'failed'
  return cut !== undefined || finish === 'length' || finish === 'content_filter' ? 'incomplete' : 'completed'
}

const whyIncomplete = (end: End | null, finish: string | null): string =>
  end?.cut === undefined && finish === 'content_filter' ? 'content_filter' : 'max_output_tokens'

const endedAt = ({ acceptedAtMs }: Rendering, end: End | null): number | null =>
  end?.timing === undefined ? null : Math.floor((acceptedAtMs + end.timing.totalMs) / 1_000)

export function errorOf(end: End | null): JsonObject {
  const error = end?.error ?? new SluiceError('internal').wire
  return { code: codeOf(error), message: error.message, param: error.param ?? null, type: error.type }
}

const usageOf = (usage: Usage): JsonObject => ({
  input_tokens: usage.promptTokens,
  input_tokens_details: {
    cached_tokens: usage.cachedTokens ?? 0,
    cache_write_tokens: usage.cacheWriteTokens ?? 0,
  },
  output_tokens: usage.completionTokens,
  output_tokens_details: { reasoning_tokens: usage.reasoningTokens ?? 0 },
  total_tokens: usage.promptTokens + usage.completionTokens,
  ...(usage.estimated && { estimated: true }),
})
