/** What happens to a fleet: a deck of events, shuffled by the seed. */
import type { FaultProxy, Way } from '../../redis/proxy.ts'
import { pause } from '../server.ts'
import type { Fleet } from './fleet.ts'
import type { FleetNode } from './node.ts'

export type Random = (below: number) => number

/** Nodes that no other event is about, and how to take one. */
export class Targets {
  readonly #fleet: Fleet
  readonly #random: Random
  readonly #busy = new Set<FleetNode>()

  constructor(fleet: Fleet, random: Random) {
    this.#fleet = fleet
    this.#random = random
  }

  any(): FleetNode {
    return this.#take(this.#fleet.nodes)
  }

  gateway(): FleetNode {
    return this.#take(this.#fleet.gateways)
  }

  worker(): FleetNode {
    return this.#take(this.#fleet.workers)
  }

  /** Any other one where nobody coordinates, or where another event is about it. */
  async coordinator(): Promise<FleetNode> {
    const found = await this.#fleet.coordinator()
    return found === null || this.#busy.has(found) ? this.any() : this.#take([found])
  }

  free(node: FleetNode): void {
    this.#busy.delete(node)
  }

  #take(among: readonly FleetNode[]): FleetNode {
    const free = among.filter((node) => !this.#busy.has(node))
    const node = free[this.#random(free.length)]
    this.#busy.add(node)
    return node
  }
}

export interface Event {
  readonly name: string
  /** In a hundred. */
  readonly share: number
  /** What it is about: nothing else happens to that meanwhile. */
  readonly of: 'node' | 'store' | 'broker' | 'all'
  /** Resolves when it is over, with what it did. */
  run(fleet: Fleet, targets: Targets, random: Random): Promise<string>
}

type On = (node: FleetNode, fleet: Fleet, random: Random) => Promise<string>
type Pick = 'any' | 'gateway' | 'worker' | 'coordinator'

const onNode = (name: string, share: number, pick: Pick, on: On): Event => ({
  name,
  share,
  of: 'node',
  async run(fleet, targets, random) {
    const node = await targets[pick]()
    try {
      return `${node.name} ${await on(node, fleet, random)}`
    } finally {
      targets.free(node)
    }
  },
})

export async function startAgain(node: FleetNode): Promise<void> {
  for (let tries = 1; !(await node.start()); tries++)
    if (tries === 20) throw new Error(`${node.name} does not start again:\n${node.printed}`)
    else await pause(200)
}

/** kill -9; started again after up to so long. */
const kill =
  (mostMs: number): On =>
  async (node, _fleet, random) => {
    const ms = random(mostMs)
    await node.kill()
    await pause(ms)
    await startAgain(node)
    return `for ${ms} ms`
  }

/** SIGSTOP, and SIGCONT after so long. */
const suspend =
  (leastMs: number, mostMs: number): On =>
  async (node, fleet, random) => {
    const ms = leastMs + random(mostMs - leastMs)
    const reached = fleet.isolate(node)
    node.suspend()
    await pause(ms)
    node.resume()
    reached()
    return `for ${ms} ms`
  }

type Harm = (link: FaultProxy, random: Random) => string

/** Its link to Redis, for a while. */
const link =
  (leastMs: number, mostMs: number, harm: Harm): On =>
  async (node, fleet, random) => {
    const ms = leastMs + random(mostMs - leastMs)
    const reached = fleet.isolate(node)
    const how = harm(node.link, random)
    await pause(ms)
    node.link.heal()
    reached()
    return `${how} for ${ms} ms`
  }

const WAYS: ReadonlyArray<readonly Way[]> = [['up', 'down'], ['up'], ['down']]

/** Returns how long the stop took, ms. */
async function stopAndStart(node: FleetNode): Promise<number> {
  const sentMs = performance.now()
  await node.stop()
  const tookMs = Math.round(performance.now() - sentMs)
  await startAgain(node)
  return tookMs
}

const cut: Harm = (link) => {
  link.cut()
  return 'cut'
}
const stall: Harm = (link, random) => {
  const ways = WAYS[random(WAYS.length)]
  link.stall(...ways)
  return `silent ${ways.join(' and ')}`
}
const slow: Harm = (link, random) => {
  const ms = 50 + random(100)
  link.delay(ms)
  return `${ms} ms late`
}
const drop: Harm = (link) => {
  link.drop()
  return 'reset'
}

export const EVENTS: readonly Event[] = [
  onNode('kill the coordinator', 20, 'coordinator', kill(1_500)),
  onNode('stop the coordinator', 8, 'coordinator', suspend(2_500, 4_500)),
  onNode('cut the coordinator off', 3, 'coordinator', link(500, 5_000, cut)),
  onNode('kill a gateway', 8, 'gateway', kill(2_000)),
  onNode('kill a worker', 9, 'worker', kill(2_000)),
  onNode('stop a gateway', 4, 'gateway', suspend(1_000, 6_000)),
  onNode('stop a worker', 6, 'worker', suspend(1_000, 7_000)),
  onNode('cut a link', 6, 'any', link(200, 6_000, cut)),
  onNode('silence a link', 5, 'any', link(1_000, 7_000, stall)),
  onNode('drop a link', 4, 'any', async (node) => {
    node.link.drop()
    return 'reset once'
  }),
  onNode('slow a link', 3, 'any', link(2_000, 4_000, slow)),
  onNode('drop a link to the upstream', 3, 'worker', async ({ upstream }) => {
    upstream.drop()
    return 'reset once'
  }),
  onNode('cut a worker from the upstream', 2, 'worker', async ({ upstream }, _fleet, random) => {
    const ms = 200 + random(1_300)
    upstream.cut()
    await pause(ms)
    upstream.heal()
    return `for ${ms} ms`
  }),
  onNode('restart a node', 5, 'any', async (node) => {
    return `stopped in ${await stopAndStart(node)} ms`
  }),
  {
    name: 'kill Redis',
    of: 'store',
    share: 4,
    async run({ store }) {
      await store.kill(0)
      return 'started again'
    },
  },
  {
    name: 'Redis away',
    of: 'store',
    share: 2,
    async run({ store }) {
      await store.kill(5_000)
      return 'for 5 s'
    },
  },
  {
    name: 'stop Redis',
    of: 'store',
    share: 3,
    async run({ store }, _targets, random) {
      const ms = 1_000 + random(4_000)
      await store.suspend(ms)
      return `for ${ms} ms`
    },
  },
  {
    name: 'fail-over',
    of: 'all',
    share: 3,
    async run({ store, links }) {
      await store.failOver(links)
      return 'to a replica that lacks the last second'
    },
  },
  {
    name: 'rolling restart',
    of: 'all',
    share: 2,
    async run({ nodes }) {
      const tookMs: number[] = []
      for (const node of nodes) tookMs.push(await stopAndStart(node))
      return `all nodes, stopped in ${tookMs.join(', ')} ms`
    },
  },
]

/** Happen too where the fleet has a broker in front. */
const BROKER_EVENTS: readonly Event[] = [
  {
    name: 'kill the broker',
    of: 'broker',
    share: 24,
    async run({ broker }, _targets, random) {
      const ms = random(2_000)
      await broker!.kill(ms)
      return `started again after ${ms} ms`
    },
  },
  onNode('cut a broker link', 24, 'gateway', async ({ brokerLink }, _fleet, random) => {
    const harms = [cut, cut, stall, drop]
    const ms = 200 + random(6_000)
    const how = harms[random(harms.length)](brokerLink!, random)
    await pause(ms)
    brokerLink!.heal()
    return `${how} for ${ms} ms`
  }),
  {
    // Whoever takes what the broker delivers is among them, and nobody owns what it has taken meanwhile
    name: 'cut each gateway off and kill it',
    of: 'all',
    share: 24,
    async run({ gateways }) {
      for (const node of gateways) {
        node.link.cut()
        // A group of Kafka's may be settling who reads what, and reads nothing until then
        await pause(3_000)
        await node.kill()
        node.link.heal()
        await startAgain(node)
      }
      return 'one after the other'
    },
  },
]

/**
 * With a broker in front there is no fail-over: what waited in the broker, and was owned in the second that a replica
 * lacks, was acknowledged before that second: the oracle can't know that its loss is allowed.
 */
export const INTAKE_EVENTS: readonly Event[] = [...BROKER_EVENTS, ...EVENTS.filter(({ name }) => name !== 'fail-over')]

/** Each node is stopped, and started again as the version that is tested. */
export const upgrades = ({ nodes }: Fleet): readonly Event[] =>
  nodes.map((node) => ({
    name: 'upgrade a node',
    of: 'all',
    share: 0,
    async run() {
      node.upgrade()
      return `${node.name} stopped in ${await stopAndStart(node)} ms`
    },
  }))

/** So many events, in their shares, in an order of the seed's. */
export function deckOf(count: number, random: Random, events: readonly Event[] = EVENTS): Event[] {
  const all = events.reduce((sum, { share }) => sum + share, 0)
  const deck: Event[] = []
  let due = 0
  for (const event of events) {
    due += (event.share / all) * count
    while (deck.length < Math.round(due)) deck.push(event)
  }
  for (let i = deck.length - 1; i > 0; i--) {
    const j = random(i + 1)
    ;[deck[i], deck[j]] = [deck[j], deck[i]]
  }
  return deck
}
