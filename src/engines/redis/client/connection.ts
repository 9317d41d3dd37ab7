/**
 * One connection to Redis. It fails fast: what is sent while it is away, and what was under way when it was cut, is
 * rejected at once, and nothing is sent again by itself (a commit may be in). Whoever must get through tries again
 * when it is back.
 */
import { Redis, type RedisOptions } from 'ioredis'
import { isReply } from './errors.ts'
import { Names } from './names.ts'
import { clientOf, connectorTo, type Node, nodeOf, SlotOwner } from './slot.ts'

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

/** It is not the server of these keys, or no longer: another connection may find that. */
const ELSEWHERE = /^(MOVED|READONLY|CLUSTERDOWN)\b/

export type Argument = string | number | Buffer

export interface Script {
  readonly name: string
  readonly lua: string
  readonly sha: string
}

/** Makes the connections of one process: a simulation has its own. */
export type Connect = () => Connection

export class Connection {
  readonly client: Redis
  /** Messages are published within the shard's own slot. */
  readonly sharded: boolean
  readonly #address: RedisAddress
  readonly #owner: SlotOwner | null
  readonly #listeners: Array<(back: boolean) => void> = []
  readonly #channels = new Map<string, ReadonlyArray<(message: Buffer) => void>>()
  #isBack = false
  #closed = false

  constructor(address: RedisAddress) {
    const { url, nodes } = address
    this.#address = address
    this.sharded = nodes !== undefined && nodes.length > 0
    const options = optionsOf(url)
    const owner = this.sharded ? ownerOf(address, options) : null
    const find = async (): Promise<Node> => (owner === null ? nodeOf(new URL(url).host) : owner.find())
    this.#owner = owner
    this.client = new Redis({ ...options, Connector: connectorTo(find, options.tls ?? null) })
    this.client.on('ready', () => this.#ready())
    this.client.on(this.sharded ? 'smessageBuffer' : 'messageBuffer', (channel: Buffer, message: Buffer) => {
      for (const fn of this.#channels.get(channel.toString()) ?? []) fn(message)
    })
    this.client.on('close', () => this.#turned(false))
    // Its slot has moved
    this.client.on('moved', () => this.client.disconnect(true))
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
      // ioredis goes on with database 0 where there is no such one
      if (client.options.db) await client.select(client.options.db)
    } catch (error) {
      this.close()
      throw isReply(error) ? error : (refusal ?? error)
    } finally {
      client.off('error', note)
    }
  }

  /** Another one to the same server. */
  another(): Connection {
    return new Connection(this.#address)
  }

  /** Connections, not yet open, to all primaries of its cluster; none where it is not to a cluster. */
  async primaries(): Promise<readonly Redis[]> {
    if (this.#owner === null) return []
    const nodes = await this.#owner.primaries()
    return nodes.map((node) => clientOf(node, optionsOf(this.#address.url)))
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

  /** `args`: the script's one key, then its arguments. */
  async evaluate({ lua, sha }: Script, args: readonly Argument[]): Promise<unknown> {
    try {
      return await this.client.evalsha(sha, 1, ...args)
    } catch (error) {
      if (!isUnknown(error)) throw error
      return this.client.eval(lua, 1, ...args)
    }
  }

  /** As `evaluate`, texts as bytes. */
  async evaluateBuffer({ lua, sha }: Script, args: readonly Argument[]): Promise<unknown> {
    try {
      return await this.client.callBuffer('EVALSHA', sha, 1, ...args)
    } catch (error) {
      if (!isUnknown(error)) throw error
      return this.client.callBuffer('EVAL', lua, 1, ...args)
    }
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
    if (!this.away) this.client.ping().catch(() => {}) // then it is cut
  }

  #turned(back: boolean): void {
    if (this.#isBack === back) return
    this.#isBack = back
    for (const fn of this.#listeners) fn(back)
  }
}

const isUnknown = (error: unknown): boolean => isReply(error) && error.message.startsWith('NOSCRIPT')

function optionsOf(url: string): RedisOptions {
  const { username, password, pathname, protocol } = new URL(url)
  const db = Number(pathname.slice(1))
  return {
    ...nodeOf(new URL(url).host),
    ...(db > 0 && { db }),
    ...(username !== '' && { username: decodeURIComponent(username) }),
    ...(password !== '' && { password: decodeURIComponent(password) }),
    ...(protocol === 'rediss:' && { tls: {} }),
    lazyConnect: true,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    // Without it, what was under way at a cut would never be answered
    maxRetriesPerRequest: 0,
    connectTimeout: CONNECT_TIMEOUT_MS,
    commandTimeout: COMMAND_TIMEOUT_MS,
    socketTimeout: DEAD_MS,
    retryStrategy: retryIn,
    reconnectOnError: ({ message }) => ELSEWHERE.test(message),
    // See #ready
    autoResubscribe: false,
  }
}

const ownerOf = ({ url, nodes = [], prefix }: RedisAddress, options: RedisOptions): SlotOwner =>
  new SlotOwner([new URL(url).host, ...nodes].map(nodeOf), new Names(prefix).shard, options)
