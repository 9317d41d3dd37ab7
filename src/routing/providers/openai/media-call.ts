/**
 * One call for an image, a sound, or the text of one: from its response to bytes, a document, and exactly one end. What
 * comes is taken piece by piece, and no image or sound is held.
 */
import { MAX_CHAT_RECORD_BYTES } from '../../../core/answer-limits.ts'
import { isObject, type JsonObject } from '../../../core/fold.ts'
import { memberText } from '../../../core/json.ts'
import { mediaType, TEXT_TYPES, textDocument } from '../../../core/media.ts'
import { inTokens } from '../../../core/media-units.ts'
import type { ProviderCall, ProviderSink } from '../../../core/ports/provider.ts'
import { type Bytes, toBytes, toText } from '../../../core/record.ts'
import type { UpstreamLimits } from '../../../core/upstream-limits.ts'
import type { Exchange, HttpFailure, HttpHandler, HttpRequest, ResponseHead } from '../http/client.ts'
import { RunningCall } from '../http/running-call.ts'
import type { CallOptions } from './call.ts'
import { errorIn } from './error-in.ts'
import { type Failed, failed, failedInBand, failedStatus, failedTransport } from './failures.ts'
import { objectIn, parseJson } from './json.ts'
import { limitsOf } from './limits.ts'
import { PartCutter } from './parts.ts'
import { SseReader } from './sse.ts'
import { transcriptChunks } from './transcript.ts'

const MAX_ERROR_BYTES = 64 * 1024
/** Answers that are texts and no JSON. */
const TEXTS: ReadonlySet<string> = new Set(['text', 'srt', 'vtt'])
const IMAGE_EVENT = /^image_(?:generation|edit)\.(?:partial_image|completed)$/
const PLAIN = 'text/plain; charset=utf-8'

export class MediaCall extends RunningCall implements HttpHandler {
  readonly #options: CallOptions
  #exchange: Exchange | null = null
  #head: ResponseHead | null = null
  #mode: 'error' | 'sound' | 'image' | 'text' | 'events' = 'error'
  /** Of a transcription's events: those that one read brought, and whether text, and the end, was among them. */
  #sse: SseReader | null = null
  #batch: Bytes[] = []
  #isShown = false
  #isDone = false
  #text = ''
  #bytes = 0
  #cutter: PartCutter | null = null

  constructor(options: CallOptions, call: ProviderCall, sink: ProviderSink) {
    super(options.clock, options.client.sweep, call, sink)
    this.#options = options
  }

  send(request: HttpRequest): void {
    this.begin()
    this.#exchange = this.#options.client.request(request, this)
    if (this.paused) this.#exchange.pause()
  }

  protected get upstream(): Exchange | null {
    return this.#exchange
  }

  protected get limits(): UpstreamLimits | undefined {
    return this.#head === null ? undefined : limitsOf(this.#head.headers)
  }

  protected release(): void {
    this.#exchange?.abort()
  }

  sweep(nowMono: number): void {
    const { ttftMs, interTokenMs, totalMs } = this.call.timeouts
    if (nowMono - this.startedMono >= totalMs)
      return this.#timeOut(`the answer took more than ${totalMs} ms`, 'elsewhere')
    // Nothing is heard of a document before it is made
    if (this.paused || (this.call.kind !== 'speech' && this.#mode !== 'events')) return
    if (this.#bytes === 0) {
      if (nowMono - this.startedMono >= ttftMs) this.#timeOut(`nothing came for ${ttftMs} ms`, 'elsewhere')
    } else if (nowMono - this.lastMono >= interTokenMs) this.#timeOut(`nothing more came for ${interTokenMs} ms`, true)
  }

  #timeOut(what: string, retry: Failed['retry']): void {
    this.finish(failed('provider_timeout', retry, { message: `The model provider did not answer in time: ${what}.` }))
  }

  // ---- from the upstream

  head(head: ResponseHead): void {
    this.#head = head
    const isGood = head.status >= 200 && head.status < 300
    if (head.coding !== undefined && isGood)
      return this.#garbage(`it is compressed (content-encoding: ${head.coding})`, 'elsewhere')
    if (!isGood) return
    const type = head.headers.get('content-type')
    const isEvents = this.call.stream && /^text\/event-stream/i.test(type ?? '')
    switch (this.call.kind) {
      case 'speech': {
        const sound =
          mediaType(type) ?? (/^application\/octet-stream/i.test(type ?? '') ? 'application/octet-stream' : null)
        // Else it tells why there is none, whatever its status
        if (sound === null) return
        this.#mode = 'sound'
        this.sink.part?.(sound)
        return
      }
      case 'image': {
        this.#mode = 'image'
        const part = (found: string): void => this.sink.part?.(found)
        this.#cutter = new PartCutter({ part, bytes: (chunk) => this.sink.bytes?.(chunk) })
        if (isEvents) this.#readEvents()
        return
      }
      default:
        this.#mode = 'text'
        if (isEvents) this.#readEvents()
    }
  }

  #readEvents(): void {
    this.#mode = 'events'
    this.#sse = new SseReader(MAX_CHAT_RECORD_BYTES, (payload, isError) => this.#event(payload, isError))
  }

