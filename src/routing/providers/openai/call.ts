import { MAX_CHAT_ITEMS, MAX_CHAT_RECORD_BYTES, MAX_ITEMS } from '../../../core/answer-limits.ts'
import type { Clock } from '../../../core/clock.ts'
import { chunkOf, parseDocument } from '../../../core/document.ts'
import type { ProviderCall, ProviderEnd, ProviderRun, ProviderSink } from '../../../core/ports/provider.ts'
import { type Bytes, toBytes, toText } from '../../../core/record.ts'
import type { Exchange, HttpClient, HttpFailure, HttpHandler, HttpRequest, ResponseHead } from '../http/client.ts'
import type { Swept } from '../http/sweep.ts'
import { AnswerState, type Ending } from './answer-state.ts'
import { readDocument } from './documents.ts'
import { readableError } from './error-in.ts'
import {
  blames,
  type Failed,
  failed,
  failedInBand,
  failedStatus,
  failedTransport,
  tooMuch,
  unreadable,
} from './failures.ts'
import { JsonScan, objectIn, parseJson } from './json.ts'
import { limitsOf } from './limits.ts'
import { hasMessage, isDone, toLine, toUtf8 } from './payloads.ts'
import { Shapes } from './shape.ts'
import { SseReader } from './sse.ts'

export interface CallOptions {
  readonly client: HttpClient
  readonly clock: Clock
  /** To be kept out of messages. */
  readonly secret: string | null
  readonly maxAnswerBytes: number
}

/** How the upstream is asked. */
export interface Asked {
  readonly request: HttpRequest
  readonly stream: boolean
  /** The request's `n`, or the number of its inputs. */
  readonly choices: number
  /** Makes an event, or a document, one of the canonical dialect. Absent: they are. */
  readonly asChat?: (payload: Bytes, isDocument: boolean) => Bytes
  /** The same without what a refusal blames; null: there is nothing to leave out. */
  readonly without: (what: 'stream_options' | 'stream') => Asked | null
}

const MAX_ERROR_BYTES = 64 * 1024
const LARGE = 1024 * 1024
/** What an upstream may send to keep a connection alive until it has a document. */
const MAX_WHITE_SPACE = 1024 * 1024
/** An answer that still comes after this is one that trickles. */
const TRICKLES_AFTER_MS = 40
/**
 * How long a finished answer waits for usage and [DONE], or a closed document for the end of its body. An upstream
 * writes both right after the last reason; the rest is room for a slow network. A reader sees the end of its stream
 * that much later only if they never come.
 */
const FINISH_GRACE_MS = 2_000

type Mode =
  | 'waiting'
  /** The status is good; the first byte distinguishes a stream from a document. */
  | 'sniffing'
  | 'stream'
  | 'document'
  | 'error'

export class Call implements HttpHandler, ProviderRun, Swept {
  readonly #options: CallOptions
  readonly #call: ProviderCall
  readonly #sink: ProviderSink
  /** Of a stream, once it is one. */
  #sse: SseReader | null = null
  #shapes: Shapes | null = null
  readonly #startedMono: number
  sweepPlace = -1
  #asked: Asked | null = null
  #hasRepeated = false
  #state!: AnswerState
  #exchange: Exchange | null = null
  /** Of the first request, where it is asked in another way. */
  #sentMono: number | null = null
  #mode: Mode = 'waiting'
  #head: ResponseHead | null = null
  /** A document's or an error's body. */
  #text = ''
  /** Of a document. */
  #scan: JsonScan | null = null
  /** What one read brought. */
  #batch: Bytes[] = []
  #isBatchLarge = false
  #answerBytes = 0
  #firstEventMono = 0
  #lastEventMono = 0
  /** When every choice had its reason, or the document was closed; null = not yet. Later data extends no wait. */
  #finishedMono: number | null = null
  #paused = false
  #over = false

  constructor(options: CallOptions, call: ProviderCall, sink: ProviderSink) {
    this.#options = options
    this.#call = call
    this.#sink = sink
    this.#startedMono = options.clock.monoMs()
  }

