/**
 * `sluice serve` as a process: its signals, its log, its keys, and what becomes of it when the world around it is
 * broken.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest'
import { bareEnvironment } from '../../test/environment.ts'

// Dozens of processes start here, one after the other
vi.setConfig({ testTimeout: 60_000 })

const bin = join(import.meta.dirname, '../../bin/sluice.js')
const dir = mkdtempSync(join(tmpdir(), 'sluice-serve-'))
const children: ChildProcess[] = []
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))

interface Ready {
  readonly url: string
  readonly admin_url: string
  readonly key_file: string | null
}
interface Started {
  readonly child: ChildProcess
  readonly out: () => string
  readonly err: () => string
  readonly ready: () => Promise<Ready>
  /** Exit code, or the signal that ended it. */
  readonly ended: Promise<number | string>
}

let folders = 0
const freshFolder = (): string => join(dir, `data-${++folders}`)

interface How {
  readonly folder?: string
  readonly args?: readonly string[]
  readonly env?: Record<string, string>
  readonly stdout?: 'pipe' | number
  readonly stderr?: 'pipe' | 'unread' | number
  readonly prefix?: readonly string[]
}

function serve({
  folder = freshFolder(),
  args = [],
  env = {},
  stdout = 'pipe',
  stderr = 'pipe',
  prefix = [],
}: How = {}): Started {
  const flags = ['--port', '0', '--data-dir', folder, ...args]
  const [command, ...rest] = [...prefix, process.execPath, bin, 'serve', ...flags]
  const child = spawn(command, rest, {
    env: { ...bareEnvironment(), SLUICE_DURABILITY: 'process', ...env },
    stdio: ['ignore', stdout, stderr === 'unread' ? 'pipe' : stderr],
  })
  children.push(child)
  let [out, err] = ['', '']
  child.stdout?.on('data', (d: Buffer) => (out += d.toString()))
  if (stderr === 'pipe') child.stderr?.on('data', (d: Buffer) => (err += d.toString()))
  const ended = once(child, 'close').then(([code, signal]) => (code ?? signal) as number | string)
  return {
    child,
    out: () => out,
    err: () => err,
    ended,
    async ready() {
      while (!out.includes('\n')) {
        if (child.exitCode !== null) throw new Error(`ended with ${child.exitCode}: ${err}`)
        await sleep(10)
      }
      return JSON.parse(out.split('\n')[0]) as Ready
    },
  }
}

const exited = (child: ChildProcess): Promise<unknown> =>
  child.exitCode === null ? once(child, 'exit') : Promise.resolve()
const lines = (text: string): Array<Record<string, unknown>> =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
const isAlive = async (url: string): Promise<boolean> => (await fetch(`${url}/livez`)).status === 200

