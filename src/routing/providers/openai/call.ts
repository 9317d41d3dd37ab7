/** One call of an OpenAI-dialect upstream: from its response to events and exactly one end. */
import { isUtf8 } from 'node:buffer'
import type { Clock } from '../../../core/clock.ts'
import type { ProviderCall, ProviderEnd, ProviderRun, ProviderSink } from '../../../core/ports.ts'
import { type Bytes, toBytes, toText } from '../../../core/record.ts'
import type { Exchange, HttpClient, HttpFailure, HttpHandler, HttpRequest, ResponseHead } from '../http/client.ts'
import type { Swept } from '../http/sweep.ts'
import { failed, failedInBand, failedStatus, failedTransport } from './failures.ts'
import { Shapes } from './shape.ts'
import { SseReader } from './sse.ts'
import { chunksOf } from './whole.ts'

export interface CallOptions {
  readonly client: HttpClient
  readonly clock: Clock
  /** To be kept out of messages. */
  readonly secret: string | null
  readonly maxAnswerBytes: number
  readonly maxEventBytes: number
}

const MAX_ERROR_BYTES = 64 * 1024
const MAX_CHOICES = 1_024
/** An answer that still comes after this is one that trickles. */
const TRICKLES_AFTER_MS = 40

type Mode =
  | 'waiting'
  /** The status is 200; the first byte tells a stream from a document. */
  | 'sniffing'
  | 'stream'
  | 'document'
  | 'error'

export class Call implements HttpHandler, ProviderRun, Swept {
  readonly #options: CallOptions
  readonly #call: ProviderCall
  readonly #sink: ProviderSink
  readonly #sse: SseReader
  readonly #shapes = new Shapes()
  readonly #startedAtMs: number
  #exchange: Exchange | null = null
  #mode: Mode = 'waiting'
  #head: ResponseHead | null = null
  /** A document's or an error's body. */
  #text = ''
  /** What one read brought. */
  #batch: Bytes[] = []
  #answerBytes = 0
  #seenEvent = false
  #lastEventAtMs = 0
  #firstEventAtMs = 0
  /** Index of each choice seen: has it a finish reason? */
  readonly #choices = new Map<number, boolean>()
  #paused = false
  #over = false

  constructor(options: CallOptions, call: ProviderCall, sink: ProviderSink) {
    this.#options = options
    this.#call = call
    this.#sink = sink
    this.#startedAtMs = options.clock.monoMs()
    this.#sse = new SseReader(options.maxEventBytes, (payload) => this.#payload(payload))
  }

  send(request: HttpRequest) {
    this.#options.client.sweep.add(this)
    this.#exchange = this.#options.client.request(request, this)
  }

