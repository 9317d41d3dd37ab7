/** A real Redis Cluster on loopback: masters that share the slots, without replicas. */
import { Redis } from 'ioredis'
import { freePort } from '../free-port.ts'
import { FaultProxy } from './proxy.ts'
import { type RedisOptions, RedisServer } from './server.ts'

const SLOTS = 16_384
const READY_MS = 60_000

export class RedisCluster {
  readonly nodes: readonly RedisServer[]
  /** One before each node, where it was asked for: the only addresses that clients are told. */
  readonly proxies: readonly FaultProxy[]
  readonly #buses: readonly number[]
  readonly #replicas: RedisServer[] = []

  private constructor(nodes: readonly RedisServer[], proxies: readonly FaultProxy[], buses: readonly number[]) {
    this.nodes = nodes
    this.proxies = proxies
    this.#buses = buses
  }

  static async start(
    options: RedisOptions & { readonly nodes?: number; readonly proxied?: boolean } = {},
  ): Promise<RedisCluster> {
    const count = options.nodes ?? 3
    const config = {
      'cluster-enabled': 'yes',
      'cluster-node-timeout': '2000',
      // One that can't be reached holds up nobody but its own slots
      'cluster-require-full-coverage': 'no',
      ...options.config,
    }
    const nodes: RedisServer[] = []
    const proxies: FaultProxy[] = []
    const buses: number[] = []
    const cluster = new RedisCluster(nodes, proxies, buses)
    try {
      for (let n = 0; n < count; n++) {
        // Not 10,000 above its port, where outgoing connections may be
        const bus = await freePort()
        buses.push(bus)
        nodes.push(await RedisServer.start({ ...options, config: { ...config, 'cluster-port': String(bus) } }))
        if (options.proxied) proxies.push(await FaultProxy.start(nodes[n].port))
      }
      await cluster.#join()
      return cluster
    } catch (error) {
      await cluster.remove()
      throw error
    }
  }

  /** Of any node that a client may begin with. */
  get url(): string {
    return `redis://127.0.0.1:${this.#clientPort(0)}`
  }

  /** All but the one of `url`, as settings name them. */
  get others(): readonly string[] {
    return this.nodes.slice(1).map((_, n) => `127.0.0.1:${this.#clientPort(n + 1)}`)
  }

