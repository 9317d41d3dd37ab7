/** A process of a fleet, started as in production, on ports of its own. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bareEnvironment } from '../environment.ts'
import { NEXT_VERSION } from '../redis/members.ts'

export const KEY = 'sk-sluice-test-key-seeded-from-the-environment'
export const ADMIN_KEY = 'admin-key-of-the-tests-0123456789abcdef'

const ROOT = join(import.meta.dirname, '../..')
const START_MS = 60_000
const PRINTED_CHARS = 20_000
/** Of /proc/PID/stat. */
const TICK_MS = 10

export type Role = 'gateway' | 'worker' | 'all'

/** Of the program; nothing: this one. */
export interface Version {
  /** Where its sources are. */
  readonly root?: string
  /** As if it were of the next one. */
  readonly isNext?: boolean
}

export interface MemberOptions {
  readonly role: Role
  /** Of the Redis server. */
  readonly redis: string
  /** Of its fleet, where several share the server. */
  readonly prefix?: string
  /** More settings, as in the file. */
  readonly settings?: Readonly<Record<string, unknown>>
  /** Of the public listener; absent: any free one. */
  readonly port?: number
  readonly version?: Version
}

export class Member {
  readonly role: Role
  /** Of the public listener; a worker has none. */
  readonly url: string
  readonly adminUrl: string
  readonly #child: ChildProcess
  readonly #dir: string
  readonly #printed: () => string
  #isEnding = false

  private constructor(role: Role, child: ChildProcess, dir: string, printed: () => string, ready: Ready) {
    this.role = role
    this.url = ready.url ?? ''
    this.adminUrl = ready.admin_url
    this.#child = child
    this.#dir = dir
    this.#printed = printed
    // Tests then fail with a refused connection, which tells nothing
    child.once('exit', (code, signal) => {
      if (!this.#isEnding) console.error(`a ${role} ended by itself (${code ?? signal}):\n${printed()}`)
    })
  }

  /** Resolves when it is ready. */
  static async start({
    role,
    redis: url,
    prefix = '',
    settings = {},
    port = 0,
    version: { root = ROOT, isNext = false } = {},
  }: MemberOptions): Promise<Member> {
    const dir = mkdtempSync(join(tmpdir(), 'sluice-fleet-'))
    const file = join(dir, 'sluice.yaml')
    const own = { engine: { redis: { url, prefix } }, role, port, admin: { port: 0 }, data_dir: join(dir, 'data') }
    // JSON is YAML
    writeFileSync(file, JSON.stringify({ ...own, ...settings }))
    const args = ['serve', '--json', '--config', file]
    const child = spawn(process.execPath, [join(root, 'bin/sluice.js'), ...args], {
      env: {
        ...bareEnvironment(),
        SLUICE_KEY: KEY,
        SLUICE_ADMIN_KEY: ADMIN_KEY,
        // Threads inherit it
        ...(isNext && { NODE_OPTIONS: `--import=${NEXT_VERSION}` }),
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    running.add(child)
    child.once('exit', () => running.delete(child))
    let printed = ''
    for (const out of [child.stdout!, child.stderr!])
      out.on('data', (data: Buffer) => {
        printed = (printed + data.toString()).slice(-PRINTED_CHARS)
      })
    const giveUp = setTimeout(() => child.kill('SIGKILL'), START_MS)
    const ready = await readyOf(child).catch((error: unknown) => {
      rmSync(dir, { recursive: true, force: true })
      throw new Error(`the ${role} is not ready:\n${printed}`, { cause: error })
    })
    clearTimeout(giveUp)
    return new Member(role, child, dir, () => printed, ready)
  }

  get pid(): number {
    return this.#child.pid!
  }

  get port(): number {
    return Number(new URL(this.url).port)
  }

  /** The last it printed. */
  output(): string {
    return this.#printed()
  }

  rssMb(): number {
    const status = readFileSync(`/proc/${this.pid}/status`, 'utf8')
    return Number(/VmRSS:\s+(\d+)/.exec(status)![1]) / 1_024
  }

  cpuMs(): number {
    return cpuMsOf(this.pid)
  }

  /** It stops running, and keeps its connections, until `thaw`. */
  freeze(): void {
    this.#child.kill('SIGSTOP')
  }

  thaw(): void {
    this.#child.kill('SIGCONT')
  }

  /** kill -9. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL')
  }

  /** SIGTERM; resolves with its exit code when it has stopped. */
  stop(): Promise<number | null> {
    return this.#end('SIGTERM')
  }

  async #end(signal: NodeJS.Signals): Promise<number | null> {
    const child = this.#child
    this.#isEnding = true
    const isOver = child.exitCode !== null || child.signalCode !== null
    const ended = isOver ? Promise.resolve() : once(child, 'exit')
    child.kill(signal)
    await ended
    rmSync(this.#dir, { recursive: true, force: true })
    return child.exitCode
  }
}

/** CPU time of a process, ms. */
export function cpuMsOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return TICK_MS * (Number(fields[11]) + Number(fields[12]))
}

interface Ready {
  readonly url: string | null
  readonly admin_url: string
}

async function readyOf(child: ChildProcess): Promise<Ready> {
  let rest = ''
  return new Promise((done, fail) => {
    child.stdout!.on('data', (data: Buffer) => {
      rest += data.toString()
      const lines = rest.split('\n')
      rest = lines.pop()!
      const line = lines.find((each) => each.includes('"event":"ready"'))
      if (line !== undefined) done(JSON.parse(line) as Ready)
    })
    child.once('exit', (code, signal) => fail(new Error(`it ended with ${code ?? signal}`)))
  })
}

const running = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})
