/**
 * A real RabbitMQ for tests: a node of its own, with its own epmd, cookie, ports and folder, as whoever runs the tests.
 * Suites that need one are `describe.skipIf(NO_RABBITMQ)`: they run where SLUICE_TEST_RABBITMQ names the server's
 * program, or where one is installed.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { freePort } from '../free-port.ts'

/** Debian's program in /usr/sbin runs as another user: this is what it starts. */
const PLACES = ['/usr/lib/rabbitmq/bin/rabbitmq-server', '/opt/homebrew/sbin/rabbitmq-server']

function findServer(): string | null {
  const told = process.env['SLUICE_TEST_RABBITMQ']
  if (told !== undefined && told !== '' && told !== '/usr/sbin/rabbitmq-server') return told
  return PLACES.find((path) => existsSync(path)) ?? null
}

const SERVER = findServer()
export const NO_RABBITMQ = SERVER === null

const execute = promisify(execFile)

const START_MS = 60_000
const READY = 'Server startup complete'

const running = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of running) killGroup(child)
})

/** The program is a shell, and the broker its child. */
function killGroup(child: ChildProcess): void {
  try {
    process.kill(-child.pid!, 'SIGKILL')
  } catch {
    // It has ended
  }
}

export class RabbitServer {
  readonly port: number
  readonly dir: string
  readonly #ports: { readonly dist: number; readonly epmd: number }
  readonly #config: string
  #child: ChildProcess | null = null
  #environment: NodeJS.ProcessEnv = {}
  #epmd: ChildProcess | null = null
  #closed: Promise<void> = Promise.resolve()

  private constructor(port: number, dist: number, epmd: number, config: string) {
    this.port = port
    this.#ports = { dist, epmd }
    this.#config = config
    this.dir = mkdtempSync(join(tmpdir(), 'sluice-rabbitmq-'))
  }

  /** `config`: lines of rabbitmq.conf. */
  static async start(config = ''): Promise<RabbitServer> {
    const server = new RabbitServer(await freePort(), await freePort(), await freePort(), config)
    try {
      await server.restart()
      return server
    } catch (error) {
      await server.remove()
      throw error
    }
  }

  get url(): string {
    return `amqp://guest:guest@127.0.0.1:${this.port}`
  }

  /** Starts it again after `kill`, on what is stored. Resolves when it takes connections. */
  async restart(): Promise<void> {
    if (SERVER === null) throw new Error('no RabbitMQ here')
    const { dir } = this
    const { dist, epmd } = this.#ports
    writeFileSync(join(dir, 'plugins'), '[].\n')
    writeFileSync(join(dir, 'rabbitmq.conf'), `${this.#config}\n`)
    const environment = {
      PATH: process.env['PATH'],
      LANG: 'C.UTF-8',
      HOME: dir,
      RABBITMQ_NODENAME: `sluice-${this.port}@localhost`,
      RABBITMQ_NODE_IP_ADDRESS: '127.0.0.1',
      RABBITMQ_NODE_PORT: String(this.port),
      RABBITMQ_DIST_PORT: String(dist),
      ERL_EPMD_PORT: String(epmd),
      ERL_EPMD_ADDRESS: '127.0.0.1',
      RABBITMQ_MNESIA_BASE: join(dir, 'data'),
      RABBITMQ_LOG_BASE: join(dir, 'log'),
      RABBITMQ_LOGS: '-',
      RABBITMQ_ENABLED_PLUGINS_FILE: join(dir, 'plugins'),
      RABBITMQ_CONF_ENV_FILE: '/dev/null',
      RABBITMQ_CONFIG_FILE: join(dir, 'rabbitmq'),
      RABBITMQ_GENERATED_CONFIG_DIR: join(dir, 'generated'),
      RABBITMQ_PID_FILE: join(dir, 'pid'),
      RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none',
    }
    this.#environment = environment
    this.#epmd ??= this.#spawn('epmd', ['-port', String(epmd), '-address', '127.0.0.1'], environment)
    const child = this.#spawn(SERVER, [], environment)
    this.#child = child
    this.#closed = new Promise((closed) => child.once('close', () => closed()))
    await new Promise<void>((done, fail) => {
      let printed = ''
      const giveUp = setTimeout(() => fail(new Error(`RabbitMQ does not start: ${printed}`)), START_MS)
      const over = (error?: Error): void => {
        clearTimeout(giveUp)
        if (error === undefined) done()
        else fail(error)
      }
      const hear = (text: Buffer): void => {
        printed = (printed + text.toString()).slice(-4_000)
        if (printed.includes(READY)) over()
      }
      child.stdout!.on('data', hear)
      child.stderr!.on('data', hear)
      child.once('error', over)
      child.once('close', () => over(new Error(`RabbitMQ has ended: ${printed}`)))
    })
  }

  #spawn(program: string, args: readonly string[], env: NodeJS.ProcessEnv): ChildProcess {
    const child = spawn(program, args, { cwd: this.dir, env, stdio: ['ignore', 'pipe', 'pipe'], detached: true })
    running.add(child)
    child.once('close', () => running.delete(child))
    child.stdout?.resume()
    child.stderr?.resume()
    return child
  }

  /** `rabbitmqctl` with these arguments. */
  async control(...args: readonly string[]): Promise<void> {
    await execute(join(dirname(SERVER!), 'rabbitmqctl'), [...args], { cwd: this.dir, env: this.#environment })
  }

  get pid(): number {
    return Number(readFileSync(join(this.dir, 'pid'), 'utf8'))
  }

  /** kill -9. */
  async kill(): Promise<void> {
    const child = this.#child
    if (child === null) return
    this.#child = null
    killGroup(child)
    await this.#closed
  }

  /** It stops answering, and keeps its connections, until `resume`. */
  stop(): void {
    process.kill(this.pid, 'SIGSTOP')
  }

  resume(): void {
    process.kill(this.pid, 'SIGCONT')
  }

  /** Ends it and deletes its folder. Safe to repeat. */
  async remove(): Promise<void> {
    await this.kill()
    if (this.#epmd !== null) killGroup(this.#epmd)
    this.#epmd = null
    rmSync(this.dir, { recursive: true, force: true })
  }
}
