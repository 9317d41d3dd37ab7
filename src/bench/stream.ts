/**
 * One answer, measured as its reader sees it, by the rules of core/measure.ts. Bytes are stamped when they leave the
 * socket, and parsed here, later; an event counts from the read that completed it. test/golden-streams has what it must
 * find. What isn't chat completions is put into their words first (apis.ts).
 */
import { chunkShows, chunkShowsOutput, isReasoning, reasonOf, textBytes, textChars, usageOf } from '../core/delta.ts'
import { BYTES_PER_TOKEN } from '../core/estimate.ts'
import { choiceIndex, isObject, type Json, type JsonObject } from '../core/fold.ts'
import { type AnswerMarks, msPerCharOf, openingOf } from '../core/measure.ts'
import { documentOf, eventReader, type ReadEvent } from './apis.ts'
import { engineTimings } from './engine-timings.ts'
import type { ServerTimings, TokenSource } from './record.ts'
import type { Api } from './run.ts'
import { joined, partsOfTiming, readServerTiming } from './server-timing.ts'
import { SseLines } from './sse.ts'

export interface StreamMarks extends AnswerMarks {
  readonly tokenSource: TokenSource
  /** Did the first chunk tell how many tokens it brought? */
  readonly isFirstExact: boolean
  /** By the usage; null: not told. */
  readonly promptTokens: number | null
  readonly cachedTokens: number | null
  readonly reasoningTokens: number | null
  /** Events that brought a token. */
  readonly chunks: number
  /** Code points of all text: reasoning, content, refusals, arguments of calls. */
  readonly chars: number
  /** Of the first chunk with a token. */
  readonly firstChars: number
  readonly msPerChar: number | null
  /** The longest gap between two chunks with a token; null: there were not two. */
  readonly stallMaxMs: number | null
  readonly choices: number
  /** Every choice has a finish reason, and no error came. */
  readonly isComplete: boolean
  readonly error: StreamError | null
  /** Of the last one. */
  readonly finishReason: string | null
  /** Of the server that answered, where it tells; null: it doesn't. */
  readonly attempt: number | null
  /** What the server told of its own times: in its header, in a comment at the end, in the last event. */
  readonly server: ServerTimings | null
}

export interface StreamError {
  readonly code: string
  readonly message: string
}

const MAX_MESSAGE = 300
const SERVER_TIMING = 'server-timing'

export class StreamMeasure {
  readonly #scheduledMono: number
  readonly #sentMono: number
  readonly #decoder = new TextDecoder()
  readonly #lines: SseLines
  /** Of the read that is being parsed. */
  #atMono: number
  #firstByteMono: number | null = null
  #firstTokenMono: number | null = null
  #firstOutputMono: number | null = null
  #lastTokenMono: number | null = null
  #endMono: number | null = null
  #stallMaxMs: number | null = null
  #chunks = 0
  #chars = 0
  #bytes = 0
  /** Of the read of the first token; and of those the ones after the last usage. */
  #firstChunks = 0
  #reportedAfter = 0
  #firstChars = 0
  #firstReported: number | null = null
  #isReasoningShown = false
  #usage: JsonObject | null = null
  readonly #choices = new Set<number>()
  readonly #ended = new Set<number>()
  #error: StreamError | null = null
  #server: ServerTimings = {}
  #finishReason: string | null = null
  #attempt: number | null = null
  #isUnreadable = false
  readonly #api: Api
  readonly #read: ReadEvent

