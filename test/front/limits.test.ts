/** Who may use how much, from the YAML file to the answer: one user is out while another goes on; money; reloads. */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { startTestApp, type TestApp } from './app.ts'
import { userOf } from './two-users.ts'
import { type Answer, chat, request, send } from './wire.ts'

let app: TestApp
let upstream: Server | null = null

const start = async (settings: object, models: readonly object[] = []): Promise<void> => {
  app = await startTestApp({}, { models: [DEMO, ...models], ...settings })
}
afterEach(async () => {
  await app.stop()
  upstream?.close()
  upstream = null
})

/** A thousandth of a dollar a token. */
const DEMO = { name: 'demo', provider: 'demo', price: { input: 0, output: 1_000 } }
const quick = (tokens = 5, more: object = {}) => chat(`demo: tokens=${tokens} delay=1 ttft=1`, more)
const ask = (body: object, key = app.key, headers: Record<string, string> = {}): Promise<Answer> =>
  send(
    app.port,
    request('POST', '/v1/chat/completions', { authorization: `Bearer ${key}`, ...headers }, JSON.stringify(body)),
  )
const get = async (path: string): Promise<any> => {
  const { body } = await send(app.port, request('GET', path, { authorization: `Bearer ${app.key}` }))
  return JSON.parse(body)
}
const errorOf = ({ body }: Answer) => (JSON.parse(body) as { error: any }).error

describe('rates', () => {
  beforeEach(() => start({ limits: { each_tenant: { each_user: { requests_per_minute: 2 } } } }))

  it('a user who is out is refused with the cause, while another of the same tenant goes on', async () => {
    const all: Answer[] = []
    for (let i = 0; i < 4; i++) all.push(await ask(quick(5, { user: 'ann' })))
    expect(all.map(({ status, code }) => [status, code])).toEqual([
      [200, null],
      [200, null],
      [429, 'rate_limit_exceeded'],
      [429, 'rate_limit_exceeded'],
    ])
    const { limit, message } = errorOf(all[2])
    expect(limit).toMatchObject({ level: 'user', unit: 'requests', limit: 2 })
    expect(message).toContain('user ann')
    expect(Number(all[2].headers['retry-after'])).toBeGreaterThan(0)
    expect((await ask(quick(5, { user: 'bob' }))).status).toBe(200)
    // Nobody's user has no limit of a user
    for (let i = 0; i < 3; i++) expect((await ask(quick())).status).toBe(200)
  })

  it("a page's session is its user, whatever it says", async () => {
    const [ann, bob] = [await userOf(app.port, app.key, 'ann'), await userOf(app.port, app.key, 'bob')]
    const post = (user: typeof ann) => user.ask('POST', '/v1/chat/completions', quick())
    expect([(await post(ann)).status, (await post(ann)).status, (await post(ann)).status]).toEqual([200, 200, 429])
    expect((await post(bob)).status).toBe(200)
  })

  it('a reload raises a limit, and what was used stays used', async () => {
    for (let i = 0; i < 2; i++) await ask(quick(5, { user: 'ann' }))
    expect((await ask(quick(5, { user: 'ann' }))).status).toBe(429)
    await app.reload({ limits: { each_tenant: { each_user: { requests_per_minute: 3 } } } })
    expect((await ask(quick(5, { user: 'ann' }))).status).toBe(200)
    expect((await ask(quick(5, { user: 'ann' }))).status).toBe(429)
  })
})

it('of a tenant, its models, keys and runs: each by its own', async () => {
  const one = { requests_per_minute: 1 }
  await start({
    tenants: [
      { name: 'small', limits: one },
      { name: 'agents', limits: { each_run: one } },
      { name: 'keys', limits: { each_key: one } },
      { name: 'models', limits: { models: [{ name: 'de*', ...one }] } },
      { name: 'open', limits: {} },
    ],
    limits: { each_tenant: { concurrent: 0, ...one }, models: [{ name: 'other', concurrent: 0 }] },
  })
  const keys = new Map<string, string>()
  for (const tenant of ['small', 'agents', 'keys', 'models', 'open']) keys.set(tenant, (await app.addKey(tenant)).key)
  const statuses = async (tenant: string, headers: ReadonlyArray<Record<string, string>>, key = keys.get(tenant)!) => {
    const all: number[] = []
    for (const each of headers) all.push((await ask(quick(), key, each)).status)
    return all
  }
  expect(await statuses('small', [{}, {}])).toEqual([200, 429])
  expect(await statuses('models', [{}, {}])).toEqual([200, 429])
  expect(await statuses('open', [{}, {}])).toEqual([200, 200])
  const [a, b] = [{ 'sluice-run': 'a' }, { 'sluice-run': 'b' }]
  expect(await statuses('agents', [a, a, b, {}, {}])).toEqual([200, 429, 200, 200, 200])
  expect(errorOf(await ask(quick(), keys.get('agents'), a)).limit).toMatchObject({ level: 'run', name: 'a' })
  expect(await statuses('keys', [{}, {}])).toEqual([200, 429])
  expect(await statuses('keys', [{}], (await app.addKey('keys')).key)).toEqual([200])
})

