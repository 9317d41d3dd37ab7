/** The Redis of a measurement: fresh, on a port and in a folder of its own. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { ended, freePort, pause } from '../targets.ts'
import { cpuNs, type Priority, pinned } from '../tools.ts'

export type Fsync = 'everysec' | 'always'

/** What a fleet on such a server can promise. */
export const durabilityOf = (fsync: Fsync): 'power' | 'process' => (fsync === 'always' ? 'power' : 'process')

export class BenchRedis {
  readonly port: number
  readonly #child: ChildProcess
  readonly #client: Redis
  readonly #dir: string

  private constructor(port: number, child: ChildProcess, client: Redis, dir: string) {
    this.port = port
    this.#child = child
    this.#client = client
    this.#dir = dir
  }

  /** `server`: its command. */
  static async start(server: string, fsync: Fsync, cores: string, priority: Priority): Promise<BenchRedis> {
    const [port, dir] = [await freePort(), mkdtempSync(join(tmpdir(), 'sluice-bench-redis-'))]
    const directives = {
      port,
      dir,
      bind: '127.0.0.1',
      save: '',
      appendonly: 'yes',
      appendfsync: fsync,
      'maxmemory-policy': 'noeviction',
      // Whichever round it fell into would pay for all of them
      'auto-aof-rewrite-percentage': 0,
    }
    const args = Object.entries(directives).flatMap(([name, value]) => [`--${name}`, String(value)])
    const child = spawn(...pinned(cores, priority, server, args), { stdio: 'ignore' })
    const client = new Redis(port, { retryStrategy: () => 20, maxRetriesPerRequest: null })
    client.on('error', () => {}) // it is not up yet
    const isUp = await Promise.race([client.ping().then(() => true), pause(5_000).then(() => false)])
    const redis = new BenchRedis(port, child, client, dir)
    if (isUp) return redis
    await redis.stop()
    throw new Error(`${server} does not start`)
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`
  }

  get pid(): number {
    return this.#child.pid!
  }

  /** All its threads: those that sync its file count. */
  cpuUs(): number {
    return cpuNs(this.pid) / 1000
  }

  async usedBytes(): Promise<number> {
    return Number(/used_memory:(\d+)/.exec(await this.#client.info('memory'))![1])
  }

  async stop(): Promise<void> {
    this.#client.disconnect()
    await ended(this.#child, 'SIGKILL')
    rmSync(this.#dir, { recursive: true, force: true })
  }
}