  /** `scheduledMono`: when it was to be sent. */
  constructor(sentMono: number, scheduledMono = sentMono, api: Api = 'chat') {
    this.#api = api
    this.#read = eventReader(api)
    this.#sentMono = sentMono
    this.#scheduledMono = scheduledMono
    this.#atMono = sentMono
    this.#lines = new SseLines({
      event: (data, name) => this.event(data, name, this.#atMono),
      comment: (text) => {
        if (text.startsWith(SERVER_TIMING)) this.serverTiming(text.slice(SERVER_TIMING.length + 1))
      },
    })
  }

  /** Bytes of the answer's body, and when they left the socket. */
  feed(bytes: Uint8Array, atMono: number): void {
    if (bytes.length === 0) return
    this.#atMono = atMono
    this.#firstByteMono ??= atMono
    this.#guarded(() => this.#lines.feed(this.#decoder.decode(bytes, { stream: true })))
    if (!this.#lines.overflow) return
    this.#isUnreadable = true
    this.#error ??= { code: 'too_large', message: 'An event is larger than 8 MiB.' }
  }

  /** What follows can't be told apart any more: there is no use in reading on. */
  get isUnreadable(): boolean {
    return this.#isUnreadable
  }

  /** An answer may be anything, as deep as its sender likes: what reading it throws is its fault, not the run's. */
  #guarded(read: () => void): void {
    try {
      read()
    } catch {
      this.#isUnreadable = true
      this.#error ??= { code: 'garbage', message: 'An event can not be read.' }
    }
  }

  /** The body is over. */
  end(atMono: number): void {
    if (this.#endMono !== null) return
    this.#endMono = atMono
    if (this.#isUnreadable) return
    this.#guarded(() => {
      this.#lines.feed(this.#decoder.decode())
      this.#lines.end()
    })
  }

  /** The connection broke, or never was. */
  fail(code: string, message: string, atMono: number): void {
    this.#error ??= { code, message: message.slice(0, MAX_MESSAGE) }
    this.end(atMono)
  }

  /** The answer's head, or a frame of it: its first byte. */
  began(atMono: number): void {
    this.#firstByteMono ??= atMono
    this.#atMono = atMono
  }

  /** Value of the header `server-timing`, or of a comment: what it tells is added to what was told before. */
  serverTiming(text: string): void {
    this.#guarded(() => {
      this.#server = joined(this.#server, readServerTiming(text))
    })
  }

  /** All of an answer that did not stream: it has an end, but no first token. */
  document(text: string, atMono: number): void {
    this.began(atMono)
    this.#guarded(() => this.#document(text, atMono))
  }

  #document(text: string, atMono: number): void {
    let value: unknown
    try {
      value = JSON.parse(text)
    } catch {
      value = null
    }
    if (!isObject(value)) {
      this.#error ??= { code: 'garbage', message: 'The answer is no JSON object.' }
      return
    }
    const chunk = documentOf(this.#api, value)
    this.#error ??= errorIn(chunk, '')
    this.#chunk(chunk, atMono)
    this.#firstTokenMono = this.#firstOutputMono = null
  }

  /** One event, where it doesn't come in a body of such: on a WebSocket. */
  event(data: string, name: string, atMono: number): void {
    this.#firstByteMono ??= atMono
    if (data === '[DONE]') return
    let chunk: unknown
    try {
      chunk = JSON.parse(data)
    } catch {
      this.#error ??= { code: 'garbage', message: 'An event is no JSON.' }
      return
    }
    this.take(chunk as Json, name, atMono)
  }

  /** The same, parsed. */
  take(value: Json, name: string, atMono: number): void {
    this.#guarded(() => this.#take(value, name, atMono))
  }

  #take(value: Json, name: string, atMono: number): void {
    if (!isObject(value)) return
    const told = this.#read(value, name)
    if (told.isReset === true) this.#reset()
    if (told.attempt !== undefined) this.#attempt = told.attempt
    if (told.timing !== undefined) this.#server = joined(this.#server, partsOfTiming(told.timing))
    this.#error ??= errorIn(told.chunk, name)
    this.#chunk(told.chunk, atMono)
  }

  /** Sluice began the answer anew, and told so: what was shown before does not count. */
  #reset(): void {
    this.#firstTokenMono = this.#firstOutputMono = this.#lastTokenMono = this.#stallMaxMs = null
    this.#chunks = this.#chars = this.#bytes = this.#firstChars = this.#firstChunks = this.#reportedAfter = 0
    this.#firstReported = null
    this.#isReasoningShown = false
    this.#choices.clear()
    this.#ended.clear()
  }

  #chunk(chunk: JsonObject, atMono: number): void {
    const usage = usageOf(chunk)
    if (usage !== null) this.#usage = this.#usage === null ? usage : { ...this.#usage, ...told(usage) }
    const engine = engineTimings(chunk)
    if (engine !== null) this.#server = joined(this.#server, { engine })
    const choices = Array.isArray(chunk['choices']) ? chunk['choices'].filter(isObject) : []
    choices.forEach((choice, position) => {
      const index = choiceIndex(choice, position, choices.length)
      this.#choices.add(index)
      const reason = reasonOf(choice)
      if (reason === null) return
      this.#ended.add(index)
      this.#finishReason = reason
    })
    if (!chunkShows(chunk)) return
    const chars = sizeOf(choices, textChars)
    this.#firstTokenMono ??= atMono
    if (this.#firstTokenMono === atMono) {
      this.#firstChunks++
      this.#firstChars += chars
      if (usage !== null) this.#firstReported = countOf(usage['completion_tokens'])
      this.#reportedAfter = usage === null ? this.#reportedAfter + 1 : 0
    }
    if (this.#lastTokenMono !== null) this.#stallMaxMs = Math.max(this.#stallMaxMs ?? 0, atMono - this.#lastTokenMono)
    if (this.#firstOutputMono === null && chunkShowsOutput(chunk)) this.#firstOutputMono = atMono
    this.#isReasoningShown ||= choices.some(({ delta }) => isObject(delta) && reasons(delta))
    this.#lastTokenMono = atMono
    this.#chunks++
    this.#chars += chars
    this.#bytes += sizeOf(choices, textBytes)
  }

  /** As far as it has come. */
  marks(): StreamMarks {
    const usage = this.#usage
    const reported = usage === null ? null : countOf(usage['completion_tokens'])
    const reasoningTokens = detailOf(usage, 'completion_tokens_details', 'reasoning_tokens')
    const isReported = reported !== null && (reported > 0 || this.#chunks === 0)
    // A chunk has a token at least, whatever its length
    const tokens = isReported ? reported : Math.max(this.#chunks, Math.round(this.#bytes / BYTES_PER_TOKEN))
    const { firstTokens, isExact } = openingOf({
      tokens,
      reported: this.#firstReported,
      hidden: this.#isReasoningShown ? 0 : (reasoningTokens ?? 0),
      chunks: this.#chunks,
      firstChunks: this.#firstReported === null ? this.#firstChunks : 1 + this.#reportedAfter,
      share: this.#chars === 0 ? 0 : this.#firstChars / this.#chars,
    })
    const marks: AnswerMarks = {
      scheduledMono: this.#scheduledMono,
      sentMono: this.#sentMono,
      firstByteMono: this.#firstByteMono,
      firstTokenMono: this.#firstTokenMono,
      firstOutputMono: this.#firstOutputMono,
      lastTokenMono: this.#lastTokenMono,
      endMono: this.#endMono ?? this.#atMono,
      tokens,
      firstTokens,
    }
    return {
      ...marks,
      tokenSource: isReported ? 'usage' : 'estimate',
      isFirstExact: isExact,
      promptTokens: usage === null ? null : countOf(usage['prompt_tokens']),
      cachedTokens: detailOf(usage, 'prompt_tokens_details', 'cached_tokens'),
      reasoningTokens,
      chunks: this.#chunks,
      chars: this.#chars,
      firstChars: this.#firstChars,
      msPerChar: msPerCharOf(marks, this.#chars, this.#firstChars),
      stallMaxMs: this.#stallMaxMs,
      choices: this.#choices.size,
      isComplete: this.#error === null && this.#choices.size > 0 && this.#ended.size === this.#choices.size,
      error: this.#error,
      finishReason: this.#finishReason,
      attempt: this.#attempt,
      server: Object.keys(this.#server).length === 0 ? null : this.#server,
    }
  }
}

/** Members that have a value: Anthropic's last usage often leaves the prompt's out. */
const told = (usage: JsonObject): JsonObject =>
  Object.fromEntries(Object.entries(usage).filter(([, value]) => value !== null && value !== undefined))

const reasons = (delta: JsonObject): boolean => Object.keys(delta).some((key) => isReasoning(key) && delta[key])

/** Some upstreams send their reasoning under two names at once: it counts once. */
function sizeOf(choices: readonly JsonObject[], size: (value: Json, key: string, owner: string) => number): number {
  let all = 0
  for (const { delta } of choices) {
    if (!isObject(delta)) continue
    let reasoning = 0
    for (const key of Object.keys(delta)) {
      const found = size(delta[key], key, 'delta')
      if (isReasoning(key)) reasoning = Math.max(reasoning, found)
      else all += found
    }
    all += reasoning
  }
  return all
}

function errorIn(chunk: JsonObject, name: string): StreamError | null {
  const { error, type, object } = chunk
  const isError = name === 'error' || type === 'error' || object === 'error'
  if (!isError && (!error || (isObject(error) && Object.keys(error).length === 0))) return null
  const told = isObject(error) ? error : chunk
  const code = told['code'] ?? told['type']
  const message = typeof error === 'string' ? error : told['message']
  return {
    code: typeof code === 'string' || typeof code === 'number' ? String(code) : 'error',
    message: typeof message === 'string' ? message.slice(0, MAX_MESSAGE) : 'The answer ended with an error.',
  }
}

/** A count as upstreams write it; null: none. */
function countOf(value: unknown): number | null {
  const count = typeof value === 'string' && /^\d{1,15}$/.test(value) ? Number(value) : value
  return typeof count === 'number' && Number.isSafeInteger(count) && count >= 0 ? count : null
}

function detailOf(usage: JsonObject | null, group: string, name: string): number | null {
  const details = usage?.[group]
  return isObject(details) ? countOf(details[name]) : null
}
