/** Gateways, workers, their Redis and their upstream, as processes. */

import type { Span } from '../history.ts'
import { pause, startUpstream, type Upstream } from '../server.ts'
import { FleetBroker, type IntakeName } from './broker.ts'
import { FleetNode, type Role } from './node.ts'
import { FleetStore, type Fsync } from './store.ts'

const GATEWAYS = 3
const WORKERS = 3
/** Two nodes whose clocks are an hour apart from the others'. */
const CLOCKS: Readonly<Record<string, string>> = { g2: '-1h', w2: '+1h' }
const FOUND_MS = 15_000
/** A worker that can be reached again hears by then that its attempt is over. */
const TOLD_MS = 3_000

export class Fleet {
  readonly store: FleetStore
  readonly upstream: Upstream
  /** In front of its pool; null: jobs come directly. */
  readonly broker: FleetBroker | null
  readonly nodes: readonly FleetNode[]
  readonly isolated: Array<Span & { readonly worker: string }> = []

  private constructor(store: FleetStore, upstream: Upstream, broker: FleetBroker | null, nodes: readonly FleetNode[]) {
    this.store = store
    this.upstream = upstream
    this.broker = broker
    this.nodes = nodes
  }

  /** `env`: for every process, to plant a fault. `before`: sources of the version that it begins with. */
  static async start(
    env: Readonly<Record<string, string>> = {},
    fsync: Fsync = 'always',
    before?: string,
    intake?: IntakeName,
  ): Promise<Fleet> {
    const [store, upstream, broker] = await Promise.all([
      FleetStore.start(fsync),
      startUpstream(),
      intake === undefined ? null : FleetBroker.start(intake, GATEWAYS),
    ])
    const durability = fsync === 'always' ? 'power' : 'process'
    const make = (role: Role, n: number): Promise<FleetNode> => {
      const name = `${role[0]}${n + 1}`
      const clock = CLOCKS[name]
      const shared = { name, role, upstream: upstream.url, redisPort: store.port, durability, env } as const
      const way = role === 'gateway' ? broker?.ways[n] : undefined
      return FleetNode.make({
        ...shared,
        ...(before !== undefined && { before }),
        ...(clock !== undefined && { clock }),
        ...(way !== undefined && { broker: way }),
      })
    }
    const nodes = await Promise.all([
      ...Array.from({ length: GATEWAYS }, (_, n) => make('gateway', n)),
      ...Array.from({ length: WORKERS }, (_, n) => make('worker', n)),
    ])
    const fleet = new Fleet(store, upstream, broker, nodes)
    for (const node of nodes) if (!(await node.start())) throw new Error(`${node.name} did not start:\n${node.printed}`)
    return fleet
  }

  get gateways(): readonly FleetNode[] {
    return this.nodes.filter(({ role }) => role === 'gateway')
  }

  get workers(): readonly FleetNode[] {
    return this.nodes.filter(({ role }) => role === 'worker')
  }

  get links(): ReadonlyArray<FleetNode['link']> {
    return this.nodes.map(({ link }) => link)
  }

  /** The process that coordinates; null: none was found in time. */
  async coordinator(): Promise<FleetNode | null> {
    const giveUpAt = performance.now() + FOUND_MS
    while (performance.now() < giveUpAt) {
      const stats = await Promise.all(this.nodes.map((node) => node.stats()))
      const acting = this.nodes.filter((_, i) => stats[i]?.['coordinating'] === 1)
      if (acting.length === 1) return acting[0]
      await pause(50)
    }
    return null
  }

  /** From now on this node can't be reached; a worker's calls may outlive their leases. Returns how that ends. */
  isolate(node: FleetNode): () => void {
    const fromMs = performance.now()
    const span = { worker: node.name, fromMs, toMs: Infinity }
    if (node.role === 'worker') this.isolated.push(span)
    return () => {
      span.toMs = performance.now() + TOLD_MS
    }
  }

  async remove(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.remove()))
    this.upstream.stop()
    await this.broker?.remove()
    await this.store.remove()
  }
}
