/**
 * One connection to Redis. It fails fast: what is sent while it is away, and what was under way when it was cut, is
 * rejected at once, and nothing is sent again by itself (a commit may be in). Whoever must get through tries again
 * when it is back.
 */
import { Cluster, type ClusterOptions, Redis, type RedisOptions } from 'ioredis'

export interface RedisAddress {
  /** redis://user:password@host:port/db, or rediss:// for TLS. */
  readonly url: string
  /** Other nodes of a Redis Cluster, "host:port", where the first may be down; none: one server. */
  readonly nodes?: readonly string[]
  /** Put before every key: several fleets on one server. */
  readonly prefix?: string
}

/** Each command's bound. */
const COMMAND_TIMEOUT_MS = 4_000
const CONNECT_TIMEOUT_MS = 4_000
/** A connection that owes an answer for so long is dead, and is made anew. */
const DEAD_MS = 5_000
/** How often a subscriber, which asks nothing, is to be asked. */
export const PING_MS = 2_000
const RETRY_STEP_MS = 25
const RETRY_MOST_MS = 500

const retryIn = (times: number): number => Math.min(RETRY_MOST_MS, RETRY_STEP_MS * times)

/** `blocking`: its commands wait on the server, each for a time that it names. */
export type Use = 'commands' | 'blocking' | 'subscriber'

export class Connection {
  readonly client: Redis | Cluster
  /** Messages are published within the shard's own slot. */
  readonly sharded: boolean
  readonly #address: RedisAddress
  readonly #listeners: Array<(back: boolean) => void> = []
  readonly #channels = new Map<string, ReadonlyArray<(message: Buffer) => void>>()
  #isBack = false
  #closed = false

  constructor(address: RedisAddress, use: Use) {
    this.#address = address
    this.sharded = address.nodes !== undefined && address.nodes.length > 0
    this.client = this.sharded ? clusterOf(address, use) : new Redis(address.url, optionsOf())
    this.client.on('ready', () => this.#ready())
    this.client.on(this.sharded ? 'smessageBuffer' : 'messageBuffer', (channel: Buffer, message: Buffer) => {
      for (const fn of this.#channels.get(channel.toString()) ?? []) fn(message)
    })
    this.client.on('close', () => this.#turned(false))
    // Told by `away`; each command has its own rejection
    this.client.on('error', () => {})
  }

  get away(): boolean {
    return !this.#isBack
  }

  /** Called when it went away (false), and when it is back (true). */
  onTurn(fn: (back: boolean) => void): void {
    this.#listeners.push(fn)
  }

  /** Resolves when it is there for the first time. Rejects where it can't be reached, or refuses. */
  async open(): Promise<void> {
    const { client } = this
    let refusal: unknown = null
    const note = (error: unknown): void => {
      refusal = error
    }
    client.on('error', note)
    try {
      await client.connect()
    } catch (error) {
      this.close()
      throw refusal ?? error
    } finally {
      client.off('error', note)
    }
  }

  /** Another one to the same server. */
  another(use: Use): Connection {
    return new Connection(this.#address, use)
  }

  /** Without waiting for what is under way. Safe to repeat. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.client.disconnect()
  }

  /** From now on `fn` hears what is published there, after each cut too. Rejects where that is not so yet. */
  async subscribe(channel: string, fn: (message: Buffer) => void): Promise<void> {
    this.#channels.set(channel, [...(this.#channels.get(channel) ?? []), fn])
    await this.#hear([channel])
  }

  async publish(channel: string, message: string | Buffer): Promise<number> {
    return Number(await this.client.call(this.sharded ? 'SPUBLISH' : 'PUBLISH', channel, message))
  }

  async #hear(channels: readonly string[]): Promise<void> {
    if (!this.sharded) await this.client.subscribe(...channels)
    else for (const channel of channels) await this.client.ssubscribe(channel)
  }

  /**
   * A subscriber is back when it hears all its channels. ioredis would subscribe again by itself, but is deaf for good
   * when it is cut before that was answered.
   */
  async #ready(): Promise<void> {
    try {
      if (this.#channels.size > 0) await this.#hear([...this.#channels.keys()])
      this.#turned(true)
    } catch {
      // Cut again; where it was refused, another connection may not be
      if (this.client.status === 'ready' && !this.#closed) this.client.disconnect(true)
    }
  }

  /** Of a subscriber: one whose peer has vanished would else wait for ever. */
  ping(): void {
    if (!this.sharded && !this.away) this.client.ping().catch(() => {}) // then it is cut
  }

  #turned(back: boolean): void {
    if (this.#isBack === back) return
    this.#isBack = back
    for (const fn of this.#listeners) fn(back)
  }
}

function optionsOf(): RedisOptions {
  return {
    lazyConnect: true,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    // Without it, what was under way at a cut would never be answered
    maxRetriesPerRequest: 0,
    connectTimeout: CONNECT_TIMEOUT_MS,
    commandTimeout: COMMAND_TIMEOUT_MS,
    socketTimeout: DEAD_MS,
    retryStrategy: retryIn,
    // See #ready
    autoResubscribe: false,
  }
}

function clusterOf({ url, nodes = [] }: RedisAddress, use: Use): Cluster {
  const { enableOfflineQueue: _queue, retryStrategy: _retry, ...redisOptions } = optionsOf()
  const { username, password, protocol } = new URL(url)
  const options: ClusterOptions = {
    lazyConnect: true,
    enableOfflineQueue: false,
    clusterRetryStrategy: retryIn,
    redisOptions: {
      ...redisOptions,
      ...(username !== '' && { username: decodeURIComponent(username) }),
      ...(password !== '' && { password: decodeURIComponent(password) }),
      ...(protocol === 'rediss:' && { tls: {} }),
    },
    ...(use === 'subscriber' && { shardedSubscribers: true }),
  }
  return new Cluster([new URL(url).host, ...nodes].map(nodeOf), options)
}

/** "host:port", or "[::1]:port". */
function nodeOf(address: string): { readonly host: string; readonly port: number } {
  const [, host, port = '6379'] = /^\[?(.*?)\]?(?::(\d+))?$/.exec(address)!
  return { host, port: Number(port) }
}
