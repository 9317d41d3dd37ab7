/**
 * Routes that the configuration no longer has are taken off at the next start. AMQP can't list what is bound, so it is
 * kept at the broker, in a queue of one message.
 */
import type { Channel, ConfirmChannel, GetMessage } from 'amqplib'
import { bindingsQueueOf, queueOf, type Topology } from './names.ts'

export interface Binding {
  readonly queue: string
  readonly route: string
}

/** Processes that start at once leave one each; the next start puts them together. */
const MOST_LISTS = 100
const MOST_BINDINGS = 10_000
/** RabbitMQ 4 else drops what was given back 20 times. */
const DELIVERIES = 1_000_000_000

const nameOf = ({ queue, route }: Binding): string => `${queue}\n${route}`

export const bindingsOf = ({ exchange, pools }: Topology): readonly Binding[] =>
  pools.flatMap(({ pool, routes }) => routes.map((route) => ({ queue: queueOf(exchange, pool), route })))

/** What somebody else has put there is nothing. */
function listIn({ content }: GetMessage): readonly Binding[] {
  try {
    const list: unknown = JSON.parse(content.toString())
    if (!Array.isArray(list)) return []
    return list.slice(0, MOST_BINDINGS).flatMap((one: Partial<Binding> | null) => {
      const { queue, route } = one ?? {}
      return typeof queue === 'string' && typeof route === 'string' ? [{ queue, route }] : []
    })
  } catch {
    return []
  }
}

async function declareQueue(channel: Channel, exchange: string): Promise<number> {
  const { messageCount } = await channel.assertQueue(bindingsQueueOf(exchange), {
    durable: true,
    arguments: { 'x-queue-type': 'quorum', 'x-delivery-limit': DELIVERIES },
  })
  return messageCount
}

const publish = (channel: ConfirmChannel, exchange: string, list: readonly Binding[]): Promise<void> =>
  new Promise((resolve, reject) => {
    const text = Buffer.from(JSON.stringify(list))
    const options = { persistent: true, contentType: 'application/json' }
    channel.publish('', bindingsQueueOf(exchange), text, options, (error) =>
      error === null || error === undefined ? resolve() : reject(error),
    )
  })

/**
 * To be called once, where `bind` makes what is configured: resolves with what was taken off. The new list is kept
 * before anything is bound, and the old one until it is undone, so that a crash in between leaves both to the next
 * start. Rejects with the broker's error.
 */
export async function bindOnly(
  channel: ConfirmChannel,
  topology: Topology,
  bind: () => Promise<void>,
): Promise<readonly Binding[]> {
  const { exchange, pools } = topology
  const own = bindingsOf(topology)
  const ownNames = new Set(own.map(nameOf))
  await declareQueue(channel, exchange)
  const lists: GetMessage[] = []
  while (lists.length < MOST_LISTS) {
    const message = await channel.get(bindingsQueueOf(exchange))
    if (message === false) break
    lists.push(message)
  }
  const before = new Map(lists.flatMap(listIn).map((binding) => [nameOf(binding), binding]))
  const isSame = lists.length === 1 && before.size === ownNames.size && own.every((one) => before.has(nameOf(one)))
  if (!isSame) await publish(channel, exchange, own)
  await bind()
  if (isSame) {
    channel.nack(lists[0])
    return []
  }
  // Of a version that kept no list: a route that was moved is still that of the other pool
  if (lists.length === 0)
    for (const { pool } of pools)
      for (const { route } of own) {
        const moved = { queue: queueOf(exchange, pool), route }
        before.set(nameOf(moved), moved)
      }
  const gone = [...before.values()].filter((binding) => !ownNames.has(nameOf(binding)))
  for (const { queue, route } of gone) await channel.unbindQueue(queue, exchange, route)
  for (const message of lists) channel.ack(message)
  return lists.length === 0 ? [] : gone
}

/** For later connections: others may have been started with other routes since. A broker that is new has no list. */
export async function keepBindings(channel: ConfirmChannel, topology: Topology): Promise<void> {
  if ((await declareQueue(channel, topology.exchange)) === 0)
    await publish(channel, topology.exchange, bindingsOf(topology))
}
