/**
 * Messages on their way to the brokers: one batch at a time, so that order is kept whatever fails, and what comes while
 * one is under way shares the next. A batch that failed is sent again as it was; a message may then be there twice,
 * which whoever reads it tells by its id.
 */
import { hasError, reasonOf } from './connection.ts'
import { type Message, Sender, type SenderOptions } from './sender.ts'

/** Why a message is not, or perhaps not, stored. */
export class PublishError extends Error {
  /**
   * `too_large`: the brokers don't take one of that size. `full`: too much waits. `away`: the brokers are.
   * `unconfirmed`: no confirm came in time; it may be stored, or may yet be. `refused`: the brokers refuse it, and
   * would again. `closed`: not sent.
   */
  /** `denied`: the user may not; that passes when an operator lets it. */
  readonly kind: 'too_large' | 'full' | 'away' | 'unconfirmed' | 'refused' | 'denied' | 'closed'

  constructor(kind: PublishError['kind'], message: string) {
    super(message)
    this.kind = kind
  }
}

export interface PublisherOptions extends Omit<SenderOptions, 'onCut'> {
  readonly jitter: () => number
  /** A message that is not confirmed by then is given up. */
  readonly confirmMs: number
  /** Of all that waits. */
  readonly maxWaitingBytes: number
  /** The largest message that the brokers take; also the size of a batch. */
  readonly maxMessageBytes: number
  /** Why the brokers take nothing; null: they do again. Told when it changes. */
  readonly onTurn: (error: unknown) => void
}

interface Waiting {
  readonly message: Message
  readonly bytes: number
  settle: ((error: PublishError | null) => void) | null
}

const MAX_BATCH = 1_000
/** Of a message beside its value and key: headers' names, lengths. */
const OVERHEAD_BYTES = 200
const FIRST_RETRY_MS = 50
const MAX_RETRY_MS = 2_000
/** After so many tries in a row that failed nothing more is taken until one works. */
const AWAY_AFTER = 2

/** The brokers mean it. */
const FINAL = ['MESSAGE_TOO_LARGE', 'RECORD_LIST_TOO_LARGE', 'INVALID_RECORD', 'INVALID_TOPIC_EXCEPTION']
/** They mean it as long as nobody changes what the user may do. */
const DENIED = ['TOPIC_AUTHORIZATION_FAILED', 'CLUSTER_AUTHORIZATION_FAILED', 'POLICY_VIOLATION']

export class Publisher {
  readonly #options: PublisherOptions
  readonly #waiting: Waiting[] = []
  #bytes = 0
  readonly #sender: Sender
  #isSending = false
  #failures = 0
  /** So many of those that wait are sent each alone: one of them is refused. */
  #alone = 0
  #isClosed = false
  #isGone = false
  #onIdle: (() => void) | null = null
  #onTried: (() => void) | null = null
  /** A connection was lost since the brokers last answered. */
  #isCut = false
  #hasServed = false
  /** Connections after the first one. */
  reconnects = 0

