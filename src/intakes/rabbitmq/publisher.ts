/**
 * Publishes with confirms, in the order of the calls. What waits for its confirm is bounded; while the broker is away,
 * or says that it takes nothing (connection.blocked), publishing fails at once.
 */
import type { ChannelModel, ConfirmChannel, Message, Options } from 'amqplib'
import type { Clock } from '../../core/clock.ts'
import { SluiceError } from '../../core/errors.ts'

/** Of what is not confirmed yet. One message alone may be larger. */
const MAX_PENDING = 10_000
const MAX_PENDING_BYTES = 64 << 20

/**
 * Refused by one queue without a confirm of it in between: RabbitMQ 3.10 may keep "it is full" in a channel for ever,
 * so it is made anew. Not more often than this, as all that waits for its confirm fails with it.
 */
const MAX_NACKS = 10
const RENEWED_EVERY_MS = 5_000

export interface Posting {
  /** '': the queue of that name. */
  readonly exchange: string
  readonly route: string
  readonly payload: Uint8Array
  readonly options: Options.Publish
}

interface Pending {
  /** Null: it is confirmed. */
  readonly settle: (error: SluiceError | null) => void
}

const UNKNOWN =
  'It is not known whether the broker has it, as it did not confirm. Retry; with an idempotency key that is the ' +
  'same job.'

/** Else its channel has ended. */
const isNack = (error: unknown): boolean => (error as Error).message === 'message nacked'

export const unavailable = (message?: string, cause?: unknown): SluiceError =>
  new SluiceError('intake_unavailable', { ...(message !== undefined && { message }), cause })

export class Publisher {
  readonly #clock: Clock
  readonly #confirmMs: number
  readonly #onBlocked: () => void
  #channel: ConfirmChannel | null = null
  #isBlocked = false
  readonly #pending = new Map<string, Pending>()
  #bytes = 0
  #n = 0
  /** By where it was published to. */
  readonly #nacks = new Map<string, number>()
  #renewedMono = -Infinity
  #renew: (why: unknown) => void = () => {}

  /** `onBlocked`: the broker begins to take nothing, or takes again. */
  constructor(clock: Clock, confirmMs: number, onBlocked: () => void = () => {}) {
    this.#clock = clock
    this.#confirmMs = confirmMs
    this.#onBlocked = onBlocked
  }

  get isBlocked(): boolean {
    return this.#isBlocked
  }

  get pending(): number {
    return this.#pending.size
  }

  /** The session that it publishes on from now on. `declare`: what it publishes to. */
  async open(
    connection: ChannelModel,
    broken: (why: unknown) => void,
    declare: (channel: ConfirmChannel) => Promise<void>,
  ): Promise<void> {
    const channel = await connection.createConfirmChannel()
    channel.on('error', broken)
    const gone = (why: unknown): void => {
      if (this.#channel === channel) {
        this.#channel = null
        this.#isBlocked = false
      }
      broken(why)
    }
    channel.on('close', () => gone(new Error('the channel was closed')))
    connection.on('close', () => gone(new Error('the connection was closed')))
    const block = (isBlocked: boolean): void => {
      this.#isBlocked = isBlocked
      this.#onBlocked()
    }
    connection.on('blocked', () => block(true))
    connection.on('unblocked', () => block(false))
    channel.on('return', ({ properties, fields }: Message) => {
      // Its queue is gone: a new session declares it
      const { exchange, routingKey } = fields as { readonly exchange: string; readonly routingKey: string }
      const to = exchange === '' ? `the queue "${routingKey}"` : `a queue for "${routingKey}" of "${exchange}"`
      const gone = unavailable(`RabbitMQ has not ${to}: it is made again.`)
      this.#pending.get(String(properties.headers?.['x-sluice-n']))?.settle(gone)
      broken(gone)
    })
    await declare(channel)
    this.#channel = channel
    this.#renew = broken
    this.#nacks.clear()
  }

  /** Uses the channel for something else, if there is one. What fails ends it. */
  async use(use: (channel: ConfirmChannel) => Promise<void>): Promise<void> {
    if (this.#channel !== null && !this.#isBlocked) await use(this.#channel)
  }

  #nacked(to: string): void {
    const nacks = (this.#nacks.get(to) ?? 0) + 1
    this.#nacks.set(to, nacks)
    const now = this.#clock.monoMs()
    if (nacks < MAX_NACKS || now - this.#renewedMono < RENEWED_EVERY_MS) return
    this.#renewedMono = now
    this.#renew(unavailable(`RabbitMQ refuses what is published to "${to}": is that queue full (a limit by a policy)?`))
  }

  /** Rejects with intake_unavailable, and body_too_large. */
  publish({ exchange, route, payload, options }: Posting): Promise<void> {
    const channel = this.#channel
    if (channel === null) return Promise.reject(unavailable())
    if (this.#isBlocked) return Promise.reject(unavailable('The broker takes nothing: its memory or disk is full.'))
    const isFull = this.#pending.size >= MAX_PENDING || this.#bytes + payload.length > MAX_PENDING_BYTES
    if (isFull && this.#pending.size > 0)
      return Promise.reject(unavailable('The broker does not keep up: too much waits for its confirm; retry later.'))
    const n = String(++this.#n)
    return new Promise((resolve, reject) => {
      this.#bytes += payload.length
      const settle = (error: SluiceError | null): void => {
        if (!this.#pending.delete(n)) return
        stop()
        this.#bytes -= payload.length
        if (error === null) resolve()
        else reject(error)
      }
      const stop = this.#clock.after(this.#confirmMs, () => settle(unavailable(UNKNOWN)))
      this.#pending.set(n, { settle })
      try {
        channel.publish(
          exchange,
          route,
          Buffer.from(payload.buffer, payload.byteOffset, payload.length),
          { ...options, persistent: true, mandatory: true, headers: { ...options.headers, 'x-sluice-n': n } },
          (error) => {
            const to = exchange === '' ? route : `${exchange}/${route}`
            if (error === null || error === undefined) {
              this.#nacks.delete(to)
              settle(null)
            } else if (isNack(error)) {
              settle(unavailable(`The broker refuses it: is the queue "${to}" full (a limit by a policy)?`, error))
              this.#nacked(to)
            } else settle(unavailable(UNKNOWN, error))
          },
        )
      } catch (error) {
        settle(unavailable(undefined, error))
      }
    })
  }
}
