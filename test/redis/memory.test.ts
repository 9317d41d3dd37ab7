/** Redis short of memory: new work waits outside, what is on its way ends, and room comes back by itself. */
import { randomBytes } from 'node:crypto'
import { afterEach, describe, expect, it } from 'vitest'
import type { JobId } from '../../src/core/job.ts'
import type { Engine } from '../../src/core/ports/engine.ts'
import type { Begun } from '../../src/core/ports/submissions.ts'
import { DONE, draft, eventually, runJob, submit, TestWorker } from '../conformance/harness.ts'
import { Engines } from './engines.ts'
import { openParts, type Parts } from './parts.ts'
import { NO_REDIS, RedisServer } from './server.ts'

const MAX_BYTES = 24 << 20
const JOB_BYTES = 256 << 10

describe.skipIf(NO_REDIS)('Redis: memory', () => {
  const opened: Array<() => unknown> = []
  afterEach(async () => {
    for (const close of opened.splice(0).reverse()) await close()
  })

  async function small(): Promise<{ readonly engines: Engines; readonly store: Parts }> {
    const redis = await RedisServer.start({ appendfsync: null, config: { maxmemory: String(MAX_BYTES) } })
    opened.push(() => redis.remove())
    const engines = new Engines({ url: redis.url })
    const store = await openParts(engines.address)
    opened.push(
      () => store.close(),
      () => engines.close(),
    )
    return { engines, store }
  }

  const begin = async ({ submissions }: Engine, tenant: string, bytes = JOB_BYTES): Promise<Begun> => {
    const body = `{"model":"m","messages":[],"x":"${randomBytes(bytes / 2).toString('hex')}"}`
    return (await submissions.submit([draft({ tenant, body })]))[0]
  }

  /** Until it is refused; resolves with what was accepted. */
  async function flood(engine: Engine, tenant: string): Promise<readonly JobId[]> {
    const ids: JobId[] = []
    for (;;) {
      const submitted = await begin(engine, tenant)
      if (submitted.kind === 'refused') {
        expect(submitted.error.code).toBe('storage_full')
        return ids
      }
      ids.push(submitted.job.id)
    }
  }

  const used = async ({ scripts }: Parts): Promise<number> => ((await scripts.run('memory', [])) as number[])[0]

  async function limit({ commands: { client } }: Parts, bytes: number): Promise<void> {
    await client.config('SET', 'maxmemory', bytes)
  }

  it('a flood of one tenant leaves room for others; all together leave room for what is on its way', async () => {
    const { engines, store } = await small()
    const engine = await engines.open()
    const flooded = await flood(engine, 'flood')
    expect(flooded.length).toBeGreaterThan(10)
    const others = await flood(engine, 'other')
    expect(others.length).toBeGreaterThan(5)
    expect((await flood(engine, 'third')).length).toBeGreaterThan(1)
    expect(await used(store)).toBeLessThan(0.85 * MAX_BYTES)
    // It has run: there is room again
    const worker = new TestWorker(engine)
    const [lease] = await worker.lease(1)
    expect(await engine.work.finish(lease, DONE)).toEqual({ kind: 'ended', state: 'done' })
    await engine.jobs.erase(lease.job.id)
    for (const id of flooded) await engine.jobs.cancel(id)
    await eventually(async () => expect((await begin(engine, 'other')).kind).toBe('accepted'))
  })

  it('at maxmemory ends, cancels, removals and takeovers pass; nothing new does, until there is room', async () => {
    const { engines, store } = await small()
    const [engine, other] = [await engines.open(), await engines.open()]
    const worker = new TestWorker(other)
    const turn = { options: { conversation: 'c', lane: 'c' } }
    const [running, waiting, later] = [await submit(other, turn), await submit(other), await submit(other)]
    const lease = await worker.one(running)
    const document = { kind: 'file', tenant: 'acme', body: {}, dueAtMs: 1, expiresAtMs: null } as const
    await other.documents.put({ ...document, id: 'old' }, 0)
    // Less than it has already: it refuses whatever needs memory
    await limit(store, 512 << 10)
    await expect(store.commands.client.set('more', 'x')).rejects.toThrow('OOM')
    await eventually(() => expect(other.health()).toMatchObject({ ok: false, error: { code: 'storage_full' } }))
    expect(await begin(other, 'acme')).toMatchObject({ kind: 'refused', error: { code: 'storage_full' } })
    await expect(other.documents.put({ ...document, id: 'new' }, 0)).rejects.toMatchObject({ code: 'storage_full' })
    expect(await other.documents.remove('file', 'old', 1)).toBe(true)
    const writer = other.log.open(lease)
    writer.append(['{"a":1}'], 1, true)
    await writer.flushed()
    engine.kill()
    expect(await other.jobs.cancel(waiting.id)).toEqual({ kind: 'canceled' })
    const answered = { ...DONE, answer: '{"role":"assistant","content":"hello"}' }
    expect(await other.work.finish(lease, answered)).toEqual({ kind: 'ended', state: 'done' })
    expect((await other.conversations.get('acme', 'c'))?.turns).toBe(1)
    expect(await other.jobs.erase(running.id)).toBe(true)
    // Its text would not fit: it waits
    expect(await worker.lease(1)).toEqual([])
    await expect(store.commands.client.set('more', 'x')).rejects.toThrow('OOM')
    await limit(store, MAX_BYTES)
    await eventually(() => expect(other.health()).toEqual({ ok: true }))
    expect((await worker.one(later)).attempt).toBe(1)
    await runJob(other, worker)
  })

  it('ended jobs make room before their time, the oldest first: more than fits goes through', async () => {
    const { engines, store } = await small()
    const engine = await engines.open()
    const worker = new TestWorker(engine)
    const ids: JobId[] = []
    const bytes = 1 << 20
    for (let refused = 0; ids.length * bytes < 1.2 * MAX_BYTES; ) {
      const submitted = await begin(engine, 'acme', bytes)
      if (submitted.kind === 'refused') {
        expect(submitted.error.code).toBe('storage_full')
        expect(++refused).toBeLessThan(200)
        await new Promise((passed) => setTimeout(passed, 100))
        continue
      }
      expect(submitted.kind).toBe('accepted')
      const lease = await worker.one()
      ids.push(lease.job.id)
      expect((await engine.work.finish(lease, DONE)).kind).toBe('ended')
      expect(await used(store)).toBeLessThan(0.9 * MAX_BYTES)
    }
    expect(await engine.jobs.get(ids[0])).toBeNull()
    expect(await engine.jobs.get(ids.at(-1)!)).toMatchObject({ state: 'done' })
  })
})