describe('a log that can not be written', () => {
  /** Each makes a line at debug. */
  async function makeNoise({ url, key_file: keyFile }: Ready, times: number): Promise<void> {
    const headers = {
      authorization: `Bearer ${readFileSync(keyFile!, 'utf8').trim()}`,
      'content-type': 'application/json',
    }
    const body = JSON.stringify({
      model: 'demo',
      messages: [{ role: 'user', content: 'Hi. demo: tokens=1 ttft=0 delay=0' }],
    })
    for (let i = 0; i < times; i += 20)
      await Promise.all(
        Array.from({ length: 20 }, async () =>
          (await fetch(`${url}/v1/chat/completions`, { method: 'POST', headers, body })).text(),
        ),
      )
  }

  it('its reader is gone: the server goes on, and stops in good order', async () => {
    const server = serve({ args: ['--log-level', 'debug'], stderr: 'unread' })
    const ready = await server.ready()
    server.child.stderr!.destroy()
    server.child.stdout!.destroy()
    await makeNoise(ready, 40)
    expect(await isAlive(ready.url)).toBe(true)
    server.child.kill('SIGTERM')
    expect(await server.ended).toBe(0)
  })

  it('its disk is full: the same', async () => {
    const full = openSync('/dev/full', 'w')
    const server = serve({ args: ['--log-level', 'debug'], stderr: full })
    const ready = await server.ready()
    await makeNoise(ready, 40)
    expect(await isAlive(ready.url)).toBe(true)
    server.child.kill('SIGTERM')
    expect(await server.ended).toBe(0)
  })

  it('nobody can read either stream from the start', async () => {
    const full = openSync('/dev/full', 'w')
    const folder = freshFolder()
    const server = serve({ folder, stdout: full, stderr: full })
    // Nothing it says can be read: its key is the sign that it runs
    while (!existsSync(join(folder, 'first-api.key'))) await sleep(20)
    await sleep(500)
    expect(server.child.exitCode).toBe(null)
    server.child.kill('SIGTERM')
    expect(await server.ended).toBe(0)
  })

  it.each(['socket', 'pipe'])(
    'nobody reads it (%s): lines are dropped, counted, and the count told later',
    async (kind) => {
      // A child's stderr is a socket pair; a shell makes it a pipe
      const prefix = kind === 'pipe' ? ['bash', '-c', 'exec "$0" "$@" 2> >(read -r -t 60 go < "$GO"; cat >&2)'] : []
      const go = join(dir, 'go')
      if (kind === 'pipe') execFileSync('bash', ['-c', `rm -f ${go}; mkfifo ${go}`])
      const server = serve({
        args: ['--log-level', 'debug'],
        stderr: kind === 'pipe' ? 'pipe' : 'unread',
        prefix,
        env: { GO: go },
      })
      const ready = await server.ready()
      await makeNoise(ready, 1_800)
      expect(await isAlive(ready.url)).toBe(true)
      let err = ''
      server.child.stderr!.on('data', (d: Buffer) => (err += d.toString()))
      if (kind === 'pipe') writeFileSync(go, 'go\n')
      while (!err.includes('were dropped')) await sleep(20)
      expect(
        lines(err.slice(0, err.lastIndexOf('\n'))).find(({ msg }) => String(msg).includes('were dropped')),
      ).toMatchObject({
        level: 'warn',
        lines: expect.any(Number),
      })
      server.child.kill('SIGTERM')
      await exited(server.child)
      expect(server.child.exitCode).toBe(0)
    },
    60_000,
  )
})