it('where nothing may run, a plain POST is refused at once, and a job waits and is told for what', async () => {
  await start({ limits: { each_tenant: { each_user: { concurrent: 0 } } } })
  const refused = await ask(quick(5, { user: 'ann' }))
  expect([refused.status, refused.headers['x-should-retry']]).toEqual([429, 'false'])
  expect(errorOf(refused)).toMatchObject({
    message: 'No request for demo (user ann) may run: the limit of concurrent requests is 0.',
    sluice_code: 'request_exceeds_limit',
    limit: { level: 'user', name: 'ann', unit: 'running', limit: 0, reset_ms: null },
  })
  expect((await ask(quick(5))).status).toBe(200)
  const body = JSON.stringify({ request: quick(5, { user: 'ann' }), deadline_ms: 1_500 })
  const taken = await send(app.port, request('POST', '/v1/jobs', { authorization: `Bearer ${app.key}` }, body))
  expect(taken.status).toBe(202)
  const { id } = JSON.parse(taken.body)
  expect((await get(`/v1/jobs/${id}`)).queue.waiting_for).toEqual({ level: 'user', unit: 'running', reset_ms: null })
  await expect.poll(async () => (await get(`/v1/jobs/${id}`)).state).toBe('expired')
  expect((await get(`/v1/jobs/${id}`)).error).toMatchObject({
    code: 'deadline_exceeded',
    message: expect.stringContaining('concurrent requests of user ann, Limit 0'),
  })
})

it('waiting jobs start at once when a reload gives them room', async () => {
  const limits = (concurrent: number) => ({ limits: { each_tenant: { concurrent } } })
  await start(limits(1))
  const submit = async (): Promise<string> => {
    const body = JSON.stringify({ request: chat('demo: tokens=2000 delay=20 ttft=1') })
    const answer = await send(app.port, request('POST', '/v1/jobs', { authorization: `Bearer ${app.key}` }, body))
    return JSON.parse(answer.body).id
  }
  const isRunning = async (id: string) => (await get(`/v1/jobs/${id}`)).state === 'leased'
  const [first, second] = [await submit(), await submit()]
  await expect.poll(() => isRunning(first)).toBe(true)
  expect(await isRunning(second)).toBe(false)
  await app.reload(limits(2))
  await expect.poll(() => isRunning(second)).toBe(true)
  expect(await isRunning(first)).toBe(true)
})

