/** Redis away for a while: what each verb's caller sees, and for how long (docs/engines.md has the table). */
import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { SluiceError } from '../../src/core/errors.ts'
import type { Engine } from '../../src/core/ports/engine.ts'
import type { Bytes } from '../../src/core/record.ts'
import { DONE, draft, eventually, runJob, submit, TestWorker } from '../conformance/harness.ts'
import { DEEP } from '../depth.ts'
import { expectInTime } from '../in-time.ts'
import { Engines } from './engines.ts'
import { FaultProxy } from './proxy.ts'
import { NO_REDIS, RedisServer } from './server.ts'

/** 'ok', or an error's code. */
type Outcome = string

interface Seen {
  readonly outcome: Outcome
  readonly afterMs: number
}

const sleep = (ms: number): Promise<void> => new Promise((passed) => setTimeout(passed, ms))

async function seen(call: () => unknown): Promise<Seen> {
  const begunMono = performance.now()
  let outcome: Outcome
  try {
    await call()
    outcome = 'ok'
  } catch (error) {
    outcome = SluiceError.from(error).code
  }
  return { outcome, afterMs: performance.now() - begunMono }
}

const throwing = ([submitted]: Awaited<ReturnType<Engine['submissions']['submit']>>): void => {
  if (submitted.kind === 'refused') throw submitted.error
}