describe('signals', () => {
  it.each(['SIGTERM', 'SIGINT', 'SIGQUIT'] as const)('%s stops it in good order', async (signal) => {
    const server = serve()
    await server.ready()
    server.child.kill(signal)
    expect(await server.ended).toBe(0)
  })

  it.each([1, 2, 10])('SIGTERM, %i times at once', async (times) => {
    const server = serve()
    await server.ready()
    for (let i = 0; i < times; i++) server.child.kill('SIGTERM')
    expect(await server.ended).toBe(0)
  })

  it('SIGHUP and SIGUSR2 do not end it, at any moment', async () => {
    const server = serve()
    const at = setInterval(() => {
      if (server.err() !== '' || server.out() !== '') return clearInterval(at)
    }, 5)
    const { url } = await server.ready()
    for (let i = 0; i < 3; i++) {
      server.child.kill('SIGHUP')
      server.child.kill('SIGUSR2')
      await sleep(20)
    }
    expect(await isAlive(url)).toBe(true)
    server.child.kill('SIGTERM')
    server.child.kill('SIGHUP')
    expect(await server.ended).toBe(0)
  })

  it('a running job is handed back at the second SIGTERM, and goes on at the next start', async () => {
    const folder = freshFolder()
    const server = serve({ folder, args: ['--workers-drain-ms', '60s'] })
    const { url, key_file: keyFile } = await server.ready()
    const authorization = `Bearer ${readFileSync(keyFile!, 'utf8').trim()}`
    const request = { model: 'demo', messages: [{ role: 'user', content: 'Long. demo: tokens=100 delay=60 ttft=0' }] }
    const headers = { authorization, 'content-type': 'application/json' }
    const made = await fetch(`${url}/v1/jobs`, { method: 'POST', headers, body: JSON.stringify({ request }) })
    const { id } = (await made.json()) as { id: string }
    const state = async (at: string): Promise<{ state: string }> =>
      (await (await fetch(`${at}/v1/jobs/${id}`, { headers })).json()) as { state: string }
    while ((await state(url)).state !== 'leased') await sleep(20)
    server.child.kill('SIGTERM')
    await sleep(1_200)
    expect(server.child.exitCode).toBe(null)
    server.child.kill('SIGTERM')
    expect(await server.ended).toBe(0)
    expect(lines(server.err()).at(-1)).toMatchObject({ msg: 'stopped', jobs_finished: 0, jobs_handed_back: 1 })
    const again = serve({ folder })
    const { url: next } = await again.ready()
    while ((await state(next)).state !== 'done') await sleep(50)
  })

  it('a stop that SIGKILL cuts short is no crash of what ran, however often', async () => {
    const folder = freshFolder()
    const env = { SLUICE_KEY: 'a-key-of-the-tests-4711' }
    const headers = { authorization: `Bearer ${env.SLUICE_KEY}`, 'content-type': 'application/json' }
    const request = { model: 'demo', messages: [{ role: 'user', content: 'demo: tokens=250 delay=40 ttft=0' }] }
    let id = ''
    const state = async (url: string): Promise<{ state: string; attempts: number }> =>
      (await (await fetch(`${url}/v1/jobs/${id}`, { headers })).json()) as { state: string; attempts: number }
    for (let life = 1; life <= 5; life++) {
      const server = serve({ folder, env, args: ['--workers-drain-ms', '60s'] })
      const { url } = await server.ready()
      if (id === '') {
        const made = await fetch(`${url}/v1/jobs`, { method: 'POST', headers, body: JSON.stringify({ request }) })
        id = ((await made.json()) as { id: string }).id
      }
      while ((await state(url)).state !== 'leased') await sleep(20)
      server.child.kill('SIGTERM')
      // The line is written by the handler: the stop has begun
      while (!server.err().includes('stopping')) await sleep(5)
      await sleep(100)
      server.child.kill('SIGKILL')
      await server.ended
    }
    const server = serve({ folder, env })
    const { url } = await server.ready()
    while (!['done', 'failed'].includes((await state(url)).state)) await sleep(100)
    expect((await state(url)).state).toBe('done')
  })

  /** Our handlers are there: Node has none for SIGQUIT (bit 2 of SigCgt). Before that the system ends a process. */
  const handlesSignals = (pid: string | number): boolean =>
    /SigCgt:\t[0-9a-f]*[4-7c-f]\n/.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  const isLinux = process.platform === 'linux'

  it.skipIf(!isLinux)('SIGTERM at any moment of the start ends it, and not as a failure', async () => {
    for (const ms of [0, 20, 50, 100, 150, 200, 300, 450]) {
      const server = serve()
      while (!handlesSignals(server.child.pid!)) await sleep(1)
      await sleep(ms)
      server.child.kill('SIGTERM')
      expect(await server.ended, `${ms} ms`).toBe(0)
    }
  })

  const canUnshare = ((): boolean => {
    try {
      execFileSync('unshare', ['-Urpf', '--mount-proc', '--kill-child', 'true'], { stdio: 'ignore' })
      return true
    } catch {
      return false
    }
  })()
  it.skipIf(!canUnshare)(
    'as the first process of a container: SIGTERM while it starts, and once it runs',
    async () => {
      for (const after of ['start', 'ready']) {
        const server = serve({ prefix: ['unshare', '-Urpf', '--mount-proc', '--kill-child'] })
        const { pid: parent } = server.child
        const child = (): string => readFileSync(`/proc/${parent}/task/${parent}/children`, 'utf8').trim()
        while (child() === '' || !handlesSignals(child())) await sleep(1)
        if (after === 'ready') await server.ready()
        const pid = child()
        process.kill(Number(pid), 'SIGTERM')
        expect(await server.ended, after).toBe(0)
      }
    },
    30_000,
  )
})

