/**
 * A reader of one job on a connection shared with others. It waits without credit, and while the connection is full.
 */
import type { Clock } from '../core/clock.ts'
import { SluiceError } from '../core/errors.ts'
import type { SocketReader, SocketReaderRequest } from '../core/ports/delivery.ts'
import type { TokenLog } from '../core/ports/log.ts'
import type { Bytes } from '../core/record.ts'
import { textBytesOf } from '../core/text-frame.ts'
import type { Feed } from './feed.ts'
import { type Outlet, Subscription } from './subscription.ts'

export class FollowedJob implements Outlet, SocketReader {
  readonly subscription: Subscription
  readonly #request: SocketReaderRequest
  readonly #left: (complete: boolean) => void
  #credit: number
  #tellsLive: boolean
  #over = false
  started = false

  /** `left` is called once, when this reader is over: `complete` when it has all there is. */
  constructor(
    request: SocketReaderRequest,
    feed: Feed,
    log: TokenLog,
    clock: Pick<Clock, 'soon'>,
    pageBytes: number,
    left: (complete: boolean) => void,
  ) {
    this.#request = request
    this.#left = left
    this.#credit = request.window
    this.#tellsLive = request.tellsLive
    this.subscription = new Subscription(request.job, request.form, feed, log, clock, pageBytes, this)
  }

  async open(): Promise<void> {
    const { job, form, cursor, sink } = this.#request
    try {
      const found = await this.subscription.seek(cursor)
      if (this.#over) return
      if (found === 'ended') return this.complete('')
      if (found === 'gap' && form.gap === null) throw new SluiceError('cursor_stale')
      if (found === 'gap') sink.write(form.gap!(job.id))
      this.subscription.resume()
    } catch (error) {
      this.fail(error)
    }
  }

  get full(): boolean {
    return this.#credit <= 0 || this.#request.sink.full
  }

  claim(most: number): number {
    return this.#credit <= 0 ? 0 : this.#request.sink.claim(Math.min(most, this.#credit), this)
  }

  release(claimed: number): void {
    this.#request.sink.release(claimed)
  }

  write(frames: Bytes): void {
    this.started = true
    // Clients count the text of an `ev`, not its frame
    this.#credit -= textBytesOf(frames.length)
    this.#request.sink.write(frames)
  }

  caughtUp(): void {
    if (!this.#tellsLive) return
    this.#tellsLive = false
    const { job, form, sink } = this.#request
    if (form.live !== null) sink.write(form.live(job.id, this.subscription.cursor))
  }

  credit(bytes: number): void {
    this.#credit += bytes
    this.subscription.resume()
  }

  resume(): void {
    this.subscription.resume()
  }

  complete(frames: Bytes): void {
    if (this.#over) return
    if (frames !== '') this.#request.sink.write(frames)
    this.#finish(true)
    this.#request.onOver(true)
  }

  fail(thrown: unknown): void {
    if (this.#over) return
    this.#finish(false)
    this.#request.onFail(SluiceError.from(thrown))
  }

  leave(): void {
    if (!this.#over) this.#finish(false)
  }

  /** Delivery closes: the job runs on without this reader. */
  stop(): void {
    if (this.#over) return
    this.#finish(false)
    this.#request.onOver(false)
  }

  #finish(complete: boolean): void {
    this.#over = true
    this.subscription.leave()
    this.#left(complete)
  }
}