  get #maxRecordBytes(): number {
    const { maxAnswerBytes } = this.#options
    return this.#call.kind === 'chat' ? Math.min(MAX_CHAT_RECORD_BYTES, maxAnswerBytes) : maxAnswerBytes
  }

  /** A document, or one event. */
  #tooLarge(): Failed {
    if (this.#maxRecordBytes !== MAX_CHAT_RECORD_BYTES) return failed('result_too_large', false)
    const limit = `${MAX_CHAT_RECORD_BYTES >> 20} MiB (a fixed limit)`
    const message = `One event or document of the answer is larger than ${limit}.`
    return failed('result_too_large', false, { message })
  }

  send(asked: Asked) {
    this.#options.client.sweep.add(this)
    this.#ask(asked)
  }

  #ask(asked: Asked) {
    this.#asked = asked
    this.#state = new AnswerState(asked.choices)
    this.#mode = 'waiting'
    this.#text = ''
    this.#sse = null
    this.#shapes = null
    this.#scan = null
    this.#finishedMono = null
    this.#sentMono = this.sentMono
    this.#exchange = this.#options.client.request(asked.request, this)
    if (this.#paused) this.#exchange.pause()
  }

  /** It could not even be sent. Reported later in this turn, as `start` must return first. */
  refuse(end: ProviderEnd) {
    queueMicrotask(() => this.#finish(end))
  }

  // ---- from the worker

  get sentMono(): number | null {
    return this.#sentMono ?? this.#exchange?.sentMono ?? null
  }

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
    this.#lastEventMono = this.#options.clock.monoMs()
    if (this.#finishedMono !== null) this.#finishedMono = this.#lastEventMono
    this.#exchange?.resume()
  }

  sweep(nowMono: number) {
    const { ttftMs, interTokenMs, totalMs } = this.#call.timeouts
    const sinceStart = nowMono - this.#startedMono
    const sinceEvent = nowMono - this.#lastEventMono
    const { phase } = this.#state
    const graceMs = this.#graceMs
    const isTime = sinceStart >= totalMs
    if (!isTime && this.#paused) return
    // What is whole needs no good end
    if (graceMs !== null) {
      if (isTime || nowMono - this.#finishedMono! >= graceMs) this.#endQuietly()
    } else if (isTime) {
      // Where it was too slow once it is not tried again
      this.#timeOut(`the answer took more than ${totalMs} ms`, 'elsewhere')
    } else if (phase === 'shown') {
      if (sinceEvent >= interTokenMs) this.#timeOut(`nothing more came for ${interTokenMs} ms`, true)
    } else if (this.#isStream && sinceStart >= ttftMs) this.#timeOut(`nothing came for ${ttftMs} ms`, 'elsewhere')
  }

  /** How long what is whole (an answer, a document, an error's status) waits for its end; null: it is not whole. */
  get #graceMs(): number | null {
    if (this.#finishedMono === null) return null
    const { interTokenMs } = this.#call.timeouts
    return this.#mode === 'stream' && !this.#state.isCertain ? interTokenMs : Math.min(FINISH_GRACE_MS, interTokenMs)
  }

  #endQuietly() {
    if (this.#mode === 'stream') this.#endStream('silence')
    else this.end()
  }

  /** A document is bounded by the total alone: nothing is heard of it before it is complete. */
  get #isStream(): boolean {
    return this.#mode === 'stream' || (this.#asked?.stream === true && this.#mode !== 'document')
  }

  #timeOut(what: string, retry: Failed['retry']) {
    this.#finish(failed('provider_timeout', retry, { message: `The model provider did not answer in time: ${what}.` }))
  }

  // ---- from the upstream

  head(head: ResponseHead) {
    this.#head = head
    const isGood = head.status >= 200 && head.status < 300
    this.#mode = !isGood ? 'error' : this.#call.kind === 'chat' ? 'sniffing' : 'document'
    if (head.coding !== undefined) return this.#finish(isGood ? unreadable(head.coding) : this.#failedStatus())
    if (!isGood) this.#finishedMono = this.#options.clock.monoMs()
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
        // Enough to tell what is wrong
        if (this.#text.length > MAX_ERROR_BYTES) this.#finish(this.#failedStatus())
        return
      default:
        this.#document(text)
    }
  }

  #document(text: Bytes) {
    this.#text += text
    if (this.#text.length > this.#maxRecordBytes) return this.#finish(this.#tooLarge())
    this.#scan ??= new JsonScan(this.#call.kind === 'chat' ? MAX_CHAT_ITEMS : MAX_ITEMS)
    const { excess, closed } = this.#scan.feed(text)
    if (excess !== null) return this.#finish(tooMuch(excess, 'elsewhere'))
    if (!closed) this.#finishedMono = null
    else if (this.#finishedMono === null) this.#finishedMono = this.#options.clock.monoMs()
  }

  /** A stream never begins with "{", a document always does; its content-type is not reliable. */
  #sniff(text: Bytes) {
    this.#text += text
    // All before is white space
    const first = /[^\s\xef\xbb\xbf]/.exec(text)?.[0]
    if (first === undefined) {
      if (this.#text.length > MAX_WHITE_SPACE) this.#garbage('nothing but white space')
      return
    }
    if (first === '<') return this.#garbage('it is a web page')
    if (first === '{' || first === '[') {
      this.#mode = 'document'
      const begun = this.#text
      this.#text = ''
      return this.#document(begun)
    }
    this.#mode = 'stream'
    this.#shapes = new Shapes()
    // An event may be as large as an answer: an image is one. What follows a refusal is not the next answer's
    const sse = new SseReader(this.#maxRecordBytes, (payload, isError) => {
      if (this.#sse === sse) this.#payload(payload, isError)
    })
    this.#sse = sse
    const all = this.#text
    this.#text = ''
    this.#feed(all)
  }

  #feed(text: Bytes) {
    const sse = this.#sse!
    sse.feed(text)
    if (sse.overflow) this.#finish(this.#tooLarge())
  }

  readDone() {
    if (this.#batch.length === 0) return
    this.#lastEventMono = this.#options.clock.monoMs()
    if (this.#state.phase !== 'finished') this.#finishedMono = null
    else if (this.#finishedMono === null) this.#finishedMono = this.#lastEventMono
    // The first text is never held back, nor is an answer that comes all at once: gathering is for those that trickle
    if (this.#firstEventMono === 0) this.#firstEventMono = this.#lastEventMono
    else if (this.#lastEventMono - this.#firstEventMono >= TRICKLES_AFTER_MS) this.#exchange!.gathers = true
    if (this.#isBatchLarge) this.#afterWork(() => this.#flush())
    else this.#flush()
  }

  #flush() {
    if (this.#batch.length === 0) return
    const batch = this.#batch
    this.#batch = []
    this.#isBatchLarge = false
    this.#sink.events(batch)
  }

  end() {
    switch (this.#mode) {
      case 'error':
        return this.#refused(this.#failedStatus(), this.#text)
      case 'document':
        return this.#endDocument()
      default:
        this.#sse?.end()
        return this.#endStream('end')
    }
  }

  fail(failure: HttpFailure) {
    if (this.#mode === 'error') return this.#finish(this.#failedStatus())
    // A finished answer needs nothing more
    if (this.#mode === 'document' && this.#scan?.closed === true) return this.#endDocument()
    if (this.#mode === 'stream' && this.#state.end('break') === 'well') return this.#finish({ kind: 'done' })
    this.#finish(failedTransport(failure))
  }

  // ---- a stream

  #payload(sent: Bytes, isError: boolean) {
    if (this.#over) return
    const payload = this.#asked?.asChat?.(sent, false) ?? sent
    this.#answerBytes += payload.length
    if (this.#answerBytes > this.#options.maxAnswerBytes) return this.#finish(failed('result_too_large', false))
    if (isError) return this.#finishInBand(parseJson(toText(payload)) ?? toText(payload), payload)
    if (this.#state.isPlain && this.#shapes!.matches(payload)) this.#batch.push(payload)
    else this.#look(payload)
  }

  /** A payload unlike those before it. */
  #look(payload: Bytes) {
    if (isDone(payload)) return this.#done()
    const parsed = parseJson(payload, (excess) => this.#finish(tooMuch(excess, 'elsewhere')))
    const chunk = objectIn(parsed)
    if (chunk === null) return this.#garbage('an event that is not a JSON object')
    const whole = hasMessage(chunk) ? chunkOf(parseDocument(payload), (index) => this.#state.isTold(index)) : null
    const seen = this.#state.see(whole ?? chunk, whole !== null)
    if (seen.kind === 'error')
      return this.#finishInBand(readableError(payload, seen.error, this.#answerMember), payload)
    if (seen.kind === 'excess') return this.#finish(tooMuch(`it has more than ${seen.what}`))
    if (parsed !== chunk) return this.#garbage('a list of events')
    const line = whole === null ? toLine(payload, chunk) : toBytes(JSON.stringify(whole))
    if (seen.kind === 'ordinary') this.#shapes!.learn(line)
    if (line.length > LARGE) this.#isBatchLarge = true
    this.#batch.push(line)
  }

  #done() {
    if (this.#state.end('told') !== 'well') return this.#endStream('told')
    // What follows is dropped, but read, so that the connection can serve the next call
    this.#exchange!.drain()
    this.#finish({ kind: 'done' })
  }

  #endStream(ending: Ending) {
    if (this.#over) return
    const verdict = this.#state.end(ending)
    if (verdict === 'well') this.#finish({ kind: 'done' })
    else if (verdict === 'empty') this.#garbage('an empty answer')
    else this.#finish(failed('provider_cut', true))
  }

  // ---- a document

  #endDocument() {
    if (this.#over) return
    const { kind } = this.#call
    this.#text = this.#asked?.asChat?.(this.#text, true) ?? this.#text
    const read = readDocument(this.#text, {
      kind,
      choices: this.#asked!.choices,
      state: this.#state,
      secret: this.#options.secret,
    })
    if (read === null && this.#isCutShort) return this.#finish(failed('provider_cut', true))
    if (read === null) return this.#garbage(kind === 'chat' ? 'neither a stream nor JSON' : 'it is not JSON')
    if (read.kind === 'error') return this.#finishInBand(read.error, this.#text)
    if (read.kind === 'garbage') return this.#garbage(read.what)
    if (read.kind === 'failed') return this.#finish(read)
    const { usage } = read
    const text = this.#text
    const tell = (): void => {
      this.#sink.document(toUtf8(text), usage)
      this.#tell({ kind: 'done' })
    }
    this.#close()
    if (text.length > LARGE) this.#afterWork(tell)
    else tell()
  }

  /** A body that lasts until the connection ends, in the middle of a JSON object: nothing else tells of a cut. */
  get #isCutShort(): boolean {
    const { headers } = this.#head!
    const isFramed = headers.has('content-length') || headers.has('transfer-encoding')
    return !isFramed && this.#scan?.closed === false && /^\s*\{/.test(this.#text)
  }

  /** What an answer has, and an error has not. */
  get #answerMember(): 'choices' | 'data' {
    return this.#call.kind === 'chat' ? 'choices' : 'data'
  }

  // ---- the end

  #failedStatus(): Failed {
    return failedStatus(this.#head!, this.#text, this.#options.secret, this.#options.clock)
  }

  #finishInBand(error: unknown, text: Bytes) {
    this.#refused(failedInBand(error, this.#options.secret), text)
  }

  /** A refusal that blames the way we asked is no answer yet: it is asked once more, the other way. */
  #refused(end: Failed, text: Bytes) {
    const blamed = this.#hasRepeated || this.#state.phase === 'shown' || !isRefusal(end) ? null : blames(text)
    const other = blamed === null ? null : (this.#asked?.without(blamed) ?? null)
    if (other === null || this.#over) return this.#finish(end)
    this.#hasRepeated = true
    this.#batch = []
    this.#isBatchLarge = false
    this.#exchange?.drain()
    this.#ask(other)
  }

  #garbage(what: string) {
    // A finished answer needs nothing more
    if (this.#mode === 'stream' && this.#state.end('break') === 'well') return this.#finish({ kind: 'done' })
    this.#finish(
      failed('provider_garbage', true, {
        message: `The model provider sent something that is not an answer: ${what}.`,
      }),
    )
  }

  /** What came before the end is delivered before it. */
  #finish(end: ProviderEnd) {
    if (this.#over) return
    if (this.#isBatchLarge) {
      this.#close()
      return this.#afterWork(() => {
        this.#flush()
        this.#tell(end)
      })
    }
    this.#flush()
    // The sink may have aborted
    if (this.#over) return
    this.#close()
    this.#tell(end)
  }

  #tell(end: ProviderEnd) {
    const limits = this.#head === null ? undefined : limitsOf(this.#head.headers)
    this.#sink.end(limits === undefined || end.kind === 'aborted' ? end : { ...end, limits })
  }

  /** To read a large event or document is work enough for this turn of the event loop. */
  #afterWork(fn: () => void) {
    const { clock } = this.#options
    // What is due soon still belongs to this turn
    clock.soon(() => clock.soon(fn))
  }

  #close() {
    this.#over = true
    this.#options.client.sweep.delete(this)
    if (this.#exchange?.drains === false) this.#exchange.abort()
  }
}

/** Refused for good, or for our credentials: OpenAI refuses streams to organisations that it has not verified. */
const isRefusal = ({ error }: Failed): boolean => error.code === 'provider_rejected' || error.code === 'provider_auth'