  constructor(options: PublisherOptions) {
    this.#options = options
    this.#sender = new Sender({
      ...options,
      onCut: () => {
        this.#isCut = true
        this.#begin()
      },
    })
  }

  /** Resolves when the brokers have answered, or have failed to: then it goes on trying. */
  async open(): Promise<void> {
    const tried = new Promise<void>((done) => {
      this.#onTried = done
    })
    this.#begin()
    await tried
  }

  /** Resolves when all replicas in sync have it. Rejects with a PublishError. */
  publish(message: Message): Promise<void> {
    const { clock, confirmMs, maxWaitingBytes, maxMessageBytes } = this.#options
    const bytes = sizeOf(message)
    const refuse = (kind: PublishError['kind'], why: string): Promise<void> =>
      Promise.reject(new PublishError(kind, why))
    if (this.#isClosed) return refuse('closed', 'the publisher is closed')
    if (this.#failures >= AWAY_AFTER) return refuse('away', 'the brokers are away')
    if (bytes > maxMessageBytes)
      return refuse('too_large', `${bytes} bytes are more than a message may have (${maxMessageBytes})`)
    if (this.#bytes + bytes > maxWaitingBytes) return refuse('full', 'too much waits for the broker already')
    return new Promise((done, fail) => {
      const cancel = clock.after(confirmMs, () =>
        waiting.settle?.(new PublishError('unconfirmed', `the broker did not confirm within ${confirmMs} ms`)),
      )
      const waiting: Waiting = {
        message,
        bytes,
        settle: (error) => {
          waiting.settle = null
          cancel()
          if (error === null) done()
          else fail(error)
        },
      }
      this.#waiting.push(waiting)
      this.#bytes += bytes
      this.#begin()
    })
  }

  #begin(): void {
    if (this.#isSending) return
    this.#isSending = true
    // What comes in this turn shares the batch
    this.#options.clock.soon(() => void this.#sendAll())
  }

  async #sendAll(): Promise<void> {
    let isFirst = this.#onTried !== null
    while (!this.#isGone) {
      this.#dropSettled()
      const isProbe = isFirst || ((this.#failures > 0 || this.#isCut) && this.#waiting.length === 0)
      if (this.#waiting.length === 0 && (!isProbe || this.#isClosed)) break
      isFirst = false
      const batch = isProbe ? [] : this.#next()
      const error = await this.#sender.send(batch.map(({ message }) => message))
      if (error === null) {
        for (const each of batch) each.settle?.(null)
        this.#worked()
        continue
      }
      const isMissing = /^Unknown topic /.test((error as Error).message)
      const isDenied = DENIED.some((id) => hasError(error, 'apiId', id))
      const isFinal = isMissing || isDenied || FINAL.some((id) => hasError(error, 'apiId', id))
      if (isFinal && batch.length === 1)
        batch[0].settle?.(new PublishError(isMissing ? 'away' : isDenied ? 'denied' : 'refused', reasonOf(error)))
      else if (isFinal && batch.length > 1) this.#alone = batch.length
      else await this.#failedOnce(error)
    }
    this.#isSending = false
    this.#onIdle?.()
  }

  /** Those that are confirmed, and those that nobody waits for any more. */
  #dropSettled(): void {
    let kept = 0
    let bytes = 0
    for (const each of this.#waiting) {
      if (each.settle === null) continue
      this.#waiting[kept++] = each
      bytes += each.bytes
    }
    this.#waiting.length = kept
    this.#bytes = bytes
  }

  #next(): readonly Waiting[] {
    const { maxMessageBytes } = this.#options
    const most = this.#alone > 0 ? 1 : MAX_BATCH
    this.#alone = Math.max(0, this.#alone - 1)
    let [count, bytes] = [0, 0]
    while (count < this.#waiting.length && count < most) {
      bytes += this.#waiting[count].bytes
      if (count > 0 && bytes > maxMessageBytes) break
      count++
    }
    return this.#waiting.slice(0, count)
  }

  async #failedOnce(error: unknown): Promise<void> {
    const { clock, jitter, onTurn } = this.#options
    if (this.#failures++ === 0) onTurn(error)
    this.#isCut = true
    this.#tried()
    this.#sender.forget()
    const ms = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(this.#failures, 10)) * (0.5 + jitter() / 2)
    await new Promise<void>((next) => clock.after(ms, next))
  }

  #worked(): void {
    if (this.#isCut && this.#hasServed) this.reconnects++
    const wasAway = this.#failures > 0 || !this.#hasServed
    this.#isCut = false
    this.#hasServed = true
    this.#failures = 0
    if (wasAway) this.#options.onTurn(null)
    this.#tried()
  }

  #tried(): void {
    this.#onTried?.()
    this.#onTried = null
  }

  /** Sends what waits, by then at the latest; what is left is given up. Safe to repeat. */
  async close(withinMs: number): Promise<void> {
    const { clock } = this.#options
    this.#isClosed = true
    if (this.#isSending)
      await new Promise<void>((done) => {
        this.#onIdle = done
        clock.after(withinMs, done)
      })
    this.#isGone = true
    for (const each of this.#waiting) each.settle?.(new PublishError('unconfirmed', 'the server stops'))
    await this.#sender.close()
  }
}

function sizeOf({ key, value, headers }: Message): number {
  let bytes = value.length + OVERHEAD_BYTES + 3 * (key?.length ?? 0)
  for (const [name, text] of Object.entries(headers)) bytes += name.length + 3 * text.length
  return bytes
}
