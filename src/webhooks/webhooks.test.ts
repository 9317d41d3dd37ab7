/** Webhooks on an engine in memory, with a clock that leaps: what is stored when, and how often it is tried. */
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, it } from 'vitest'
import { embedded } from '../../test/conformance/embedded.ts'
import { DONE, draft, eventually, type Opened, submit, TestWorker } from '../../test/conformance/harness.ts'
import { numbersOf } from '../../test/conformance/words.ts'
import { SluiceError } from '../core/errors.ts'
import { systemIds } from '../core/ids.ts'
import type { JobDraft } from '../core/job.ts'
import type { Documents } from '../core/ports/documents.ts'
import { WEBHOOK_EVENTS } from '../core/ports/webhooks.ts'
import { announcing } from './announcing.ts'
import { eventOfJob, KIND, readEvent } from './event.ts'
import { createWebhooks, type OpenWebhooks } from './webhooks.ts'

const HOUR_MS = 3_600_000
const undo: Array<() => unknown> = []
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step()
})

interface Made extends Opened {
  readonly webhooks: OpenWebhooks
  /** Those of another process on the same store. */
  readonly others: OpenWebhooks
  readonly puts: () => number
  /** What came, by path. */
  readonly came: Array<{ readonly path: string; readonly id: string }>
  readonly url: string
  answer: (path: string, response: ServerResponse) => void
}

const sealer = { seal: (text: string) => text, open: (text: string) => text, resealed: (text: string) => text }

