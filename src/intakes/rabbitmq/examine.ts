/** What `sluice doctor` asks of a RabbitMQ. Nothing is made, and nothing is taken. */
import type { ChannelModel } from 'amqplib'
import { type DialOptions, dialer } from './dial.ts'
import { deadQueueOf, queueOf, type Topology } from './names.ts'
import { whyAway } from './why-away.ts'

export interface Examined {
  /** "RabbitMQ 3.10.8 at 127.0.0.1:5672" */
  readonly server: string
  /** In the order of the pools; null: its queue is not there yet, or is declared otherwise. */
  readonly queues: ReadonlyArray<{ readonly ready: number; readonly consumers: number; readonly dead: number } | null>
}

/** Rejects with intake_unavailable, and with config_invalid where the package is not installed. */
export async function examineRabbitmq(options: DialOptions & Topology): Promise<Examined> {
  const dial = (await dialer(options))('doctor')
  let connection: ChannelModel
  try {
    connection = await dial()
  } catch (error) {
    throw whyAway(error, options.url)
  }
  connection.on('error', () => {})
  try {
    const { product, version } = connection.connection.serverProperties
    const queues: Array<Examined['queues'][number]> = []
    for (const { pool } of options.pools) {
      const found = await look(connection, queueOf(options.exchange, pool))
      const dead = await look(connection, deadQueueOf(options.exchange, pool))
      queues.push(found && { ready: found.messageCount, consumers: found.consumerCount, dead: dead?.messageCount ?? 0 })
    }
    return { server: `${product} ${version} at ${new URL(options.url).host}`, queues }
  } finally {
    await connection.close().catch(() => {})
  }
}

/** Null: it is not there. A question that is answered with "no" ends its channel. */
async function look(connection: ChannelModel, queue: string) {
  const channel = await connection.createChannel()
  channel.on('error', () => {})
  return channel.checkQueue(queue).catch(() => null)
}
