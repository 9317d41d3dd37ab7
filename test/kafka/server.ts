/**
 * A real Kafka broker for tests: one process (broker and controller: KRaft) on ports of its own, in a folder of its
 * own. Suites that need one are `describe.skipIf(NO_KAFKA)`: they run where there is a `java`, and SLUICE_TEST_KAFKA
 * names a file with the class path of a broker (jars.sh writes one).
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { freePort } from '../free-port.ts'
import { FaultProxy } from '../redis/proxy.ts'

const onPath = (name: string): boolean =>
  (process.env['PATH'] ?? '').split(delimiter).some((folder) => existsSync(join(folder, name)))

function findClassPath(): string | null {
  const file = process.env['SLUICE_TEST_KAFKA'] ?? ''
  if (file === '' || !onPath('java')) return null
  return readFileSync(file, 'utf8').trim()
}

const CLASS_PATH = findClassPath()
export const NO_KAFKA = CLASS_PATH === null

/** Small, and quick to start rather than quick in the end. */
const JAVA = ['-Xmx256m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Xshare:auto']
const START_TRIES = 10
const START_MS = 90_000

const running = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

export interface KafkaOptions {
  /** So many more ways to it, each of which a test can cut. */
  readonly links?: number
  /** One more way to it, with TLS, for one user alone (SCRAM-SHA-512). `keystore`: a file with key and certificate. */
  readonly secured?: { readonly keystore: string; readonly username: string; readonly password: string }
  /** More lines of server.properties. */
  readonly config?: Readonly<Record<string, string>>
}

export class KafkaServer {
  readonly port: number
  /** Who is connected through one of these stays on it. */
  readonly links: readonly FaultProxy[]
  /** Where each of them leads to; the broker tells who comes there of the link. */
  readonly linkPorts: readonly number[]
  readonly dir: string
  readonly securedPort: number
  readonly #controllerPort: number
  readonly #options: KafkaOptions
  #child: ChildProcess | null = null
  #closed: Promise<void> = Promise.resolve()
  #printed = ''

  private constructor(
    [port, controllerPort, securedPort, ...linkPorts]: readonly number[],
    links: readonly FaultProxy[],
    options: KafkaOptions,
  ) {
    this.port = port
    this.links = links
    this.securedPort = securedPort
    this.#controllerPort = controllerPort
    this.linkPorts = linkPorts
    this.#options = options
    this.dir = mkdtempSync(join(tmpdir(), 'sluice-kafka-'))
  }

  static async start(options: KafkaOptions = {}): Promise<KafkaServer> {
    for (let tries = 1; ; tries++) {
      const ports: number[] = []
      for (let more = 3 + (options.links ?? 0); more > 0; more--) ports.push(await freePort())
      const links = await Promise.all(ports.slice(3).map((port) => FaultProxy.start(port)))
      const server = new KafkaServer(ports, links, options)
      try {
        await server.#format()
        await server.restart()
        return server
      } catch (error) {
        await server.remove()
        // Another process may have taken a port meanwhile
        if (tries === START_TRIES || !server.#printed.includes('Address already in use')) throw error
      }
    }
  }

  get broker(): string {
    return `127.0.0.1:${this.port}`
  }

  get pid(): number {
    return this.#child!.pid!
  }

  get #file(): string {
    return join(this.dir, 'server.properties')
  }

