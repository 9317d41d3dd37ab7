/**
 * Routes that the configuration no longer has are taken off at the next start. AMQP can't list what is bound, so it is
 * kept at the broker, in a queue of one message for each Sluice that uses the exchange.
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

/** What one Sluice, or one fleet, has bound. */
interface List {
  readonly message: GetMessage
  /** Its mark. */
  readonly of: string
  readonly bindings: readonly Binding[]
}

function parsed(content: Buffer): { readonly of?: unknown; readonly bindings?: unknown } | null {
  try {
    return JSON.parse(content.toString())
  } catch {
    return null
  }
}

/** What somebody else has put there is nothing of nobody. */
function listIn(message: GetMessage): List {
  const { of, bindings } = parsed(message.content) ?? {}
  const listed: ReadonlyArray<Partial<Binding> | null> = Array.isArray(bindings) ? bindings.slice(0, MOST_BINDINGS) : []
  return {
    message,
    of: typeof of === 'string' ? of : '',
    bindings: listed.flatMap((one) => {
      const { queue, route } = one ?? {}
      return typeof queue === 'string' && typeof route === 'string' ? [{ queue, route }] : []
    }),
  }
}

async function declareQueue(channel: Channel, exchange: string): Promise<number> {
  const { messageCount } = await channel.assertQueue(bindingsQueueOf(exchange), {
    durable: true,
    arguments: { 'x-queue-type': 'quorum', 'x-delivery-limit': DELIVERIES },
  })
  return messageCount
}

const publish = (channel: ConfirmChannel, topology: Topology, of: string): Promise<void> =>
  new Promise((resolve, reject) => {
    const text = Buffer.from(JSON.stringify({ of, bindings: bindingsOf(topology) }))
    const options = { persistent: true, contentType: 'application/json' }
    channel.publish('', bindingsQueueOf(topology.exchange), text, options, (error) =>
      error === null || error === undefined ? resolve() : reject(error),
    )
  })

async function readLists(channel: ConfirmChannel, exchange: string): Promise<readonly List[]> {
  const lists: List[] = []
  while (lists.length < MOST_LISTS) {
    const message = await channel.get(bindingsQueueOf(exchange))
    if (message === false) break
    lists.push(listIn(message))
  }
  return lists
}

export interface Bound {
  /** What was taken off. */
  readonly gone: readonly Binding[]
  /** Queues of these pools that another Sluice has bound, too. */
  readonly shared: readonly string[]
}

/**
 * To be called once, where `bind` makes what is configured. The new list is kept before anything is bound, and the old
 * one until it is undone, so that a crash in between leaves both to the next start. `mark`: of this Sluice, or its
 * fleet; what another one has bound stays. Rejects with the broker's error.
 */
export async function bindOnly(
  channel: ConfirmChannel,
  topology: Topology,
  mark: string,
  bind: () => Promise<void>,
): Promise<Bound> {
  const { exchange, pools } = topology
  const wanted = bindingsOf(topology)
  const names = new Set(wanted.map(nameOf))
  await declareQueue(channel, exchange)
  const lists = await readLists(channel, exchange)
  const own = lists.filter(({ of }) => of === mark)
  const before = new Map(own.flatMap(({ bindings }) => bindings).map((binding) => [nameOf(binding), binding]))
  const isSame = own.length === 1 && before.size === names.size && wanted.every((one) => before.has(nameOf(one)))
  if (!isSame) await publish(channel, topology, mark)
  await bind()
  // Of a version that kept no list: a route that was moved is still that of the other pool
  if (own.length === 0)
    for (const { pool } of pools)
      for (const { route } of wanted) {
        const moved = { queue: queueOf(exchange, pool), route }
        before.set(nameOf(moved), moved)
      }
  const gone = [...before.values()].filter((binding) => !names.has(nameOf(binding)))
  for (const { queue, route } of gone) await channel.unbindQueue(queue, exchange, route)
  const queues = new Set(wanted.map(({ queue }) => queue))
  const shared = new Set<string>()
  for (const { message, of, bindings } of lists) {
    const both = of === mark ? [] : bindings.filter(({ queue }) => queues.has(queue))
    for (const { queue } of both) shared.add(queue)
    // The other one writes its list again when it starts
    const isKept = of === mark ? isSame : both.length === 0 && bindings.length > 0
    if (isKept) channel.nack(message)
    else channel.ack(message)
  }
  return { gone: own.length === 0 ? [] : gone, shared: [...shared] }
}

/** For later connections: others may have been started with other routes since. A broker that is new has no list. */
export async function keepBindings(channel: ConfirmChannel, topology: Topology, mark: string): Promise<void> {
  if ((await declareQueue(channel, topology.exchange)) === 0) await publish(channel, topology, mark)
}
