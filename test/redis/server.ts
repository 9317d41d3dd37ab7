/**
 * A real Redis (or Valkey) for tests: a process on a port of its own, in a folder of its own. Suites that need one are
 * `describe.skipIf(NO_REDIS)`: they run where SLUICE_TEST_REDIS names a server, or where one is on the PATH.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { freePort } from '../free-port.ts'

const SERVERS = ['redis-server', 'valkey-server']

function findServer(): string | null {
  const told = process.env['SLUICE_TEST_REDIS']
  if (told !== undefined && told !== '') return told
  const folders = (process.env['PATH'] ?? '').split(delimiter)
  const found = folders.flatMap((folder) => SERVERS.map((name) => join(folder, name))).find((path) => existsSync(path))
  return found ?? null
}

const SERVER = findServer()
export const NO_REDIS = SERVER === null

export interface RedisOptions {
  /** `null`: without an append-only file. */
  readonly appendfsync?: 'always' | 'everysec' | 'no' | null
  readonly maxmemoryPolicy?: string
  /** More directives of redis.conf: { 'cluster-enabled': 'yes' }. */
  readonly config?: Readonly<Record<string, string>>
}

const START_TRIES = 20
const START_MS = 60_000
const READY = 'Ready to accept connections'

const running = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

export class RedisServer {
  readonly port: number
  readonly dir: string
  readonly #options: RedisOptions
  #child: ChildProcess | null = null
  #closed: Promise<void> = Promise.resolve()
  #printed = ''

  private constructor(port: number, options: RedisOptions) {
    this.port = port
    this.#options = options
    this.dir = mkdtempSync(join(tmpdir(), 'sluice-redis-'))
  }

  static async start(options: RedisOptions = {}): Promise<RedisServer> {
    for (let tries = 1; ; tries++) {
      const server = new RedisServer(await freePort(), options)
      try {
        await server.restart()
        return server
      } catch (error) {
        await server.remove()
        // Another process may have taken the port meanwhile
        if (tries === START_TRIES || !server.#printed.includes('Address already in use')) throw error
      }
    }
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`
  }

  get pid(): number {
    return this.#child!.pid!
  }

  /** Starts it again after `kill` or `shutdown`, on what is stored. Resolves when it has loaded that. */
  async restart(): Promise<void> {
    if (SERVER === null) throw new Error('no Redis server here')
    const child = spawn(SERVER, this.#args(), { cwd: this.dir, stdio: ['ignore', 'pipe', 'pipe'] })
    this.#child = child
    running.add(child)
    this.#closed = new Promise((closed) =>
      child.once('close', () => {
        running.delete(child)
        closed()
      }),
    )
    await new Promise<void>((done, fail) => {
      const giveUp = setTimeout(() => fail(new Error(`Redis does not start: ${this.#printed}`)), START_MS)
      const over = (error?: Error): void => {
        clearTimeout(giveUp)
        if (error === undefined) done()
        else fail(error)
      }
      const hear = (text: Buffer): void => {
        this.#printed = (this.#printed + text.toString()).slice(-4_000)
        if (text.includes(READY)) over()
      }
      child.stdout.on('data', hear)
      child.stderr.on('data', hear)
      child.once('error', over)
      child.once('close', () => over(new Error(`Redis has ended: ${this.#printed}`)))
    })
  }

  #args(): string[] {
    const { appendfsync = 'always', maxmemoryPolicy = 'noeviction', config } = this.#options
    const directives: Record<string, string> = {
      port: String(this.port),
      bind: '127.0.0.1',
      dir: this.dir,
      save: '',
      appendonly: appendfsync === null ? 'no' : 'yes',
      ...(appendfsync !== null && { appendfsync }),
      'maxmemory-policy': maxmemoryPolicy,
      ...config,
    }
    return Object.entries(directives).flatMap(([name, value]) => [`--${name}`, ...value.split(' ')])
  }

  /** kill -9. What was written and not synced is still in the kernel: only a lost machine loses that. */
  kill(): Promise<void> {
    return this.#end('SIGKILL')
  }

  /** An orderly stop. */
  shutdown(): Promise<void> {
    return this.#end('SIGTERM')
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child
    if (child === null) return
    this.#child = null
    child.kill(signal)
    if (signal === 'SIGKILL') child.kill('SIGCONT')
    // It may have ended by itself
    await this.#closed
  }

  /** It stops answering, and keeps its connections, until `resume`. */
  stop(): void {
    this.#child!.kill('SIGSTOP')
  }

  resume(): void {
    this.#child!.kill('SIGCONT')
  }

  /** Ends it and deletes its folder. Safe to repeat. */
  async remove(): Promise<void> {
    await this.kill()
    rmSync(this.dir, { recursive: true, force: true })
  }
}
