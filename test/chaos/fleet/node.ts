/** One process of the fleet: a gateway or a worker, with a link of its own to Redis. */

import { freePort } from '../../free-port.ts'
import { FaultProxy } from '../../redis/proxy.ts'
import { clockAt } from '../clocks.ts'
import { SluiceProcess } from '../server.ts'
import { type BrokerWay, POOL } from './broker.ts'

const ADMIN_KEY = 'chaos-admin-key-0123456789'
const DRAIN_MS = 3_000
const STOP_MS = 10_000
const STATS_MS = 500

export type Role = 'gateway' | 'worker'

export interface NodeOptions {
  readonly name: string
  readonly role: Role
  /** Of the upstream, without a path. */
  readonly upstream: string
  readonly redisPort: number
  /** Where its jobs come through a broker. */
  readonly broker?: BrokerWay
  readonly durability: 'power' | 'process'
  /** "+1h": by how much its wall clock is wrong. */
  readonly clock?: string
  /** Sources of an earlier version, from which it is started until it is upgraded. */
  readonly before?: string
  /** For its process: to plant a fault. */
  readonly env?: Readonly<Record<string, string>>
}

export class FleetNode {
  readonly name: string
  readonly role: Role
  readonly link: FaultProxy
  /** To its upstream. */
  readonly upstream: FaultProxy
  /** To the broker; null: it has none. */
  readonly brokerLink: FaultProxy | null
  readonly #server: SluiceProcess
  readonly #root: string
  readonly #clock: Record<string, string>
  /** SIGSTOP. */
  isStopped = false

  private constructor(
    { name, role, clock, broker }: NodeOptions,
    link: FaultProxy,
    upstream: FaultProxy,
    server: SluiceProcess,
    root: string,
  ) {
    this.name = name
    this.role = role
    this.link = link
    this.upstream = upstream
    this.brokerLink = broker?.link ?? null
    this.#server = server
    this.#root = root
    this.#clock = clock === undefined ? {} : clockAt(clock)
  }

  static async make(options: NodeOptions): Promise<FleetNode> {
    const { name, role, redisPort, broker, env = {} } = options
    const link = await FaultProxy.start(redisPort)
    const upstream = await FaultProxy.start(Number(new URL(options.upstream).port))
    const config = `engine: { redis: { url: "${link.url}" } }
role: ${role}
durability: ${options.durability}
models:
  - name: "mock-*"
    deployment: mock
    provider: openai-compatible
    pool: ${POOL}
    base_url: "http://127.0.0.1:${upstream.port}/${name}/v1"
queue: { max_crashes: 1000, max_attempts: 10, max_queued_per_lane: 100000 }
workers: { lease_ms: ${LEASE_MS}, heartbeat_ms: 1s, drain_ms: ${DRAIN_MS}, concurrency: 200 }
http: { heartbeat_ms: 1s, headers_after_ms: 1s }
websocket: { heartbeat_ms: 1s }
log: { level: silent }
retention: { bytes: 8GiB }
${broker?.config ?? ''}`
    const server = new SluiceProcess([await freePort(), await freePort()], config, { ...broker?.env, ...env })
    const { root } = server
    if (options.before !== undefined) server.root = options.before
    return new FleetNode(options, link, upstream, server, root)
  }

  get url(): string {
    return this.#server.url
  }

  get dead(): boolean {
    return this.#server.dead
  }

  /** What it printed last. */
  get printed(): string {
    return this.#server.printed
  }

  /** It can be reached, as far as is known. */
  get isUp(): boolean {
    return !this.dead && !this.isStopped
  }

  /** Resolves when it is ready, false: it died before. */
  start(): Promise<boolean> {
    return this.#server.start(this.#clock)
  }

  /** From its next start on it is of this version. False: it is already. */
  upgrade(): boolean {
    if (this.#server.root === this.#root) return false
    this.#server.root = this.#root
    return true
  }

  async kill(): Promise<void> {
    await this.#server.kill()
    this.isStopped = false
  }

  suspend(): void {
    this.isStopped = true
    this.#server.signal('SIGSTOP')
  }

  resume(): void {
    this.isStopped = false
    this.#server.signal('SIGCONT')
  }

  /** An orderly stop. */
  stop(): Promise<void> {
    return this.#server.stop(STOP_MS)
  }

  /** Numbers of the admin listener; null where it does not answer. */
  async stats(): Promise<Readonly<Record<string, unknown>> | null> {
    if (!this.isUp) return null
    try {
      const answer = await fetch(`${this.#server.adminUrl}/admin/stats`, {
        headers: { authorization: `Bearer ${ADMIN_KEY}` },
        signal: AbortSignal.timeout(STATS_MS),
      })
      return (await answer.json()) as Record<string, unknown>
    } catch {
      return null
    }
  }

  async remove(): Promise<void> {
    await this.#server.remove()
    await this.link.close()
    await this.upstream.close()
  }
}

/** Of workers, ms. */
export const LEASE_MS = 4_000
