/** A real Sluice in a process of its own, on free ports and a data folder that goes away with the test. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bareEnvironment } from '../environment.ts'
import { freePort } from '../free-port.ts'

export interface Server {
  readonly url: string
  readonly adminUrl: string
  readonly key: string
  readonly adminKey: string
  readonly dir: string
  readonly pid: number
  /** All it printed. */
  output(): string
  /** Kills it (-9), and starts it again on the same folder and ports; `meanwhile` runs in between. */
  crash(meanwhile?: () => void): Promise<void>
  /** The same by any signal; null: it ends by itself. `env` is its environment from then on. */
  restart(by: RestartBy): Promise<void>
  stop(): Promise<void>
}

export interface RestartBy {
  readonly signal: NodeJS.Signals | null
  readonly meanwhile?: () => unknown
  readonly env?: Record<string, string>
}

export const KEY = 'sk-sluice-test-key-seeded-from-the-environment'

/** `config`: YAML without ports and data_dir. */
export async function startServer(config: string, env: Record<string, string> = {}): Promise<Server> {
  const dir = mkdtempSync(join(tmpdir(), 'sluice-e2e-'))
  const [port, adminPort] = [await freePort(), await freePort()]
  const file = join(dir, 'sluice.yaml')
  writeFileSync(file, config)
  let printed = ''
  let more = env
  let child: ChildProcess
  let ending = false
  const start = async (): Promise<void> => {
    child = spawn(process.execPath, [join(import.meta.dirname, '../../bin/sluice.js'), 'serve', '--config', file], {
      env: {
        ...bareEnvironment(),
        SLUICE_PORT: String(port),
        SLUICE_ADMIN_PORT: String(adminPort),
        SLUICE_DATA_DIR: join(dir, 'data'),
        SLUICE_KEY: KEY,
        SLUICE_ADMIN_KEY: 'admin-key-of-the-tests-0123456789abcdef',
        ...more,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    ending = false
    for (const out of [child.stdout!, child.stderr!]) out.on('data', (d: Buffer) => (printed += d.toString()))
    // Tests then fail with a refused connection, which tells nothing
    child.once('exit', (code, signal) => {
      if (!ending && code !== 0)
        console.error(`the server ended by itself (${code ?? signal}):\n${printed.slice(-4_000)}`)
    })
    const giveUpAt = performance.now() + 45_000
    for (;;) {
      if (child.exitCode !== null) throw new Error(`the server ended with ${child.exitCode}:\n${printed}`)
      if (
        await fetch(`http://127.0.0.1:${port}/readyz`).then(
          (r) => r.ok,
          () => false,
        )
      )
        return
      if (performance.now() > giveUpAt) throw new Error(`the server is not ready:\n${printed}`)
      await new Promise((done) => setTimeout(done, 20))
    }
  }
  const ended = (): Promise<void> =>
    new Promise((done) =>
      child.exitCode !== null || child.signalCode !== null ? done() : child.once('exit', () => done()),
    )
  const restart = async ({ signal, meanwhile = () => {}, env: next = more }: RestartBy): Promise<void> => {
    ending = true
    if (signal !== null) child.kill(signal)
    await ended()
    more = next
    await meanwhile()
    await start()
  }
  await start()
  return {
    url: `http://127.0.0.1:${port}`,
    adminUrl: `http://127.0.0.1:${adminPort}`,
    key: KEY,
    adminKey: 'admin-key-of-the-tests-0123456789abcdef',
    dir,
    get pid() {
      return child.pid!
    },
    output: () => printed,
    crash: (meanwhile = () => {}) => restart({ signal: 'SIGKILL', meanwhile }),
    restart,
    async stop() {
      ending = true
      child.kill('SIGTERM')
      const late = setTimeout(() => child.kill('SIGKILL'), 10_000)
      await ended()
      clearTimeout(late)
      rmSync(dir, { recursive: true, force: true })
    },
  }
}
