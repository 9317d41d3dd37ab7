/**
 * Counts a job's tokens as they pass, by scanning: no token is parsed. What earlier attempts left in the log is counted the
 * same way, so a job's usage is the sum over its attempts, whichever process made them (M1).
 */
import type { Usage } from '../core/job.ts'
import { type Bytes, kindOf, payloadOf, toText } from '../core/record.ts'

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

/** A token has a byte at least; reasoning that an upstream does not show may be so many tokens more than the bytes it sent. */
const HIDDEN_TOKENS = 64 * 1024
/** The same where the upstream tells how many tokens of reasoning there were. */
const MAX_REASONING_TOKENS = 1024 * 1024
/** Images, files and tools are more tokens than the bytes that name them. */
const HIDDEN_PROMPT_TOKENS = 256 * 1024
/** About so many bytes of a document's JSON are one token. */
const BYTES_PER_TOKEN = 4

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null

const count = (n: unknown): number | undefined =>
  typeof n === 'number' && Number.isSafeInteger(n) && n >= 0 ? n : undefined

export class Meter {
  /** Chunks of all attempts that carried text, taken as tokens until the provider reports. */
  tokens = 0
  readonly #promptTokens: number
  readonly #requestBytes: number
  #earlier: Usage | null = null
  /** Of this attempt. */
  #seen = 0
  #bytes = 0
  #reported: Usage | null = null

  /** `promptTokens`: the estimate. */
  constructor(promptTokens: number, requestBytes: number) {
    this.#promptTokens = promptTokens
    this.#requestBytes = requestBytes
  }

  /** What the log holds of earlier attempts. */
  replay(records: readonly Bytes[]): void {
    for (const record of records) {
      const kind = kindOf(record)
      if (kind === 'attempt') this.nextAttempt()
      else if (kind === 'chunk' || kind === 'usage') this.see(payloadOf(record))
    }
    this.nextAttempt()
  }

  /** An attempt of which nothing came costs nothing: the upstream refused it, or was never reached. */
  nextAttempt(): void {
    if (this.#bytes > 0) this.#earlier = this.usage()
    this.#seen = 0
    this.#bytes = 0
    this.#reported = null
  }

  /** Looks at one chunk: `usage` when it is nothing but the upstream's usage. */
  see(chunk: Bytes): 'usage' | 'chunk' {
    this.#bytes += chunk.length
    if (!hasUsage(chunk)) {
      this.#token()
      return 'chunk'
    }
    const { choices, usage } = JSON.parse(toText(chunk)) as { choices?: unknown; usage?: unknown }
    const isBare = !Array.isArray(choices) || choices.length === 0
    if (!isBare) this.#token()
    this.#report(usage)
    return isBare ? 'usage' : 'chunk'
  }

  /** The whole answer, with the `usage` that it names. */
  seeDocument(document: Bytes, usage: unknown): void {
    this.#bytes += document.length
    this.#report(usage)
    const tokens = this.#reported?.completionTokens ?? Math.ceil(document.length / BYTES_PER_TOKEN)
    this.tokens += tokens
    this.#seen += tokens
  }

  #token(): void {
    this.tokens++
    this.#seen++
  }

  /** A provider that reports nonsense, or more than the bytes it sent can be, has not reported. */
  #report(usage: unknown): void {
    if (!isObject(usage)) return
    const promptTokens = count(usage['prompt_tokens'])
    const completionTokens = count(usage['completion_tokens'])
    if (promptTokens === undefined && completionTokens === undefined) return
    const { prompt_tokens_details: prompt, completion_tokens_details: completion } = usage
    const cachedTokens = isObject(prompt) ? count(prompt['cached_tokens']) : undefined
    const reasoningTokens = isObject(completion) ? count(completion['reasoning_tokens']) : undefined
    if ((promptTokens ?? 0) > this.#requestBytes + HIDDEN_PROMPT_TOKENS) return
    if ((reasoningTokens ?? 0) > MAX_REASONING_TOKENS) return
    if ((completionTokens ?? 0) - (reasoningTokens ?? 0) > this.#bytes + HIDDEN_TOKENS) return
    this.#reported = {
      promptTokens: promptTokens ?? 0,
      completionTokens: completionTokens ?? 0,
      ...(cachedTokens === undefined ? {} : { cachedTokens }),
      ...(reasoningTokens === undefined ? {} : { reasoningTokens }),
      estimated: false,
    }
  }

  /** What the provider reported, else what was seen, summed over the attempts (M1). */
  usage(): Usage {
    const { promptTokens, completionTokens, cachedTokens, reasoningTokens, estimated }: Usage = this.#reported ?? {
      promptTokens: this.#promptTokens,
      completionTokens: this.#seen,
      estimated: true,
    }
    const before = this.#earlier
    if (before === null) return { promptTokens, completionTokens, ...optional(cachedTokens, reasoningTokens), estimated }
    if (this.#bytes === 0) return before
    return {
      promptTokens: before.promptTokens + promptTokens,
      completionTokens: before.completionTokens + completionTokens,
      ...optional(sum(before.cachedTokens, cachedTokens), sum(before.reasoningTokens, reasoningTokens)),
      estimated: before.estimated || estimated,
    }
  }
}

const sum = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined && b === undefined ? undefined : (a ?? 0) + (b ?? 0)

const optional = (
  cachedTokens: number | undefined,
  reasoningTokens: number | undefined,
): Pick<Usage, 'cachedTokens' | 'reasoningTokens'> => ({
  ...(cachedTokens === undefined ? {} : { cachedTokens }),
  ...(reasoningTokens === undefined ? {} : { reasoningTokens }),
})
