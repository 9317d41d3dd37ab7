/** Webhooks, received by the unmodified `openai` SDK, and by receivers that fail in every way. */
import OpenAI from 'openai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ADMIN_KEY, startTestApp, type TestApp } from './app.ts'
import { type Receiver, startReceiver, status } from './receiver.ts'

type Body = Record<string, any>
const TIMEOUT_MS = 700

let app: TestApp
let receiver: Receiver
let serial = 0

beforeAll(async () => {
  receiver = await startReceiver()
  app = await startTestApp({}, { webhooks: { allow: ['127.0.0.1'], timeout_ms: TIMEOUT_MS, max_per_tenant: 5 } })
})
afterAll(async () => {
  await app?.stop()
  receiver?.close()
})

async function call(method: string, path: string, key: string, body?: object): Promise<Body> {
  const response = await fetch(`http://127.0.0.1:${app.port}${path}`, {
    method,
    headers: { authorization: `Bearer ${key}`, ...(body !== undefined && { 'content-type': 'application/json' }) },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  return { status: response.status, ...(text === '' ? {} : JSON.parse(text)) }
}

interface Hook {
  readonly id: string
  readonly secret: string
  readonly path: string
  readonly key: string
  readonly tenant: string
}

/** A tenant of its own, with one webhook. */
async function hooked(more: object = {}): Promise<Hook> {
  const tenant = `t${++serial}`
  const { key } = await app.addKey(tenant)
  return { ...(await hook(key, more)), key, tenant }
}

async function hook(key: string, more: object = {}) {
  const path = `/hook${++serial}`
  const made = await call('POST', '/v1/webhooks', key, { url: `${receiver.url}${path}`, ...more })
  expect(made).toMatchObject({ status: 200, object: 'webhook', secret: expect.stringMatching(/^whsec_/) })
  return { id: made['id'] as string, secret: made['secret'] as string, path }
}

const chat = (text = 'demo: tokens=2 delay=1 ttft=1'): Body => ({
  model: 'demo',
  messages: [{ role: 'user', content: text }],
})

async function submit(key: string, options: object = {}, text?: string): Promise<string> {
  const job = await call('POST', '/v1/jobs', key, { request: chat(text), ...options })
  expect(job['status']).toBe(202)
  return job['id'] as string
}

const came = (path: string, n = 1) =>
  expect
    .poll(() => receiver.at(path).length)
    .toBeGreaterThanOrEqual(n)
    .then(() => receiver.at(path))

const deliveries = async ({ id, key }: Hook): Promise<readonly Body[]> =>
  (await call('GET', `/v1/webhooks/${id}/deliveries`, key))['data']

const unwrap = (secret: string, one: { readonly body: string; readonly headers: Readonly<Record<string, string>> }) =>
  new OpenAI({ apiKey: 'x', webhookSecret: secret }).webhooks.unwrap(one.body, one.headers)

const CALLED = { name: 'look', arguments: '{}' }

describe('events', () => {
  it('the end of a job comes signed, thin and once; the SDK takes it, and no other signature', async () => {
    const own = await hooked()
    const job = await submit(own.key, { run: 'r1', metadata: { a: 'b' } })
    const [one] = await came(own.path)
    const event = (await unwrap(own.secret, one)) as unknown as Body
    expect(event).toEqual({
      id: `evt_${job.slice(4)}`,
      object: 'event',
      created_at: expect.any(Number),
      type: 'job.done',
      data: { id: job, job, state: 'done', model: 'demo', run: 'r1', metadata: { a: 'b' } },
    })
    expect(one.headers).toMatchObject({ 'webhook-id': event['id'], 'content-type': 'application/json' })
    const other = `whsec_${Buffer.from('another secret of 32 characters!').toString('base64')}`
    await expect(unwrap(other, one)).rejects.toThrow()
    await expect(unwrap(own.secret, { ...one, body: `${one.body} ` })).rejects.toThrow()
    await expect
      .poll(async () => (await deliveries(own))[0])
      .toMatchObject({ state: 'delivered', tries: 1, status: 204 })
    expect(receiver.at(own.path)).toHaveLength(1)
  })

  it('of a run that is stopped: its budget, its loop, its cancel, each once', async () => {
    const own = await hooked({ events: ['run.canceled', 'run.budget_exceeded', 'run.loop_detected'] })
    await call('POST', '/v1/runs', own.key, { id: 'r-1', budget: { steps: 1 } })
    const ask = (run: string, messages: unknown[]) =>
      call('POST', '/v1/chat/completions', own.key, { model: 'demo', messages, sluice: { run } })
    const short = [{ role: 'user', content: 'demo: tokens=2 delay=1 ttft=1' }]
    const codes = []
    for (let n = 0; n < 3; n++) codes.push((await ask('r-1', short))['error']?.code)
    expect(codes.slice(1)).toEqual(['run_budget_exceeded', 'run_budget_exceeded'])
    const turns = Array.from({ length: 6 }, (_, n) => [
      { role: 'assistant', content: null, tool_calls: [{ id: `c${n}`, type: 'function', function: CALLED }] },
      { role: 'tool', tool_call_id: `c${n}`, content: 'same' },
    ]).flat()
    expect((await ask('r-2', [...short, ...turns]))['error']?.code).toBe('loop_detected')
    for (let n = 0; n < 2; n++) await call('POST', '/v1/runs/r-1/cancel', own.key)
    const told = (await came(own.path, 3)).map(({ body }) => JSON.parse(body) as Body)
    expect(told.map(({ type, data }) => [type, data.id]).sort()).toEqual([
      ['run.budget_exceeded', 'r-1'],
      ['run.canceled', 'r-1'],
      ['run.loop_detected', 'r-2'],
    ])
  })

  it('a background response is told in the words of OpenAI, cut and canceled ones, too', async () => {
    const own = await hooked()
    const openai = new OpenAI({ baseURL: `http://127.0.0.1:${app.port}/v1`, apiKey: own.key, maxRetries: 0 })
    const ask = async (text: string, more: object = {}) =>
      openai.responses.create({ model: 'demo', input: text, background: true, ...more })
    const done = await ask('demo: tokens=2 delay=1 ttft=1')
    const cut = await ask('demo: tokens=50 delay=1 ttft=1', { max_output_tokens: 16 })
    const slow = await ask('demo: tokens=900 delay=50 ttft=1')
    await openai.responses.cancel(slow.id)
    const all = (await came(own.path, 3)).map(({ body }) => JSON.parse(body) as Body)
    const types = Object.fromEntries(all.map(({ type, data }) => [data['id'], type]))
    expect(types).toEqual({
      [done.id]: 'response.completed',
      [cut.id]: 'response.incomplete',
      [slow.id]: 'response.cancelled',
    })
    expect((await unwrap(own.secret, receiver.at(own.path)[0])).type).toMatch(/^response\./)
  })

  it('only those come that it wants; a job may name another that wants none of them', async () => {
    const own = await hooked({ events: ['job.canceled'] })
    const named = await hook(own.key, { events: ['batch.failed'] })
    await submit(own.key)
    const job = await submit(own.key, { webhook: named.id })
    const canceled = await submit(own.key, {}, 'demo: tokens=900 delay=50 ttft=1')
    await call('POST', `/v1/jobs/${canceled}/cancel`, own.key)
    const plain = await call('POST', '/v1/chat/completions', own.key, { ...chat(), sluice: { webhook: named.id } })
    expect(plain['status']).toBe(200)
    await came(named.path, 2)
    await came(own.path)
    const types = (path: string) => receiver.at(path).map(({ body }) => (JSON.parse(body) as Body)['type'])
    expect(types(own.path)).toEqual(['job.canceled'])
    expect(types(named.path)).toEqual(['job.done', 'job.done'])
    expect(receiver.at(named.path).map(({ id }) => id)).toContain(`evt_${job.slice(4)}`)
  })

  it('a job that is refused, or joined to another, leaves nothing; a plain POST is not told', async () => {
    const own = await hooked()
    expect(await call('POST', '/v1/jobs', own.key, { request: { ...chat(), model: 'unknown' } })).toMatchObject({
      status: 404,
    })
    await call('POST', '/v1/chat/completions', own.key, chat())
    const first = await submit(own.key, { idempotency_key: 'k' })
    const again = await call('POST', '/v1/jobs', own.key, { request: chat(), idempotency_key: 'k' })
    expect(again['id']).toBe(first)
    await came(own.path)
    await expect.poll(() => deliveries(own)).toHaveLength(1)
    expect(receiver.at(own.path)).toHaveLength(1)
  })
})

describe('receivers', () => {
  it('that fail are tried again, with the same id and a new time; what they ask for is waited for', async () => {
    const own = await hooked()
    receiver.answer(own.path, status(503, { 'retry-after': '7' }))
    await submit(own.key)
    await came(own.path)
    await expect
      .poll(async () => (await deliveries(own))[0])
      .toMatchObject({
        state: 'pending',
        tries: 1,
        status: 503,
        error: 'It answered 503.',
      })
    receiver.answer(own.path, null)
    const [first, second] = await came(own.path, 2)
    expect(second.id).toBe(first.id)
    expect(second.body).toBe(first.body)
    expect(Number(second.headers['webhook-timestamp'])).toBeGreaterThan(Number(first.headers['webhook-timestamp']))
    expect(second.atMs - first.atMs).toBeGreaterThanOrEqual(6_900)
    await unwrap(own.secret, second)
    await expect.poll(async () => (await deliveries(own))[0]).toMatchObject({ state: 'delivered', tries: 2 })
  })

  it('that hang are cut, and starve nobody', async () => {
    const [hangs, works] = [await hooked(), await hooked()]
    receiver.answer(hangs.path, () => {})
    for (let n = 0; n < 20; n++) await submit(hangs.key)
    await submit(works.key)
    await came(works.path)
    await expect
      .poll(async () => (await deliveries(hangs)).some(({ error }) => error === `No answer within ${TIMEOUT_MS} ms.`))
      .toBe(true)
  })

  it('that redirect are not followed', async () => {
    const own = await hooked()
    receiver.answer(own.path, status(302, { location: `${receiver.url}/elsewhere` }))
    await submit(own.key)
    await expect.poll(async () => (await deliveries(own))[0]).toMatchObject({ status: 302, state: 'pending' })
    expect(receiver.at('/elsewhere')).toEqual([])
  })

  it('that answer without end are read to a bound', async () => {
    const own = await hooked()
    let sent = 0
    let isClosed = false
    receiver.answer(own.path, (response) => {
      response.on('close', () => (isClosed = true))
      const more = (): void => {
        while (!isClosed && sent < 1 << 30) {
          sent += 65_536
          if (!response.write(Buffer.alloc(65_536))) return void response.once('drain', more)
        }
      }
      response.writeHead(200)
      more()
    })
    await submit(own.key)
    await expect.poll(async () => (await deliveries(own))[0]).toMatchObject({ state: 'delivered', status: 200 })
    await expect.poll(() => isClosed).toBe(true)
    // What lay in buffers of the system, too
    expect(sent).toBeLessThan(16 << 20)
  })

  it('that are gone (410) are disabled; enabled again, what failed is delivered when asked for', async () => {
    const own = await hooked()
    receiver.answer(own.path, status(410))
    const job = await submit(own.key)
    await expect
      .poll(() => call('GET', `/v1/webhooks/${own.id}`, own.key))
      .toMatchObject({
        enabled: false,
        disabled_for: 'It answered 410 (gone).',
      })
    await expect.poll(async () => (await deliveries(own))[0]).toMatchObject({ state: 'failed', next_try_at: null })
    expect(await call('POST', '/v1/jobs', own.key, { request: chat(), webhook: own.id })).toMatchObject({
      status: 400,
      error: { param: 'webhook' },
    })
    receiver.answer(own.path, null)
    await call('PATCH', `/v1/webhooks/${own.id}`, own.key, { enabled: true })
    // Also without a body, as by hand with curl
    const again = await call('POST', `/v1/webhooks/deliveries/evt_${job.slice(4)}/redeliver`, own.key)
    expect(again['data']).toMatchObject([{ state: 'pending', tries: 0, webhook: own.id }])
    const [first, second] = await came(own.path, 2)
    expect(second.id).toBe(first.id)
    await expect.poll(async () => (await deliveries(own))[0]).toMatchObject({ state: 'delivered', tries: 1 })
  })
})

describe('endpoints', () => {
  it("are their tenant's alone", async () => {
    const [own, other] = [await hooked(), await hooked()]
    const job = await submit(own.key)
    await came(own.path)
    const id = `evt_${job.slice(4)}`
    for (const [method, path] of [
      ['GET', `/v1/webhooks/${own.id}`],
      ['PATCH', `/v1/webhooks/${own.id}`],
      ['DELETE', `/v1/webhooks/${own.id}`],
      ['POST', `/v1/webhooks/${own.id}/rotate`],
      ['GET', `/v1/webhooks/${own.id}/deliveries`],
      ['POST', `/v1/webhooks/deliveries/${id}/redeliver`],
    ])
      expect(
        await call(method, path, other.key, method === 'GET' || method === 'DELETE' ? undefined : {}),
      ).toMatchObject({ status: 404 })
    const asked = await call('POST', '/v1/jobs', other.key, { request: chat(), webhook: own.id })
    expect(asked).toMatchObject({ status: 400, error: { param: 'webhook' } })
    expect((await call('GET', '/v1/webhooks', other.key))['data']).toHaveLength(1)
  })

  it('list what became of events, by state and type', async () => {
    const own = await hooked()
    receiver.answer(own.path, status(503, { 'retry-after': '600' }))
    await submit(own.key)
    await came(own.path)
    await expect.poll(async () => (await deliveries(own))[0]).toMatchObject({ state: 'pending', tries: 1 })
    receiver.answer(own.path, null)
    for (let n = 0; n < 3; n++) await submit(own.key)
    const list = (query: string) => call('GET', `/v1/webhooks/${own.id}/deliveries?${query}`, own.key)
    await expect.poll(async () => (await list('state=delivered'))['data']).toHaveLength(3)
    const pending = await list('state=pending&type=job.done')
    expect(pending).toMatchObject({ has_more: false, data: [{ state: 'pending', status: 503 }] })
    const [first, second] = [await list('limit=2&state=delivered'), await list('type=job.failed')]
    expect([first['data'].length, first['has_more'], second['data']]).toEqual([2, true, []])
    const rest = await list(`state=delivered&after=${first['last_id']}`)
    expect(rest['data']).toHaveLength(1)
    expect(await list('state=faild')).toMatchObject({
      status: 400,
      error: { message: expect.stringContaining('failed') },
    })
  })

  it('sign with both secrets while the old one is valid', async () => {
    const own = await hooked()
    const { secret, old_secrets_end_at: ends } = await call('POST', `/v1/webhooks/${own.id}/rotate`, own.key, {
      keep_seconds: 3_600,
    })
    expect(ends).toHaveLength(1)
    await submit(own.key)
    const [one] = await came(own.path)
    expect(one.headers['webhook-signature']).toMatch(/^v1,\S+ v1,\S+$/)
    for (const each of [own.secret, secret as string]) await unwrap(each, one)
    const last = await call('POST', `/v1/webhooks/${own.id}/rotate`, own.key, { keep_seconds: 0 })
    await submit(own.key)
    const [, next] = await came(own.path, 2)
    await unwrap(last['secret'] as string, next)
    await expect(unwrap(secret as string, next)).rejects.toThrow()
  })

  it('show their secret once, and nowhere else: not in lists, logs, numbers, or the audit', async () => {
    const own = await hooked()
    receiver.answer(own.path, status(500))
    await submit(own.key)
    const [one] = await came(own.path)
    const signature = one.headers['webhook-signature'].slice('v1,'.length)
    const seen = [
      JSON.stringify(await call('GET', '/v1/webhooks', own.key)),
      JSON.stringify(await deliveries(own)),
      app.log.join('\n'),
      await (
        await fetch(`http://127.0.0.1:${app.adminPort}/admin/audit`, {
          headers: { authorization: `Bearer ${ADMIN_KEY}` },
        })
      ).text(),
    ].join('\n')
    for (const text of [own.secret, own.secret.slice(6), signature]) expect(seen).not.toContain(text)
  })

  it('are bounded, and refuse what they do not know', async () => {
    const own = await hooked()
    for (let n = 0; n < 4; n++) await hook(own.key)
    const refused: ReadonlyArray<readonly [object, string]> = [
      [{ url: receiver.url }, 'max_per_tenant'],
      [{}, '"url"'],
      [{ url: receiver.url, events: ['job.don'] }, 'job.done'],
      [{ url: receiver.url, evnts: [] }, 'evnts'],
      [{ url: 'https://127.0.0.1.nip.io:22/' }, 'port 443'],
      [{ url: 'http://example.com/' }, 'https://'],
      [{ url: 'https://10.0.0.1/' }, 'public internet'],
    ]
    for (const [body, words] of refused) {
      const answer = await call('POST', '/v1/webhooks', own.key, body)
      expect(answer['status']).toBe(400)
      expect(answer['error'].message).toContain(words)
    }
    await call('DELETE', `/v1/webhooks/${own.id}`, own.key)
    expect((await call('GET', '/v1/webhooks', own.key))['data']).toHaveLength(4)
  })

  it('are set by operators, too, and go with their tenant', async () => {
    const { tenant, key } = await hooked()
    const made = (await (
      await app.admin(`/admin/tenants/${tenant}/webhooks`, { url: `${receiver.url}/op` })
    ).json()) as Body
    expect((await call('GET', '/v1/webhooks', key))['data'].map(({ id }: Body) => id)).toContain(made['id'])
    await fetch(`http://127.0.0.1:${app.adminPort}/admin/tenants/${tenant}`, {
      method: 'DELETE',
      headers: { authorization: `Bearer ${ADMIN_KEY}` },
    })
    const { key: again } = await app.addKey(tenant)
    expect((await call('GET', '/v1/webhooks', again))['data']).toEqual([])
  })
})
