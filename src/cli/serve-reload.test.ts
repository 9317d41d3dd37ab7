/** `sluice serve` as a process: a reload takes over what may change while it runs, whole or not at all. */
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, describe, expect, it } from 'vitest'
import { freshFolder, killAll, lines, type Ready, removeFolders, type Started, serve } from '../../test/e2e/serve.ts'

afterEach(killAll)
afterAll(removeFolders)

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
    const running = (await server.post('/v1/jobs', request('old', 'demo: tokens=80 delay=40 ttft=0'))).json['id']
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
      { object: 'reload', models: ['b', 'a'], tenants: ['team'], changed: [], needs_restart: ['http.max_depth'] },
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
    const changed = ['queue.max_attempts', 'models.a@demo removed', 'models.b@demo added']
    // A signal has no request to be found by
    const { data } = (await server.get('/admin/audit')) as { data: readonly object[] }
    expect(data).toMatchObject([
      { action: 'config-reloaded', target: 'configuration', from: 'SIGHUP', after: { models: ['b'], changed } },
    ])
  })

  it('what was added while it ran is there after a crash, beside what the file says then', async () => {
    let server = await start(`models:\n${demo('a')}`)
    const entry = { name: 'added', provider: 'demo', deployment: 'extra' }
    expect((await server.post('/admin/deployments', entry)).status).toBe(201)
    server.child.kill('SIGKILL')
    server = await start(`models:\n${demo('b')}`, server.folder)
    expect(await modelsOf(server)).toEqual(['b', 'added'])
    expect((await server.post('/v1/jobs', request('added', 'demo: tokens=1'))).status).toBe(202)
  })

  it('a deployment that is drained stays so when another one beside it changes its automatic name', async () => {
    const at = 'base_url: "http://127.0.0.1:1/v1"'
    const entry = (model: string) => `  - { name: d, provider: openai-compatible, ${at}, model: ${model} }\n`
    const server = await start(`models:\n${entry('one')}`)
    const drained = async (): Promise<unknown> => {
      const { data } = (await server.get('/admin/deployments')) as { data: ReadonlyArray<Record<string, unknown>> }
      return Object.fromEntries(data.map(({ deployment, drained }) => [deployment, drained]))
    }
    await server.post(`/admin/deployments/${encodeURIComponent('d@127.0.0.1:1')}/drain`, {})
    server.write(`models:\n${entry('one')}${entry('two')}`)
    await server.hangUp()
    expect(await drained()).toEqual({ 'd@127.0.0.1:1/one': true, 'd@127.0.0.1:1/two': false })
    await server.post(`/admin/deployments/${encodeURIComponent('d@127.0.0.1:1/one')}/resume`, {})
    server.write(`models:\n${entry('one')}`)
    await server.hangUp()
    expect(await drained()).toEqual({ 'd@127.0.0.1:1': false })
  })

  it('jobs in line for a model that is gone wait for it, which is told, over a restart too', async () => {
    const both = `models:\n${demo('a', ', limits: { concurrent: 1 }')}${demo('b')}`
    let server = await start(both)
    const first = (await server.post('/v1/jobs', request('a', 'demo: tokens=2000 delay=40 ttft=0'))).json['id']
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
    await server.post(`/v1/jobs/${first}/cancel`, {})
    expect(await state(ids[19])).toBe('queued')
    server.write(both)
    await server.hangUp()
    while ((await state(ids[19])) !== 'done') await sleep(20)
  })
})
