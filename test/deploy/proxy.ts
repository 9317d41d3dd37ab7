/** A proxy in front of gateways, as `deploy` has it: with addresses of this machine, and without TLS. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { freePort } from '../free-port.ts'

const DEPLOY = join(import.meta.dirname, '../../deploy')
const START_MS = 60_000
const STOP_MS = 5_000
const NOTED_CHARS = 20_000

interface Kind {
  readonly file: string
  readonly args: (file: string, dir: string) => readonly string[]
  /** Its configuration for these gateways; throws where the file has no place for them. */
  readonly configOf: (text: string, port: number, gateways: readonly number[], dir: string) => string
}

/** Each line that has the address of a gateway, once for each of them. */
function forEach(text: string, gateways: readonly number[]): string {
  const lines = text.split('\n')
  const first = lines.findIndex((line) => line.includes('10.0.0.11:4100'))
  if (first < 0) throw new Error('no gateway stands in the file')
  return lines
    .flatMap((line) => {
      if (line.includes('10.0.0.12:4100')) return []
      if (!line.includes('10.0.0.11:4100')) return [line]
      return gateways.map((port, i) => line.replace('10.0.0.11:4100', `127.0.0.1:${port}`).replace('gateway1', `g${i}`))
    })
    .join('\n')
}

const replaced = (text: string, from: string | RegExp, to: string): string => {
  if (!(typeof from === 'string' ? text.includes(from) : from.test(text))) throw new Error(`${from} is not in the file`)
  return text.replace(from, to)
}

const PROXIES: Readonly<Record<string, Kind>> = {
  nginx: {
    file: 'nginx/sluice-fleet.conf',
    args: (file, dir) => ['-p', dir, '-c', file, '-e', join(dir, 'log')],
    configOf(text, port, gateways, dir) {
      const http = replaced(forEach(text, gateways), 'listen 443 ssl;', `listen 127.0.0.1:${port} backlog=4096;`)
      const folders = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
        (name) => `${name}_temp_path ${dir}/${name};`,
      )
      const user = process.getuid?.() === 0 ? 'user root; ' : ''
      return `${user}worker_processes 1; daemon off; pid ${dir}/nginx.pid; worker_rlimit_nofile 20000;
events { worker_connections 9000; }
http { access_log off; ${folders.join(' ')}
${http}
}
`
    },
  },
  caddy: {
    file: 'caddy/Caddyfile',
    args: (file) => ['run', '--adapter', 'caddyfile', '--config', file],
    configOf(text, port, gateways) {
      const to = gateways.map((gateway) => `127.0.0.1:${gateway}`).join(' ')
      const site = replaced(text, '10.0.0.11:4100 10.0.0.12:4100', to)
      return `{\n\tadmin off\n\tauto_https off\n}\n${replaced(site, 'sluice.example.com', `http://127.0.0.1:${port}`)}`
    },
  },
  haproxy: {
    file: 'haproxy/haproxy.cfg',
    args: (file) => ['-f', file],
    configOf(text, port, gateways) {
      const lines = forEach(text, gateways)
      return replaced(lines, 'bind :443 ssl crt /etc/haproxy/sluice.pem alpn http/1.1', `bind 127.0.0.1:${port}`)
    },
  },
}

export const PROXY_NAMES = Object.keys(PROXIES)

const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin']
const pathOf = (name: string): string | undefined =>
  folders.map((folder) => join(folder, name)).find((path) => existsSync(path))
export const isHere = (name: string): boolean => pathOf(name) !== undefined

const running = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

export class FrontProxy {
  readonly port: number
  readonly #child: ChildProcess
  readonly #dir: string

  private constructor(port: number, child: ChildProcess, dir: string) {
    this.port = port
    this.#child = child
    this.#dir = dir
  }

  static async start(name: string, gateways: readonly number[]): Promise<FrontProxy> {
    const { file, args, configOf } = PROXIES[name]
    const port = await freePort()
    const dir = mkdtempSync(join(tmpdir(), `sluice-${name}-`))
    const path = join(dir, 'config')
    writeFileSync(path, configOf(readFileSync(join(DEPLOY, file), 'utf8'), port, gateways, dir))
    const child = spawn(pathOf(name)!, args(path, dir), {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: process.env['PATH'], HOME: dir, XDG_DATA_HOME: dir, XDG_CONFIG_HOME: dir },
    })
    let said = ''
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (bytes: Buffer) => (said = `${said}${bytes}`.slice(-NOTED_CHARS)))
    running.add(child)
    child.once('exit', () => running.delete(child))
    const giveUpMono = performance.now() + START_MS
    while (!(await listens(port))) {
      if (performance.now() > giveUpMono || child.exitCode !== null) throw new Error(`${name} does not start:\n${said}`)
      await new Promise((done) => setTimeout(done, 20))
    }
    return new FrontProxy(port, child, dir)
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  /** What nginx noted of its gateways. */
  errors(): string {
    const log = join(this.#dir, 'log')
    return existsSync(log) ? readFileSync(log, 'utf8').slice(-NOTED_CHARS) : ''
  }

  async close(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const ended = once(this.#child, 'exit')
      // A SIGKILL would leave nginx's workers
      this.#child.kill('SIGTERM')
      const giveUp = setTimeout(() => this.#child.kill('SIGKILL'), STOP_MS)
      await ended
      clearTimeout(giveUp)
    }
    rmSync(this.#dir, { recursive: true, force: true })
  }
}

const listens = (port: number): Promise<boolean> =>
  new Promise((done) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy()
      done(true)
    })
    socket.once('error', () => done(false))
  })
