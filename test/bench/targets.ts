/** What is measured: each in a process of its own, fresh for each round. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Priority, pinned } from './tools.ts'

export const ROOT = join(import.meta.dirname, '../..')
export const KEY = 'sk-sluice-bench-key-0123456789'
export const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms))

export interface Running {
  readonly url: string
  /** The process whose CPU counts. */
  readonly pid: number
  readonly headers: readonly string[]
  /** Sluice only. */
  readonly adminUrl?: string
  readonly readyMs?: number
  stop(): Promise<void>
}

export interface Target {
  readonly name: string
  start(upstreamPort: number, priority: Priority): Promise<Running>
}

export async function freePort(): Promise<number> {
  const probe = createServer()
  await new Promise<void>((done) => probe.listen(0, '127.0.0.1', done))
  const { port } = probe.address() as { port: number }
  await new Promise((done) => probe.close(done))
  return port
}

export function launch(
  priority: Priority,
  command: string,
  args: readonly string[],
  env: Record<string, string> = {},
  cores: number | string = 0,
): ChildProcess {
  const [run, all] = pinned(cores, priority, 'env', [
    ...Object.entries(env).map(([name, value]) => `${name}=${value}`),
    command,
    ...args,
  ])
  return spawn(run, all, { stdio: 'ignore' })
}

export async function ended(child: ChildProcess, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill(signal)
  const late = setTimeout(() => child.kill('SIGKILL'), 5_000)
  await new Promise((done) => child.once('exit', done))
  clearTimeout(late)
}

export async function answers(
  url: string,
  isMeant: (response: Response) => boolean = () => true,
  withinMs = 10_000,
): Promise<void> {
  const until = performance.now() + withinMs
  while (performance.now() < until) {
    if (await fetch(url).then(isMeant, () => false)) return
    await pause(10)
  }
  throw new Error(`nothing answers at ${url}`)
}

/** One worker, keep-alive to the upstream, no buffering: the practical limit of the hardware. */
export const nginx: Target = {
  name: 'nginx, bare proxy',
  async start(upstream, priority) {
    const port = await freePort()
    const dir = mkdtempSync(join(tmpdir(), 'sluice-nginx-'))
    mkdirSync(join(dir, 'tmp'))
    writeFileSync(
      join(dir, 'nginx.conf'),
      `worker_processes 1; daemon off; pid nginx.pid; error_log stderr crit; worker_rlimit_nofile 20000;
events { worker_connections 9000; multi_accept on; }
http { access_log off; client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp; uwsgi_temp_path tmp;
  scgi_temp_path tmp;
  keepalive_requests 1000000; keepalive_timeout 300;
  upstream llm { server 127.0.0.1:${upstream}; keepalive 4096; keepalive_requests 1000000; }
  server { listen 127.0.0.1:${port} backlog=4096; location / { proxy_pass http://llm; proxy_http_version 1.1;
    proxy_set_header connection ""; proxy_buffering off; proxy_request_buffering off; proxy_read_timeout 300; } } }
`,
    )
    const child = launch(priority, 'nginx', ['-p', dir, '-c', 'nginx.conf'])
    await answers(`http://127.0.0.1:${port}/stats`)
    const master = Number(readFileSync(join(dir, 'nginx.pid'), 'utf8'))
    const worker = Number(readFileSync(`/proc/${master}/task/${master}/children`, 'utf8').trim().split(' ')[0])
    return {
      url: `http://127.0.0.1:${port}`,
      pid: worker,
      headers: [],
      async stop() {
        await ended(child)
        rmSync(dir, { recursive: true, force: true })
      },
    }
  },
}
export const hasNginx = (): boolean => spawnSync('nginx', ['-v']).status === 0

export const passthrough: Target = {
  name: 'Node, plain pass-through (`http`, piped)',
  async start(upstream, priority) {
    const port = await freePort()
    const child = launch(priority, process.execPath, [
      join(import.meta.dirname, 'passthrough.ts'),
      String(port),
      String(upstream),
    ])
    await answers(`http://127.0.0.1:${port}/stats`)
    return { url: `http://127.0.0.1:${port}`, pid: child.pid!, headers: [], stop: () => ended(child) }
  },
}