  body(text: Bytes): void {
    if (this.over) return
    this.lastMono = this.#options.clock.monoMs()
    this.#bytes += text.length
    if (this.#bytes > this.#options.maxAnswerBytes) return this.finish(failed('result_too_large', false))
    switch (this.#mode) {
      case 'sound':
        return this.sink.bytes?.(Buffer.from(text, 'latin1'))
      case 'image': {
        this.#cutter!.feed(text)
        const { fault } = this.#cutter!
        if (fault !== null) this.#garbage(fault)
        return
      }
      case 'text':
        this.#text += text
        if (this.#text.length > MAX_CHAT_RECORD_BYTES) this.finish(failed('result_too_large', false))
        return
      case 'events':
        this.#feed(text)
        if (this.over) return
        if (this.#sse!.overflow) this.finish(failed('result_too_large', false))
        return
      default:
        this.#text += text
        // Enough to tell what is wrong
        if (this.#text.length > MAX_ERROR_BYTES) this.#endError()
    }
  }

  readDone(): void {
    if (this.over || this.#batch.length === 0) return
    const batch = this.#batch
    this.#batch = []
    this.sink.events(batch)
  }

  /** Images are cut out of the events' text. */
  #feed(text: Bytes): void {
    const cutter = this.#cutter
    if (cutter === null) return this.#sse!.feed(text)
    cutter.feed(text)
    if (cutter.fault !== null) return this.#garbage(cutter.fault)
    this.#sse!.feed(cutter.rest)
    cutter.rest = ''
  }

  #event(payload: Bytes, isError: boolean): void {
    const isImage = this.#cutter !== null
    if (this.over || (this.#isDone && !isImage) || payload === '[DONE]') return
    const event = objectIn(parseJson(toText(payload)))
    const error = event === null ? null : this.#errorIn(event)
    if (isError || error !== null) {
      this.readDone()
      return this.finish(failedInBand(error ?? event ?? toText(payload), this.#options.secret))
    }
    if (isImage) return this.#imageEvent(payload, event)
    const chunks = event === null ? null : transcriptChunks(event, this.#isShown)
    if (chunks === null) return this.#garbage('an event that is no part of a transcription')
    this.#batch.push(...chunks)
    this.#isShown = true
    this.#isDone = event!['type'] === 'transcript.text.done'
  }

  #imageEvent(payload: Bytes, event: JsonObject | null): void {
    const type = event?.['type']
    if (typeof type !== 'string' || !IMAGE_EVENT.test(type)) return this.#garbage('an event that has no image')
    this.#batch.push(payload)
    if (type.endsWith('.completed')) this.#isDone = true
  }

  #endEvents(otherwise: Failed): void {
    this.#sse!.end()
    this.readDone()
    this.finish(this.#isDone ? { kind: 'done' } : otherwise)
  }

  end(): void {
    if (this.over) return
    switch (this.#mode) {
      case 'sound':
        return this.#bytes === 0 ? this.#garbage('an empty sound') : this.finish({ kind: 'done' })
      case 'image':
        return this.#endJson(this.#cutter!.rest, (answer) => Array.isArray(answer['data']) && answer['data'].length > 0)
      case 'text':
        return this.#endText()
      case 'events':
        return this.#endEvents(failed('provider_cut', true))
      default:
        return this.#endError()
    }
  }

  fail(failure: HttpFailure): void {
    if (this.over) return
    if (this.#mode === 'error' && this.#head !== null) return this.#endError()
    if (this.#mode === 'events') return this.#endEvents(failedTransport(failure))
    this.finish(failedTransport(failure))
  }

  // ---- what it came to

  #endError(): void {
    const { status } = this.#head!
    if (status < 200 || status >= 300)
      return this.finish(failedStatus(this.#head!, this.#text, this.#options.secret, this.#options.clock))
    const error = this.#errorIn(objectIn(parseJson(toText(this.#text))))
    if (error !== null) this.finish(failedInBand(error, this.#options.secret))
    else this.#garbage('it is no sound')
  }

  #errorIn(answer: JsonObject | null): unknown {
    return answer === null ? null : errorIn(answer, 'data')
  }

  #endJson(text: Bytes, isAnswer: (answer: JsonObject) => boolean): void {
    const answer = objectIn(parseJson(toText(text)))
    if (answer === null) return this.#garbage('it is not JSON')
    if (isAnswer(answer)) return this.#done(text, answer)
    const error = this.#errorIn(answer)
    if (error !== null) this.finish(failedInBand(error, this.#options.secret))
    else this.#garbage('JSON without what was asked for')
  }

  #endText(): void {
    const format = memberText(this.call.body, 'response_format')
    const isBare = format !== null && TEXTS.has(format.slice(1, -1))
    const answer = objectIn(parseJson(toText(this.#text)))
    if (!isBare) return this.#endJson(this.#text, (found) => typeof found['text'] === 'string')
    const error = answer === null ? null : this.#errorIn(answer)
    if (error !== null) return this.finish(failedInBand(error, this.#options.secret))
    if (/^\s*<(?:!doctype|html)/i.test(this.#text)) return this.#garbage('it is a web page')
    const type = this.#head!.headers.get('content-type') ?? ''
    this.#tellDocument(textDocument(TEXT_TYPES.test(type) ? type : PLAIN, toText(this.#text)), null)
  }

  #done(text: Bytes, answer: JsonObject): void {
    this.#tellDocument(toBytes(toText(text)), usageOf(answer))
  }

  #tellDocument(document: Bytes, usage: unknown): void {
    this.sink.document(document, usage)
    this.finish({ kind: 'done' })
  }

  #garbage(what: string, retry: Failed['retry'] = true): void {
    const message = `The model provider sent something that is not an answer: ${what}.`
    this.finish(failed('provider_garbage', retry, { message }))
  }
}

export const usageOf = ({ usage }: JsonObject): unknown => (isObject(usage) ? inTokens(usage) : null)
