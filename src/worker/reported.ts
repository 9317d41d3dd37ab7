/** What a provider reports of an answer's tokens, in the spellings there are. */
import { isObject, type JsonObject } from '../core/fold.ts'
import type { Usage } from '../core/job.ts'

/** A token has at least one byte; hidden reasoning may add this many tokens to those of the bytes received. */
const HIDDEN_TOKENS = 64 * 1024
/** The same if the upstream reports how many tokens of reasoning there were. */
const MAX_REASONING_TOKENS = 1024 * 1024
/** Images, files and tools are more tokens than the bytes that name them. */
const HIDDEN_PROMPT_TOKENS = 256 * 1024

/** Bytes of the request, and of the answer so far; the estimate of the prompt. */
export interface Seen {
  readonly requestBytes: number
  readonly bytes: number
  readonly promptTokens: number
}

/**
 * Null: no report. Neither is nonsense, or more tokens than the bytes sent can be. An answer to a prompt of no tokens
 * there is not: who reports that, or leaves it out, does not know, and the estimate stands.
 */
export function reported(usage: unknown, { requestBytes, bytes, promptTokens: estimate }: Seen): Usage | null {
  if (!isObject(usage)) return null
  const [prompt, completion] = [count(usage['prompt_tokens']), count(usage['completion_tokens'])]
  if (!prompt && !completion) return null
  const [promptTokens, told] = [prompt || estimate, completion ?? 0]
  const { prompt_tokens_details: input, completion_tokens_details: output } = usage
  const reasoningTokens = part(output, 'reasoning_tokens')
  const reasoning = reasoningTokens ?? 0
  // Most count reasoning as part of the answer, some (xAI) beside it
  const isBeside =
    reasoning > told || (reasoning > 0 && count(usage['total_tokens']) === (prompt ?? 0) + told + reasoning)
  const completionTokens = isBeside ? told + reasoning : told
  if (promptTokens > requestBytes + HIDDEN_PROMPT_TOKENS || reasoning > MAX_REASONING_TOKENS) return null
  if (completionTokens - reasoning > bytes + HIDDEN_TOKENS) return null
  // DeepSeek's place, and Moonshot's
  const cached =
    part(input, 'cached_tokens') ?? count(usage['prompt_cache_hit_tokens']) ?? count(usage['cached_tokens'])
  return {
    promptTokens,
    completionTokens,
    ...(cached !== undefined && cached <= promptTokens && { cachedTokens: cached }),
    // OpenRouter's name, and LiteLLM's
    ...some(
      'cacheWriteTokens',
      part(input, 'cache_write_tokens') ?? part(input, 'cache_creation_tokens'),
      promptTokens,
    ),
    ...some('audioPromptTokens', part(input, 'audio_tokens'), promptTokens),
    ...(reasoningTokens !== undefined && { reasoningTokens }),
    ...some('audioCompletionTokens', part(output, 'audio_tokens'), completionTokens),
    estimated: !prompt,
  }
}

/** Some upstreams write numbers as texts. */
function count(value: unknown): number | undefined {
  const n = typeof value === 'string' && /^\d{1,15}$/.test(value) ? Number(value) : value
  return typeof n === 'number' && Number.isSafeInteger(n) && n >= 0 ? n : undefined
}

const part = (details: unknown, name: string): number | undefined =>
  isObject(details) ? count((details as JsonObject)[name]) : undefined

/** A kind that most answers have none of, though they name it. */
const some = (name: keyof Usage, tokens: number | undefined, most: number): Partial<Usage> =>
  tokens === undefined || tokens === 0 || tokens > most ? {} : { [name]: tokens }
