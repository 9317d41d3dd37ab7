/** What is declared at the broker, and by which names. */
import type { Channel } from 'amqplib'

export interface PoolQueue {
  readonly pool: string
  /** Routing keys of the topic exchange whose messages are for this pool: "image.*", "image.#". */
  readonly routes: readonly string[]
}

/** All of one Sluice, or of one fleet. */
export interface Topology {
  /** Of the topic exchange; all other names begin with it. */
  readonly exchange: string
  readonly pools: readonly PoolQueue[]
}

export const queueOf = (exchange: string, pool: string): string => `${exchange}.${pool}`
export const deadExchangeOf = (exchange: string): string => `${exchange}.dead`
export const deadQueueOf = (exchange: string, pool: string): string => `${exchange}.${pool}.dead`

/** What is bound is kept in it, as AMQP does not tell. */
export const bindingsQueueOf = (exchange: string): string => `${exchange}.bindings`

const QUORUM = { 'x-queue-type': 'quorum' }

/**
 * Idempotent. Quorum queues: what is confirmed is on the disks of most of their nodes. One active consumer a queue:
 * another process goes on where the first one stopped, in order. What the broker itself gives up (delivered too often)
 * goes where ours goes. Rejects with the broker's error for what is declared otherwise.
 */
export async function declare(channel: Channel, { exchange, pools }: Topology): Promise<void> {
  const dead = deadExchangeOf(exchange)
  await channel.assertExchange(exchange, 'topic', { durable: true })
  await channel.assertExchange(dead, 'direct', { durable: true })
  for (const { pool, routes } of pools) {
    const [queue, deadQueue] = [queueOf(exchange, pool), deadQueueOf(exchange, pool)]
    await channel.assertQueue(deadQueue, { durable: true, arguments: QUORUM })
    await channel.bindQueue(deadQueue, dead, pool)
    await channel.assertQueue(queue, {
      durable: true,
      arguments: {
        ...QUORUM,
        'x-single-active-consumer': true,
        'x-dead-letter-exchange': dead,
        'x-dead-letter-routing-key': pool,
        'x-dead-letter-strategy': 'at-least-once',
        'x-overflow': 'reject-publish',
      },
    })
    for (const route of routes) await channel.bindQueue(queue, exchange, route)
  }
}
