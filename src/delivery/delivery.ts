/** From the log to readers over HTTP: replay, then live. */
import type { Clock } from '../core/clock.ts'
import { SluiceError } from '../core/errors.ts'
import type { Emit } from '../core/facts.ts'
import type { Job, JobId } from '../core/job.ts'
import type { Delivery, ReaderRequest, TokenLog } from '../core/ports.ts'
import { type Bytes, isEnd, parseEnd, toBytes } from '../core/record.ts'
import { chatDialect } from './dialects/chat.ts'
import { renderCompletion } from './dialects/completion.ts'
import type { Dialect, DialectState } from './dialects/dialect.ts'
import { gapEvent, nativeDialect } from './dialects/native.ts'
import { Feed, type FeedReader, renderRun } from './feed.ts'
import { SseResponse } from './sse.ts'

export interface DeliveryOptions {
  /** Silence after which a comment is sent. */
  readonly heartbeatMs: number
  /** A reader with more unread bytes than this is parked until its socket drains. */
  readonly maxReaderBufferBytes: number
  /** Bytes of records read from the log at once. */
  readonly pageBytes: number
}

const SWEEP_MS = 250
/** A comment without the blank line: an empty event would make openai-python raise. */
const HEARTBEAT = ': hb\n'

export function createDelivery(log: TokenLog, clock: Clock, emit: Emit, options: DeliveryOptions): Delivery {
  const feeds = new Map<JobId, OpenFeed>()
  const readers = new Set<Reader>()
  let stopSweep: (() => void) | null = null
  let closed = false

  interface OpenFeed extends Feed {
    unfollow: () => void
    epoch: number
  }

  function feedOf(job: Job): OpenFeed {
    const open = feeds.get(job.id)
    if (open) return open
    const feed = Object.assign(new Feed(), { unfollow: () => {}, epoch: job.epoch }) as OpenFeed
    feeds.set(job.id, feed)
    feed.unfollow = log.follow(job.id, (firstSeq, records) => feed.push(firstSeq, records, feed.epoch, isEnd(records[records.length - 1])))
    return feed
  }

  class Reader implements FeedReader {
    readonly dialect: Dialect
    readonly #request: ReaderRequest
    readonly #sse: SseResponse
    readonly #feed: OpenFeed
    readonly #openedAt = clock.monoMs()
    seq = 0
    state: DialectState = { over: false }
    live = false
    /** The client has everything up to here. */
    #skip = 0
    #lastWriteAt = this.#openedAt
    #catchingUp = false
    #finished = false

    constructor(request: ReaderRequest, headers: Readonly<Record<string, string>>) {
      this.#request = request
      this.dialect = request.dialect === 'chat' ? chatDialect(request.job.includeUsage) : nativeDialect
      this.#sse = new SseResponse(request.response, headers)
      this.#feed = feedOf(request.job)
      this.#feed.readers.add(this)
      readers.add(this)
      stopSweep ??= clock.every(SWEEP_MS, sweep)
      request.response.on('close', () => this.#finish(false))
      // A socket whose reader stalled: when it drains, the reader goes on from its cursor
      request.response.socket?.on('drain', this.#onDrain)
      emit({ type: 'reader-opened', job: request.job.id, dialect: this.dialect.key })
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
          const page = await log.read(this.#request.job.id, 0, 0)
          if (page === null) throw new SluiceError('job_gone')
          this.#feed.epoch = page.epoch
          if (cursor.epoch !== 0 && cursor.epoch !== page.epoch) {
            if (cursor.epoch > page.epoch) throw new SluiceError('cursor_ahead')
            if (this.dialect !== nativeDialect) throw new SluiceError('cursor_stale')
            this.#write(gapEvent('epoch_changed'))
          } else if (cursor.seq > page.head) throw new SluiceError('cursor_ahead')
          else if (page.ended && cursor.seq === page.head) {
            this.#sse.reply(204, '')
            return this.#finish(true)
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
          if (this.#sse.buffered > options.maxReaderBufferBytes) return
          const page = await log.read(this.#request.job.id, this.seq, options.pageBytes)
          if (this.#finished) return
          if (page === null) throw new SluiceError('job_gone')
          this.#feed.epoch = page.epoch
          const events = this.#renderPage(page.firstSeq, page.records, page.epoch)
          const complete = page.ended && this.seq === page.head
          if (complete) return this.#complete(events, page.records.at(-1))
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
        void this.#catchUp().catch((error) => this.#fail(error))
        return
      }
      if (ended && !this.#sse.started) {
        // Nothing was said yet: the end decides the status. The log has all.
        this.live = false
        this.seq = 0
        this.state = { over: false }
        void this.#catchUp().catch((error) => this.#fail(error))
        return
      }
      if (ended || this.state.over) {
        this.#sse.end(events)
        return this.#finish(true)
      }
      if (events === '') return
      this.#write(events)
      if (this.#sse.buffered > options.maxReaderBufferBytes) this.live = false
    }

    #complete(events: Bytes, last: Bytes | undefined): void {
      const end = last !== undefined && isEnd(last) ? parseEnd(last) : null
      if (!this.#sse.started && this.dialect !== nativeDialect && this.#skip === 0 && end !== null && end.state !== 'done' && events.indexOf('\n\n') === events.length - 2) {
        const { status, body } = renderCompletion(this.#request.job.kind, [last!])
        this.#sse.reply(status, body)
      } else this.#sse.end(events)
      this.#finish(true)
    }

    readonly #onDrain = (): void => {
      if (!this.live && !this.#finished && !this.#catchingUp) void this.#catchUp().catch((error) => this.#fail(error))
    }

    #write(events: Bytes): void {
      this.#lastWriteAt = clock.monoMs()
      this.#sse.write(events)
    }

    /** Each sweep: headers that waited long enough, and a sign of life. */
    beat(now: number): void {
      if (!this.#sse.started) {
        const after = this.#request.headersAfterMs
        if (after !== null && now - this.#openedAt >= after) this.#write(HEARTBEAT)
      } else if (now - this.#lastWriteAt >= options.heartbeatMs && this.#sse.buffered === 0) this.#write(HEARTBEAT)
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
      readers.delete(this)
      this.#feed.readers.delete(this)
      if (this.#feed.readers.size === 0) {
        this.#feed.unfollow()
        feeds.delete(this.#request.job.id)
      }
      if (readers.size === 0) {
        stopSweep?.()
        stopSweep = null
      }
      emit({ type: 'reader-closed', job: this.#request.job.id, dialect: this.dialect.key, complete })
      if (complete) this.#request.onDone()
      else this.#request.onGone()
    }
  }

  function sweep(): void {
    const now = clock.monoMs()
    for (const reader of readers) reader.beat(now)
  }

  function ended(job: JobId, fn: () => void): () => void {
    let told = false
    const tell = (): void => {
      if (told) return
      told = true
      unfollow()
      fn()
    }
    const unfollow = log.follow(job, (_firstSeq, records) => {
      if (isEnd(records[records.length - 1])) tell()
    })
    void log.read(job, 0, 0).then((page) => {
      if (page === null || page.ended) tell()
    })
    return () => {
      told = true
      unfollow()
    }
  }

  return {
    stream(request, headers) {
      const reader = new Reader(request, headers)
      if (closed) reader.leave()
    },
    ended,
    result: (job) =>
      new Promise((resolve, reject) => {
        ended(job.id, () => void wholeLog(log, job.id, options.pageBytes).then((records) => resolve(renderCompletion(job.kind, records)), reject))
      }),
    readers: (job) => feeds.get(job)?.readers.size ?? 0,
    close() {
      closed = true
      for (const reader of [...readers]) reader.leave()
    },
  }
}

async function wholeLog(log: TokenLog, job: JobId, pageBytes: number): Promise<readonly Bytes[]> {
  let records: readonly Bytes[] = []
  for (;;) {
    const page = await log.read(job, records.length, pageBytes)
    if (page === null) throw new SluiceError('job_gone')
    records = records.length === 0 ? page.records : records.concat(page.records)
    if (records.length >= page.head) return records
  }
}