const hasScript = existsSync('/usr/bin/script')
it.skipIf(!hasScript)('at a terminal: text for people, SIGHUP reloads, and closing the terminal stops it', async () => {
  const folder = freshFolder()
  const command = `exec "${process.execPath}" "${bin}" serve --port 0 --data-dir "${folder}"`
  const terminal = spawn('script', ['-qfc', command, '/dev/null'], { stdio: ['pipe', 'pipe', 'ignore'] })
  children.push(terminal)
  let out = ''
  terminal.stdout.on('data', (d: Buffer) => (out += d.toString()))
  while (!out.includes('curl -N')) await sleep(20)
  const [, url] = /ready on (\S+)/.exec(out)!
  expect(out).toMatch(/API key +sk-sluice-/)
  expect(existsSync(join(folder, 'first-api.key'))).toBe(false)
  const pid = Number(readFileSync(`/proc/${terminal.pid}/task/${terminal.pid}/children`, 'utf8').trim())
  process.kill(pid, 'SIGHUP')
  while (!out.includes('was reloaded')) await sleep(20)
  expect(await isAlive(url)).toBe(true)
  terminal.kill('SIGKILL')
  while (existsSync(`/proc/${pid}`) && !/\bZ\b/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))) await sleep(20)
  await expect(fetch(`${url}/livez`)).rejects.toThrow()
})