  #clientPort(n: number): number {
    return this.proxies[n]?.port ?? this.nodes[n].port
  }

  async #join(): Promise<void> {
    const clients = this.nodes.map(({ port }) => new Redis({ port, host: '127.0.0.1' }))
    try {
      const share = Math.ceil(SLOTS / clients.length)
      for (const [n, client] of clients.entries()) {
        const last = Math.min(SLOTS, (n + 1) * share) - 1
        await client.call('CLUSTER', 'SET-CONFIG-EPOCH', n + 1)
        await client.call('CLUSTER', 'ADDSLOTSRANGE', n * share, last)
        if (this.proxies.length > 0) await client.call('CONFIG', 'SET', 'cluster-announce-port', this.#clientPort(n))
        if (n > 0) await clients[0].call('CLUSTER', 'MEET', '127.0.0.1', this.nodes[n].port, this.#buses[n])
      }
    } finally {
      for (const client of clients) client.disconnect()
    }
    await this.whole()
  }

  /** Resolves when all nodes serve their slots. */
  async whole(): Promise<void> {
    const giveUpAt = performance.now() + READY_MS
    for (const { port } of this.nodes) {
      const client = new Redis({ port, host: '127.0.0.1' })
      try {
        while (!(await isWhole(client, this.nodes.length))) {
          if (performance.now() > giveUpAt) throw new Error(`no cluster: ${await client.call('CLUSTER', 'NODES')}`)
          await new Promise((done) => setTimeout(done, 50))
        }
      } finally {
        client.disconnect()
      }
    }
  }

  /** Which node serves the slot of this key. */
  async ownerOf(key: string): Promise<number> {
    const slot = await this.#on(0, (client) => client.call('CLUSTER', 'KEYSLOT', key))
    const ranges = (await this.#on(0, (client) => client.call('CLUSTER', 'SLOTS'))) as Array<
      [number, number, [string, number]]
    >
    const [, , [, port]] = ranges.find(([first, last]) => Number(slot) >= first && Number(slot) <= last)!
    return this.nodes.findIndex((_, n) => this.#clientPort(n) === port)
  }

  /** Moves a slot to another node, as an operator does. `moving` runs when its keys are about to go, and half way. */
  async move(key: string, to: number, moving: () => Promise<void>): Promise<void> {
    const from = await this.ownerOf(key)
    const slot = Number(await this.#on(from, (client) => client.call('CLUSTER', 'KEYSLOT', key)))
    const [source, target] = await Promise.all(
      [from, to].map((n) => this.#on(n, (client) => client.call('CLUSTER', 'MYID') as Promise<string>)),
    )
    await this.#on(to, (client) => client.call('CLUSTER', 'SETSLOT', slot, 'IMPORTING', source))
    await this.#on(from, (client) => client.call('CLUSTER', 'SETSLOT', slot, 'MIGRATING', target))
    await moving()
    for (let half = false; ; ) {
      const keys = (await this.#on(from, (client) => client.call('CLUSTER', 'GETKEYSINSLOT', slot, 5))) as string[]
      if (keys.length === 0) break
      const { port } = this.nodes[to]
      await this.#on(from, (client) => client.call('MIGRATE', '127.0.0.1', port, '', 0, 5_000, 'KEYS', ...keys))
      if (!half) await moving()
      half = true
    }
    for (const n of [to, from, ...this.nodes.keys()])
      await this.#on(n, (client) => client.call('CLUSTER', 'SETSLOT', slot, 'NODE', target))
  }

  /** A replica of a node, which follows it when it is lost. Resolves when it has all that its primary has. */
  async replicate(of: number, options: RedisOptions = {}): Promise<void> {
    const bus = await freePort()
    const config = { 'cluster-enabled': 'yes', 'cluster-node-timeout': '2000', 'cluster-port': String(bus) }
    const replica = await RedisServer.start({ ...options, config: { ...config, ...options.config } })
    this.#replicas.push(replica)
    const primary = await this.#on(of, (client) => client.call('CLUSTER', 'MYID') as Promise<string>)
    const client = new Redis({ port: replica.port, host: '127.0.0.1' })
    try {
      await client.call('CLUSTER', 'MEET', '127.0.0.1', this.nodes[of].port, this.#buses[of])
      const giveUpAt = performance.now() + READY_MS
      const until = async (is: () => Promise<boolean>): Promise<void> => {
        while (!(await is().catch(() => false))) {
          if (performance.now() > giveUpAt) throw new Error('the replica does not join')
          await new Promise((done) => setTimeout(done, 50))
        }
      }
      await until(async () => (await client.call('CLUSTER', 'REPLICATE', primary)) === 'OK')
      await until(async () => (await client.info('replication')).includes('master_link_status:up'))
    } finally {
      client.disconnect()
    }
  }

  async #on<T>(n: number, run: (client: Redis) => Promise<T>): Promise<T> {
    const client = new Redis({ port: this.nodes[n].port, host: '127.0.0.1' })
    try {
      return await run(client)
    } finally {
      client.disconnect()
    }
  }

  async remove(): Promise<void> {
    await Promise.all(this.#replicas.map((replica) => replica.remove()))
    await Promise.all(this.proxies.map((proxy) => proxy.close()))
    await Promise.all(this.nodes.map((node) => node.remove()))
  }
}

async function isWhole(client: Redis, nodes: number): Promise<boolean> {
  const info = (await client.call('CLUSTER', 'INFO')) as string
  return (
    info.includes('cluster_state:ok') &&
    info.includes(`cluster_slots_ok:${SLOTS}`) &&
    info.includes(`cluster_known_nodes:${nodes}`)
  )
}
