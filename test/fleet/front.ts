/** nginx in front of a fleet's gateways, configured as docs/operations.md tells. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { freePort } from '../free-port.ts'

const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin']
const NGINX = folders.map((folder) => join(folder, 'nginx')).find((path) => existsSync(path))
export const NO_NGINX = NGINX === undefined

const START_MS = 60_000
const NOTED_CHARS = 20_000
const OPERATIONS = join(import.meta.dirname, '../../docs/operations.md')

const running = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

export class Front {
  readonly port: number
  readonly #child: ChildProcess
  readonly #dir: string

  private constructor(port: number, child: ChildProcess, dir: string) {
    this.port = port
    this.#child = child
    this.#dir = dir
  }

  static async start(gateways: readonly number[]): Promise<Front> {
    const port = await freePort()
    const dir = mkdtempSync(join(tmpdir(), 'sluice-nginx-'))
    const file = join(dir, 'nginx.conf')
    writeFileSync(file, configOf(dir, port, gateways))
    const child = spawn(NGINX!, ['-p', dir, '-c', file, '-e', join(dir, 'error.log')], { stdio: 'inherit' })
    running.add(child)
    child.once('exit', () => running.delete(child))
    const giveUpMono = performance.now() + START_MS
    while (!(await listens(port))) {
      if (performance.now() > giveUpMono || child.exitCode !== null) throw new Error('nginx does not start')
      await new Promise((done) => setTimeout(done, 20))
    }
    return new Front(port, child, dir)
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  /** What it noted of its gateways. */
  errors(): string {
    return readFileSync(join(this.#dir, 'error.log'), 'utf8').slice(-NOTED_CHARS)
  }

  async close(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const ended = once(this.#child, 'exit')
      this.#child.kill('SIGTERM')
      await ended
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

/** The configuration of the document, with addresses of this machine and without TLS. */
function configOf(dir: string, port: number, gateways: readonly number[]): string {
  const block = readFileSync(OPERATIONS, 'utf8')
    .split('```')
    .find((each) => each.startsWith('nginx\n') && each.includes('upstream sluice_fleet'))
  if (block === undefined) throw new Error('docs/operations.md has no configuration for a fleet')
  const options = [...block.matchAll(/server 10\.0\.0\.11:4100 (.*);/g)].map(([, each]) => each)
  const servers = options.flatMap((each) => gateways.map((gateway) => `server 127.0.0.1:${gateway} ${each};`))
  const http = block
    .slice('nginx\n'.length)
    .replace(/(?: *server 10\.0\.0\.\d+:4100 .*\n)+/, `${servers.join('\n')}\n`)
    .replace('listen 443 ssl;', `listen 127.0.0.1:${port} backlog=4096;`)
  const folders = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${dir}/${name};`,
  )
  return `worker_processes 1; daemon off; pid ${dir}/nginx.pid; worker_rlimit_nofile 20000;
events { worker_connections 9000; }
http { access_log off; ${folders.join(' ')}
${http}
}
`
}
