/** A whole Sluice with RabbitMQ in front: what is submitted through it, and what other programs publish. */
import { connect as amqp } from 'amqplib'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import WebSocket from 'ws'
import { checkRabbit } from '../../src/cli/checks.ts'
import { startTestApp, type TestApp } from '../front/app.ts'
import { FaultProxy } from '../redis/proxy.ts'
import { NO_RABBITMQ, RabbitServer } from './server.ts'

let exchanges = 0
let server: RabbitServer
let app: TestApp
let exchange: string

const settings = (more: object = {}, publishers: object = { tenants: ['default'] }): object => ({
  models: [
    { name: 'words', provider: 'demo', pool: 'text' },
    { name: 'pictures', provider: 'demo', pool: 'image' },
    { name: 'demo', provider: 'demo', pool: 'chat' },
  ],
  intakes: { rabbitmq: { url: { env: 'RABBIT' }, exchange, confirm_timeout_ms: 2_000 }, publishers },
  pools: [
    { name: 'text', intake: 'rabbitmq' },
    { name: 'image', intake: 'rabbitmq', routes: ['image.*', 'picture'] },
  ],
  ...more,
})

async function start(more: object = {}, publishers?: object, url = server.url): Promise<void> {
  app = await startTestApp({}, settings(more, publishers) as Record<string, unknown>, { RABBIT: url })
}

