/** The fleet's Redis, and all that happens to it. */
import { Redis } from 'ioredis'
import { FaultProxy } from '../../redis/proxy.ts'
import { RedisServer } from '../../redis/server.ts'
import type { Span } from '../history.ts'
import { pause } from '../server.ts'

const SYNCED_MS = 60_000
/** What the replica lacks when it takes over. */
export const LOST_MS = 1_000

/** With `everysec`: what a Redis that is killed has confirmed and may not have handed to the kernel. */
const UNWRITTEN_MS = 2_500

export type Fsync = 'always' | 'everysec'

export class FleetStore {
  /** Writes of these spans may be lost. */
  readonly losses: Span[] = []
  readonly #fsync: Fsync
  #server: RedisServer

  private constructor(server: RedisServer, fsync: Fsync) {
    this.#server = server
    this.#fsync = fsync
  }

  static async start(fsync: Fsync): Promise<FleetStore> {
    return new FleetStore(await RedisServer.start({ appendfsync: fsync }), fsync)
  }

  get port(): number {
    return this.#server.port
  }

  /** kill -9, and started again on what it has stored. */
  async kill(awayMs: number): Promise<void> {
    const fromMs = performance.now() - UNWRITTEN_MS
    await this.#server.kill()
    if (this.#fsync === 'everysec') this.losses.push({ fromMs, toMs: performance.now() })
    await pause(awayMs)
    await this.#server.restart()
  }

  async suspend(ms: number): Promise<void> {
    this.#server.stop()
    await pause(ms)
    this.#server.resume()
  }

  /** The primary is lost, and its replica, which is a second late, takes over: `links` lead there from then on. */
  async failOver(links: readonly FaultProxy[]): Promise<void> {
    const primary = this.#server
    const line = await FaultProxy.start(primary.port)
    const replica = await RedisServer.start({ appendfsync: this.#fsync })
    const client = new Redis(replica.port, { retryStrategy: () => 100, maxRetriesPerRequest: null })
    client.on('error', () => {})
    try {
      await client.replicaof('127.0.0.1', line.port)
      const giveUpAt = performance.now() + SYNCED_MS
      while (!isSynced(await client.info())) {
        if (performance.now() > giveUpAt) throw new Error('the replica does not follow')
        await pause(50)
      }
      line.stall()
      const fromMs = performance.now()
      await pause(LOST_MS)
      await primary.kill()
      line.cut()
      await client.replicaof('NO', 'ONE')
      this.#server = replica
      for (const link of links) link.retarget(replica.port)
      this.losses.push({ fromMs: fromMs - 50, toMs: performance.now() })
    } finally {
      client.disconnect()
      await line.close()
      if (this.#server === replica) await primary.remove()
      else await replica.remove()
    }
  }

  async remove(): Promise<void> {
    await this.#server.remove()
  }
}

const isSynced = (info: string): boolean =>
  info.includes('master_link_status:up') &&
  info.includes('aof_rewrite_in_progress:0') &&
  info.includes('aof_rewrite_scheduled:0')