describe.skipIf(NO_REDIS)('Redis: away', () => {
  let redis: RedisServer
  let proxy: FaultProxy
  let engines: Engines
  beforeAll(async () => {
    redis = await RedisServer.start({ appendfsync: 'everysec' })
  })
  afterAll(() => redis.remove())
  beforeEach(async () => {
    proxy = await FaultProxy.start(redis.port)
    engines = new Engines({ url: redis.url })
  })
  afterEach(async () => {
    proxy.heal()
    await engines.close()
    await proxy.close()
  })

  const GONE = 'storage_unavailable'

  it.each([
    { awayMs: 500, asked: 'ok', submitted: 'ok', key: 'ok' },
    { awayMs: 3_000, asked: 'ok', submitted: 'ok', key: 'ok' },
    ...(DEEP ? [{ awayMs: 35_000, asked: GONE, submitted: GONE, key: GONE }] : []),
  ])('for $awayMs ms', async ({ awayMs, asked, submitted, key }) => {
    const engine = await engines.open({ url: proxy.url })
    const worker = new TestWorker(engine)
    await engine.keys.add({ id: 'k', tenant: 'acme', name: 'k', hint: 'sk', createdAtMs: 1 }, 'digest')
    await runJob(engine, worker, { options: { conversation: 'c', lane: 'c' } })
    const ended = await runJob(engine, worker)
    const [running, waiting] = [await submit(engine), await submit(engine)]
    const lease = await worker.one(running)
    const writer = engine.log.open(lease)
    const heard: Bytes[] = []
    await engine.log.follow(running.id, (_firstSeq, records) => heard.push(...records)).ready
    writer.append(['{"n":1}'], 1, true)
    await writer.flushed()

    proxy.cut()
    const healing = sleep(awayMs).then(() => proxy.heal())
    // What streams is held, and goes on
    writer.append(['{"n":2}'], 1, true)
    const calls = {
      submit: seen(async () => throwing(await engine.submissions.submit([draft()]))),
      cancel: seen(() => engine.jobs.cancel(waiting.id)),
      depth: seen(() => engine.operations.depth()),
      list: seen(() => engine.jobs.list({ tenant: 'acme', limit: 9 })),
      get: seen(() => engine.jobs.get(ended.id)),
      resume: seen(() => engine.log.read(ended.id, 0, 1 << 20)),
      conversation: seen(() => engine.conversations.get('acme', 'c')),
    }
    await Promise.all([healing, sleep(awayMs - 10)])
    const found = await seen(() => engine.keys.find('digest'))
    const all = Object.fromEntries(
      await Promise.all(Object.entries(calls).map(async ([verb, call]) => [verb, await call] as const)),
    )
    const outcomes = Object.fromEntries(Object.entries(all).map(([verb, { outcome }]) => [verb, outcome]))
    expect(outcomes).toEqual({
      // What is asked of the coordinator, and a resume, wait for an answer, up to their bound
      submit: submitted,
      cancel: submitted,
      depth: asked,
      list: asked,
      resume: asked,
      // What only reads a row is refused at once
      get: GONE,
      conversation: GONE,
    })
    expect(found.outcome).toBe(key)
    const inTime = (verb: string, boundMs: number): void => expectInTime(all[verb].afterMs, boundMs)
    for (const verb of ['get', 'conversation']) inTime(verb, 1_000)
    inTime('depth', 7_000)
    for (const verb of ['submit', 'cancel']) inTime(verb, Math.max(awayMs, 17_000) + 3_000)

    // When it is back: the lease was kept, the text is whole, and all verbs work
    await eventually(() => expect(heard).toEqual(['{"n":1}', '{"n":2}']))
    expect(await engine.work.finish(lease, DONE)).toEqual({ kind: 'ended', state: 'done' })
    expect(worker.heard.filter((what) => what.startsWith('lost'))).toEqual([])
    await eventually(() => expect(engine.health()).toEqual({ ok: true }))
    await eventually(() => expect(engine.keys.find('digest')?.id).toBe('k'))
    expect((await engine.jobs.list({ tenant: 'acme', limit: 9 })).length).toBeGreaterThan(2)
  })

  it('a server that takes no writes any more (a replica, a full disk) is not ready, until it does', async () => {
    const engine = await engines.open()
    await submit(engine)
    const admin = new Redis(redis.url)
    try {
      await admin.replicaof('127.0.0.1', 1)
      const refusal = { ok: false, error: { code: GONE, message: expect.stringContaining('replica') } }
      await expect.poll(() => engine.health()).toMatchObject(refusal)
      // Connections that are cut at each refusal are no recovery
      await sleep(1_500)
      expect(engine.health()).toMatchObject(refusal)
    } finally {
      await admin.replicaof('NO', 'ONE')
      admin.disconnect()
    }
    await eventually(() => expect(engine.health()).toEqual({ ok: true }))
    await submit(engine)
  })

  it('emptied while it runs: keys stay valid, work is taken, and it is told', async () => {
    const engine = await engines.open()
    const other = await engines.open()
    await engine.keys.add({ id: 'k', tenant: 'acme', name: 'k', hint: 'sk', createdAtMs: 1 }, 'digest')
    await eventually(() => expect(other.keys.find('digest')).not.toBeNull())
    const secret = Buffer.from(engine.sharedSecret!)
    const admin = new Redis(redis.url)
    await admin.flushall()
    admin.disconnect()
    const [submitted] = await other.submissions.submit([draft({ keyId: 'k' })])
    expect(submitted.kind).toBe('accepted')
    const told = expect.objectContaining({ type: 'store-warned', code: 'commits_missing' })
    await eventually(() => expect(engines.facts).toContainEqual(told))
    expect(engine.keys.find('digest')).not.toBeNull()
    const late = await engines.open()
    expect(late.keys.find('digest')).not.toBeNull()
    expect(Buffer.from(late.sharedSecret!)).toEqual(secret)
  })

  it('what breaks every term is met at growing intervals', async () => {
    const engine = await engines.open()
    const admin = new Redis(redis.url)
    const { prefix = '' } = engines.address
    const row = (await admin.keys(`*${prefix}*`)).find((name) => name.endsWith(':owner'))!
    const live = row.replace(/owner$/, 'live')
    try {
      await admin.del(live)
      await admin.set(live, 'no hash')
      await admin.del(row, row.replace(/owner$/, 'fence'))
      const broken = (): number =>
        engines.facts.filter((fact) => fact.type === 'store-degraded' && fact.code === 'internal').length
      await eventually(() => expect(broken()).toBeGreaterThan(1))
      await sleep(2_500)
      expect(broken()).toBeLessThan(8)
    } finally {
      await admin.del(live)
      admin.disconnect()
    }
    await eventually(async () => expect((await engine.submissions.submit([draft()]))[0].kind).toBe('accepted'))
  })
})