async function call(path: string, body?: unknown, key = app.key): Promise<{ status: number; body: any }> {
  const response = await fetch(`http://127.0.0.1:${app.port}${path}`, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  return { status: response.status, body: text.startsWith('{') ? JSON.parse(text) : text }
}

const asking = (text: string, model = 'words') => ({ model, messages: [{ role: 'user', content: text }] })
const QUICK = 'demo: tokens=2 delay=1 ttft=1'

async function until<T>(get: () => Promise<T>, isIt: (value: T) => boolean): Promise<T> {
  for (let left = 600; ; left--) {
    const value = await get()
    if (isIt(value)) return value
    if (left === 0) throw new Error(`not within 30 s: ${JSON.stringify(value)}`)
    await new Promise((go) => setTimeout(go, 50))
  }
}

const ended = (id: string) =>
  until(
    () => call(`/v1/jobs/${id}`),
    ({ body }) => ['done', 'failed', 'canceled', 'expired'].includes(body.state),
  )
const jobs = async (query = ''): Promise<any[]> => (await call(`/v1/jobs?limit=1000${query}`)).body.data

/** As another program would. */
async function publish(
  route: string,
  messages: readonly (object | string)[],
  ids: readonly string[] = [],
): Promise<void> {
  const connection = await amqp(server.url)
  const channel = await connection.createConfirmChannel()
  for (const [i, message] of messages.entries()) {
    const text = typeof message === 'string' ? message : JSON.stringify(message)
    channel.publish(exchange, route, Buffer.from(text), { ...(ids[i] !== undefined && { messageId: ids[i] }) })
  }
  await channel.waitForConfirms()
  await connection.close()
}

async function dead(pool: string): Promise<Array<{ code: string; reason: string; text: string }>> {
  const connection = await amqp(server.url)
  const channel = await connection.createChannel()
  const found = []
  for (;;) {
    const message = await channel.get(`${exchange}.${pool}.dead`)
    if (message === false) break
    const { 'x-sluice-code': code, 'x-sluice-reason': reason } = message.properties.headers ?? {}
    found.push({ code: String(code), reason: String(reason), text: message.content.toString() })
  }
  await connection.close()
  return found
}

describe.skipIf(NO_RABBITMQ)('RabbitMQ in front', () => {
  beforeAll(async () => {
    server = await RabbitServer.start()
  }, 90_000)
  afterAll(() => server?.remove())
  beforeAll(() => {
    exchange = `front${++exchanges}`
  })
  afterEach(async () => {
    await app.stop()
    exchange = `front${++exchanges}`
  })

  it('a job is accepted at the confirm, becomes the same job, and is answered', async () => {
    await start()
    const { status, body } = await call('/v1/jobs', { request: asking(QUICK), metadata: { a: 'b' } })
    expect(status).toBe(202)
    expect(body).toMatchObject({ state: 'queued', pool: 'text', queue: null, cursor: '0', metadata: { a: 'b' } })
    const { body: job } = await ended(body.id)
    expect(job).toMatchObject({ id: body.id, state: 'done', model: 'words' })
    const events = await call(`/v1/jobs/${body.id}/events`)
    expect(events.body).toContain('event: end')
    expect((await jobs()).length).toBe(1)
    // What is answered on its own connection goes past the broker
    expect((await call('/v1/chat/completions', asking(QUICK))).status).toBe(200)
    const metrics = await (
      await fetch(`http://127.0.0.1:${app.adminPort}/admin/stats`, {
        headers: { authorization: 'Bearer canary-admin-key-0123456789abcdef' },
      })
    ).text()
    expect(metrics).toContain('intake_published')
    expect(metrics).toContain('intake_held')
    expect(JSON.stringify(app.log)).not.toContain('guest:guest')
    // What came, and was erased, does not come again
    const url = `http://127.0.0.1:${app.port}/v1/jobs/${body.id}`
    const headers = { authorization: `Bearer ${app.key}` }
    expect((await fetch(url, { method: 'DELETE', headers })).status).toBe(204)
    expect((await fetch(url, { headers })).status).toBe(404)
  })

  it('a WebSocket is told accepted, then where it stands, then the answer', async () => {
    await start()
    const socket = new WebSocket(`ws://127.0.0.1:${app.port}/v1/ws`, 'sluice.v1')
    const frames: any[] = []
    socket.on('message', (data) => {
      for (const line of String(data).split('\n')) frames.push(JSON.parse(line))
    })
    await new Promise((open) => socket.once('open', open))
    socket.send(JSON.stringify({ t: 'hello', auth: { key: app.key } }))
    socket.send(JSON.stringify({ t: 'submit', id: 's1', request: asking('demo: tokens=5 delay=1 ttft=1') }))
    await until(
      async () => frames,
      (all) => all.some(({ t }) => t === 'end'),
    )
    const of = frames.map(({ t }) => t)
    expect(of.indexOf('accepted')).toBeLessThan(of.indexOf('ev'))
    expect(frames.find(({ t }) => t === 'accepted')).toMatchObject({ id: 's1', state: 'queued', cursor: '0' })
    socket.close()
  })

  it('one idempotency key is one job, also where both are published; another body is a conflict', async () => {
    await start()
    const submit = (text: string) => call('/v1/jobs', { request: asking(text), idempotency_key: 'k' })
    const both = await Promise.all([submit(QUICK), submit(QUICK)])
    expect(both.map(({ status }) => status).sort()).toEqual([200, 202])
    expect(both[0].body.id).toBe(both[1].body.id)
    expect(await submit('another')).toMatchObject({ status: 422 })
    expect(await submit(QUICK)).toMatchObject({ status: 200, body: { id: both[0].body.id } })
    expect((await jobs()).length).toBe(1)
    expect(await dead('text')).toEqual([])
  })

  it('guards and limits are asked before it is published; what breaks them is refused, and never there', async () => {
    await start({ tenants: [{ name: 'default', guards: [{ guard: 'max-context', tokens: 20 }] }] })
    const long = await call('/v1/jobs', { request: asking('word '.repeat(500)) })
    expect(long).toMatchObject({ status: 400, body: { error: { code: 'context_length_exceeded' } } })
    await publish('text.long', [{ id: 'a', request: asking('word '.repeat(500)) }])
    const [letter] = await until(
      () => dead('text'),
      (all) => all.length > 0,
    )
    expect(letter).toMatchObject({ code: 'context_length_exceeded' })
    expect(await jobs()).toEqual([])
  })

  it('other programs publish: a routing key leads to its pool; a message that comes twice is one job', async () => {
    await start()
    await publish('image.small', [{ id: 'p1', request: asking(QUICK, 'pictures') }])
    await publish('picture', [{ request: asking(QUICK, 'pictures'), lane: 'l' }], ['p2'])
    await publish('text', [{ id: 't1', request: asking(QUICK) }])
    await publish('text.x.y', [{ id: 't1', request: asking(QUICK) }])
    await publish('image.no.such', [{ id: 'lost', request: asking(QUICK) }])
    const all = await until(
      () => jobs(),
      (found) => found.length === 3 && found.every(({ state }) => state === 'done'),
    )
    expect(all.map(({ pool, model }) => `${pool} ${model}`).sort()).toEqual([
      'image pictures',
      'image pictures',
      'text words',
    ])
    await new Promise((go) => setTimeout(go, 300))
    expect((await jobs()).length).toBe(3)
  })

  it('the job of a message is found by its id, by its own tenant alone', async () => {
    await start()
    const job = { id: 'report-4711', request: asking(QUICK) }
    await publish('text.report', [job])
    const [found] = await until(
      () => jobs('&message=report-4711'),
      (all) => all.length === 1,
    )
    expect(found.message).toEqual({ broker: 'rabbitmq', message: 'report-4711' })
    expect((await ended(found.id)).body.state).toBe('done')
    expect(await jobs('&message=report-4712')).toEqual([])
    const own = await call('/v1/jobs', { request: asking(QUICK) })
    expect((await ended(own.body.id)).body).not.toHaveProperty('message')
  })

  it("a route that was moved at a restart is the new pool's alone: no message is two, or dead", async () => {
    await start()
    await app.stop()
    const moved = [
      { name: 'text', intake: 'rabbitmq', routes: ['text.#', 'image.*'] },
      { name: 'image', intake: 'rabbitmq', routes: ['img.*'] },
    ]
    await start({ pools: moved })
    const ids = Array.from({ length: 200 }, (_, i) => `m${i}`)
    await publish(
      'image.cat',
      ids.map((id) => ({ id, request: asking(QUICK) })),
    )
    const all = await until(
      () => jobs(),
      (found) => found.length >= ids.length && found.every(({ state }) => state === 'done'),
    )
    expect(all.map(({ pool }) => pool)).toEqual(ids.map(() => 'text'))
    expect([await dead('text'), await dead('image')]).toEqual([[], []])
  })

  it('what can be no job is dead, with its reason, and stops nobody', async () => {
    await start({}, { tenants: ['default', 'other'] })
    const signed = `sluice1 ${'A'.repeat(43)}\n{"type":"job","id":"job_x","draft":{"tenant":"victim"}}\n{}`
    const bad: ReadonlyArray<readonly [object | string, RegExp]> = [
      ['no JSON', /JSON/],
      ['[1]', /object/],
      [{ id: 'a' }, /"request"/],
      [{ request: asking('x') }, /"id" must be/],
      [{ id: 'b', request: asking('x', 'nosuch') }, /no model/],
      [{ id: 'c', tenant: 'victim', request: asking('x') }, /may not be for that tenant/],
      [{ id: 'd', user: 'ann', request: asking('x') }, /may not name a user/],
      [{ id: 'e', request: { ...asking('x'), user: 'ann' } }, /may not name a user/],
      [{ id: 'f', pool: 'image', request: asking('x') }, /leave it out/],
      [{ id: 'g', lanes: 'l', request: asking('x') }, /"lanes" is not a job option/],
      [signed, /not signed/],
      [`{"id":"h","id":"h","request":{}}`, /more than once/],
    ]
    await publish('text', [...bad.map(([message]) => message), { id: 'good', tenant: 'other', request: asking(QUICK) }])
    let letters: Awaited<ReturnType<typeof dead>> = []
    await until(
      async () => (letters = [...letters, ...(await dead('text'))]),
      (all) => all.length >= bad.length,
    )
    for (const [i, [, reason]] of bad.entries()) expect(letters[i].reason).toMatch(reason)
    const other = await app.addKey('other')
    const mine = await until(
      async () => (await call('/v1/jobs', undefined, other.key)).body.data,
      (found) => found.length === 1,
    )
    expect(mine[0]).toMatchObject({ pool: 'text' })
    expect(await jobs()).toEqual([])
  })

  it('doctor tells of the broker and its queues; where it is away, why, and never the password', async () => {
    await start()
    const url = { reveal: () => server.url, known: true } as any
    const configOf = (address: unknown) =>
      ({
        intakes: { rabbitmq: { url: address, exchange, heartbeatMs: 10_000 } },
        pools: ['text', 'no'].map((name) => ({ name, intake: 'rabbitmq', routes: [] })),
      }) as any
    expect(await checkRabbit(configOf(url))).toMatchObject([
      { verdict: 'ok', detail: expect.stringContaining(`at 127.0.0.1:${server.port}`) },
      { verdict: 'ok', detail: expect.stringMatching(/^pool text: 0 messages wait, [01] processes/) },
      { verdict: 'note', detail: expect.stringContaining('pool no') },
    ])
    expect(await checkRabbit(configOf(null))).toEqual([])
    await publish('text', ['no job'])
    await until(
      () => checkRabbit(configOf(url)),
      ([, pool]) => pool.verdict === 'note' && pool.detail.includes('1 dead letters'),
    )
    for (const [address, why] of [
      ['amqp://guest:secret-word@127.0.0.1:1', 'refuses connections'],
      [`amqp://guest:secret-word@127.0.0.1:${server.port}`, 'does not accept the user'],
      [`amqp://guest:guest@127.0.0.1:${server.port}/nowhere`, 'virtual host'],
    ]) {
      const [check] = await checkRabbit(configOf(address))
      expect(check).toMatchObject({ verdict: 'failed', detail: expect.stringContaining(why) })
      expect(check.detail).not.toContain('secret-word')
    }
  })

  it('another Sluice on the same queues is told, at its start and where it buries what was accepted', async () => {
    await start({ durability: 'process' })
    const first = app
    await start({ durability: 'process' })
    expect(JSON.stringify(app.log)).toContain('another Sluice, with a store of its own')
    expect(JSON.stringify(first.log)).not.toContain('another Sluice')
    await call('/v1/jobs', { request: asking(QUICK) })
    const [letter] = await until(
      () => dead('text'),
      (all) => all.length > 0,
    )
    expect(letter.reason).toMatch(/not signed by this Sluice.*own intakes\.rabbitmq\.exchange/)
    await first.stop()
  })

  it('nobody may publish where no tenant is named', async () => {
    await start({}, {})
    await publish('text', [{ id: 'a', request: asking(QUICK) }])
    const [letter] = await until(
      () => dead('text'),
      (all) => all.length > 0,
    )
    expect(letter.reason).toContain('intakes.publishers.tenants')
  })

  it('a full line is waited for; what waits can be canceled, and is never run', async () => {
    await start({ queue: { max_queued_per_tenant: 2 }, workers: { concurrency: 1, drain_ms: 1_000 } })
    const slow = await call('/v1/jobs', { request: asking('demo: tokens=2000 delay=50 ttft=1') })
    await until(
      () => call(`/v1/jobs/${slow.body.id}`),
      ({ body }) => body.state === 'leased',
    )
    const more = []
    for (let i = 0; i < 6; i++) more.push(await call('/v1/jobs', { request: asking(QUICK) }))
    expect(more.map(({ status }) => status)).toEqual(Array(6).fill(202))
    const last = more[5].body.id
    // It is not owned: it can be looked at, and canceled
    expect((await call(`/v1/jobs/${last}`)).body).toMatchObject({ id: last, state: 'queued', cursor: '0' })
    expect((await call(`/v1/jobs/${last}`, undefined, (await app.addKey('stranger')).key)).status).toBe(404)
    expect((await call(`/v1/jobs/${last}/cancel`, {})).status).toBe(202)
    await call(`/v1/jobs/${slow.body.id}/cancel`, {})
    expect((await ended(last)).body).toMatchObject({ state: 'canceled', attempts: 0 })
    for (const { body } of more.slice(0, 5)) expect((await ended(body.id)).body.state).toBe('done')
  })

  it('who waits for a job that waits in the broker is answered when it has ended, or after that time', async () => {
    await start({ queue: { max_queued_per_tenant: 1 }, workers: { concurrency: 1, drain_ms: 1_000 } })
    const slow = await call('/v1/jobs', { request: asking('demo: tokens=2000 delay=50 ttft=1') })
    await until(
      () => call(`/v1/jobs/${slow.body.id}`),
      ({ body }) => body.state === 'leased',
    )
    const more = []
    for (let i = 0; i < 4; i++) more.push((await call('/v1/jobs', { request: asking(QUICK) })).body.id)
    const last = more[3]
    const from = performance.now()
    const early = await call(`/v1/jobs/${last}/result?wait_ms=1500`)
    expect(early).toMatchObject({ status: 202, body: { state: 'queued', cursor: '0' } })
    expect(performance.now() - from).toBeGreaterThan(1_400)
    // From its first reader to its last: a job that nobody owns is read as one in line
    const events = await fetch(`http://127.0.0.1:${app.port}/v1/jobs/${last}/events`, {
      headers: { authorization: `Bearer ${app.key}` },
    })
    expect([events.status, events.headers.get('sluice-job')]).toEqual([200, last])
    const frames: any[] = []
    const socket = new WebSocket(`ws://127.0.0.1:${app.port}/v1/ws`, 'sluice.v1')
    socket.on('message', (data) => {
      for (const line of String(data).split('\n')) frames.push(JSON.parse(line))
    })
    await new Promise((open) => socket.once('open', open))
    socket.send(JSON.stringify({ t: 'hello', auth: { key: app.key } }))
    socket.send(JSON.stringify({ t: 'attach', id: 'a1', job: last }))
    await until(
      async () => frames,
      (all) => all.some(({ t }) => t === 'attached'),
    )
    const whole = [call(`/v1/jobs/${last}?wait_ms=40000`), call(`/v1/jobs/${last}/result?wait_ms=40000`)]
    const one = asking(QUICK)
    const chat = await fetch(`http://127.0.0.1:${app.port}/v1/jobs/${last}/events?dialect=chat`, {
      headers: { authorization: `Bearer ${app.key}` },
    })
    expect(chat.status).toBe(200)
    await call(`/v1/jobs/${slow.body.id}/cancel`, {})
    expect(await whole[0]).toMatchObject({ status: 200, body: { id: last, state: 'done' } })
    expect(await whole[1]).toMatchObject({ status: 200, body: { object: 'chat.completion', model: one.model } })
    expect(await events.text()).toContain('event: end')
    expect(await chat.text()).toContain('[DONE]')
    await until(
      async () => frames,
      (all) => all.some(({ t, job }) => t === 'end' && job === last),
    )
    socket.close()
  })

  it('a stop lets go who waits for a job that waits in the broker', async () => {
    await start({ queue: { max_queued_per_tenant: 1 }, workers: { concurrency: 1, drain_ms: 500 } })
    await call('/v1/jobs', { request: asking('demo: tokens=2000 delay=50 ttft=1') })
    const more = []
    for (let i = 0; i < 3; i++) more.push((await call('/v1/jobs', { request: asking(QUICK) })).body.id)
    const last = more[2]
    const result = call(`/v1/jobs/${last}/result?wait_ms=40000`)
    const events = await fetch(`http://127.0.0.1:${app.port}/v1/jobs/${last}/events`, {
      headers: { authorization: `Bearer ${app.key}` },
    })
    const from = performance.now()
    const stopped = app.stop()
    expect(await result).toMatchObject({ status: 202, body: { id: last } })
    expect(await events.text()).not.toContain('event: end')
    await stopped
    expect(performance.now() - from).toBeLessThan(20_000)
  })

  it('a submit that the broker did not confirm says so, and is never run once it comes', async () => {
    await start()
    expect((await call('/v1/jobs', { request: asking(QUICK) })).status).toBe(202)
    server.stop()
    // One more may pass before it has stopped
    const refused = await until(
      () => call('/v1/jobs', { request: asking(QUICK) }),
      ({ status }) => status !== 202,
    )
    server.resume()
    expect(refused).toMatchObject({ status: 503, body: { error: { code: 'intake_unavailable' } } })
    expect(refused.body.error.message).toMatch(/not known whether .* with an idempotency key/)
    const all = await until(
      () => jobs(),
      (found) => found[0]?.state === 'canceled' && found.slice(1).every(({ state }) => state === 'done'),
    )
    expect(all.length).toBeGreaterThan(1)
    expect(all[0].attempts).toBe(0)
  })

  it('while the broker is away its pools refuse at once, the others go on; then it comes back', async () => {
    const proxy = await FaultProxy.start(server.port)
    await start({}, undefined, `amqp://guest:guest@127.0.0.1:${proxy.port}`)
    expect((await call('/v1/jobs', { request: asking(QUICK) })).status).toBe(202)
    proxy.cut()
    await until(
      () => call('/v1/jobs', { request: asking(QUICK) }),
      ({ body }) => body.error?.code === 'intake_unavailable',
    )
    expect((await call('/v1/jobs', { request: asking(QUICK, 'demo') })).status).toBe(202)
    proxy.heal()
    await until(
      () => call('/v1/jobs', { request: asking(QUICK) }),
      ({ status }) => status === 202,
    )
    await until(
      () => jobs(),
      (all) => all.every(({ state }) => state === 'done'),
    )
    await app.stop()
    await proxy.close()
  })
})
