/**
 * RabbitMQ as an intake: PROTOCOL.md says what others may publish, docs/engines.md what survives what. One connection
 * publishes and one takes for each pool: a broker that is full blocks those that publish, and what is taken makes room;
 * and a queue that has lost its nodes does not stop the others. What Sluice publishes
 * itself goes to its pool's queue directly, past the topic exchange: no pattern of another pool can match it.
 */
import type { ConfirmChannel } from 'amqplib'
import type { Clock } from '../../core/clock.ts'
import { SluiceError } from '../../core/errors.ts'
import type { Intake } from '../../core/ports/intake.ts'
import { lasting } from '../lasting.ts'
import { bindOnly, keepBindings } from './bindings.ts'
import { Consumer, type ConsumerOptions } from './consumer.ts'
import { type DialOptions, dialer } from './dial.ts'
import { Link } from './link.ts'
import { deadExchangeOf, deadQueueOf, declare, queueOf, type Topology } from './names.ts'
import { Publisher, unavailable } from './publisher.ts'
import { whyAway } from './why-away.ts'

export interface RabbitOptions extends Topology, DialOptions {
  readonly window: number
  readonly confirmTimeoutMs: number
  /** A larger message would be refused by the broker, with its whole connection. */
  readonly maxMessageBytes: number
  readonly clock: Clock
  readonly jitter: () => number
  /** It went away (with the reason), or is back (null). Never names the password. */
  readonly onChange: (error: SluiceError | null) => void
  /** For some time nothing of this pool could be taken (with the reason), or it is again (null). */
  readonly onPool?: (pool: string, error: SluiceError | null) => void
  /** Routes that are no longer configured, and were taken off: "image.* of sluice.text". */
  readonly onUnbound?: (routes: readonly string[]) => void
  /** Of this Sluice, or its fleet, whatever it is called: its secret's, for example. */
  readonly mark: string
  /** Another Sluice takes from these queues, too, or this one has another mark than before. */
  readonly onShared?: (queues: readonly string[]) => void
}

const MAX_REASON = 500
const LOOK_MS = 10_000
const BLOCKED =
  'RabbitMQ takes nothing: its memory or disk is full (an alarm: rabbitmq-diagnostics alarms). Make room there.'
const unburied = (queue: string, { message }: SluiceError): SluiceError =>
  unavailable(
    `Dead letters can't be stored in "${queue}", and wait; once the window is full of them, nothing more of the ` +
      `pool is taken. Empty that queue, or take its limit off. ${message}`,
  )

interface Inward {
  readonly pool: string
  readonly consumer: Consumer
  readonly link: Link
  /** Why its dead letters can't be stored. */
  readonly own: { stuck: SluiceError | null }
}

/** For confirms at the end. */
const POLL_MS = 10