async function make(timeoutMs = 1_000): Promise<Made> {
  const opened = await embedded('memory', { withoutThread: true })()
  const came: Made['came'] = []
  const server: Server = createServer((request, response) => {
    request.resume()
    request.on('end', () => {
      came.push({ path: request.url!, id: String(request.headers['webhook-id']) })
      made.answer(request.url!, response)
    })
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  let puts = 0
  const { documents: inner } = opened.engine
  const documents: Documents = {
    get: (kind, id) => inner.get(kind, id),
    list: (kind, range) => inner.list(kind, range),
    due: (kind, limit) => inner.due(kind, limit),
    waiting: (kind) => inner.waiting(kind),
    remove: (kind, id, version) => inner.remove(kind, id, version),
    put(document, version) {
      puts++
      return inner.put(document, version)
    },
  }
  const { jobs, log, submissions } = opened.engine
  const parts = {
    documents,
    jobs,
    log,
    sealer,
    clock: opened.clock,
    ids: { ...systemIds(), jitter: () => 0 },
    allowed: () => [{ host: '127.0.0.1', port: null }],
    most: () => 100,
    rules: () => ({ timeoutMs, keepMs: 24 * HOUR_MS }),
    onGivenUp() {},
  }
  const [webhooks, others] = [createWebhooks(parts), createWebhooks(parts)]
  const announced = announcing({ inner: submissions, documents, endpoints: webhooks.endpoints, clock: opened.clock })
  const made: Made = {
    ...opened,
    engine: Object.create(opened.engine, { submissions: { value: announced } }),
    webhooks,
    others,
    puts: () => puts,
    came,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    answer: (_, response) => void response.writeHead(204).end(),
  }
  undo.push(
    () => opened.close(),
    () => {
      server.closeAllConnections()
      server.close()
    },
    () => webhooks.deliverer.stop(),
    () => others.deliverer.stop(),
  )
  return made
}

const hook = async ({ webhooks, url }: Made, path: string) =>
  (await webhooks.add('acme', { url: url + path, name: '', events: WEBHOOK_EVENTS, enabled: true })).endpoint
const announced = ({ webhooks }: Made, tenant: string, events: number) =>
  Promise.all(
    Array.from({ length: events }, (_, n) =>
      webhooks.announce({ tenant, key: `k${n}`, type: 'batch.failed', data: { id: `b${n}` } }),
    ),
  )
const idsAt = ({ came }: Made, at: string) => new Set(came.filter(({ path }) => path === at).map(({ id }) => id))
const told: Partial<JobDraft> = { tells: 'job' }

it('the event is there before the engine is asked; one that is refused leaves none', async () => {
  const made = await make()
  await hook(made, '/a')
  const { engine, webhooks, clock } = made
  const { submissions } = Object.getPrototypeOf(engine) as typeof engine
  const there: unknown[] = []
  const inner = {
    ...submissions,
    reserve: (n: number) => submissions.reserve(n),
    async submit(drafts: readonly JobDraft[], ids?: readonly string[]) {
      for (const id of ids ?? []) there.push((await engine.documents.get(KIND, eventOfJob(id)))?.body['job'] === id)
      return submissions.submit(drafts, ids)
    },
  }
  const announced = announcing({
    inner: inner as typeof submissions,
    documents: engine.documents,
    endpoints: webhooks.endpoints,
    clock,
  })
  const late = draft({ ...told, options: { deadlineMs: 1, policy: 'reject', lane: 'x', delayMs: 0 } })
  const other = draft({ ...told, webhook: 'wh_of_somebody_else' })
  const results = await announced.submit([draft(told), late, other, draft()])
  expect(there.length).toBe(3)
  expect(there[0]).toBe(true)
  expect(there[2]).toBe(false)
  expect(results[2]).toMatchObject({ kind: 'refused', error: { param: 'webhook' } })
  const accepted = results.filter(({ kind }) => kind === 'accepted').length
  const tells = results.slice(0, 2).filter(({ kind }) => kind === 'accepted').length
  expect(accepted).toBe(tells + 1)
  await eventually(async () => expect(await engine.documents.list(KIND, { limit: 10 })).toHaveLength(tells))
})

it('an end that nobody was told of is found by a look; of a job that never came, nothing is left', async () => {
  const made = await make()
  const { engine, webhooks, clock, came } = made
  await hook(made, '/a')
  const worker = new TestWorker(engine)
  const job = await submit(engine, told)
  await engine.work.finish(await worker.one(job), DONE)
  const [lost] = await engine.submissions.reserve(1)
  const event = (await engine.documents.get(KIND, eventOfJob(job.id)))!
  const body = { ...event.body, job: lost }
  await engine.documents.put({ ...event, id: eventOfJob(lost), body }, 0)
  webhooks.deliverer.begin()
  clock.leap(11_000)
  await eventually(() => expect(came).toEqual([{ path: '/a', id: eventOfJob(job.id) }]))
  await eventually(async () => {
    clock.leap(61_000)
    await new Promise((passed) => setTimeout(passed, 20))
    expect(await engine.documents.get(KIND, eventOfJob(lost))).toBeNull()
  })
  expect(came).toHaveLength(1)
})

it('hastened by several at once, and while it is under way, it is sent once', async () => {
  const made = await make()
  const { engine, webhooks, came } = made
  await hook(made, '/a')
  const answers: ServerResponse[] = []
  made.answer = (_, response) => void answers.push(response)
  webhooks.deliverer.begin()
  const worker = new TestWorker(engine)
  const job = await submit(engine, told)
  await engine.work.finish(await worker.one(job), DONE)
  for (let n = 0; n < 5; n++) webhooks.deliverer.ended(job.id, 'acme')
  await eventually(() => expect(answers).toHaveLength(1))
  for (let n = 0; n < 5; n++) webhooks.deliverer.hasten(eventOfJob(job.id))
  await webhooks.deliverer.look()
  await new Promise((passed) => setTimeout(passed, 100))
  answers[0].writeHead(200).end()
  await eventually(async () => {
    const event = readEvent((await engine.documents.get(KIND, eventOfJob(job.id)))!)
    expect(event?.to[0]).toMatchObject({ state: 'delivered', tries: 1 })
  })
  for (let n = 0; n < 5; n++) webhooks.deliverer.hasten(eventOfJob(job.id))
  await new Promise((passed) => setTimeout(passed, 100))
  expect(came).toHaveLength(1)
})

it('of two processes that look at an event at once, one sends it', async () => {
  const made = await make()
  const { engine, webhooks, others, came } = made
  await hook(made, '/a')
  const [id] = await announced(made, 'acme', 1)
  await eventually(() => expect(came).toHaveLength(1))
  for (let n = 2; n < 6; n++) {
    // Both read it before one claims it: what one has read is not committed for the other in the same turn
    const event = (await engine.documents.get(KIND, id!))!
    const to = readEvent(event)!.to.map((one) => ({ ...one, state: 'pending', nextAtMs: 1 }))
    await engine.documents.put({ ...event, body: { ...event.body, to }, dueAtMs: 1 }, event.version)
    for (const { deliverer } of [webhooks, others]) deliverer.hasten(id!)
    await eventually(async () => {
      expect(readEvent((await engine.documents.get(KIND, id!))!)!.to).toMatchObject([{ state: 'delivered' }])
      expect(came.length).toBeGreaterThanOrEqual(n)
    })
    await new Promise((passed) => setTimeout(passed, 50))
    expect(came).toHaveLength(n)
  }
})

it('an old secret signs until its time is over, three at most; each is its own', async () => {
  const made = await make()
  const { webhooks, clock } = made
  const { id } = await hook(made, '/a')
  const signing = async () => webhooks.endpoints.secretsOf((await webhooks.endpoints.get('acme', id))!)
  const [first] = await signing()
  const second = (await webhooks.rotate('acme', id, HOUR_MS))!.secret
  expect(await signing()).toEqual([second, first])
  clock.leap(HOUR_MS + 1_000)
  expect(await signing()).toEqual([second])
  for (let n = 0; n < 5; n++) await webhooks.rotate('acme', id, HOUR_MS)
  expect(new Set(await signing()).size).toBe(3)
})

it('of a message that a broker delivers twice there is one event; of one that is refused, its failure', async () => {
  const made = await make()
  const { engine, webhooks, came } = made
  await hook(made, '/a')
  webhooks.deliverer.begin()
  const [id, refused] = await engine.submissions.reserve(2)
  const from = draft({ ...told, intake: { broker: 'kafka' } })
  for (let n = 0; n < 2; n++)
    expect(await engine.submissions.submit([from], [id])).toMatchObject([{ kind: 'accepted' }])
  await engine.submissions.refuse(draft(told), refused, new SluiceError('queue_full'))
  const worker = new TestWorker(engine)
  await engine.work.finish(await worker.one(), DONE)
  for (const job of [id, refused, id]) webhooks.deliverer.ended(job, 'acme')
  await eventually(() => expect(came).toHaveLength(2))
  const events = await engine.documents.list(KIND, { limit: 10 })
  const types = events.map((one) => [one.id, readEvent(one)?.happened?.type])
  expect(Object.fromEntries(types)).toEqual({ [eventOfJob(id)]: 'job.done', [eventOfJob(refused)]: 'job.failed' })
})

it('tries grow apart, and end: then it is kept as failed, until somebody asks for it again', async () => {
  const made = await make()
  const { engine, webhooks, clock, came } = made
  const { id } = await hook(made, '/a')
  made.answer = (_, response) => void response.writeHead(500).end()
  webhooks.deliverer.begin()
  const worker = new TestWorker(engine)
  const job = await submit(engine, told)
  await engine.work.finish(await worker.one(job), DONE)
  webhooks.deliverer.ended(job.id, 'acme')
  const one = async () => (await webhooks.deliveries('acme', id, { before: null, limit: 10 }))!.deliveries[0]
  const waits: number[] = []
  for (let tries = 1; ; tries++) {
    await eventually(async () => expect(await one()).toMatchObject({ tries, status: 500 }))
    const { state, nextTryAtMs } = await one()
    if (state === 'failed') break
    const ms = nextTryAtMs! - clock.wallMs()
    waits.push(Math.round(ms / 1_000))
    clock.leap(ms + 10)
    await webhooks.deliverer.look()
  }
  const expected = [5, 30, 120, 600, 3_600, 10_800, 21_600, 86_400]
  expect(waits.length).toBe(expected.length)
  for (const [n, seconds] of expected.entries()) expect(Math.abs(waits[n] - seconds)).toBeLessThanOrEqual(5)
  expect(came).toHaveLength(9)
  const { families, metrics } = webhooks.deliverer.numbers
  expect(families![0].members).toMatchObject([{ labels: [['result', '5xx']], value: 9 }])
  expect(numbersOf({ metrics })).toMatchObject({ webhook_tries_failed: 9, webhooks_given_up: 1, webhook_delay_ms: 0 })
  made.answer = (_, response) => void response.writeHead(204).end()
  expect(await webhooks.redeliver('globex', eventOfJob(job.id), null)).toBeNull()
  expect(await webhooks.redeliver('acme', eventOfJob(job.id), id)).toMatchObject([{ state: 'pending' }])
  await eventually(async () => expect(await one()).toMatchObject({ state: 'delivered', tries: 1 }))
  expect(new Set(came.map((each) => each.id)).size).toBe(1)
})

it('an endpoint that hangs holds one place; thousands that wait for it are not looked at all the time', async () => {
  const made = await make(300)
  const { webhooks, came, puts } = made
  await hook(made, '/dead')
  const hanging: ServerResponse[] = []
  made.answer = (path, response) => void (path === '/dead' ? hanging.push(response) : response.writeHead(204).end())
  const EVENTS = 1_000
  await Promise.all(
    Array.from({ length: EVENTS }, (_, n) =>
      webhooks.announce({ tenant: 'acme', key: `k${n}`, type: 'batch.failed', data: { id: `b${n}` } }),
    ),
  )
  await webhooks.add('bob', { url: `${made.url}/alive`, name: '', events: WEBHOOK_EVENTS, enabled: true })
  const from = puts()
  webhooks.deliverer.begin()
  await eventually(() => expect(came.length).toBeGreaterThanOrEqual(10))
  const id = await webhooks.announce({ tenant: 'bob', key: 'k', type: 'batch.failed', data: { id: 'b' } })
  await eventually(() => expect(came).toContainEqual({ path: '/alive', id }))
  await new Promise((passed) => setTimeout(passed, 3_000))
  expect(numbersOf(webhooks.deliverer.numbers)['webhooks_sending']).toBeLessThanOrEqual(1)
  const { numbers } = webhooks.deliverer
  await numbers.refresh!()
  expect(numbersOf(numbers)).toMatchObject({ webhooks_pending: EVENTS })
  // What is put off for want of a place is late all the same
  expect(numbersOf(numbers)['webhooks_overdue_ms']).toBeGreaterThan(2_900)
  // Each was put off once or twice, not at each look
  expect(puts() - from).toBeLessThan(3 * EVENTS)
})

it('a burst to one endpoint is not late: what found no place is taken up when there is one', async () => {
  const made = await make(5_000)
  const { webhooks, came } = made
  await hook(made, '/a')
  made.answer = (_, response) => void setTimeout(() => response.writeHead(204).end(), 5)
  const events = await Promise.all(
    Array.from({ length: 300 }, (_, n) =>
      webhooks.announce({ tenant: 'acme', key: `k${n}`, type: 'batch.failed', data: { id: `b${n}` } }),
    ),
  )
  // Nobody looks: `begin` was not called
  await eventually(() => expect(came.length).toBe(300))
  expect(new Set(came.map(({ id }) => id))).toEqual(new Set(events))
})

it('a tenant whose receivers hang, many of them, holds up no other tenant, and has a share of the places', async () => {
  const made = await make(600_000)
  const { webhooks, came } = made
  made.answer = (path, response) => void (path === '/alive' && response.writeHead(204).end())
  // 8 at once of each would be all places of the process
  for (let n = 0; n < 40; n++) await hook(made, `/hang${n}`)
  webhooks.deliverer.begin()
  await announced(made, 'acme', 20)
  await eventually(() => expect(came.length).toBeGreaterThanOrEqual(16))
  await webhooks.add('bob', { url: `${made.url}/alive`, name: '', events: WEBHOOK_EVENTS, enabled: true })
  const events = await announced(made, 'bob', 5)
  await eventually(() => expect(idsAt(made, '/alive')).toEqual(new Set(events)))
  // But for the last of bob's
  await eventually(() => expect(numbersOf(webhooks.deliverer.numbers)['webhooks_sending']).toBeLessThanOrEqual(16))
})

it('what waits for receivers that hang is written less and less', async () => {
  const made = await make(24 * HOUR_MS)
  const { engine, webhooks, clock, puts } = made
  made.answer = () => {}
  for (let n = 0; n < 10; n++) await hook(made, `/hang${n}`)
  webhooks.deliverer.begin()
  const EVENTS = 100
  await announced(made, 'acme', EVENTS)
  await eventually(async () => expect(await engine.documents.due(KIND, 1)).toEqual([]))
  const from = puts()
  const LOOKS = 60
  for (let n = 0; n < LOOKS; n++) {
    clock.leap(10_000)
    await webhooks.deliverer.look()
    await eventually(async () => expect(await engine.documents.due(KIND, 1)).toEqual([]))
  }
  // In ten minutes, where each look would be 60
  expect((puts() - from) / EVENTS).toBeLessThan(15)
  expect((puts() - from) / EVENTS).toBeGreaterThan(1)
})

it('thousands that wait for their ends are looked at less and less', async () => {
  const made = await make()
  const { engine, webhooks, clock, puts } = made
  const { id } = await hook(made, '/a')
  const job = await submit(engine, told)
  const event = (await engine.documents.get(KIND, eventOfJob(job.id)))!
  const MANY = 2_000
  for (let n = 0; n < MANY; n += 200)
    await Promise.all(
      Array.from({ length: 200 }, (_, i) => engine.documents.put({ ...event, id: `evt_many${n + i}` }, 0)),
    )
  webhooks.deliverer.begin()
  const from = puts()
  const MINUTES = 20
  for (let n = 0; n < MINUTES; n++) {
    clock.leap(60_000)
    await webhooks.deliverer.look()
    await eventually(async () => expect(await engine.documents.due(KIND, 1)).toEqual([]))
  }
  // 10, 20, 40, 80, 160, 300, 300, 300 s … where a look each minute would be 20
  expect((puts() - from) / (MANY + 1)).toBeLessThan(9)
  expect((puts() - from) / (MANY + 1)).toBeGreaterThan(4)
  expect(id).toMatch(/^wh_/)
})