it('SIGTERM to npm start reaches the server', async () => {
  const folder = freshFolder()
  const npm = spawn('npm', ['start', '--silent', '--', '--port', '0', '--data-dir', folder], {
    cwd: join(import.meta.dirname, '../..'),
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  children.push(npm)
  let out = ''
  npm.stdout.on('data', (d: Buffer) => (out += d.toString()))
  while (!out.includes('\n')) await sleep(20)
  const { url } = JSON.parse(out) as Ready
  expect(await isAlive(url)).toBe(true)
  npm.kill('SIGTERM')
  await once(npm, 'close')
  await expect(fetch(`${url}/livez`)).rejects.toThrow()
})

describe('what it says, without a terminal', () => {
  it('is all JSON, and the key is in a file of its own', async () => {
    const folder = freshFolder()
    const server = serve({ folder, env: { SLUICE_PRT: '1', SLUICE_SERVICE_HOST: '10.0.0.1' } })
    const ready = await server.ready()
    expect(ready).toMatchObject({ level: 'info', event: 'ready', key_file: join(folder, 'first-api.key') })
    expect(statSync(ready.key_file!).mode & 0o777).toBe(0o600)
    const key = readFileSync(ready.key_file!, 'utf8').trim()
    const { status } = await fetch(`${ready.url}/v1/models`, { headers: { authorization: `Bearer ${key}` } })
    expect(status).toBe(200)
    server.child.kill('SIGTERM')
    expect(await server.ended).toBe(0)
    const said = lines(server.err())
    expect(said.map(({ level, msg }) => [level, String(msg).split(' ')[0]])).toEqual([
      ['warn', 'SLUICE_SERVICE_HOST'],
      ['warn', 'SLUICE_PRT'],
      ['info', 'stopping:'],
      ['info', 'stopped'],
    ])
    expect(server.out() + server.err()).not.toContain(key)
    expect(lines(server.out())).toHaveLength(1)
    const again = serve({ folder })
    expect((await again.ready()).key_file).toBe(null)
  })

  it('a line a job, a warning a failure, a line a refusal; no text of users, no key', async () => {
    const server = serve()
    const { url, key_file: keyFile } = await server.ready()
    const key = readFileSync(keyFile!, 'utf8').trim()
    const chat = async (content: string, authorization = `Bearer ${key}`): Promise<string> => {
      const body = JSON.stringify({ model: 'demo', messages: [{ role: 'user', content: `canary-text ${content}` }] })
      const headers = { authorization, 'content-type': 'application/json', 'x-request-id': `req-${content.length}` }
      return await (await fetch(`${url}/v1/chat/completions`, { method: 'POST', headers, body })).text()
    }
    await chat('demo: tokens=3 ttft=0 delay=0')
    await chat('demo: fail=400')
    await chat('refused', 'Bearer canary-key-that-is-wrong')
    server.child.kill('SIGTERM')
    expect(await server.ended).toBe(0)
    const said = lines(server.err()).filter(({ msg }) => !String(msg).startsWith('stopp'))
    expect(said).toEqual([
      expect.objectContaining({
        level: 'info',
        msg: 'job done',
        tenant: 'default',
        key: expect.stringMatching(/^key_/),
        model: 'demo',
        deployment: expect.stringContaining('demo'),
        state: 'done',
        completion_tokens: 3,
        ttft_ms: expect.any(Number),
        request_id: 'req-29',
      }),
      expect.objectContaining({ level: 'warn', msg: 'attempt failed', code: 'provider_rejected', status: 400 }),
      expect.objectContaining({ level: 'warn', msg: 'job failed', model: 'demo', status: 400, request_id: 'req-14' }),
      expect.objectContaining({
        level: 'info',
        msg: 'request refused',
        code: 'invalid_api_key',
        status: 401,
        route: '/v1/chat/completions',
        request_id: 'req-7',
      }),
    ])
    expect(server.err()).not.toMatch(/canary|sk-sluice-/)
  })

  it.each([
    ['an empty admin.key', '', /admin\.key is empty/],
    ['half an admin.key', 'sluice-admin-abcdefghijkl', /admin\.key is damaged/],
  ])('%s: refused, with what to do', async (_name, content, message) => {
    const folder = freshFolder()
    mkdirSync(folder, { mode: 0o700 })
    writeFileSync(join(folder, 'admin.key'), content)
    const server = serve({ folder })
    expect(await server.ended).toBe(2)
    expect(lines(server.err())).toEqual([
      expect.objectContaining({ level: 'fatal', msg: expect.stringMatching(message) }),
    ])
    expect(server.out()).toBe('')
  })

  it('a data folder in use: refused, with the exit code of what is taken', async () => {
    const folder = freshFolder()
    await serve({ folder }).ready()
    const second = serve({ folder })
    expect(await second.ended).toBe(5)
    expect(lines(second.err())).toEqual([
      expect.objectContaining({ level: 'fatal', code: 'in_use', msg: expect.stringContaining('is in use') }),
    ])
  })

  it('the last line tells what became of the jobs, and how long the stop took', async () => {
    const env = { SLUICE_KEY: 'a-key-of-the-tests-4711' }
    const server = serve({ env })
    const { url } = await server.ready()
    const headers = { authorization: `Bearer ${env.SLUICE_KEY}`, 'content-type': 'application/json' }
    const request = { model: 'demo', messages: [{ role: 'user', content: 'demo: tokens=20 delay=40 ttft=0' }] }
    const made = await fetch(`${url}/v1/jobs`, { method: 'POST', headers, body: JSON.stringify({ request }) })
    const { id } = (await made.json()) as { id: string }
    const state = async (): Promise<string> =>
      ((await (await fetch(`${url}/v1/jobs/${id}`, { headers })).json()) as { state: string }).state
    while ((await state()) !== 'leased') await sleep(5)
    server.child.kill('SIGTERM')
    expect(await server.ended).toBe(0)
    expect(lines(server.err()).at(-1)).toMatchObject({
      level: 'info',
      msg: 'stopped',
      jobs_finished: 1,
      jobs_handed_back: 0,
      took_ms: expect.any(Number),
    })
  })

  it('a changed SLUICE_KEY takes the place of the one before, and says so', async () => {
    const folder = freshFolder()
    const keys = ['first-seeded-key-0001', 'second-seeded-key-0002']
    const said: string[] = []
    const answers = async (key: string): Promise<number[]> => {
      const server = serve({ folder, env: { SLUICE_KEY: key } })
      const { url } = await server.ready()
      const status = async (one: string): Promise<number> =>
        (await fetch(`${url}/v1/models`, { headers: { authorization: `Bearer ${one}` } })).status
      const found = [await status(keys[0]), await status(keys[1])]
      server.child.kill('SIGTERM')
      await server.ended
      said.push(server.err())
      return found
    }
    expect(await answers(keys[0])).toEqual([200, 401])
    expect(await answers(keys[0])).toEqual([200, 401])
    expect(await answers(keys[1])).toEqual([401, 200])
    expect(await answers(keys[0])).toEqual([401, 200])
    expect(said[1]).not.toContain('revoked')
    expect(said[2]).toContain('SLUICE_KEY has changed: the key of earlier starts')
    expect(said[3]).toContain('stays so: choose another one')
  })
})

describe('a reload', () => {
  interface Reload extends Started {
    readonly at: Ready
    readonly folder: string
    write(yaml: string): void
    /** Resolves with what the log said of it. */
    hangUp(): Promise<Record<string, unknown>>
    post(path: string, body: object): Promise<{ status: number; json: Record<string, unknown> }>
    get(path: string): Promise<Record<string, unknown>>
  }

  async function start(yaml: string, folder = freshFolder()): Promise<Reload> {
    const file = `${folder}.yaml`
    writeFileSync(file, yaml)
    const env = { SLUICE_ADMIN_KEY: 'admin-key-of-the-tests-42' }
    const server = serve({ folder, args: ['--config', file], env })
    const at = await server.ready()
    const key = readFileSync(join(folder, 'first-api.key'), 'utf8').trim()
    const headers = (path: string): Record<string, string> => ({
      authorization: `Bearer ${path.startsWith('/admin') ? env.SLUICE_ADMIN_KEY : key}`,
      'content-type': 'application/json',
    })
    const url = (path: string): string => (path.startsWith('/admin') ? at.admin_url : at.url) + path
    const reloads = (): Array<Record<string, unknown>> =>
      lines(server.err().slice(0, server.err().lastIndexOf('\n') + 1)).filter(({ msg }) =>
        String(msg).includes('reloaded'),
      )
    let asked = 0
    return {
      ...server,
      at,
      folder,
      write: (text) => writeFileSync(file, text),
      async hangUp() {
        const nth = asked++
        server.child.kill('SIGHUP')
        while (reloads()[nth] === undefined) await sleep(10)
        return reloads()[nth]
      },
      async post(path, body) {
        if (path === '/admin/reload') asked++
        const response = await fetch(url(path), { method: 'POST', headers: headers(path), body: JSON.stringify(body) })
        return { status: response.status, json: (await response.json()) as Record<string, unknown> }
      },
      get: async (path) =>
        (await (await fetch(url(path), { headers: headers(path) })).json()) as Record<string, unknown>,
    }
  }

  const demo = (name: string, more = ''): string => `  - { name: ${name}, provider: demo${more} }\n`
  const modelsOf = async (server: Reload): Promise<string[]> =>
    ((await server.get('/v1/models'))['data'] as Array<{ id: string }>).map(({ id }) => id)
  const request = (model: string, prompt: string) => ({
    request: { model, messages: [{ role: 'user', content: prompt }] },
  })

  it('takes models, tenants and the log level over; what runs keeps its deployment', async () => {
    const server = await start(`models:\n${demo('a')}${demo('old')}`)
    const running = (await server.post('/v1/jobs', request('old', 'demo: tokens=30 delay=40 ttft=0'))).json['id']
    const state = async (id: unknown): Promise<unknown> => (await server.get(`/v1/jobs/${id}`))['state']
    while ((await state(running)) !== 'leased') await sleep(10)
    server.write(
      `log: { level: warn }\nhttp: { max_depth: 99 }\nmodels:\n${demo('b')}${demo('a')}tenants:\n  - { name: team }\n`,
    )
    server.child.kill('SIGHUP')
    while ((await modelsOf(server)).includes('old')) await sleep(10)
    expect(await modelsOf(server)).toEqual(['b', 'a'])
    expect((await server.post('/v1/jobs', request('b', 'demo: tokens=1'))).status).toBe(202)
    expect((await server.post('/v1/jobs', request('old', 'demo: tokens=1'))).status).toBe(404)
    while ((await state(running)) === 'leased') await sleep(20)
    expect(await state(running)).toBe('done')
    const { status, json } = await server.post('/admin/reload', {})
    expect([status, json]).toEqual([
      200,
      { object: 'reload', models: ['b', 'a'], tenants: ['team'], needs_restart: [] },
    ])
    expect(server.err()).not.toContain('was reloaded')
  })

  it('is refused whole, and says why: the configuration before stays in force', async () => {
    const server = await start(`models:\n${demo('a')}`)
    const pipe = `${server.folder}.pipe`
    execFileSync('mkfifo', [pipe])
    for (const broken of [
      `models:\n${demo('b')}prot: 1\n`,
      'models: [',
      `models:\n${demo('b')}  - { name: c, provider: openai-compatible, base_url: "http://127.0.0.1:1/v1", ` +
        'ca_file: none.pem }\n',
      `models:\n${demo('b')}  - { name: c, provider: openai, api_key: { env: NOT_SET } }\n`,
      '',
      '# models: []\n',
      `models:\n${demo('b')}  - { name: c, provider: openai, api_key: { file: ${pipe} } }\n`,
    ]) {
      server.write(broken)
      expect(await server.hangUp()).toMatchObject({ level: 'error', reason: expect.any(String) })
      expect(await modelsOf(server)).toEqual(['a'])
      expect(await server.post('/admin/reload', {})).toMatchObject({
        status: 422,
        json: { error: { code: 'config_invalid' } },
      })
    }
    server.write(`port: 9999\nmodels:\n${demo('b')}queue: { max_attempts: 7 }\n`)
    expect(await server.hangUp()).toMatchObject({ level: 'info', models: ['b'], needs_restart: ['queue.max_attempts'] })
    expect(await modelsOf(server)).toEqual(['b'])
  })

  it('jobs in line for a model that is gone wait for it, which is told, over a restart too', async () => {
    const both = `models:\n${demo('a', ', limits: { concurrent: 1 }')}${demo('b')}`
    let server = await start(both)
    const first = (await server.post('/v1/jobs', request('a', 'demo: tokens=60 delay=40 ttft=0'))).json['id']
    const jobs = Array.from({ length: 20 }, () => request('a', 'demo: tokens=1 ttft=0'))
    const { json } = await server.post('/v1/jobs', { jobs })
    const ids: unknown[] = (json['data'] as Array<{ id: string }>).map(({ id }) => id)
    const state = async (id: unknown): Promise<unknown> => (await server.get(`/v1/jobs/${id}`))['state']
    const told = async (): Promise<void> => {
      while (!/"model":"a","jobs":2[01],/.test(server.err())) await sleep(20)
    }
    server.write(`models:\n${demo('b')}`)
    await server.hangUp()
    await told()
    server.child.kill('SIGKILL')
    server = await start(`models:\n${demo('b')}`, server.folder)
    await told()
    while ((await state(first)) !== 'waiting') await sleep(20)
    expect(await state(ids[19])).toBe('queued')
    server.write(both)
    await server.hangUp()
    while ((await state(ids[19])) !== 'done') await sleep(20)
  })
})
