/** The commands against a real server: keys, jobs, and a follow that outlives a kill. */
import { spawn } from 'node:child_process'
import { type AddressInfo, connect, createServer } from 'node:net'
import { join } from 'node:path'
import { pipeline } from 'node:stream'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { bareEnvironment } from '../environment.ts'
import { startReceiver } from '../front/receiver.ts'
import { type Server, startServer } from './server.ts'

let server: Server
beforeAll(async () => {
  server = await startServer('models:\n  - { name: demo, provider: demo }\nwebhooks: { allow: [127.0.0.1] }\n')
})
afterAll(() => server?.stop())

interface Ran {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

/** `onText`: called with all that was printed so far. */
function sluice(args: readonly string[], key = server.key, onText: (out: string) => void = () => {}): Promise<Ran> {
  return new Promise((done) => {
    const env = {
      ...bareEnvironment(),
      SLUICE_URL: server.url,
      SLUICE_ADMIN_URL: server.adminUrl,
      SLUICE_KEY: key,
      SLUICE_ADMIN_KEY: server.adminKey,
      SLUICE_DATA_DIR: join(server.dir, 'data'),
    }
    const child = spawn(process.execPath, [join(import.meta.dirname, '../../bin/sluice.js'), ...args], { env })
    let [out, err] = ['', '']
    child.stdout.on('data', (d: Buffer) => {
      out += d.toString()
      onText(out)
    })
    child.stderr.on('data', (d: Buffer) => {
      err += d.toString()
    })
    child.on('close', (code) => done({ code, out, err }))
  })
}

async function submit(prompt: string, more: object = {}): Promise<string> {
  const body = JSON.stringify({ request: { model: 'demo', messages: [{ role: 'user', content: prompt }] }, ...more })
  const response = await fetch(`${server.url}/v1/jobs`, {
    method: 'POST',
    headers: { authorization: `Bearer ${server.key}`, 'content-type': 'application/json' },
    body,
  })
  return ((await response.json()) as { id: string }).id
}

it('makes a key that works until it is revoked', async () => {
  const made = JSON.parse(
    (await sluice(['keys', 'create', '--tenant', 'team', '--name', 'ci', '--expires-days', '1', '--json'])).out,
  ) as { id: string; key: string }
  expect((await sluice(['keys', 'list'])).out).toMatch(
    new RegExp(`${made.id} +team +sk-sluice-.{4}… +[0-9-]+ +until [0-9-]+ +all +- +ci`),
  )
  expect(await sluice(['jobs', 'list'], made.key)).toMatchObject({ code: 0 })
  expect(await sluice(['keys', 'revoke', made.id])).toMatchObject({ code: 0 })
  expect(await sluice(['jobs', 'list'], made.key)).toMatchObject({ code: 4, out: '' })
  expect((await sluice(['keys', 'list'])).out).toMatch(new RegExp(`${made.id}.* revoked `))
})

it('shows limits, of keys, tenants and models, and what a change of them was', async () => {
  const limits = (value: object): string[] => ['--limits', JSON.stringify(value)]
  const made = JSON.parse(
    (
      await sluice([
        'keys',
        'create',
        '--tenant',
        'bounded',
        '--models',
        'demo,x*',
        ...limits({ concurrent: 2 }),
        '--json',
      ])
    ).out,
  ) as { id: string }
  expect((await sluice(['keys', 'list'])).out).toMatch(/^ID +TENANT +KEY +CREATED +STATE +MODELS +LIMITS +NAME\n/)
  expect((await sluice(['keys', 'list'])).out).toMatch(new RegExp(`${made.id}.* valid +demo,x\\* +2 at once\n`))
  const set = (value: object) => sluice(['tenants', 'set', 'bounded', ...limits(value)])
  expect((await set({ tokens_per_minute: 400_000 })).err).toContain('no limit -> 400k tokens a minute')
  const changed = await set({ tokens_per_minute: 600_000, each_user: { requests_per_minute: 5 } })
  expect(changed.err.split('\n')).toEqual([
    'Tenant bounded is changed.',
    '400k -> 600k tokens a minute',
    'each user: no limit -> 5 requests a minute',
    '',
  ])
  expect((await sluice(['tenants', 'list'])).out).toMatch(
    /bounded +api +active +1 +all +600k tokens a minute, each user: 5 requests a minute \(api\)/,
  )
  expect((await set({ tokens_per_minute: 600_000, each_user: { requests_per_minute: 5 } })).err).toContain(
    'as they were',
  )
  const models = (await sluice(['models', 'list'])).out
  expect(models).toMatch(/^MODEL +STATE +DEPLOYMENTS +PROVIDER +PRICE +LIMITS\n/)
  expect(models).toMatch(/\ndemo +active +\S+ +demo +0 \/ 0 +-\n/)
  expect(JSON.parse((await sluice(['models', 'list', '--json'])).out)).toMatchObject([{ id: 'demo', disabled: null }])
})

/** A way to the server that tells when somebody asks for events. */
async function watchedWay(): Promise<{ url: string; isFollowed: Promise<void>; close(): void }> {
  const { promise: isFollowed, resolve } = Promise.withResolvers<void>()
  const way = createServer((near) => {
    const far = connect(Number(new URL(server.url).port), '127.0.0.1')
    near.on('data', (data) => data.includes('/events') && resolve())
    // Either end's failure is the other's end
    pipeline(near, far, near, () => {})
  })
  await new Promise<void>((done) => way.listen(0, '127.0.0.1', done))
  return { url: `http://127.0.0.1:${(way.address() as AddressInfo).port}`, isFollowed, close: () => way.close() }
}

it('follows a job across a kill -9 of the server, and prints its text once', async () => {
  const admin = (path: string): Promise<unknown> => {
    const headers = { authorization: `Bearer ${server.adminKey}`, 'content-type': 'application/json' }
    return fetch(server.adminUrl + path, { method: 'POST', headers, body: '{}' })
  }
  const { url, isFollowed, close } = await watchedWay()
  // However long it takes until it is followed
  await admin('/admin/pause')
  const id = await submit('A long one. demo: tokens=150 delay=40 ttft=20')
  let crash: Promise<void> | null = null
  const following = sluice(['jobs', 'follow', id, '--url', url], server.key, (out) => {
    if (out.length > 60) crash ??= server.crash()
  })
  await isFollowed
  await admin('/admin/resume')
  const followed = await following
  close()
  await crash
  expect(crash).not.toBeNull()
  const result = (await (
    await fetch(`${server.url}/v1/jobs/${id}/result`, { headers: { authorization: `Bearer ${server.key}` } })
  ).json()) as {
    choices: Array<{ message: { content: string } }>
  }
  expect(followed).toMatchObject({ code: 0, err: expect.stringMatching(/\(attempt 2, continue, on .*\)\n\(done\)/) })
  // The note of the second attempt begins a line of its own
  expect(followed.out.replaceAll('\n', '')).toBe(result.choices[0].message.content.replaceAll('\n', ''))
})

it('shows, cancels and redrives', async () => {
  const id = await submit('Never mind. demo: tokens=2000 delay=20')
  expect((await sluice(['jobs', 'cancel', id])).code).toBe(0)
  expect(await sluice(['jobs', 'follow', id])).toMatchObject({ code: 1, err: expect.stringContaining('canceled') })
  expect((await sluice(['jobs', 'list', '--state', 'canceled'])).out).toContain(id)
  const failing = await submit('Break. demo: fail=400')
  expect(await sluice(['jobs', 'follow', failing])).toMatchObject({
    code: 1,
    err: expect.stringContaining('provider_rejected'),
  })
  expect((await sluice(['jobs', 'redrive', failing])).out).toMatch(/^job_\w+ (queued|leased|waiting)\n$/)
  expect((await sluice(['jobs', 'show', 'job_00000000000000000000000000'])).code).toBe(1)
})

it('what the server refuses of the command line has exit code 2, too', async () => {
  const refused = async (...args: string[]): Promise<unknown> => {
    const { code, err } = await sluice(args)
    return [code, err]
  }
  expect(await refused('jobs', 'list', '--state', 'nope')).toEqual([2, expect.stringContaining('must be one of')])
  expect(await refused('jobs', 'list', '--limit', '0')).toEqual([2, expect.stringContaining('limit')])
  expect(await refused('jobs', 'list', '--before', 'x')).toEqual([2, expect.stringContaining('before')])
  expect(await refused('keys', 'create', '--tenant', '')).toEqual([2, expect.stringContaining('tenant')])
  expect(await refused('keys', 'create', '--expires-days', '1000000000')).toEqual([2, expect.any(String)])
  const id = await submit('demo: tokens=1 ttft=0')
  expect(await refused('jobs', 'follow', id, '--after', 'x')).toEqual([2, expect.stringContaining('cursor')])
  expect(await refused('jobs', 'redrive', id)).toEqual([1, expect.stringContaining('can be redriven')])
})

it('what is not there is named with the command that lists it', async () => {
  expect(await sluice(['keys', 'revoke', 'key_x'])).toEqual({
    code: 1,
    out: '',
    err: 'sluice: There is no such API key. "npx sluice keys list" shows their ids.\n',
  })
  expect((await sluice(['jobs', 'cancel', 'job_00000000000000000000000000'])).err).toBe(
    'sluice: There is no such job. "npx sluice jobs list" shows their ids.\n',
  )
  expect((await sluice(['jobs', 'list'], 'sk-sluice-wrong')).err).toContain('"npx sluice keys create"')
})

it('doctor finds the running server well', async () => {
  const { port } = new URL(server.url)
  const { code, out } = await sluice(['doctor', '--port', port, '--admin-port', new URL(server.adminUrl).port])
  expect(out).toContain('Sluice is running there')
  expect(out).not.toContain(server.key)
  expect(out).not.toContain(server.adminKey)
  expect(code).toBe(0)
})

it('lists, shows and cancels runs', async () => {
  const post = (path: string, body: object): Promise<Response> =>
    fetch(`${server.url}${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${server.key}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
  await post('/v1/runs', { id: 'first', budget: { tokens: 9_000, steps: 3 } })
  const id = await submit('Tell me. demo: tokens=5000 delay=100', { run: 'first' })
  await post('/v1/runs', { id: 'second' })
  const listed = await sluice(['runs', 'list'])
  expect(listed.out).toMatch(/^RUN +STATE +BEGUN +ENDED +TOKENS +COST +BUDGET\nsecond +idle .*\nfirst +running /)
  expect(listed.out).toMatch(/^first .* 0\/1 +0 +\$0 +9000 tokens, 3 steps$/m)
  const page = await sluice(['runs', 'list', '--limit', '1'])
  const after = /^There are older ones: --after (\S+)$/m.exec(page.err)![1]
  expect((await sluice(['runs', 'list', '--after', after])).out).toMatch(/\nfirst /)
  expect(JSON.parse((await sluice(['runs', 'list', '--json'])).out)).toMatchObject([{ id: 'second' }, { id: 'first' }])
  const shown = await sluice(['runs', 'show', 'first'])
  expect(shown.out).toMatch(/^first\n {2}state +running\n {2}jobs +0 of 1 ended\n {2}tokens +0 of 9000\n/)
  expect(shown.out).toMatch(new RegExp(`^${id} +leased +demo +- `, 'm'))
  expect(JSON.parse((await sluice(['runs', 'show', 'first', '--json'])).out)).toMatchObject({ jobs: [{ id }] })
  expect(await sluice(['runs', 'cancel', 'first'])).toEqual({ code: 0, out: 'first canceled: 1 job ends\n', err: '' })
  expect(await sluice(['runs', 'cancel', 'none'])).toMatchObject({ code: 1, err: expect.stringContaining('runs list') })
  expect((await sluice(['runs', 'list', '--limit', '101'])).code).toBe(2)
})

it('lists, shows and cancels batches', async () => {
  const authorization = `Bearer ${server.key}`
  const form = new FormData()
  const request = { model: 'demo', messages: [{ role: 'user', content: 'Tell me. demo: tokens=5000 delay=100' }] }
  const line = { custom_id: 'a', method: 'POST', url: '/v1/chat/completions', body: request }
  form.set('purpose', 'batch')
  form.set('file', new Blob([JSON.stringify(line)]), 'lines.jsonl')
  const file = await fetch(`${server.url}/v1/files`, { method: 'POST', headers: { authorization }, body: form })
  const made = await fetch(`${server.url}/v1/batches`, {
    method: 'POST',
    headers: { authorization, 'content-type': 'application/json' },
    body: JSON.stringify({
      input_file_id: ((await file.json()) as { id: string }).id,
      endpoint: '/v1/chat/completions',
      completion_window: '24h',
    }),
  })
  const { id } = (await made.json()) as { id: string }
  const { out } = await sluice(['batches', 'list'])
  expect(out).toMatch(/^ID +STATUS +ENDPOINT +CREATED +LINES +FAILED +RESULTS\n/)
  expect(out).toMatch(new RegExp(`^${id} +\\w+ +/v1/chat/completions +.* +0/[01] +0 +\\S+$`, 'm'))
  expect(JSON.parse((await sluice(['batches', 'show', id])).out)).toMatchObject({ id, object: 'batch' })
  expect((await sluice(['batches', 'cancel', id])).out).toMatch(new RegExp(`^${id} cancell(?:ing|ed)\n$`))
  expect(await sluice(['batches', 'show', 'batch_0'])).toMatchObject({
    ...{ code: 1, err: expect.stringContaining('batches list') },
  })
})

it('lists webhooks and what they were told, and tells it again', async () => {
  const hooks = await startReceiver()
  try {
    const made = await fetch(`${server.url}/v1/webhooks`, {
      method: 'POST',
      headers: { authorization: `Bearer ${server.key}`, 'content-type': 'application/json' },
      body: JSON.stringify({ url: `${hooks.url}/a`, name: 'ours', events: ['job.done'] }),
    })
    const { id, secret } = (await made.json()) as { id: string; secret: string }
    const listed = await sluice(['webhooks', 'list'])
    expect(listed.out).toMatch(new RegExp(`^${id} +ours +enabled +${hooks.url}/a +job\\.done$`, 'm'))
    expect(listed.out).not.toContain(secret)
    await submit('Tell me. demo: tokens=2 delay=1')
    const told = async (): Promise<string> => (await sluice(['webhooks', 'deliveries', id])).out
    await expect.poll(told, { timeout: 60_000 }).toMatch(new RegExp(`^evt_\\w+ +${id} +job\\.done +delivered `, 'm'))
    const [event] = /^evt_\w+/m.exec(await told())!
    const again = await sluice(['webhooks', 'redeliver', event, '--webhook', id, '--json'])
    expect(JSON.parse(again.out)).toMatchObject([{ id: event, webhook: id }])
    await expect.poll(() => hooks.came.map((one) => one.id), { timeout: 60_000 }).toEqual([event, event])
    expect((await sluice(['webhooks', 'redeliver', 'evt_none'])).code).toBe(1)
  } finally {
    await hooks.close()
  }
})