/** Resolves when the first connection stands or has failed: what is away at the start may come later. */
export async function openRabbitmq(options: RabbitOptions): Promise<Intake> {
  const { clock, jitter, exchange, pools, window, confirmTimeoutMs, maxMessageBytes } = options
  const dial = await dialer(options)
  const topology = { exchange, pools }
  /** Of the connection that publishes. */
  let lost: SluiceError | null = unavailable()
  const why = (): SluiceError | null => lost ?? (publisher.isBlocked ? unavailable(BLOCKED) : null)
  let isToldWell: boolean | null = null
  const tell = (): void => {
    const now = why()
    if (isClosed || isToldWell === (now === null)) return
    isToldWell = now === null
    options.onChange(now)
  }
  const changed = (error: unknown): void => {
    lost = error === null ? null : whyAway(error, options.url)
    tell()
  }
  const publisher = new Publisher(clock, confirmTimeoutMs, tell)
  let isClosed = false
  let isBound = false
  const prepare = async (channel: ConfirmChannel): Promise<void> => {
    const bind = (): Promise<void> => declare(channel, topology)
    if (isBound) {
      await bind()
      return keepBindings(channel, topology, options.mark)
    }
    const { gone, shared } = await bindOnly(channel, topology, options.mark, bind)
    isBound = true
    if (shared.length > 0) options.onShared?.(shared)
    if (gone.length > 0) options.onUnbound?.(gone.map(({ queue, route }) => `${route} of ${queue}`))
  }
  const outward = new Link(dial('publish'), (connection, broken) => publisher.open(connection, broken, prepare), {
    clock,
    jitter,
    onChange: changed,
  })
  const inward: Inward[] = []
  await outward.tried
  // Whoever deletes an exchange or takes off a binding tells nobody
  const stopLooking = clock.every(LOOK_MS, () => {
    publisher.use((channel) => declare(channel, topology)).catch(() => {})
  })

  /** On a connection of their own: those that can't be stored keep nobody from publishing. */
  const letters = new Publisher(clock, confirmTimeoutMs)
  let buried: Link | null = null
  const bury: ConsumerOptions['bury'] = async ({ properties, fields }, { pool, payload }, { code, reason }) => {
    if (isClosed) throw unavailable()
    buried ??= new Link(
      dial('dead letters'),
      (connection, broken) => letters.open(connection, broken, (channel) => declare(channel, topology)),
      { clock, jitter, onChange: () => {} },
    )
    await buried.tried
    await letters.publish({
      exchange: deadExchangeOf(exchange),
      route: pool,
      payload,
      options: {
        ...(properties.messageId !== undefined && { messageId: String(properties.messageId) }),
        ...(properties.contentType !== undefined && { contentType: String(properties.contentType) }),
        headers: {
          'x-sluice-code': code,
          'x-sluice-reason': reason.slice(0, MAX_REASON),
          'x-sluice-route': fields.routingKey,
        },
      },
    })
  }

  const intake: Intake = {
    name: 'rabbitmq',
    async publish({ pool, id, payload }) {
      if (isClosed) throw unavailable()
      if (payload.length > maxMessageBytes)
        throw new SluiceError('body_too_large', {
          message: `A job of this pool is at most ${maxMessageBytes} bytes long (intakes.rabbitmq.max_message_bytes).`,
        })
      await publisher.publish({
        exchange: '',
        route: queueOf(exchange, pool),
        payload,
        options: { messageId: id, contentType: 'application/vnd.sluice.job' },
      })
    },
    consume(take) {
      for (const { pool, routes } of pools) {
        const tellPool = (error: SluiceError | null): void => {
          if (!isClosed) options.onPool?.(pool, error)
        }
        const turn = lasting(clock, tellPool)
        const own: { stuck: SluiceError | null } = { stuck: null }
        const burial = lasting<SluiceError>(clock, (error) => {
          own.stuck = error
          tellPool(error)
        })
        const onBurial = (error: unknown): void =>
          burial(error === null ? null : unburied(deadQueueOf(exchange, pool), whyAway(error, options.url)))
        const consumer = new Consumer(take, { clock, window, pool, queue: queueOf(exchange, pool), bury, onBurial })
        const link = new Link(
          dial(`consume ${pool}`),
          (connection, broken) =>
            consumer.open(connection, broken, (channel) => declare(channel, { exchange, pools: [{ pool, routes }] })),
          {
            clock,
            jitter,
            onChange: (error) => {
              turn(error === null ? null : whyAway(error, options.url))
              // Its letters are with whoever takes next
              if (error !== null) burial(null)
            },
          },
        )
        inward.push({ pool, consumer, link, own })
      }
    },
    health() {
      const away = why()
      if (isClosed || away !== null || !outward.isUp) return { ok: false, error: away ?? unavailable() }
      for (const { pool, link, own } of inward) {
        if (!link.isUp) return { ok: false, error: unavailable(`RabbitMQ delivers nothing of the pool "${pool}".`) }
        if (own.stuck !== null) return { ok: false, error: own.stuck }
      }
      return { ok: true }
    },
    reconnects: () =>
      inward.reduce((sum, { link }) => sum + link.reconnects, outward.reconnects + (buried?.reconnects ?? 0)),
    held: () => new Map(inward.map(({ pool, consumer }) => [pool, consumer.held])),
    async drain(withinMs) {
      await Promise.all(
        inward.map(async ({ consumer, link }) => {
          await consumer.drain(withinMs)
          await link.close()
        }),
      )
    },
    async close() {
      if (isClosed) return
      isClosed = true
      stopLooking()
      await intake.drain(0)
      await buried?.close()
      for (let left = confirmTimeoutMs / POLL_MS; publisher.pending > 0 && outward.isUp && left > 0; left--)
        await new Promise<void>((go) => void clock.after(POLL_MS, go))
      await outward.close()
    },
  }
  return intake
}
