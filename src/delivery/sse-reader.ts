/** A reader over its own HTTP response: SSE, with the status held back until there is something to say. */
import type { Clock } from '../core/clock.ts'
import { retryHeaders, SluiceError } from '../core/errors.ts'
import type { ReaderRequest } from '../core/ports/delivery.ts'
import type { TokenLog } from '../core/ports/log.ts'
import { type Bytes, parseEnd, toBytes } from '../core/record.ts'
import { chatDialect } from './dialects/chat.ts'
import { renderCompletion } from './dialects/completion.ts'
import { gapEvent, nativeDialect } from './dialects/native.ts'
import type { Feed } from './feed.ts'
import { type Outlet, Place } from './place.ts'
import { SseResponse } from './sse.ts'

export interface ReaderOptions {
  /** Silence after which a comment is sent. */
  readonly heartbeatMs: number
  /** A reader with more unread bytes than this is parked until its socket drains. */
  readonly maxReaderBufferBytes: number
  /** Bytes of records read from the log at once. */
  readonly pageBytes: number
}

/** A comment without the blank line: an empty event would make openai-python raise. */
const HEARTBEAT = ': hb\n'

export class SseReader implements Outlet {
  readonly place: Place
  readonly #request: ReaderRequest
  readonly #sse: SseResponse
  readonly #clock: Clock
  readonly #options: ReaderOptions
  readonly #left: (complete: boolean) => void
  readonly #openedMono: number
  #lastWriteMono: number
  #finished = false

  /** `left` is called once, when this reader is over: `complete` when it has all there is. */
  constructor(
    request: ReaderRequest,
    headers: Readonly<Record<string, string>>,
    feed: Feed,
    log: TokenLog,
    clock: Clock,
    options: ReaderOptions,
    left: (complete: boolean) => void,
  ) {
    this.#request = request
    this.#clock = clock
    this.#options = options
    this.#left = left
    this.#openedMono = clock.monoMs()
    this.#lastWriteMono = this.#openedMono
    this.place = new Place(
      request.dialect === 'chat' ? chatDialect(request.job.includeUsage) : nativeDialect,
      feed,
      log,
      options.pageBytes,
      this,
    )
    this.#sse = new SseResponse(request.response, headers, () => this.place.resume())
    request.response.on('close', () => this.#finish(false))
    request.ready.then(
      () => this.#open(),
      (error) => this.fail(error),
    )
  }

  async #open(): Promise<void> {
    try {
      const { cursor, dialect, headersAfterMs } = this.#request
      const found = await this.place.seek(cursor)
      if (this.#finished) return
      if (found === 'ended') {
        this.#sse.reply(204, '')
        this.#finish(true)
        return
      }
      if (found === 'gap') {
        if (dialect === 'chat') throw new SluiceError('cursor_stale')
        this.write(gapEvent('epoch_changed'))
      } else if (headersAfterMs === null) this.#sse.start()
      this.place.resume()
    } catch (error) {
      this.fail(error)
    }
  }

  get full(): boolean {
    return this.#sse.buffered >= this.#options.maxReaderBufferBytes
  }

  claim(most: number): number {
    return Math.min(most, this.#options.maxReaderBufferBytes - this.#sse.buffered)
  }

  release(): void {}

  write(events: Bytes): void {
    this.#lastWriteMono = this.#clock.monoMs()
    this.#sse.write(events)
  }

  caughtUp(): void {}

  complete(events: Bytes, end: Bytes | null): void {
    const ended = end === null ? null : parseEnd(end)
    // Nothing was sent yet, and the error is all there is to send: it has a status of its own
    if (
      !this.#sse.started &&
      this.#request.dialect === 'chat' &&
      this.#request.cursor === null &&
      ended !== null &&
      ended.state !== 'done' &&
      isOneEvent(events)
    ) {
      const { status, headers, body } = renderCompletion(this.#request.job.kind, [end!])
      // To read an ended job again changes nothing; to submit it again may
      const isSubmit = this.#request.response.req.method === 'POST'
      this.#sse.reply(status, body, isSubmit ? headers : { 'x-should-retry': 'false' })
    } else if (!this.#sse.started && events === '' && this.#request.cursor !== null) this.#sse.reply(204, '')
    else this.#sse.end(events)
    this.#finish(true)
  }

  /** Each sweep: headers that waited long enough, and a sign of life. */
  beat(now: number): void {
    if (!this.#sse.started) {
      const after = this.#request.headersAfterMs
      if (after !== null && now - this.#openedMono >= after) this.write(HEARTBEAT)
    } else if (now - this.#lastWriteMono >= this.#options.heartbeatMs && this.#sse.buffered === 0) this.write(HEARTBEAT)
  }

  fail(thrown: unknown): void {
    if (this.#finished) return
    const error = SluiceError.from(thrown)
    // Without an id: it is no record. Native clients know a cut, and where to come back
    if (this.#sse.started && this.#request.dialect === 'chat')
      this.#sse.end(`data: ${toBytes(JSON.stringify({ error: error.wire }))}\n\n`)
    else if (this.#sse.started) this.#request.response.destroy()
    else this.#sse.reply(error.status, toBytes(JSON.stringify({ error: error.wire })), retryHeaders(error))
    this.#finish(false)
  }

  /** Ends the response where it stands; the client comes back with its cursor. */
  stop(): void {
    if (this.#finished) return
    if (this.#sse.started) this.#sse.end('')
    else {
      const error = new SluiceError('draining')
      const headers = { ...retryHeaders(error), connection: 'close' }
      this.#sse.reply(error.status, toBytes(JSON.stringify({ error: error.wire })), headers)
    }
    this.#finish(false)
  }

  #finish(complete: boolean): void {
    if (this.#finished) return
    this.#finished = true
    this.place.leave()
    this.#left(complete)
    if (complete) this.#request.onDone()
    else this.#request.onGone()
  }
}

const isOneEvent = (events: Bytes): boolean => events.indexOf('\n\n') === events.length - 2