  /** It could not even be sent. Told later in this turn, as `start` must return first. */
  refuse(end: ProviderEnd) {
    queueMicrotask(() => this.#finish(end))
  }

  // ---- from the worker

  abort() {
    if (this.#over) return
    this.#close()
    queueMicrotask(() => this.#sink.end({ kind: 'aborted' }))
  }

  pause() {
    this.#paused = true
    this.#exchange?.pause()
  }

  resume() {
    this.#paused = false
    // The wait was ours
    this.#lastEventAtMs = this.#options.clock.monoMs()
    this.#exchange?.resume()
  }

  sweep(nowMs: number) {
    const { ttftMs, interTokenMs, totalMs } = this.#call.timeouts
    const sinceStart = nowMs - this.#startedAtMs
    if (sinceStart >= totalMs) this.#timeOut(`the answer took more than ${totalMs} ms`)
    else if (this.#paused) return
    else if (!this.#seenEvent && sinceStart >= ttftMs) this.#timeOut(`nothing came for ${ttftMs} ms`)
    else if (this.#seenEvent && nowMs - this.#lastEventAtMs >= interTokenMs)
      this.#timeOut(`nothing more came for ${interTokenMs} ms`)
  }

  #timeOut(what: string) {
    this.#finish(failed('provider_timeout', true, { message: `The model provider did not answer in time: ${what}.` }))
  }

  // ---- from the upstream

  head(head: ResponseHead) {
    this.#head = head
    this.#mode = head.status === 200 ? (this.#call.kind === 'chat' ? 'sniffing' : 'document') : 'error'
  }

  body(text: Bytes) {
    switch (this.#mode) {
      case 'stream':
        this.#feed(text)
        return
      case 'sniffing':
        return this.#sniff(text)
      case 'error':
        this.#text += text
        // Enough to say what is wrong
        if (this.#text.length > MAX_ERROR_BYTES) this.#finish(this.#failedStatus())
        return
      default:
        this.#text += text
        if (this.#text.length > this.#options.maxAnswerBytes) this.#finish(failed('result_too_large', false))
    }
  }

  /** A stream never begins with "{", a document always does; what content-type says is not reliable. */
  #sniff(text: Bytes) {
    this.#text += text
    const first = /[^\s\xef\xbb\xbf]/.exec(this.#text)?.[0]
    if (first === undefined) {
      if (this.#text.length > MAX_ERROR_BYTES) this.#garbage('nothing but white space')
      return
    }
    if (first === '<') return this.#garbage('it is a web page')
    if (first === '{') {
      this.#mode = 'document'
      return
    }
    this.#mode = 'stream'
    const all = this.#text
    this.#text = ''
    this.#feed(all)
  }

  #feed(text: Bytes) {
    this.#sse.feed(text)
    if (this.#sse.overflow) this.#garbage(`an event of more than ${this.#options.maxEventBytes} bytes`)
  }

  readDone() {
    if (this.#batch.length === 0) return
    this.#lastEventAtMs = this.#options.clock.monoMs()
    this.#seenEvent = true
    // The first text is never held back, nor is an answer that comes all at once: gathering is for those that trickle
    if (this.#firstEventAtMs === 0) this.#firstEventAtMs = this.#lastEventAtMs
    else if (this.#lastEventAtMs - this.#firstEventAtMs >= TRICKLES_AFTER_MS) this.#exchange!.gathers = true
    this.#flush()
  }

  #flush() {
    if (this.#batch.length === 0) return
    const batch = this.#batch
    this.#batch = []
    this.#sink.events(batch)
  }

  end() {
    switch (this.#mode) {
      case 'error':
        return this.#finish(this.#failedStatus())
      case 'document':
        return this.#call.kind === 'chat' ? this.#endCompletion() : this.#endEmbedding()
      default:
        this.#sse.end()
        return this.#endStream()
    }
  }

  fail(failure: HttpFailure) {
    this.#finish(this.#mode === 'error' ? this.#failedStatus() : failedTransport(failure))
  }

  // ---- a stream

  #payload(payload: Bytes) {
    if (this.#over) return
    if (payload.charCodeAt(0) === 91 && payload.trim() === '[DONE]') return this.#done()
    this.#answerBytes += payload.length
    if (this.#answerBytes > this.#options.maxAnswerBytes) return this.#finish(failed('result_too_large', false))
    if (this.#shapes.matches(payload)) this.#batch.push(payload)
    else this.#look(payload)
  }

  /** A payload unlike those before it. */
  #look(payload: Bytes) {
    const chunk = parseObject(payload)
    if (chunk === null) return this.#garbage('an event that is not a JSON object')
    if (chunk['error'] !== undefined && chunk['error'] !== null)
      return this.#finish(failedInBand(parseObject(toText(payload))?.['error'], this.#options.secret))
    const line = mend(payload)
    const parts = chunk['choices']
    if (!Array.isArray(parts)) {
      // Between chunks an upstream may say what it likes, but it has to begin with one
      if (this.#choices.size === 0 && this.#batch.length === 0 && !this.#seenEvent)
        return this.#garbage('its first event is no chat.completion.chunk')
    } else if (this.#noteChoices(parts) && (chunk['usage'] ?? null) === null) this.#shapes.learn(line)
    if (this.#choices.size > MAX_CHOICES) return this.#garbage('too many choices')
    this.#batch.push(line)
  }

  /** Whether these parts say nothing of an end. */
  #noteChoices(parts: readonly unknown[]): boolean {
    let isOrdinary = true
    for (const part of parts) {
      if (typeof part !== 'object' || part === null) continue
      const { index, finish_reason: finish } = part as { index?: unknown; finish_reason?: unknown }
      const at = typeof index === 'number' ? index : 0
      const finished = finish !== undefined && finish !== null
      if (finished) isOrdinary = false
      this.#choices.set(at, finished || this.#choices.get(at) === true)
    }
    return isOrdinary
  }

  #done() {
    if (!this.#seenEvent && this.#batch.length === 0) return this.#garbage('an empty answer')
    // What follows is dropped, but read, so that the connection can serve the next call
    this.#exchange!.drain()
    this.#finish({ kind: 'done' })
  }

  /** The body ended in good order, without [DONE]: some upstreams never say it. */
  #endStream() {
    if (this.#over) return
    const finished = this.#choices.size > 0 && ![...this.#choices.values()].includes(false)
    this.#finish(finished ? { kind: 'done' } : failed('provider_cut', true))
  }

  // ---- a document

  #endCompletion() {
    const completion = parseObject(this.#text)
    if (completion === null) return this.#garbage('neither a stream nor JSON')
    if (completion['error'] !== undefined && completion['error'] !== null)
      return this.#finish(failedInBand(parseObject(toText(this.#text))?.['error'], this.#options.secret))
    const chunks = chunksOf(completion)
    if (chunks === null) return this.#garbage('JSON that is no chat.completion')
    this.#batch.push(...chunks.map(mend))
    this.#finish({ kind: 'done' })
  }

  #endEmbedding() {
    const answer = parseObject(this.#text)
    if (answer === null) return this.#garbage('it is not JSON')
    if (answer['error'] !== undefined && answer['error'] !== null)
      return this.#finish(failedInBand(parseObject(toText(this.#text))?.['error'], this.#options.secret))
    if (!Array.isArray(answer['data'])) return this.#garbage('JSON that holds no embeddings')
    this.#batch.push(mend(this.#text.trim()))
    this.#finish({ kind: 'done' })
  }

  // ---- the end

  #failedStatus(): ProviderEnd {
    return failedStatus(this.#head!, this.#text, this.#options.secret, this.#options.clock)
  }

  #garbage(what: string) {
    this.#finish(
      failed('provider_garbage', true, {
        message: `The model provider sent something that is not an answer: ${what}.`,
      }),
    )
  }

  /** What came before the end is delivered before it. */
  #finish(end: ProviderEnd) {
    if (this.#over) return
    this.#flush()
    // The sink may have aborted
    if (this.#over) return
    this.#close(end.kind === 'done')
    this.#sink.end(end)
  }

  #close(isDone = false) {
    this.#over = true
    this.#options.client.sweep.delete(this)
    if (!isDone) this.#exchange?.abort()
  }
}

function parseObject(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text.startsWith('\xef\xbb\xbf') ? text.slice(3) : text)
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : null
  } catch {
    return null
  }
}

/**
 * A record is one line of valid UTF-8. Line ends in valid JSON are white space; bytes that are no UTF-8, which some
 * engines send for half a character, become U+FFFD.
 */
function mend(payload: Bytes): Bytes {
  const line = /[\r\n]/.test(payload) ? payload.replace(/[\r\n]+/g, ' ') : payload
  return isUtf8(Buffer.from(line, 'latin1')) ? line : toBytes(toText(line))
}
