/** Several gateways on one Redis: what holds in one process holds over all. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createCoordinator } from '../../src/coordinator/coordinator.ts'
import { systemClock, Wheel } from '../../src/core/clock.ts'
import type { Happened } from '../../src/core/facts.ts'
import { systemIds } from '../../src/core/ids.ts'
import type { Job, JobId } from '../../src/core/job.ts'
import type { Engine } from '../../src/core/ports/engine.ts'
import type { Submitted } from '../../src/core/ports/submissions.ts'
import type { Lease, Worker } from '../../src/core/ports/work.ts'
import { openGround } from '../../src/engines/redis/bus/ground.ts'
import { Connection } from '../../src/engines/redis/client/connection.ts'
import { openRedis } from '../../src/engines/redis/open.ts'
import { UNLIMITED } from '../../src/engines/shared/conversation-limits.ts'
import type { JobRetention } from '../../src/engines/shared/retention.ts'
import { accepted, DONE, draft, eventually, type Settings, submit } from '../conformance/harness.ts'
import { coordinatorOptions } from '../conformance/settings.ts'
import { FaultProxy } from './proxy.ts'
import { NO_REDIS, RedisServer } from './server.ts'

const ids = systemIds()
const KEPT: JobRetention = {
  logsMs: 3_600_000,
  bytes: 1 << 30,
  atLeastMs: 0,
  usageMs: 86_400_000,
  usageBytes: 1 << 30,
  tenant: () => null,
}

interface Given extends Settings {
  readonly graceMs?: number
  readonly retention?: Partial<JobRetention>
  readonly url?: string
}

/** Runs what it is given when it is told to. */
class Hands implements Worker {
  readonly id = 'w'
  readonly pools: readonly string[] = []
  readonly slots: number
  readonly taken: Lease[] = []
  readonly revocations: JobId[] = []
  readonly #engine: Engine

  constructor(engine: Engine, slots: number) {
    this.#engine = engine
    this.slots = slots
    engine.work.attach(this)
  }

  cut(): void {}

  leased(leases: readonly Lease[]): void {
    this.taken.push(...leases)
  }

  revoked(job: JobId): void {
    this.revocations.push(job)
  }

  async next(job: JobId): Promise<Lease> {
    await eventually(() => expect(this.taken.map((lease) => lease.job.id)).toContain(job))
    return this.taken.find((lease) => lease.job.id === job)!
  }