/** A WebSocket relay on the `ws` package. */
export const relay = (frames: 'token' | 'read'): Target => ({
  name: `\`ws\` relay, a frame a ${frames}`,
  async start(upstream, priority) {
    const port = await freePort()
    const child = launch(priority, process.execPath, [
      join(import.meta.dirname, 'relay.ts'),
      String(port),
      String(upstream),
      frames,
    ])
    await answers(`http://127.0.0.1:${port}/`)
    return { url: `http://127.0.0.1:${port}`, pid: child.pid!, headers: [], stop: () => ended(child) }
  },
})

/**
 * With later versions of its HTTP server it answers every stream with 500 ("immutable", its issue 1389): so pinned,
 * also where it nests its own.
 */
const PORTKEY = ['@portkey-ai/gateway@1.15.2', 'hono@4.9.7', '@hono/node-server@1.14.1']

/** Installed on demand beside the project; null when that is refused. */
export function portkey(): Target | null {
  const dir = join(tmpdir(), 'sluice-bench-portkey')
  const entry = join(dir, 'node_modules/@portkey-ai/gateway/build/start-server.js')
  if (!existsSync(entry)) {
    mkdirSync(dir, { recursive: true })
    writeFileSync(
      join(dir, 'package.json'),
      JSON.stringify({ private: true, overrides: { hono: '4.9.7', '@hono/node-server': '1.14.1' } }),
    )
    try {
      execFileSync('npm', ['install', '--no-audit', '--no-fund', '--ignore-scripts', '--save-exact', ...PORTKEY], {
        cwd: dir,
        stdio: 'ignore',
        timeout: 120_000,
      })
    } catch {
      return null
    }
  }
  return {
    name: 'Portkey gateway 1.15.2',
    async start(upstream, priority) {
      const port = await freePort()
      const child = launch(priority, process.execPath, [entry, `--port=${port}`, '--headless'], {
        NODE_ENV: 'production',
      })
      await answers(`http://127.0.0.1:${port}/`)
      return {
        url: `http://127.0.0.1:${port}`,
        pid: child.pid!,
        headers: [
          'x-portkey-provider: openai',
          `x-portkey-custom-host: http://127.0.0.1:${upstream}/v1`,
          'authorization: Bearer x',
        ],
        stop: () => ended(child, 'SIGKILL'),
      }
    },
  }
}

/** `sluice mock`, in place of the C upstream. */
export async function mockUpstream(port: number): Promise<{ stop(): Promise<void> }> {
  const child = launch('ordinary', process.execPath, [join(ROOT, 'bin/sluice.js'), 'mock', '--port', String(port)])
  await answers(`http://127.0.0.1:${port}/stats`)
  return { stop: () => ended(child) }
}

/** `root`: a checkout with its dependencies. `flags`: Node's. */
/** `settings`: more of the file; `model`: more of its model's entry; `env`: more of the environment. */
export const sluiceIn = (
  root: string,
  name: string,
  flags: readonly string[] = [],
  settings = '',
  model = '',
  env: Readonly<Record<string, string>> = {},
): Target => ({
  name,
  async start(upstream, priority) {
    const [port, adminPort] = [await freePort(), await freePort()]
    const dir = mkdtempSync(join(tmpdir(), 'sluice-bench-'))
    writeFileSync(
      join(dir, 'sluice.yaml'),
      `models:\n  - { name: "mock-*", provider: openai-compatible, base_url: "http://127.0.0.1:${upstream}/v1"` +
        `${model === '' ? '' : `, ${model}`} }\nlog: { level: warn }\n${settings}`,
    )
    const startedAt = performance.now()
    const child = launch(
      priority,
      process.execPath,
      [...flags, join(root, 'bin/sluice.js'), 'serve', '--config', join(dir, 'sluice.yaml')],
      {
        NODE_COMPILE_CACHE: join(tmpdir(), 'sluice-bench-cache'),
        SLUICE_PORT: String(port),
        SLUICE_ADMIN_PORT: String(adminPort),
        SLUICE_DATA_DIR: join(dir, 'data'),
        SLUICE_KEY: KEY,
        SLUICE_ADMIN_KEY: KEY,
        ...env,
      },
    )
    await answers(`http://127.0.0.1:${port}/readyz`)
    return {
      url: `http://127.0.0.1:${port}`,
      adminUrl: `http://127.0.0.1:${adminPort}`,
      readyMs: performance.now() - startedAt,
      pid: child.pid!,
      headers: [`authorization: Bearer ${KEY}`],
      async stop() {
        await ended(child)
        rmSync(dir, { recursive: true, force: true })
      },
    }
  },
})

export const sluice = sluiceIn(ROOT, '**Sluice**, durable, everything on')
