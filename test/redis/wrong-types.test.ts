/**
 * Another program has put something else where a commit of the coordinator stores: nothing is decided until that is
 * repaired, and each process says so. What was to be stored is stored then.
 */
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { SluiceError } from '../../src/core/errors.ts'
import type { JobId } from '../../src/core/job.ts'
import type { Lease, Outcome } from '../../src/core/ports/work.ts'
import { isEnd } from '../../src/core/record.ts'
import { Names } from '../../src/engines/redis/client/names.ts'
import { LAYOUT } from '../../src/engines/redis/protocol/version.ts'
import { DONE, eventually, readAll, submit, TestWorker } from '../conformance/harness.ts'
import { DEEP } from '../depth.ts'
import { Engines } from './engines.ts'
import { NO_REDIS, RedisServer } from './server.ts'

const FAILED: Outcome = { kind: 'failed', error: new SluiceError('provider_error'), retry: false, textShown: true }
/** A rest between two terms that break takes 5 s at most, and a commit is due in each. */
const STAYS_MS = 7_000

interface Key {
  readonly name: string
  readonly of: (names: Names, job: JobId) => string
  readonly outcome?: Outcome
  readonly retentionMs?: number
  readonly conversation?: string
  /** Commits write it together, when much waits for that. */
  readonly isIndex?: true
  /** A takeover stores there, so no term comes to look for the reason. */
  readonly isUnnamed?: true
}
/** So many entries of indexes wait, at most, until a commit writes them. */
const WAITING = Array.from({ length: 511 }, (_, n) => `1 ${n} 1 d job_${n} a filler`)
const KEYS: readonly Key[] = [
  { name: 'live', of: (names) => names.live() },
  { name: 'run', of: (names) => names.run() },
  { name: 'ttft', of: (names) => names.ttft(), isUnnamed: true },
  { name: 'followers', of: (names) => names.followers(), isUnnamed: true },
  { name: 'inbox', of: (names) => names.inbox() },
  { name: 'log', of: (names, job) => names.log(job) },
  { name: 'bytes', of: (names) => names.bytes(), isIndex: true },
  { name: 'jobs', of: (names) => names.jobs(), isIndex: true },
  { name: "a tenant's jobs", of: (names) => names.jobs('acme'), isIndex: true },
  { name: "a tenant's ends", of: (names) => names.ends('acme'), isIndex: true },
  { name: 'bad', of: (names) => names.bad(), isIndex: true, outcome: FAILED },
  { name: "a tenant's bad", of: (names) => names.bad('acme'), isIndex: true, outcome: FAILED },
  { name: 'the jobs of a tenant that has none any more', of: (names) => names.jobs('a filler'), isIndex: true },
  { name: 'leaving', of: (names) => names.leaving(), retentionMs: 0 },
  { name: 'a conversation', of: (names) => names.conversation('c', 'acme', 'talk'), conversation: 'talk' },
  { name: 'its turns', of: (names) => names.conversation('ct', 'acme', 'talk'), conversation: 'talk' },
  { name: 'its jobs', of: (names) => names.conversation('cj', 'acme', 'talk'), conversation: 'talk' },
]

/** One of each kind; all where tests are deep. */
const CHOSEN = ['run', 'inbox', 'log', 'jobs', 'the jobs of a tenant that has none any more', 'its turns']
const CASES = KEYS.filter(({ name }) => DEEP || CHOSEN.includes(name))

describe.skipIf(NO_REDIS)('Redis: keys of a wrong type', () => {
  let redis: RedisServer
  let admin: Redis
  beforeAll(async () => {
    redis = await RedisServer.start({ appendfsync: 'no' })
    admin = new Redis(redis.url)
  })
  afterAll(async () => {
    admin?.disconnect()
    await redis?.remove()
  })

  it.concurrent.each(CASES)('$name', { timeout: 180_000 }, async (key) => {
    const engines = new Engines({ url: redis.url })
    try {
      await breakAndHeal(engines, key)
    } finally {
      await engines.close()
    }
  })

  async function breakAndHeal(engines: Engines, given: Key): Promise<void> {
    const { outcome = DONE, retentionMs, conversation } = given
    const settings = retentionMs === undefined ? {} : { retention: { logsMs: retentionMs } }
    await admin.set(new Names(engines.address.prefix).layout(), LAYOUT)
    const [engine, other] = [await engines.open(settings), await engines.open(settings)]
    const worker = new TestWorker(engine)
    const job = await submit(engine, { options: { ...(conversation !== undefined && { conversation }) } })
    const lease = await worker.one(job)
    const key = given.of(new Names(engines.address.prefix), job.id)
    const before = (await admin.exists(key)) === 1
    if (before) await admin.rename(key, `${key}:aside`)
    await admin.set(key, 'of another program')
    if (given.isIndex) await admin.rpush(new Names(engines.address.prefix).unfiled(), ...WAITING)
    const ends = new Map<Lease, Promise<unknown>>()
    const finish = (each: Lease): void =>
      void ends.set(
        each,
        engine.work.finish(each, outcome).catch(() => {}),
      )
    finish(lease)

    const isRed = (): void => {
      for (const { health } of [engine, other])
        expect(health()).toMatchObject({ ok: false, error: { code: 'storage_unavailable' } })
    }
    await eventually(isRed)
    const untilMono = performance.now() + STAYS_MS
    while (performance.now() < untilMono) {
      isRed()
      await new Promise((next) => setTimeout(next, 50))
    }
    const told = engines.facts.flatMap((fact) => (fact.type === 'store-degraded' ? [fact.detail] : []))
    expect(told).toContainEqual(expect.stringContaining(given.isUnnamed ? '' : `the key "${key}" is a string`))

    await admin.del(key)
    if (before) await admin.rename(`${key}:aside`, key)
    await eventually(() => {
      for (const { health } of [engine, other]) expect(health()).toEqual({ ok: true })
    })
    worker.accept(1)
    await eventually(async () => {
      for (const each of worker.taken) if (!ends.has(each)) finish(each)
      const found = await engine.jobs.get(job.id)
      if (retentionMs !== 0) expect(found?.state).toBe(outcome.kind)
      else expect([undefined, 'done']).toContain(found?.state)
    })
    if (retentionMs === 0) return
    const { records } = await readAll(engine, job.id)
    expect(records.filter((record) => isEnd(record)).length).toBe(1)
  }
})