  async run(job: JobId): Promise<void> {
    const lease = await this.next(job)
    this.#engine.log.open(lease).append(['{"a":1}'], 1, false)
    expect((await this.#engine.work.finish(lease, DONE)).kind).toBe('ended')
  }
}

describe.skipIf(NO_REDIS)('Redis: gateways', () => {
  let redis: RedisServer
  let prefix: string
  let facts: Happened[]
  const opened: Array<() => unknown> = []
  beforeAll(async () => {
    redis = await RedisServer.start()
  })
  afterAll(() => redis.remove())
  beforeEach(() => {
    prefix = `${ids.name('gw', 4)}:`
    facts = []
  })
  afterEach(async () => {
    for (const close of opened.splice(0)) await close()
  })

  async function gateway({
    graceMs = 15_000,
    retention,
    url = redis.url,
    ...settings
  }: Given = {}): Promise<Engine & { kill(): void }> {
    const { engine, kill } = await openRedis({
      redis: { url, prefix },
      durability: 'memory',
      allowDataLoss: false,
      coordinator: () => createCoordinator(coordinatorOptions(settings)),
      clock: systemClock,
      ids,
      wheel: new Wheel(systemClock),
      retention: { ...KEPT, ...retention, conversations: UNLIMITED },
      disconnectGraceMs: graceMs,
      joinAfterEndMs: 60_000,
      onFact: (fact) => facts.push(fact),
    })
    opened.push(() => engine.close())
    await engine.restore()
    return { ...engine, kill }
  }

  /** What is stored, by a connection of its own. */
  async function store(): Promise<{ readonly keys: () => Promise<readonly string[]>; readonly client: any }> {
    const connection = new Connection({ url: redis.url })
    await connection.open()
    opened.push(() => connection.close())
    const { client } = connection as any
    return { client, keys: async () => (await client.keys(`${prefix}*`)) as readonly string[] }
  }

  const kinds = (results: readonly Submitted[]): readonly string[] =>
    results.map((result) => (result.kind === 'refused' ? result.error.code : result.kind))

  it('a job of one is seen, placed, listed and canceled by the other; lists are in order of acceptance', async () => {
    const [a, b] = [await gateway(), await gateway()]
    const all: Job[] = []
    // Each draws its ids from blocks of its own
    for (let i = 0; i < 12; i++) all.push(await submit(i % 2 === 0 ? a : b, { options: { lane: 'l' } }))
    const inOrder = all.map(({ id }) => id)
    expect(inOrder).not.toEqual(inOrder.toSorted())
    for (const engine of [a, b]) {
      expect((await engine.jobs.list({ limit: 100 })).map(({ id }) => id)).toEqual(inOrder.toReversed())
      const places = await engine.jobs.places(inOrder)
      expect(inOrder.map((id) => places.get(id)!.position)).toEqual(inOrder.map((_, i) => i + 1))
      expect(await engine.jobs.get(inOrder[3])).toMatchObject({ state: 'queued', acceptedAtMs: all[3].acceptedAtMs })
      expect(Buffer.from((await engine.jobs.request(inOrder[3]))!).toString()).toContain('hello')
    }
    expect(await b.jobs.cancel(inOrder[0])).toEqual({ kind: 'canceled' })
    expect(await a.jobs.cancel(inOrder[0])).toEqual({ kind: 'ended' })
    expect(await a.jobs.get(inOrder[0])).toMatchObject({ state: 'canceled' })
    const hands = new Hands(b, 1)
    for (const id of inOrder.slice(1, 5)) await hands.run(id)
    // Ended, running and waiting ones, a page at a time, from both
    const pages: JobId[] = []
    for (let before: JobId | undefined; ; before = pages.at(-1)) {
      const engine = pages.length % 2 === 0 ? a : b
      const page = await engine.jobs.list({ limit: 5, ...(before !== undefined && { before }) })
      if (page.length === 0) break
      pages.push(...page.map(({ id }) => id))
    }
    expect(pages).toEqual(inOrder.toReversed())
    expect((await a.jobs.list({ limit: 9, states: ['done', 'canceled'] })).map(({ id }) => id)).toEqual(
      inOrder.slice(0, 5).toReversed(),
    )
    // The job of a cursor is erased: its place is still known
    expect(await a.jobs.erase(inOrder[2])).toBe(true)
    expect((await b.jobs.list({ limit: 9, before: inOrder[2], states: ['done'] })).length).toBeLessThanOrEqual(1)
  })

  it('an idempotency key is one job, though both gateways submit it at once; no other user joins it', async () => {
    const [a, b] = [await gateway(), await gateway()]
    const same = draft({ body: '{"same":1}', options: { idempotencyKey: 'k' } })
    const results = await Promise.all(
      Array.from({ length: 20 }, (_, i) => (i % 2 === 0 ? a : b).submissions.submit([same])),
    )
    expect(kinds(results.flat()).toSorted()).toEqual(['accepted', ...Array.from({ length: 19 }, () => 'joined')])
    expect(new Set(results.flat().map((result) => result.kind !== 'refused' && result.job.id)).size).toBe(1)
    expect(kinds(await b.submissions.submit([{ ...same, user: 'bob' }]))).toEqual(['idempotency_conflict'])
    expect(kinds(await b.submissions.submit([{ ...same, tenant: 'other' }]))).toEqual(['accepted'])
    // Only requests of jobs are left
    const { keys } = await store()
    await eventually(async () => expect((await keys()).filter((key) => key.includes(':b:')).length).toBe(2))
  })

  it('a plain POST is followed by the commit that accepts it, and reading it takes no call', async () => {
    const engine = await gateway()
    const { client } = await store()
    const post = draft({ options: { onDisconnect: 'cancel' } })
    const calls = async (): Promise<string[]> => /cmdstat_llen:calls=\d+/.exec(await client.info('commandstats')) ?? []
    const before = await calls()
    const job = accepted((await engine.submissions.submit([post]))[0])
    const followers = await client.hget(`${prefix}{s0}:fol`, job.id)
    expect(followers).toMatch(/^\S+$/)
    // As a list, each look-up of a flush would walk through all of it
    expect(await client.object('ENCODING', `${prefix}{s0}:fol`)).toBe('hashtable')
    const got: string[] = []
    const following = engine.log.follow(job.id, (_first, records) => void got.push(...records))
    expect(await following.ready).toBe(0)
    await new Hands(engine, 1).run(job.id)
    await eventually(() => expect(got.length).toBe(2))
    expect(await calls()).toEqual(before)
    // What is only joined, or left to itself, is not
    const again = await engine.submissions.submit([{ ...post, isRetry: true }])
    expect(again[0].kind).toBe('joined')
    const left = await submit(engine, {})
    expect(await client.hget(`${prefix}{s0}:fol`, left.id)).toBe(null)
  })

  it('a retry that comes to another gateway joins, also once its job has ended', async () => {
    const [a, b] = [await gateway(), await gateway()]
    const post = draft({ body: '{"post":1}', options: { policy: 'reject', onDisconnect: 'cancel' } })
    const job = accepted((await a.submissions.submit([post]))[0])
    const retry = { ...post, isRetry: true }
    expect(await b.submissions.submit([retry])).toMatchObject([{ kind: 'joined', job: { id: job.id } }])
    await new Hands(a, 1).run(job.id)
    expect(await b.submissions.submit([retry])).toMatchObject([{ kind: 'joined', job: { id: job.id, state: 'done' } }])
    expect(await a.jobs.erase(job.id)).toBe(true)
    expect(kinds(await b.submissions.submit([retry]))).toEqual(['accepted'])
  })

  it('positions are told where they are watched, as they change', async () => {
    const [a, b] = [await gateway(), await gateway()]
    const [first, second] = [await submit(a, { options: { lane: 'l' } }), await submit(a, { options: { lane: 'l' } })]
    const told: number[] = []
    const stop = b.jobs.watchPlace(second.id, ({ position }) => told.push(position))
    await eventually(() => expect(told).toEqual([2]))
    await a.jobs.cancel(first.id)
    await eventually(() => expect(told).toEqual([2, 1]))
    stop()
  })

  it('S2: a job whose reader left is canceled after the grace, unless one came back at another gateway', async () => {
    const [a, b] = [await gateway({ graceMs: 3_000 }), await gateway({ graceMs: 3_000 })]
    // Both have told the coordinator who reads what, as they do when they first hear of it
    await new Promise((done) => setTimeout(done, 1_200))
    const cancels = { options: { onDisconnect: 'cancel' } } as const
    const [left, back, dead] = [await submit(a, cancels), await submit(a, cancels), await submit(b, cancels)]
    for (const job of [left, back]) a.presence.enter(job)(false)
    b.presence.enter(back)
    b.presence.enter(dead)
    await eventually(async () => expect((await a.jobs.get(left.id))?.state).toBe('canceled'))
    // Had its grace begun, it would be over now
    await new Promise((done) => setTimeout(done, 1_000))
    for (const job of [back, dead]) expect((await a.jobs.get(job.id))?.state).toBe('queued')
    // A gateway that dies takes its readers with it
    b.kill()
    for (const job of [back, dead])
      await eventually(async () => expect((await a.jobs.get(job.id))?.state).toBe('canceled'))
  })

  it('erased by one, it is gone in the other, with every trace; so are all of a tenant', async () => {
    const [a, b] = [await gateway(), await gateway()]
    const { keys } = await store()
    const hands = new Hands(b, 4)
    const secret = { tenant: 'hush', options: { idempotencyKey: 'hidden', conversation: 'talk' } } as const
    const done = await submit(a, secret)
    await hands.run(done.id)
    const page = await b.conversations.turns('hush', 'talk', { from: 'oldest', limit: 9, maxBytes: 9_999 })
    expect(page!.turns[0].messages).toMatch(/^\[\{"role":"user","content":"hello \d+"\}\]$/)
    expect(await b.jobs.erase(done.id)).toBe(true)
    expect(await a.jobs.get(done.id)).toBeNull()
    expect(await a.log.read(done.id, 0, 1_000)).toBeNull()
    expect((await keys()).filter((key) => key.includes(done.id) || key.includes('hidden'))).toEqual([])

    const [again, running] = [await submit(a, secret), await submit(a, { tenant: 'hush' })]
    await hands.run(again.id)
    const lease = await hands.next(running.id)
    const queued = await submit(a, { tenant: 'hush', options: { delayMs: 60_000 } })
    await a.keys.add({ id: 'k1', tenant: 'hush', name: 'n', hint: 'h', createdAtMs: 1 }, 'digest')
    const erasing = a.eraseTenant('hush')
    await eventually(() => expect(hands.revocations).toEqual([running.id]))
    expect(kinds(await b.submissions.submit([draft({ tenant: 'hush' })]))).toEqual(['overloaded'])
    await b.work.finish(lease, { kind: 'canceled' })
    await erasing
    for (const { id } of [again, running, queued]) expect(await b.jobs.get(id)).toBeNull()
    expect((await keys()).filter((key) => /hush|job_/.test(key))).toEqual([])
    await submit(b, { tenant: 'hush' })
  })

  it('a damaged job is told, harms no list, and can be erased', async () => {
    const a = await gateway()
    const { client, keys } = await store()
    const [done, waits, fine] = [await submit(a), await submit(a, { options: { delayMs: 60_000 } }), await submit(a)]
    const hands = new Hands(a, 2)
    await hands.run(done.id)
    await hands.run(fine.id)
    const [row, live] = ['r', 'live'].map((name) => `${prefix}{s0}:${name}`)
    await client.set(`${row}:${done.id}`, 'x')
    await client.hset(live, waits.id, '{}')
    for (const { id } of [done, waits]) await expect(a.jobs.get(id)).rejects.toMatchObject({ code: 'job_damaged' })
    expect((await a.jobs.list({ limit: 10, states: ['done'] })).map(({ id }) => id)).toEqual([fine.id])
    for (const { id } of [done, waits]) expect(await a.jobs.erase(id)).toBe(true)
    for (const { id } of [done, waits]) expect(await a.jobs.get(id)).toBeNull()
    expect((await keys()).filter((key) => key.includes(done.id) || key.includes(waits.id))).toEqual([])
  })

  it("names that hold colons, braces, lengths and line breaks reach nobody else's jobs", async () => {
    const a = await gateway()
    const hostile = [
      'a',
      'a:b',
      'a:b:c',
      '1:a',
      '{s0}',
      '{s0}:jobs',
      '*',
      'a\n',
      '',
      'ü',
      '\u0000',
      'jobs',
      'x'.repeat(300),
    ]
    const tenants = hostile.filter((name) => name !== '')
    const jobs = new Map<string, JobId[]>()
    for (const tenant of tenants) {
      jobs.set(tenant, [])
      for (const name of hostile) {
        const job = await submit(a, {
          tenant,
          body: `${tenant} ${name}`,
          options: { idempotencyKey: name, lane: name },
        })
        jobs.get(tenant)!.push(job.id)
      }
    }
    for (const [tenant, own] of jobs) {
      // Whatever pair of tenant and key is the same text when it is joined, it is another job
      expect(new Set((await a.jobs.list({ tenant, limit: 100 })).map(({ id }) => id))).toEqual(new Set(own))
      for (const id of own.slice(0, 2)) await a.jobs.cancel(id)
    }
    await a.eraseTenant('a')
    expect(await a.jobs.list({ tenant: 'a', limit: 100 })).toEqual([])
    for (const [tenant, own] of jobs)
      if (tenant !== 'a') expect((await a.jobs.list({ tenant, limit: 100 })).length).toBe(own.length)
  })

  it('Redis away for 3 s in the middle of 200 submits: each is one job, or refused', async () => {
    const proxy = await FaultProxy.start(redis.port)
    opened.push(() => proxy.close())
    const [near, far] = [await gateway(), await gateway({ url: proxy.url })]
    const results: Submitted[] = []
    const all = Array.from({ length: 200 }, async (_, i) => {
      await new Promise((done) => setTimeout(done, i * 10))
      results.push(...(await far.submissions.submit([draft({ body: `number ${i}`, model: `m${i}` })])))
    })
    await new Promise((done) => setTimeout(done, 800))
    // First what is asked arrives, and its answers are lost; then nothing passes
    proxy.stall('down')
    await new Promise((done) => setTimeout(done, 1_500))
    proxy.cut()
    await new Promise((done) => setTimeout(done, 1_500))
    proxy.heal()
    await Promise.all(all)
    const taken = results.flatMap((result) => (result.kind === 'accepted' ? [result.job.id] : []))
    const refused = results.length - taken.length
    expect(kinds(results).filter((kind) => kind !== 'accepted' && kind !== 'storage_unavailable')).toEqual([])
    const listed = await near.jobs.list({ limit: 1_000 })
    expect(new Set(listed.map(({ id }) => id))).toEqual(new Set(taken))
    expect(new Set(listed.map(({ model }) => model)).size).toBe(200 - refused)
    expect(taken.length).toBeGreaterThan(150)
    // Each request stays as long as its job, and no other is left
    const { keys, client } = await store()
    const bodies = async (): Promise<readonly string[]> => (await keys()).filter((key) => key.includes(':b:'))
    await eventually(async () => expect((await bodies()).length).toBe(taken.length))
    for (const body of await bodies()) expect(await client.pttl(body)).toBe(-1)
  })

  it('a submit that is sent again after its job has ended, because its answer was lost, starts nothing', async () => {
    const proxy = await FaultProxy.start(redis.port)
    opened.push(() => proxy.close())
    const [near, far] = [await gateway(), await gateway({ url: proxy.url })]
    await far.jobs.cancel((await submit(far)).id)
    const hands = new Hands(near, 5)
    // What comes down is lost: the coordinator hears of it, its answer does not arrive
    proxy.stall('down')
    const submitting = far.submissions.submit([draft({ body: 'once' })])
    await eventually(() => expect(hands.taken.length).toBe(1))
    const [{ job }] = hands.taken
    await hands.run(job.id)
    proxy.drop()
    proxy.heal()
    expect(await submitting).toMatchObject([{ kind: 'accepted', job: { id: job.id, state: 'done' } }])
    await new Promise((done) => setTimeout(done, 300))
    expect(hands.taken.length).toBe(1)
    expect((await near.jobs.list({ limit: 10, states: ['done'] })).length).toBe(1)
    expect(Buffer.from((await near.jobs.request(job.id))!).toString()).toBe('once')
  })

  it('a Redis that is full refuses work as storage_full, and takes it again when there is room', async () => {
    const own = await RedisServer.start()
    opened.push(() => own.remove())
    const a = await gateway({ url: own.url })
    const connection = new Connection({ url: own.url })
    await connection.open()
    opened.push(() => connection.close())
    const [before] = await a.submissions.submit([draft()])
    await connection.client.call('CONFIG', 'SET', 'maxmemory', '1mb')
    expect(kinds(await a.submissions.submit([draft(), draft()]))).toEqual(['storage_full', 'storage_full'])
    expect(await a.jobs.get(accepted(before).id)).toMatchObject({ state: 'queued' })
    await connection.client.call('CONFIG', 'SET', 'maxmemory', '0')
    await eventually(async () => expect(kinds(await a.submissions.submit([draft()]))).toEqual(['accepted']))
    expect((await a.jobs.list({ limit: 10 })).length).toBe(2)
  })

  it('what is submitted too late is refused: its gateway has told so already', async () => {
    await gateway()
    const ground = await openGround({ url: redis.url, prefix }, systemClock, ids, () => {})
    opened.push(ground.close)
    const { body, isRetry, ...facts } = draft()
    const id = ids.job(1)
    const submitted = async (untilMs: number): Promise<unknown> => {
      const items = [{ id, facts, bodyBytes: body.length, isRetry }]
      return ground.bus.ask({ type: 'submit', untilMs, items })
    }
    const now = ground.time.nowMs()
    expect(await submitted(now - 50)).toMatchObject([{ kind: 'refused', error: { code: 'storage_unavailable' } }])
    expect(await submitted(now + 5_000)).toMatchObject([{ kind: 'accepted' }])
    // It was accepted in time
    expect(await submitted(now - 50)).toMatchObject([{ kind: 'accepted' }])
  })

  it('each step of a job is a fact once in the fleet', async () => {
    const [a, b] = [await gateway(), await gateway()]
    const job = await submit(b)
    await new Hands(a, 1).run(job.id)
    await eventually(() => expect(facts.filter(({ type }) => type === 'job-ended').length).toBe(1))
    expect(facts.map(({ type }) => type).filter((type) => type.startsWith('job-'))).toEqual(['job-leased', 'job-ended'])
  })
})
