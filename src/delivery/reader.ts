/**
 * One reader of one job: checks its cursor, catches up from the log at its own pace, then is fed live. What it holds is
 * a place in the log and the renderer's state.
 */
import type { Clock } from '../core/clock.ts'
import { SluiceError } from '../core/errors.ts'
import type { ReaderRequest, TokenLog } from '../core/ports.ts'
import { type Bytes, isEnd, parseEnd, toBytes } from '../core/record.ts'
import { chatDialect } from './dialects/chat.ts'
import { renderCompletion } from './dialects/completion.ts'
import type { Dialect, DialectState } from './dialects/dialect.ts'
import { gapEvent, nativeDialect } from './dialects/native.ts'
import { type Feed, type FeedReader, renderRun } from './feed.ts'
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

export class Reader implements FeedReader {
  readonly dialect: Dialect
  readonly #request: ReaderRequest
  readonly #sse: SseResponse
  readonly #feed: Feed
  readonly #log: TokenLog
  readonly #clock: Clock
  readonly #options: ReaderOptions
  readonly #left: (complete: boolean) => void
  readonly #openedAt: number
  seq = 0
  state: DialectState = { over: false }
  live = false
  /** The client has everything up to here. */
  #skip = 0
  #lastWriteAt: number
  #catchingUp = false
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
    this.#feed = feed
    this.#log = log
    this.#clock = clock
    this.#options = options
    this.#left = left
    this.#openedAt = clock.monoMs()
    this.#lastWriteAt = this.#openedAt
    this.dialect = request.dialect === 'chat' ? chatDialect(request.job.includeUsage) : nativeDialect
    this.#sse = new SseResponse(request.response, headers)
    request.response.on('close', () => this.#finish(false))
    // A socket whose reader stalled: when it drains, the reader goes on from its cursor
    request.response.socket?.on('drain', this.#onDrain)
    request.ready.then(
      () => this.#open(),
      (error) => this.#fail(error),
    )
  }

  /** Checks the cursor against the log, then catches up. */
  async #open(): Promise<void> {
    try {
      const { cursor, headersAfterMs } = this.#request
      if (cursor !== null) {
        const page = await this.#log.read(this.#request.job.id, 0, 0)
        if (page === null) throw new SluiceError('job_gone')
        this.#feed.epoch = page.epoch
        if (cursor.epoch !== 0 && cursor.epoch !== page.epoch) {
          if (cursor.epoch > page.epoch) throw new SluiceError('cursor_ahead')
          if (this.dialect !== nativeDialect) throw new SluiceError('cursor_stale')
          this.#write(gapEvent('epoch_changed'))
        } else if (cursor.seq > page.head) throw new SluiceError('cursor_ahead')
        else if (page.ended && cursor.seq === page.head) {
          this.#sse.reply(204, '')
          this.#finish(true)
          return
        } else this.#skip = cursor.seq
      }
      if (headersAfterMs === null && !this.#finished) this.#sse.start()
      await this.#catchUp()
    } catch (error) {
      this.#fail(error)
    }
  }

  /** Reads the log until the feed has nothing this reader lacks, or its socket is full. */
  async #catchUp(): Promise<void> {
    if (this.#catchingUp) return
    this.#catchingUp = true
    try {
      while (!this.#finished && !this.live) {
        if (this.#sse.buffered > this.#options.maxReaderBufferBytes) return
        const page = await this.#log.read(this.#request.job.id, this.seq, this.#options.pageBytes)
        if (this.#finished) return
        if (page === null) throw new SluiceError('job_gone')
        this.#feed.epoch = page.epoch
        const events = this.#renderPage(page.firstSeq, page.records, page.epoch)
        if (this.state.over || (page.ended && this.seq === page.head)) {
          this.#complete(events, page.records.at(-1))
          return
        }
        if (events !== '') this.#write(events)
        if (this.seq >= page.head && this.seq >= this.#feed.head) {
          this.#feed.head = this.seq
          this.live = true
        }
      }
    } finally {
      this.#catchingUp = false
    }
  }

  #renderPage(firstSeq: number, records: readonly Bytes[], epoch: number): Bytes {
    const last = firstSeq + records.length - 1
    if (last <= this.seq) return ''
    // What the client has is rendered too, for the state, and dropped
    const known = Math.max(0, Math.min(records.length, this.#skip + 1 - firstSeq))
    if (known > 0) renderRun(this.dialect, records.slice(0, known), firstSeq, this.seq, epoch, this.state)
    const events = renderRun(this.dialect, records, firstSeq, Math.max(this.seq, this.#skip), epoch, this.state)
    this.seq = last
    return events
  }

  take(events: Bytes, ended: boolean): void {
    if (this.#finished) return
    if (!this.live) {
      this.#resume()
      return
    }
    if (ended && !this.#sse.started) {
      // Nothing was said yet: the end decides the status. The log has all.
      this.live = false
      this.seq = 0
      this.state = { over: false }
      this.#resume()
      return
    }
    if (ended || this.state.over) {
      this.#sse.end(events)
      this.#finish(true)
      return
    }
    if (events === '') return
    this.#write(events)
    if (this.#sse.buffered > this.#options.maxReaderBufferBytes) this.live = false
  }

  #complete(events: Bytes, last: Bytes | undefined): void {
    const end = last !== undefined && isEnd(last) ? parseEnd(last) : null
    if (!this.#sse.started && this.dialect !== nativeDialect && this.#skip === 0 && end !== null && end.state !== 'done' && events.indexOf('\n\n') === events.length - 2) {
      const { status, body } = renderCompletion(this.#request.job.kind, [last!])
      this.#sse.reply(status, body)
    } else if (!this.#sse.started && events === '' && this.#skip > 0) this.#sse.reply(204, '')
    else this.#sse.end(events)
    this.#finish(true)
  }

  #resume(): void {
    void this.#catchUp().catch((error) => this.#fail(error))
  }

  readonly #onDrain = (): void => {
    if (!this.live && !this.#finished && !this.#catchingUp) this.#resume()
  }

  #write(events: Bytes): void {
    this.#lastWriteAt = this.#clock.monoMs()
    this.#sse.write(events)
  }

  /** Each sweep: headers that waited long enough, and a sign of life. */
  beat(now: number): void {
    if (!this.#sse.started) {
      const after = this.#request.headersAfterMs
      if (after !== null && now - this.#openedAt >= after) this.#write(HEARTBEAT)
    } else if (now - this.#lastWriteAt >= this.#options.heartbeatMs && this.#sse.buffered === 0) this.#write(HEARTBEAT)
  }

  #fail(thrown: unknown): void {
    if (this.#finished) return
    const error = SluiceError.from(thrown)
    const body = toBytes(JSON.stringify({ error: error.wire }))
    if (this.#sse.started) this.#request.response.destroy()
    else this.#sse.reply(error.status, body)
    this.#finish(false)
  }

  /** Ends the response where it stands; the client comes back with its cursor. */
  leave(): void {
    if (this.#finished) return
    if (this.#sse.started) this.#sse.end('')
    else this.#sse.reply(503, toBytes(JSON.stringify({ error: new SluiceError('draining').wire })), { 'retry-after': '1', connection: 'close' })
    this.#finish(false)
  }

  #finish(complete: boolean): void {
    if (this.#finished) return
    this.#finished = true
    this.#request.response.socket?.off('drain', this.#onDrain)
    this.#left(complete)
    if (complete) this.#request.onDone()
    else this.#request.onGone()
  }
}
