/**
 * Which node of a Redis Cluster serves a shard. All keys of a shard are in one slot, so each connection is to that one
 * node. It is asked for at each connect, and a connection is made anew when the slot has moved. While its keys are on
 * their way nothing is done at either node: no redirection is followed (`ASK`), as a script would find half of them.
 */
import { connect as connectTcp } from 'node:net'
import { type ConnectionOptions, connect as connectTls } from 'node:tls'
import { AbstractConnector, Redis, type RedisOptions } from 'ioredis'

export interface Node {
  readonly host: string
  readonly port: number
}

/** What is learned of other nodes is remembered, up to this many. */
const MOST_NODES = 64
const DISCONNECT_MS = 2_000
const PROBE_MS = 1_000

/** "host:port", or "[::1]:port". */
export function nodeOf(address: string): Node {
  const [, host, port = '6379'] = /^\[?(.*?)\]?(?::(\d+))?$/.exec(address)!
  return { host, port: Number(port) }
}

/** What one node knows of its cluster. */
interface View {
  readonly owner: Node | null
  readonly primaries: readonly Node[]
  readonly all: readonly Node[]
}

export class SlotOwner {
  readonly #key: string
  readonly #options: RedisOptions
  readonly #nodes = new Map<string, Node>()

  /** `key`: any of the slot. `options`: how to connect to a node. */
  constructor(seeds: readonly Node[], key: string, options: RedisOptions) {
    this.#key = key
    this.#options = options
    for (const node of seeds) this.#nodes.set(nameOf(node), node)
  }

  /** As most nodes see it; where none answers, one of those that are known. */
  async find(): Promise<Node> {
    const nodes = [...this.#nodes.values()]
    const votes = new Map<string, { readonly node: Node; count: number }>()
    const enough = Math.floor(nodes.length / 2) + 1
    await new Promise<void>((done) => {
      let left = nodes.length
      for (const node of nodes)
        void this.#ask(node).then((view) => {
          left--
          const owner = view?.owner ?? null
          if (owner !== null) {
            const vote = votes.get(nameOf(owner)) ?? { node: owner, count: 0 }
            votes.set(nameOf(owner), vote)
            if (++vote.count === enough) done()
          }
          if (left === 0) done()
        })
    })
    let best: { readonly node: Node; readonly count: number } | null = null
    for (const vote of votes.values()) if (best === null || vote.count > best.count) best = vote
    return best?.node ?? nodes[0]
  }

  /** Of the whole cluster. */
  async primaries(): Promise<readonly Node[]> {
    const view = await this.#ask(await this.find())
    return view?.primaries ?? []
  }

  /** Null: it does not answer. */
  async #ask(node: Node): Promise<View | null> {
    const probe = clientOf(node, {
      ...this.#options,
      lazyConnect: true,
      connectTimeout: PROBE_MS,
      commandTimeout: PROBE_MS,
      retryStrategy: () => null,
    })
    probe.on('error', () => {})
    try {
      await probe.connect()
      const [slot, ranges] = await Promise.all([
        probe.call('CLUSTER', 'KEYSLOT', this.#key) as Promise<number>,
        probe.call('CLUSTER', 'SLOTS') as Promise<readonly Range[]>,
      ])
      const view = viewOf(node, slot, ranges)
      for (const each of view.all) if (this.#nodes.size < MOST_NODES) this.#nodes.set(nameOf(each), each)
      return view
    } catch {
      return null
    } finally {
      probe.disconnect()
    }
  }
}

/** First and last slot, and who has them: the primary, then its replicas. */
type Range = readonly [
  first: number,
  last: number,
  ...nodes: ReadonlyArray<readonly [host: string | null, port: number]>,
]

function viewOf(asked: Node, slot: number, ranges: readonly Range[]): View {
  let owner: Node | null = null
  const primaries = new Map<string, Node>()
  const all: Node[] = []
  for (const [first, last, ...nodes] of ranges) {
    // Without a name of its own it is where it was asked
    const found = nodes.map(([host, port]) => ({ host: host === null || host === '' ? asked.host : host, port }))
    all.push(...found)
    if (found.length === 0) continue
    primaries.set(nameOf(found[0]), found[0])
    if (slot >= first && slot <= last) owner = found[0]
  }
  return { owner, primaries: [...primaries.values()], all }
}

const nameOf = ({ host, port }: Node): string => `${host}:${port}`

type Stream = ReturnType<typeof connectTcp>

/** Of one node. */
export const clientOf = (node: Node, options: RedisOptions): Redis =>
  new Redis({ ...options, ...node, Connector: connectorTo(async () => node, options.tls ?? null) })

/** Connects to whoever is found by then. */
export function connectorTo(find: () => Promise<Node>, tls: ConnectionOptions | null): new () => AbstractConnector {
  return class extends AbstractConnector {
    constructor() {
      super(DISCONNECT_MS)
    }

    async connect(): Promise<Stream> {
      this.connecting = true
      const node = await find()
      if (!this.connecting) throw new Error('closed')
      const stream = tls === null ? connectTcp(node) : connectTls({ ...tls, ...node })
      // ioredis hears the first one alone; TLS may tell of another, which would end the process
      stream.on('error', () => {})
      stream.once('error', (error) => {
        this.firstError = error
      })
      this.stream = stream
      return stream
    }
  }
}