  async #format(): Promise<void> {
    if (CLASS_PATH === null) throw new Error('no Kafka broker here')
    writeFileSync(this.#file, this.#properties())
    // A first character that its command line takes for no switch
    const id = `A${randomBytes(16).toString('base64url').slice(1)}`
    const { secured } = this.#options
    const user = secured && `SCRAM-SHA-512=[name=${secured.username},password=${secured.password}]`
    const format = ['kafka.tools.StorageTool', 'format', '-t', id, '-c', this.#file]
    if (user !== undefined) format.push('--add-scram', user)
    await promisify(execFile)('java', [...JAVA, '-cp', CLASS_PATH, ...format], { timeout: START_MS })
  }

  /** Starts it again after `kill` or `shutdown`, on what is stored. Resolves when it accepts connections. */
  async restart(): Promise<void> {
    if (CLASS_PATH === null) throw new Error('no Kafka broker here')
    this.#printed = ''
    const child = spawn('java', [...JAVA, '-cp', CLASS_PATH, 'kafka.Kafka', this.#file], {
      cwd: this.dir,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#child = child
    running.add(child)
    let hasEnded = false
    this.#closed = new Promise((closed) =>
      child.once('close', () => {
        hasEnded = true
        running.delete(child)
        closed()
      }),
    )
    const hear = (text: Buffer): void => {
      this.#printed = (this.#printed + text.toString()).slice(-4_000)
    }
    child.stdout.on('data', hear)
    child.stderr.on('data', hear)
    const until = performance.now() + START_MS
    while (!(await accepts(this.port))) {
      if (hasEnded) throw new Error(`Kafka has ended: ${this.#printed}`)
      if (performance.now() > until) throw new Error(`Kafka does not start: ${this.#printed}`)
      await sleep(100)
    }
  }

  #properties(): string {
    const [own, controller] = [`127.0.0.1:${this.port}`, `127.0.0.1:${this.#controllerPort}`]
    const { secured } = this.#options
    const tls = secured === undefined ? '' : `,SECURED://127.0.0.1:${this.securedPort}`
    const links = this.linkPorts.map((port, i) => `,LINK${i}://127.0.0.1:${port}`)
    const told = this.links.map(({ port }, i) => `,LINK${i}://127.0.0.1:${port}`)
    const kinds = links.map((_, i) => `,LINK${i}:PLAINTEXT`)
    const lines: Record<string, string> = {
      'process.roles': 'broker,controller',
      'node.id': '1',
      'controller.quorum.voters': `1@${controller}`,
      listeners: `PLAINTEXT://${own},CONTROLLER://${controller}${links.join('')}${tls}`,
      'advertised.listeners': `PLAINTEXT://${own}${told.join('')}${tls}`,
      'inter.broker.listener.name': 'PLAINTEXT',
      'controller.listener.names': 'CONTROLLER',
      'listener.security.protocol.map': `PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURED:SASL_SSL${kinds.join('')}`,
      'log.dirs': join(this.dir, 'data'),
      'auto.create.topics.enable': 'false',
      'group.initial.rebalance.delay.ms': '0',
      // For members that are killed
      'group.min.session.timeout.ms': '1000',
      // After a kill it is let back in when its old session is over
      'broker.session.timeout.ms': '3000',
      'broker.heartbeat.interval.ms': '500',
      // One node, and little memory
      ...Object.fromEntries(
        ['offsets.topic', 'transaction.state.log', 'share.coordinator.state.topic'].flatMap((topic) => [
          [`${topic}.replication.factor`, '1'],
          [`${topic}.num.partitions`, '1'],
        ]),
      ),
      'transaction.state.log.min.isr': '1',
      'share.coordinator.state.topic.min.isr': '1',
      'log.cleaner.dedupe.buffer.size': '4194304',
      'num.io.threads': '2',
      'num.network.threads': '2',
      'background.threads': '2',
      ...(secured !== undefined && {
        'listener.name.secured.ssl.keystore.type': 'PEM',
        'listener.name.secured.ssl.keystore.location': secured.keystore,
        'listener.name.secured.sasl.enabled.mechanisms': 'SCRAM-SHA-512',
        'listener.name.secured.scram-sha-512.sasl.jaas.config':
          'org.apache.kafka.common.security.scram.ScramLoginModule required;',
      }),
      ...this.#options.config,
    }
    return Object.entries(lines)
      .map(([name, value]) => `${name}=${value}\n`)
      .join('')
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
    for (const link of this.links) await link.close()
    rmSync(this.dir, { recursive: true, force: true })
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => {
      socket.destroy()
      done(true)
    })
    socket.once('error', () => done(false))
  })
}
