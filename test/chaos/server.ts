/** The server under test and its upstream, as processes. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../free-port.ts'

const ROOT = join(import.meta.dirname, '../..')
export const KEY = 'sk-chaos-key-0123456789'
export const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms))

export interface Upstream {
  readonly url: string
  /** Of its monotonic clock's 0, wall-clock ms. */
  readonly originMs: number
  stop(): void
}

export async function startUpstream(slots?: number): Promise<Upstream> {
  const port = await freePort()
  const child = spawn(
    process.execPath,
    [join(ROOT, 'test/chaos/upstream.ts'), String(port), ...(slots === undefined ? [] : [String(slots)])],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  const printed = await new Promise<Buffer>((done) => child.stdout!.once('data', done))
  return { url: `http://127.0.0.1:${port}`, originMs: Number(printed), stop: () => void child.kill('SIGKILL') }
}

export class SluiceProcess {
  readonly url: string
  readonly adminUrl: string
  readonly dir: string
  readonly #ports: readonly [number, number]
  readonly #config: string
  #child: ChildProcess | null = null
  readonly #env: Record<string, string>
  printed = ''
  /** Where its sources are. */
  root = ROOT

  constructor(ports: readonly [number, number], config: string, env: Record<string, string> = {}) {
    this.#ports = ports
    this.url = `http://127.0.0.1:${ports[0]}`
    this.adminUrl = `http://127.0.0.1:${ports[1]}`
    this.dir = mkdtempSync(join(tmpdir(), 'sluice-chaos-'))
    this.#config = join(this.dir, 'sluice.yaml')
    this.#env = env
    mkdirSync(join(this.dir, 'data'))
    writeFileSync(this.#config, config)
  }

  /** Resolves when it is ready, or false when it died before. */
  async start(env: Record<string, string> = {}): Promise<boolean> {
    const child = spawn(process.execPath, [join(this.root, 'bin/sluice.js'), 'serve', '--config', this.#config], {
      env: {
        PATH: process.env['PATH'],
        NODE_COMPILE_CACHE: join(tmpdir(), 'sluice-chaos-cache'),
        SLUICE_PORT: String(this.#ports[0]),
        SLUICE_ADMIN_PORT: String(this.#ports[1]),
        SLUICE_DATA_DIR: join(this.dir, 'data'),
        SLUICE_KEY: KEY,
        SLUICE_ADMIN_KEY: 'chaos-admin-key-0123456789',
        ...this.#env,
        ...env,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#child = child
    let ready = false
    child.stdout!.on('data', (text: Buffer) => {
      if (text.includes('is ready')) ready = true
    })
    child.stderr!.on('data', (text: Buffer) => {
      this.printed = (this.printed + text.toString()).slice(-4_000)
    })
    while (!ready && !this.dead) await pause(5)
    return ready
  }

  get dead(): boolean {
    return this.#child === null || this.#child.exitCode !== null || this.#child.signalCode !== null
  }

  get pid(): number {
    return this.#child!.pid!
  }

  signal(name: 'SIGSTOP' | 'SIGCONT' | 'SIGTERM'): void {
    this.#child?.kill(name)
  }

  /** An orderly stop; killed where that takes longer. */
  async stop(withinMs: number): Promise<void> {
    this.signal('SIGTERM')
    const giveUpAt = performance.now() + withinMs
    while (!this.dead && performance.now() < giveUpAt) await pause(5)
    await this.kill()
  }

  async kill(): Promise<void> {
    this.#child?.kill('SIGKILL')
    while (!this.dead) await pause(2)
  }

  /** A stop that is cut short, as by `docker stop`: killed `afterMs` after it began to drain, if it is still there. */
  async cutStop(afterMs: number): Promise<void> {
    this.#child?.kill('SIGTERM')
    const isDraining = async (): Promise<boolean> =>
      fetch(`${this.url}/readyz`).then(
        ({ status }) => status === 503,
        () => this.dead,
      )
    while (!(await isDraining())) await pause(2)
    const giveUpAt = performance.now() + afterMs
    while (!this.dead && performance.now() < giveUpAt) await pause(2)
    await this.kill()
  }

  async remove(): Promise<void> {
    await this.kill()
    rmSync(this.dir, { recursive: true, force: true })
  }
}
