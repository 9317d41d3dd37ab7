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
import { deadExchangeOf, declare, queueOf, type Topology } from './names.ts'
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
}

const MAX_REASON = 500
/** For confirms at the end. */
const POLL_MS = 10

/** Resolves when the first connection stands or has failed: what is away at the start may come later. */
export async function openRabbitmq(options: RabbitOptions): Promise<Intake> {
  const { clock, jitter, exchange, pools, window, confirmTimeoutMs, maxMessageBytes } = options
  const dial = await dialer(options)
  const topology = { exchange, pools }
  let why: SluiceError | null = unavailable()
  const changed = (error: unknown): void => {
    const before = why
    why = error === null ? null : whyAway(error, options.url)
    if ((before === null) !== (why === null)) options.onChange(why)
  }
  const publisher = new Publisher(clock, confirmTimeoutMs)
  let isBound = false
  const prepare = async (channel: ConfirmChannel): Promise<void> => {
    const bind = (): Promise<void> => declare(channel, topology)
    if (isBound) {
      await bind()
      return keepBindings(channel, topology)
    }
    const gone = await bindOnly(channel, topology, bind)
    isBound = true
    if (gone.length > 0) options.onUnbound?.(gone.map(({ queue, route }) => `${route} of ${queue}`))
  }
  const outward = new Link(dial('publish'), (connection, broken) => publisher.open(connection, broken, prepare), {
    clock,
    jitter,
    onChange: changed,
  })
  const inward: Array<{ readonly consumer: Consumer; readonly link: Link }> = []
  let isClosed = false
  await outward.tried

  const bury: ConsumerOptions['bury'] = ({ properties, fields }, { pool, payload }, { code, reason }) =>
    publisher.publish({
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
        const consumer = new Consumer(take, { clock, window, pool, queue: queueOf(exchange, pool), bury })
        const turn = lasting<SluiceError>(clock, (error) => {
          if (!isClosed) options.onPool?.(pool, error)
        })
        const link = new Link(
          dial(`consume ${pool}`),
          (connection, broken) =>
            consumer.open(connection, broken, (channel) => declare(channel, { exchange, pools: [{ pool, routes }] })),
          { clock, jitter, onChange: (error) => turn(error === null ? null : whyAway(error, options.url)) },
        )
        inward.push({ consumer, link })
      }
    },
    health() {
      if (publisher.isBlocked)
        return { ok: false, error: unavailable('RabbitMQ takes nothing: its memory or disk is full.') }
      if (isClosed || !outward.isUp) return { ok: false, error: why ?? unavailable() }
      const deaf = inward.findIndex(({ link }) => !link.isUp)
      if (deaf === -1) return { ok: true }
      return { ok: false, error: unavailable(`RabbitMQ delivers nothing of the pool "${pools[deaf].pool}".`) }
    },
    reconnects: () => inward.reduce((sum, { link }) => sum + link.reconnects, outward.reconnects),
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
      await intake.drain(0)
      for (let left = confirmTimeoutMs / POLL_MS; publisher.pending > 0 && outward.isUp && left > 0; left--)
        await new Promise<void>((go) => void clock.after(POLL_MS, go))
      await outward.close()
    },
  }
  return intake
}
