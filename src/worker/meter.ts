/**
 * Counts a job's tokens as they pass, by scanning: no token is parsed. What earlier attempts left in the log is counted
 * the same way, so a job's usage is the sum over its attempts, whichever process made them (M1).
 */
import { chunkShows, isOpening, textBytes, usageOf } from '../core/delta.ts'
import { parseDocument } from '../core/document.ts'
import { BYTES_PER_TOKEN } from '../core/estimate.ts'
import { isObject, type JsonObject } from '../core/fold.ts'
import type { Usage } from '../core/job.ts'
import { type Bytes, kindOf, payloadOf, toText } from '../core/record.ts'

/** Does this chunk carry a usage object? `"usage":null`, as OpenAI sends with each token, is none. */
function hasUsage(chunk: Bytes): boolean {
  // Nearly none has: lastIndexOf takes five times as long to find that out
  if (!chunk.includes('usage"')) return false
  let at = chunk.lastIndexOf('"usage"')
  if (at < 0) return false
  at += 7
  while (chunk.charCodeAt(at) <= 32) at++
  if (chunk.charCodeAt(at) !== 58) return false
  at++
  while (chunk.charCodeAt(at) <= 32) at++
  return chunk.charCodeAt(at) === 123
}

/** A token has at least one byte; hidden reasoning may add this many tokens to those of the bytes received. */
const HIDDEN_TOKENS = 64 * 1024
/** The same if the upstream reports how many tokens of reasoning there were. */
const MAX_REASONING_TOKENS = 1024 * 1024
/** Images, files and tools are more tokens than the bytes that name them. */
const HIDDEN_PROMPT_TOKENS = 256 * 1024

/** Some upstreams write numbers as texts. */
function count(value: unknown): number | undefined {
  const n = typeof value === 'string' && /^\d{1,15}$/.test(value) ? Number(value) : value
  return typeof n === 'number' && Number.isSafeInteger(n) && n >= 0 ? n : undefined
}

const NOTHING: Usage = { promptTokens: 0, completionTokens: 0, estimated: false }

export class Meter {
  /** Chunks of all attempts that carried text, taken as tokens until the provider reports. */
  tokens = 0
  /** Has this attempt shown anything? */
  shown = false
  readonly #promptTokens: number
  readonly #requestBytes: number
  #earlier: Usage | null = null
  /** Of this attempt. */
  #seen = 0
  #bytes = 0
  #reported: Usage | null = null
  #isFree = false

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

  /** An attempt without any output costs nothing: the upstream refused it, or was never reached. */
  nextAttempt(): void {
    if (this.#bytes > 0) this.#earlier = this.usage()
    this.#seen = 0
    this.#bytes = 0
    this.#reported = null
    this.shown = false
  }

  /** Looks at one chunk: `usage` is nothing but the upstream's usage, `opening` comes before anything is shown. */
  see(chunk: Bytes): 'usage' | 'opening' | 'chunk' {
    this.#bytes += chunk.length
    const reports = hasUsage(chunk)
    if (this.shown && !reports) {
      this.#token()
      return 'chunk'
    }
    const parsed = JSON.parse(toText(chunk)) as JsonObject
    const { choices } = parsed
    const usage = usageOf(parsed)
    if (reports) this.#report(usage)
    const isBare = !Array.isArray(choices) || choices.length === 0 || (this.shown && isOpening(parsed))
    if (usage !== null && isBare) return 'usage'
    if (!this.shown) {
      if (isOpening(parsed)) return 'opening'
      this.shown = chunkShows(parsed)
    }
    if (this.shown) this.#token()
    return 'chunk'
  }

  /** The whole answer, with the `usage` that it names. `isText`: an embedding has no output tokens. */
  seeDocument(document: Bytes, usage: unknown, isText: boolean): void {
    this.#bytes += document.length
    this.#report(usage)
    const tokens = this.#reported?.completionTokens ?? (isText ? tokensIn(document) : 0)
    this.tokens += tokens
    this.#seen += tokens
    this.shown = true
  }

  #token(): void {
    this.tokens++
    this.#seen++
  }

  /** Nonsense, or more tokens than the bytes sent can be, counts as no report. */
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
      ...(cachedTokens === undefined || cachedTokens > (promptTokens ?? 0) ? {} : { cachedTokens }),
      ...(reasoningTokens === undefined ? {} : { reasoningTokens }),
      estimated: false,
    }
  }

  /** The upstream refused, or was never reached: if nothing came of it, it costs nothing. */
  refused(): void {
    this.#isFree = this.#bytes === 0
  }

  /** Of this attempt: what the provider reported, else what was seen. */
  attemptUsage(): Usage {
    if (this.#isFree) return NOTHING
    return this.#reported ?? { promptTokens: this.#promptTokens, completionTokens: this.#seen, estimated: true }
  }

  /** Of the job so far: the sum over its attempts, estimated where any of them is. */
  usage(): Usage {
    const earlier = this.#earlier
    if (earlier === null) return this.attemptUsage()
    return this.#bytes === 0 ? earlier : sum(earlier, this.attemptUsage())
  }
}

function tokensIn(document: Bytes): number {
  const { choices } = parseDocument(document)
  const messages = Array.isArray(choices) ? choices.map((choice) => (isObject(choice) ? choice['message'] : null)) : []
  return Math.ceil(textBytes(messages) / BYTES_PER_TOKEN)
}

function sum(a: Usage, b: Usage): Usage {
  const optional = (name: 'cachedTokens' | 'reasoningTokens'): Partial<Usage> =>
    a[name] === undefined && b[name] === undefined ? {} : { [name]: (a[name] ?? 0) + (b[name] ?? 0) }
  return {
    promptTokens: a.promptTokens + b.promptTokens,
    completionTokens: a.completionTokens + b.completionTokens,
    ...optional('cachedTokens'),
    ...optional('reasoningTokens'),
    estimated: a.estimated || b.estimated,
  }
}