describe('money', () => {
  it('a budget that is spent refuses what costs something, for its tenant alone, until it is raised', async () => {
    const limits = (dollars_per_month: number) => ({ tenants: [{ name: 'default', limits: { dollars_per_month } }] })
    await start(limits(0.1), [{ name: 'free', provider: 'demo' }])
    const other = await app.addKey('other')
    const spend = (key = app.key, more: object = {}) => ask(quick(60, { max_tokens: 60, ...more }), key)
    expect((await spend()).status).toBe(200)
    const refused = await spend()
    expect([refused.status, refused.code]).toEqual([429, 'insufficient_quota'])
    expect(refused.headers['x-should-retry']).toBe('false')
    expect(errorOf(refused).limit).toMatchObject({ level: 'tenant', unit: 'nano_dollars', window: 'month' })
    expect((await spend(other.key)).status).toBe(200)
    expect((await spend(app.key, { model: 'free' })).status).toBe(200)
    // Less than what was spent and what comes
    await app.reload(limits(0.119))
    expect((await spend()).code).toBe('insufficient_quota')
    await app.reload(limits(0.12))
    expect((await spend()).status).toBe(200)
  })

  it('a model without a price is refused where a budget holds, or counts at a default', async () => {
    let calls = 0
    upstream = createServer((req, res) => {
      calls++
      const usage = { prompt_tokens: 100, completion_tokens: 900, total_tokens: 1_000 }
      const choices = [{ index: 0, message: { role: 'assistant', content: 'Two.' }, finish_reason: 'stop' }]
      req.resume().on('end', () => {
        res.setHeader('content-type', 'application/json')
        res.end(JSON.stringify({ object: 'chat.completion', choices, usage }))
      })
    })
    await new Promise<void>((done) => upstream!.listen(0, '127.0.0.1', done))
    const base_url = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`
    const unlisted = { name: 'new', provider: 'openai', base_url, model: 'in-no-list' }
    const tenants = [{ name: 'default', limits: { dollars_per_day: 1 } }]
    await start({ tenants }, [unlisted])
    const other = await app.addKey('other')
    const post = (key?: string) => ask(quick(5, { model: 'new' }), key)
    const refused = await post()
    expect([refused.status, refused.code, calls]).toEqual([403, 'model_unpriced', 0])
    expect(errorOf(refused).message).toMatch(/"new".*: ask the operator\.$/)
    expect(refused.body).not.toContain('in-no-list')
    const job = JSON.stringify({ request: quick(5, { model: 'new' }) })
    const asJob = await send(app.port, request('POST', '/v1/jobs', { authorization: `Bearer ${app.key}` }, job))
    expect([asJob.status, asJob.code]).toEqual([403, 'model_unpriced'])
    expect([(await post(other.key)).status, calls]).toEqual([200, 1])
    // 1,000 tokens at 700 dollars a million
    await app.reload({ limits: { unpriced: 'count', unpriced_dollars_per_million_tokens: 700 } })
    expect([(await post()).status, calls]).toEqual([200, 2])
    const out = await post()
    expect([out.code, calls]).toEqual(['insufficient_quota', 2])
    expect(errorOf(out).message).toContain('$0.30')
  })

  it('a free engine that fails over to a dear provider is held at that price', async () => {
    const calls = { own: 0, dear: 0 }
    upstream = createServer((req, res) => {
      const isOwn = req.url!.startsWith('/own/')
      calls[isOwn ? 'own' : 'dear']++
      const usage = { prompt_tokens: 100, completion_tokens: 900, total_tokens: 1_000 }
      const choices = [{ index: 0, message: { role: 'assistant', content: 'Two.' }, finish_reason: 'stop' }]
      req.resume().on('end', () => {
        res.statusCode = isOwn ? 500 : 200
        res.setHeader('content-type', 'application/json')
        res.end(JSON.stringify(isOwn ? { error: { message: 'out' } } : { object: 'chat.completion', choices, usage }))
      })
    })
    await new Promise<void>((done) => upstream!.listen(0, '127.0.0.1', done))
    const { port } = upstream.address() as AddressInfo
    const at = (path: string, more: object) => ({
      ...{ name: 'm', provider: 'openai-compatible', base_url: `http://127.0.0.1:${port}/${path}`, ...more },
    })
    await start({ limits: { each_tenant: { dollars_per_day: 0.5 } }, queue: { retry_base_ms: 5, retry_cap_ms: 10 } }, [
      at('own', {}),
      // 0.09 dollars an answer
      at('dear', { order: 1, price: { input: 0, output: 100 } }),
    ])
    const answers: Answer[] = []
    for (let i = 0; i < 10; i++) answers.push(await ask(quick(5, { model: 'm', max_tokens: 1_000 })))
    expect(answers.map(({ code }) => code)).toEqual([
      ...Array<null>(5).fill(null),
      ...Array<string>(5).fill('insufficient_quota'),
    ])
    expect(calls.dear).toBe(5)
  })

  it('an answer ends where its budget does', async () => {
    await start({ limits: { each_tenant: { each_run: { dollars_per_hour: 0.2 } } } })
    const answer = await ask(chat('demo: tokens=5000 delay=1 ttft=1'), app.key, { 'sluice-run': 'loop' })
    const { choices, usage } = JSON.parse(answer.body)
    expect(choices[0].finish_reason).toBe('length')
    expect(usage.completion_tokens).toBeLessThan(1_000)
    expect((await ask(quick(), app.key, { 'sluice-run': 'loop' })).code).toBe('insufficient_quota')
    expect((await ask(quick(), app.key, { 'sluice-run': 'other' })).status).toBe(200)
  })
})
