/**
 * Counts a job's tokens as they pass, by scanning: no token is parsed. What earlier attempts left in the log is counted
 * the same way, so a job's usage is the sum over its attempts, whichever process made them (M1).
 */
import { chunkShows, chunkShowsOutput, isOpening, textBytes, usageOf } from '../core/delta.ts'
import { parseDocument } from '../core/document.ts'
import { BYTES_PER_TOKEN } from '../core/estimate.ts'
import { isObject, type JsonObject } from '../core/fold.ts'
import type { Usage } from '../core/job.ts'
import { type Bytes, kindOf, payloadOf, toText } from '../core/record.ts'
import { attemptOf, isBare } from '../core/seen.ts'
import { reported } from './reported.ts'

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

export interface FirstChunk {
  /** Tokens of the answer that its usage told; null: it had none. */
  readonly reported: number | null
  /** Not reasoning alone: what was reasoned before it was never shown. */
  readonly isOutput: boolean
}
const NO_CHUNK: FirstChunk = { reported: null, isOutput: false }

const NOTHING: Usage = { promptTokens: 0, completionTokens: 0, estimated: false }

export class Meter {
  /** Chunks of all attempts that carried text, taken as tokens until the provider reports. */
  tokens = 0
  /** Has this attempt shown anything? */
  shown = false
  /** Of its first chunk that showed something. */
  first: FirstChunk = NO_CHUNK
  readonly #promptTokens: number
  readonly #requestBytes: number
  #earlier: Usage | null = null
  /** Of this attempt. */
  #seen = 0
  /** Of the chunks that were counted. */
  #last: Bytes | null = null
  #bytes = 0
  #reported: Usage | null = null
  /** `#seen` when that was reported. */
  #seenThen = 0
  #isFree = false

  /** `promptTokens`: the estimate. */
  constructor(promptTokens: number, requestBytes: number) {
    this.#promptTokens = promptTokens
    this.#requestBytes = requestBytes
  }

  /** What the log holds of earlier attempts. */
  replay(records: readonly Bytes[]): void {
    let isContinued = false
    for (const record of records) {
      const kind = kindOf(record)
      if (kind === 'attempt') {
        this.nextAttempt()
        isContinued = attemptOf(record)?.mode === 'continue'
      } else if (kind === 'chunk') this.see(payloadOf(record))
      // Where an answer was continued, it is of all attempts
      else if (kind === 'usage' && !isContinued) this.see(payloadOf(record))
    }
    this.nextAttempt()
  }

  /** An attempt without any output costs nothing: the upstream refused it, or was never reached. */
  nextAttempt(): void {
    if (this.#bytes > 0) this.#earlier = this.usage()
    this.#seen = 0
    this.#last = null
    this.#bytes = 0
    this.#reported = null
    this.#seenThen = 0
    this.shown = false
    this.first = NO_CHUNK
  }

  /** Looks at one chunk: `usage` is nothing but the upstream's usage, `opening` comes before anything is shown. */
  see(chunk: Bytes): 'usage' | 'opening' | 'chunk' {
    this.#bytes += chunk.length
    const reports = hasUsage(chunk)
    if (this.shown && !reports) {
      this.#token(chunk)
      return 'chunk'
    }
    const parsed = JSON.parse(toText(chunk)) as JsonObject
    const { choices } = parsed
    const usage = usageOf(parsed)
    const isReport = reports && this.#report(usage)
    const isAlone = !Array.isArray(choices) || choices.length === 0 || (this.shown && isOpening(parsed))
    if (usage !== null && isAlone) return 'usage'
    if (!this.shown) {
      if (isOpening(parsed)) return 'opening'
      this.shown = chunkShows(parsed)
      if (this.shown)
        this.first = {
          reported: isReport ? this.#reported!.completionTokens : null,
          isOutput: chunkShowsOutput(parsed),
        }
    }
    if (this.shown) this.#token(chunk)
    // Its own text is in its report
    if (isReport) this.#seenThen = this.#seen
    return 'chunk'
  }

  /** The whole answer, with the `usage` that it names. `isText`: an embedding has no output tokens. */
  seeDocument(document: Bytes, usage: unknown, isText: boolean): void {
    this.#bytes += document.length
    this.#report(usage)
    const tokens = this.#reported?.completionTokens || (isText ? tokensIn(document) : 0)
    this.tokens += tokens
    this.#seen += tokens
    this.#seenThen = this.#seen
    this.shown = true
  }

  /** Of media, which are counted in no tokens here. */
  seeBytes(count: number): void {
    this.#bytes += count
  }

  #token(chunk: Bytes): void {
    this.tokens++
    this.#seen++
    this.#last = chunk
  }

  #report(usage: unknown): boolean {
    const seen = { requestBytes: this.#requestBytes, bytes: this.#bytes, promptTokens: this.#promptTokens }
    const report = reported(usage, seen)
    if (report === null) return false
    this.#reported = report
    this.#seenThen = this.#seen
    return true
  }

  /** The part of `tokens` that came in this attempt. */
  get attemptTokens(): number {
    return this.#seen
  }

  /** With text, of this attempt. */
  get chunks(): number {
    return this.#text()
  }

  /** The same, of all attempts. */
  get allChunks(): number {
    return this.tokens - this.#seen + this.#text()
  }

  /** Of the attempts before this one; null: nothing came of them. */
  get earlier(): Usage | null {
    return this.#earlier
  }

  /** The upstream refused, or was never reached: if nothing came of it, it costs nothing. */
  refused(): void {
    this.#isFree = this.#bytes === 0
  }

  /** Of this attempt: what the provider reported, else what was seen. */
  attemptUsage(): Usage {
    if (this.#isFree) return NOTHING
    const report = this.#reported
    if (report === null) return { promptTokens: this.#promptTokens, completionTokens: this.#text(), estimated: true }
    // A report that more text came after (the call was broken off), or that tells of none, is a lower bound
    const told = report.completionTokens === 0 ? 0 : this.#seenThen
    if (this.#seen <= told || this.#text() <= told) return report
    return { ...report, completionTokens: Math.max(report.completionTokens, this.#text()), estimated: true }
  }

  /** Chunks with text, as tokens. */
  #text(): number {
    return this.#last !== null && isBare(this.#last) ? this.#seen - 1 : this.#seen
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
  const all: { -readonly [kind in Kind]?: number } = {}
  for (const kind of KINDS)
    if (a[kind] !== undefined || b[kind] !== undefined) all[kind] = (a[kind] ?? 0) + (b[kind] ?? 0)
  return {
    promptTokens: a.promptTokens + b.promptTokens,
    completionTokens: a.completionTokens + b.completionTokens,
    ...all,
    estimated: a.estimated || b.estimated,
  }
}

type Kind = Exclude<keyof Usage, 'promptTokens' | 'completionTokens' | 'estimated'>
const KINDS = [
  'cachedTokens',
  'cacheWriteTokens',
  'audioPromptTokens',
  'reasoningTokens',
  'audioCompletionTokens',
] as const satisfies readonly Kind[]
