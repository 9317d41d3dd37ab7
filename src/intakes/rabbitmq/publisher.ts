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

export const unavailable = (message?: string, cause?: unknown): SluiceError =>
  new SluiceError('intake_unavailable', { ...(message !== undefined && { message }), cause })

export class Publisher {
  readonly #clock: Clock
  readonly #confirmMs: number
  #channel: ConfirmChannel | null = null
  #isBlocked = false
  readonly #pending = new Map<string, Pending>()
  #bytes = 0
  #n = 0

  constructor(clock: Clock, confirmMs: number) {
    this.#clock = clock
    this.#confirmMs = confirmMs
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
    connection.on('blocked', () => {
      this.#isBlocked = true
    })
    connection.on('unblocked', () => {
      this.#isBlocked = false
    })
    channel.on('return', ({ properties }: Message) => {
      // Its queue is gone: a new session declares it
      this.#pending.get(String(properties.headers?.['x-sluice-n']))?.settle(unavailable('its queue is not there'))
      broken(new Error('a queue is not there'))
    })
    await declare(channel)
    this.#channel = channel
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
      const stop = this.#clock.after(this.#confirmMs, () =>
        settle(unavailable('The broker did not confirm in time; retry.')),
      )
      this.#pending.set(n, { settle })
      try {
        channel.publish(
          exchange,
          route,
          Buffer.from(payload.buffer, payload.byteOffset, payload.length),
          { ...options, persistent: true, mandatory: true, headers: { ...options.headers, 'x-sluice-n': n } },
          // On its way when the channel broke, or refused by the broker (a queue that is full)
          (error) => settle(error === null || error === undefined ? null : unavailable(undefined, error)),
        )
      } catch (error) {
        settle(unavailable(undefined, error))
      }
    })
  }
}
