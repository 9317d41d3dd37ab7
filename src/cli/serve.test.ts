/** `sluice serve` as a process: at a terminal and without one, its keys, and its log, even where nobody can read it. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, openSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, describe, expect, test } from 'vitest'
import { DEEP } from '../../test/depth.ts'
import {
  BIN,
  freshFolder,
  isAlive,
  killAll,
  lines,
  owned,
  type Ready,
  removeFolders,
  serve,
} from '../../test/e2e/serve.ts'

// They run beside each other: most of them wait for a process
const it = test.concurrent
afterAll(() => {
  killAll()
  removeFolders()
})

const exited = (child: ChildProcess): Promise<unknown> =>
  child.exitCode === null ? once(child, 'exit') : Promise.resolve()

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
    // Its output can't be read: its key shows that it runs
    while (!existsSync(join(folder, 'first-api.key'))) await sleep(20)
    await sleep(500)
    expect(server.child.exitCode).toBe(null)
    server.child.kill('SIGTERM')
    expect(await server.ended).toBe(0)
  })

  it.each(DEEP ? ['socket', 'pipe'] : ['pipe'])(
    'nobody reads it (%s): lines are dropped, counted, and the count told later',
    async (kind) => {
      // A child's stderr is a socket pair; a shell makes it a pipe
      const prefix = kind === 'pipe' ? ['bash', '-c', 'exec "$0" "$@" 2> >(read -r -t 60 go < "$GO"; cat >&2)'] : []
      const go = `${freshFolder()}.go`
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
  )
})

const hasScript = existsSync('/usr/bin/script')
test.skipIf(!hasScript)('at a terminal: text for people, SIGHUP reloads, closing it stops the server', async () => {
  const folder = freshFolder()
  const command = `exec "${process.execPath}" "${BIN}" serve --port 0 --data-dir "${folder}"`
  const terminal = owned(spawn('script', ['-qfc', command, '/dev/null'], { stdio: ['pipe', 'pipe', 'ignore'] }))
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
  const npm = owned(
    spawn('npm', ['start', '--silent', '--', '--port', '0', '--data-dir', folder], {
      cwd: join(import.meta.dirname, '../..'),
      stdio: ['ignore', 'pipe', 'ignore'],
    }),
  )
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
    const request = { model: 'demo', messages: [{ role: 'user', content: 'demo: tokens=60 delay=50 ttft=0' }] }
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
