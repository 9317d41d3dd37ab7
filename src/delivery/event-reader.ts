/** A reader with a response of its own: a stream whose status is held back until there is something to send. */
import type { Clock } from '../core/clock.ts'
import { SluiceError } from '../core/errors.ts'
import type { Timing } from '../core/job.ts'
import type { ReaderRequest } from '../core/ports/delivery.ts'
import { type Reply, SSE, type StreamWire } from '../core/ports/dialect.ts'
import type { TokenLog } from '../core/ports/log.ts'
import { type Bytes, parseEnd } from '../core/record.ts'
import { hundredths, timingText } from '../core/wire.ts'
import type { Feed } from './feed.ts'
import { type Outlet, Subscription } from './subscription.ts'

export interface ReaderOptions {
  /** Silence after which a heartbeat is sent. */
  readonly heartbeatMs: number
  /** A reader with more unread bytes than this is parked until its socket drains. */
  readonly maxReaderBufferBytes: number
  /** Bytes of records read from the log at once. */
  readonly pageBytes: number
}

const NOTHING_LEFT: Reply = { status: 204, headers: {}, body: '' }
const ENDED = { 'x-should-retry': 'false' }

export class EventReader implements Outlet {
  readonly subscription: Subscription
  readonly #request: ReaderRequest
  readonly #clock: Clock
  readonly #options: ReaderOptions
  readonly #left: (complete: boolean) => void
  readonly #openedMono: number
  #lastWriteMono: number
  #finished = false

  /** `left` is called once, when this reader is over: `complete` when it has all there is. */
  constructor(
    request: ReaderRequest,
    feed: Feed,
    log: TokenLog,
    clock: Clock,
    options: ReaderOptions,
    left: (complete: boolean) => void,
  ) {
    const { job, form, sink, ready } = request
    this.#request = request
    this.#clock = clock
    this.#options = options
    this.#left = left
    this.#openedMono = clock.monoMs()
    this.#lastWriteMono = this.#openedMono
    this.subscription = new Subscription(job, form, feed, log, clock, options.pageBytes, this)
    sink.open(
      () => this.subscription.resume(),
      () => this.#finish(false),
    )
    ready.then(
      () => this.#open(),
      (error) => this.fail(error),
    )
  }

  async #open(): Promise<void> {
    const { job, form, cursor, sink, headersAfterMs } = this.#request
    try {
      const found = await this.subscription.seek(cursor)
      if (this.#finished) return
      if (found === 'ended') {
        this.#nothingLeft()
        this.#finish(true)
        return
      }
      if (found === 'gap') {
        if (form.gap === null) throw new SluiceError('cursor_stale')
        this.write(form.gap(job.id))
      } else if (headersAfterMs === null) sink.start()
      this.subscription.resume()
    } catch (error) {
      this.fail(error)
    }
  }

  get full(): boolean {
    return this.#request.sink.buffered >= this.#options.maxReaderBufferBytes
  }

  claim(most: number): number {
    return Math.min(most, this.#options.maxReaderBufferBytes - this.#request.sink.buffered)
  }

  release(): void {}

  write(events: Bytes): void {
    this.#lastWriteMono = this.#clock.monoMs()
    this.#request.sink.write(events)
  }

  caughtUp(): void {}

  complete(events: Bytes, end: Bytes | null): void {
    const { form, cursor, sink, submits } = this.#request
    const { failure } = form
    const ended = end === null ? null : parseEnd(end)
    // The error is all there is to send, and nothing was sent yet: it gets a status of its own
    const isFailure =
      !sink.started &&
      cursor === null &&
      ended !== null &&
      ended.state !== 'done' &&
      isOneEvent(events, (form.wire ?? SSE).endsWith)
    if (isFailure && failure !== null) {
      const reply = failure(ended)
      // Reading an ended job again changes nothing; submitting it again may
      sink.reply(submits ? reply : { ...reply, headers: ENDED }, ended.error)
    } else if (!sink.started && events === '' && cursor !== null) this.#nothingLeft()
    else {
      const last = ended?.timing === undefined ? events : withTiming(events, ended.timing, form.wire ?? SSE)
      sink.end(last, ended?.error)
    }
    this.#finish(true)
  }

  #nothingLeft(): void {
    const { sink, endsEmpty } = this.#request
    if (endsEmpty === true) sink.end('')
    else sink.reply(NOTHING_LEFT)
  }

  /** Called by each sweep: sends headers that have waited long enough, and heartbeats. */
  beat(now: number): void {
    const { sink, headersAfterMs } = this.#request
    if (!sink.started) {
      if (headersAfterMs !== null && now - this.#openedMono >= headersAfterMs) this.#heartbeat()
    } else if (now - this.#lastWriteMono >= this.#options.heartbeatMs && sink.buffered === 0) this.#heartbeat()
  }

  #heartbeat(): void {
    const { heartbeat } = this.#request.form.wire ?? SSE
    if (heartbeat === '') this.#request.sink.start()
    else this.write(heartbeat)
  }

  fail(thrown: unknown): void {
    if (this.#finished) return
    const { form, sink } = this.#request
    const error = SluiceError.from(thrown)
    if (!sink.started) sink.fail(error)
    else if (form.error !== null) sink.end(form.error(error), error.wire)
    else sink.cut()
    this.#finish(false)
  }

  /** Ends the response at a record boundary; the client returns with its cursor. */
  stop(): void {
    if (this.#finished) return
    const { sink } = this.#request
    if (sink.started) sink.end('')
    else sink.fail(new SluiceError('draining'))
    this.#finish(false)
  }

  #finish(complete: boolean): void {
    if (this.#finished) return
    this.#finished = true
    this.subscription.leave()
    this.#left(complete)
    if (complete) this.#request.onDone()
    else this.#request.onGone()
  }
}

/** Where the time went, as a comment before the last event. */
function withTiming(events: Bytes, timing: Timing, { comment, endsWith }: StreamWire): Bytes {
  if (comment === '' || !events.endsWith(endsWith)) return events
  const before = events.lastIndexOf(endsWith, events.length - endsWith.length - 1)
  const at = before < 0 ? 0 : before + endsWith.length
  const line = `${comment}server-timing ${timingText(timing)}, total;dur=${hundredths(timing.totalMs)}\n`
  return events.slice(0, at) + line + events.slice(at)
}

const isOneEvent = (events: Bytes, endsWith: Bytes): boolean =>
  events !== '' && events.indexOf(endsWith) === events.length - endsWith.length
