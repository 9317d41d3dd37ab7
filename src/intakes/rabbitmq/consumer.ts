/**
 * Takes deliveries of a pool's queue. Their order is the broker's work: a queue has one active consumer, and
 * what it holds without a verdict when its channel ends goes back to its place. So a stop never cancels a consumer, for
 * the next one would begin while the first one still holds some: it takes nothing more, then ends the channel.
 */
import type { Channel, ChannelModel, ConsumeMessage } from 'amqplib'
import { type Clock, sleep } from '../../core/clock.ts'
import { SluiceError } from '../../core/errors.ts'
import type { Delivery, Take, Verdict } from '../../core/ports/intake.ts'

export interface ConsumerOptions {
  readonly clock: Clock
  readonly pool: string
  readonly queue: string
  readonly window: number
  /** Resolves when the dead letter is confirmed; rejects where that is to be tried again. */
  readonly bury: (message: ConsumeMessage, delivery: Delivery, verdict: Verdict & { kind: 'dead' }) => Promise<void>
  /** A dead letter could not be stored (with why), or one was (null). */
  readonly onBurial: (error: unknown) => void
}

/** Handed on, without a verdict. */
interface Held {
  readonly channel: Channel
  readonly delivery: Delivery
  readonly verdict: Promise<Verdict>
}

const FIRST_BURIAL_WAIT_MS = 500
const LAST_BURIAL_WAIT_MS = 30_000

const canceled = (queue: string): SluiceError =>
  new SluiceError('intake_unavailable', {
    message: `RabbitMQ delivers nothing more of the queue "${queue}": it was deleted, or its node left.`,
  })

export class Consumer {
  readonly #options: ConsumerOptions
  readonly #take: Take
  #channel: Channel | null = null
  #isDraining = false
  /** Also those of channels that have ended, which come again. */
  readonly #underWay = new Set<Held>()
  #held = 0
  #empty: () => void = () => {}

  constructor(take: Take, options: ConsumerOptions) {
    this.#take = take
    this.#options = options
  }

  /** Handed on, until the broker is told of its verdict. */
  get held(): number {
    return this.#underWay.size
  }

  async open(
    connection: ChannelModel,
    broken: (why: unknown) => void,
    declare: (channel: Channel) => Promise<void>,
  ): Promise<void> {
    const channel = await connection.createChannel()
    channel.on('error', broken)
    const gone = (why: unknown): void => {
      if (this.#channel === channel) {
        this.#channel = null
        this.#held = 0
        this.#empty()
      }
      broken(why)
    }
    channel.on('close', () => gone(new Error('the channel was closed')))
    connection.on('close', () => gone(new Error('the connection was closed')))
    await declare(channel)
    await channel.prefetch(this.#options.window)
    this.#channel = channel
    await channel.consume(this.#options.queue, (message) => {
      // Its queue was deleted, or its node left
      if (message === null) broken(canceled(this.#options.queue))
      else if (!this.#isDraining) void this.#hand(channel, message)
    })
  }

  async #hand(channel: Channel, message: ConsumeMessage): Promise<void> {
    const { messageId } = message.properties as { readonly messageId?: unknown }
    const id = typeof messageId === 'string' && messageId !== '' ? messageId : null
    const delivery = { pool: this.#options.pool, id, payload: message.content }
    this.#held++
    const held = this.#hold(channel, delivery, message.fields.redelivered)
    try {
      const verdict = await held.verdict
      if (verdict.kind === 'dead') await this.#bury(channel, message, delivery, verdict)
      if (this.#channel === channel) channel.ack(message)
    } catch {
      // It stays with the broker
      return
    } finally {
      this.#underWay.delete(held)
      if (this.#channel === channel && --this.#held === 0) this.#empty()
    }
  }

  /** One that comes again while the first one is under way gets its verdict: else each channel would add a window. */
  #hold(channel: Channel, delivery: Delivery, isAgain: boolean): Held {
    const first = isAgain ? this.#orphanOf(channel, delivery) : undefined
    if (first !== undefined) this.#underWay.delete(first)
    const held = { channel, delivery, verdict: first?.verdict ?? this.#take(delivery) }
    this.#underWay.add(held)
    return held
  }

  #orphanOf(channel: Channel, { id, payload }: Delivery): Held | undefined {
    for (const held of this.#underWay)
      if (held.channel !== channel && held.delivery.id === id && Buffer.compare(held.delivery.payload, payload) === 0)
        return held
    return undefined
  }

  async #bury(
    channel: Channel,
    message: ConsumeMessage,
    delivery: Delivery,
    verdict: Verdict & { kind: 'dead' },
  ): Promise<void> {
    const { bury, onBurial, clock } = this.#options
    for (let wait = FIRST_BURIAL_WAIT_MS; this.#channel === channel; wait = Math.min(wait * 2, LAST_BURIAL_WAIT_MS))
      try {
        await bury(message, delivery, verdict)
        return onBurial(null)
      } catch (error) {
        onBurial(error)
        await sleep(clock, wait)
      }
    throw new Error('the session has ended')
  }

  /** Takes no more, and waits for the verdicts of what it has. */
  async drain(withinMs: number): Promise<void> {
    this.#isDraining = true
    if (this.#held === 0 || withinMs <= 0) return
    await Promise.race([
      new Promise<void>((done) => {
        this.#empty = done
      }),
      sleep(this.#options.clock, withinMs),
    ])
  }
}
