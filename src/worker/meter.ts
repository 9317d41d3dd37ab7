/** Counts an attempt's tokens as they pass, by scanning: no token is parsed. */
import type { Usage } from '../core/job.ts'
import { type Bytes, toText } from '../core/record.ts'

interface UpstreamUsage {
  readonly prompt_tokens?: number
  readonly completion_tokens?: number
  readonly prompt_tokens_details?: { readonly cached_tokens?: number } | null
  readonly completion_tokens_details?: { readonly reasoning_tokens?: number } | null
}

/** Does this chunk carry a usage object? `"usage":null`, as OpenAI sends with each token, is none. */
function hasUsage(chunk: Bytes): boolean {
  let at = chunk.lastIndexOf('"usage"')
  if (at < 0) return false
  at += 7
  while (chunk.charCodeAt(at) <= 32) at++
  if (chunk.charCodeAt(at) !== 58) return false
  at++
  while (chunk.charCodeAt(at) <= 32) at++
  return chunk.charCodeAt(at) === 123
}

export class Meter {
  /** Chunks that carried text, taken as tokens until the provider reports. */
  tokens = 0
  #reported: Usage | null = null

  /** Looks at one chunk: `usage` when it is nothing but the upstream's usage. */
  see(chunk: Bytes): 'usage' | 'chunk' {
    if (!hasUsage(chunk)) {
      this.tokens++
      return 'chunk'
    }
    const parsed = JSON.parse(toText(chunk)) as { choices?: unknown[]; usage?: UpstreamUsage | null }
    const bare = Array.isArray(parsed.choices) && parsed.choices.length === 0
    if (!bare) this.tokens++
    if (typeof parsed.usage === 'object' && parsed.usage !== null) this.#report(parsed.usage)
    return bare ? 'usage' : 'chunk'
  }

  #report(usage: UpstreamUsage): void {
    const count = (n: unknown): number | undefined =>
      typeof n === 'number' && Number.isSafeInteger(n) && n >= 0 ? n : undefined
    const promptTokens = count(usage.prompt_tokens)
    const completionTokens = count(usage.completion_tokens)
    // A provider that reports nonsense has not reported
    if (promptTokens === undefined && completionTokens === undefined) return
    const cachedTokens = count(usage.prompt_tokens_details?.cached_tokens)
    const reasoningTokens = count(usage.completion_tokens_details?.reasoning_tokens)
    this.#reported = {
      promptTokens: promptTokens ?? 0,
      completionTokens: completionTokens ?? 0,
      ...(cachedTokens === undefined ? {} : { cachedTokens }),
      ...(reasoningTokens === undefined ? {} : { reasoningTokens }),
      estimated: false,
    }
  }

  /** What the provider reported, else what was seen (M1). */
  usage(promptTokens: number): Usage {
    return this.#reported ?? { promptTokens, completionTokens: this.tokens, estimated: true }
  }
}
