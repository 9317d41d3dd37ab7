/**
 * Batches on their way to a collector, one at a time, in order. What it can't take now is tried again; where more wait
 * than there is room for, the oldest go: those that come are worth more to whoever looks into an outage.
 */
import type { Clock } from '../../core/clock.ts'
import type { Outage } from './outage.ts'
import type { Posted } from './post.ts'

export interface Batch {
  readonly body: Uint8Array
  /** How many things are in it. */
  readonly items: number
}

const MAX_WAITING_BYTES = 8 * 1024 * 1024
const FIRST_RETRY_MS = 1_000
const MAX_RETRY_MS = 30_000

export interface OutboxOptions {
  readonly post: (body: Uint8Array) => Promise<Posted>
  readonly outage: Outage
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly jitter: () => number
  readonly onSent: (items: number) => void
  readonly onDropped: (items: number) => void
}

export class Outbox {
  readonly #options: OutboxOptions
  readonly #waiting: Batch[] = []
  #bytes = 0
  #isSending = false
  /** What is awaited before the next try. */
  #cancelRetry: (() => void) | null = null
  #retryMs = FIRST_RETRY_MS
  #dropped = 0
  #isClosing = false
  #onIdle: (() => void) | null = null

  constructor(options: OutboxOptions) {
    this.#options = options
  }

  /** Of what waits, that which is being sent included. */
  get bytes(): number {
    return this.#bytes
  }

  add(batch: Batch): void {
    this.#waiting.push(batch)
    this.#bytes += batch.body.length
    // The first one may be on its way
    while (this.#bytes > MAX_WAITING_BYTES && this.#waiting.length > 1) this.#drop(this.#isSending ? 1 : 0)
    this.#send()
  }

  #drop(place: number): void {
    const [{ body, items }] = this.#waiting.splice(place, 1)
    this.#bytes -= body.length
    this.#dropped += items
    this.#options.onDropped(items)
  }

  #send(): void {
    if (this.#isSending || this.#cancelRetry !== null) return
    if (this.#waiting.length === 0) return this.#onIdle?.()
    this.#isSending = true
    const [batch] = this.#waiting
    void this.#options.post(batch.body).then((posted) => {
      this.#isSending = false
      // A stop that could not wait for this answer has dropped its batch
      if (this.#waiting[0] === batch) this.#took(posted)
      this.#send()
    })
  }

  #took(posted: Posted): void {
    const { outage, onSent, onDropped } = this.#options
    if (posted.kind === 'later' && !this.#isClosing) {
      outage.failed(posted.why, this.#dropped)
      this.#wait(posted.afterMs)
      return
    }
    if (posted.kind !== 'taken') {
      this.#drop(0)
      return outage.failed(posted.why, this.#dropped)
    }
    const { items, body } = this.#waiting.shift()!
    this.#bytes -= body.length
    this.#retryMs = FIRST_RETRY_MS
    const { partial } = posted
    const rejected = Math.min(items, partial?.rejected ?? 0)
    if (rejected > 0) onDropped(rejected)
    onSent(items - rejected)
    outage.worked(this.#dropped)
    outage.took(partial)
    this.#dropped = 0
  }

  #wait(afterMs: number | null): void {
    const { clock, jitter } = this.#options
    // It may ask for more time, not for less: "0", or a date by another clock, would make every answer a question
    const ms = Math.max(afterMs ?? 0, this.#retryMs * (0.5 + jitter() / 2))
    this.#retryMs = Math.min(this.#retryMs * 2, MAX_RETRY_MS)
    this.#cancelRetry = clock.after(ms, () => {
      this.#cancelRetry = null
      this.#send()
    })
  }

  /** One more try for each that waits; resolves when none is left, and by `withinMs`. What is left then is dropped. */
  async flush(withinMs: number): Promise<void> {
    this.#isClosing = true
    this.#cancelRetry?.()
    this.#cancelRetry = null
    const idle = new Promise<void>((done) => {
      this.#onIdle = done
      this.#options.clock.after(withinMs, done)
    })
    this.#send()
    await idle
    this.#onIdle = null
    while (this.#waiting.length > 0) this.#drop(0)
    this.#cancelRetry = () => {} // nothing is sent any more
  }
}
