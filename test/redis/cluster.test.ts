/** A fleet on a cluster whose nodes hand over their slots, and fail over. */
import { afterEach, describe, expect, it } from 'vitest'
import type { JobId } from '../../src/core/job.ts'
import type { Engine } from '../../src/core/ports/engine.ts'
import { DONE, draft, eventually, readAll, runJob, submit, TestWorker } from '../conformance/harness.ts'
import { DEEP } from '../depth.ts'
import { RedisCluster } from './cluster.ts'
import { Engines } from './engines.ts'
import { NO_REDIS } from './server.ts'

const SHARD = '{s0}'

describe.skipIf(NO_REDIS)('Redis: a cluster', () => {
  const opened: Array<() => unknown> = []
  afterEach(async () => {
    for (const close of opened.splice(0).reverse()) await close()
  })

  async function start(): Promise<{ readonly cluster: RedisCluster; readonly engines: Engines }> {
    const cluster = await RedisCluster.start({ appendfsync: null })
    opened.push(() => cluster.remove())
    const engines = new Engines({ url: cluster.url, nodes: cluster.others })
    opened.push(() => engines.close())
    return { cluster, engines }
  }

  /** Submits and runs jobs until it is stopped; resolves with those that were accepted, each with its text. */
  function load(engine: Engine): () => Promise<readonly JobId[]> {
    const ids: JobId[] = []
    const ending: Array<Promise<unknown>> = []
    let isOver = false
    const worker = new TestWorker(engine)
    const { leased } = worker
    worker.leased = (leases) => {
      leased.call(worker, leases)
      for (const lease of leases) {
        engine.log.open(lease).append([`{"of":"${lease.job.id}"}`], 1, false)
        ending.push(engine.work.finish(lease, DONE).then(() => worker.accept(4)))
      }
    }
    worker.accept(4)
    const submitting = Array.from({ length: 4 }, async () => {
      while (!isOver) {
        const [submitted] = await engine.submissions.submit([draft()])
        if (submitted.kind === 'accepted') ids.push(submitted.job.id)
        await new Promise((passed) => setTimeout(passed, 5))
      }
    })
    return async () => {
      isOver = true
      await Promise.all(submitting)
      await eventually(async () => {
        const states = await Promise.all(ids.map(async (id) => (await engine.jobs.get(id))?.state))
        expect(states.filter((state) => state !== 'done')).toEqual([])
      })
      await Promise.all(ending)
      return ids
    }
  }

  async function expectWhole(engine: Engine, ids: readonly JobId[]): Promise<void> {
    for (const id of ids) {
      const { records } = await readAll(engine, id)
      expect([records.length, records[0]]).toEqual([2, `{"of":"${id}"}`])
    }
  }

  it('its slot moves to another node under load: work waits, and none is lost, doubled or cut in half', async () => {
    const { cluster, engines } = await start()
    const engine = await engines.open()
    const other = await engines.open()
    const before = await submit(other)
    const stop = load(engine)
    await eventually(async () => expect((await other.jobs.get(before.id))?.state).toBe('done'))
    const from = await cluster.ownerOf(SHARD)
    const wait = () => new Promise<void>((passed) => setTimeout(passed, 700))
    await cluster.move(SHARD, (from + 1) % 3, wait)
    expect(await cluster.ownerOf(SHARD)).toBe((from + 1) % 3)
    await eventually(async () => void (await submit(other)))
    const after = await submit(other)
    const ids = await stop()
    expect(ids.length).toBeGreaterThan(10)
    await expectWhole(other, [before.id, after.id, ...ids])
    expect(engine.health()).toEqual({ ok: true })
  })

  it.skipIf(!DEEP)('its node is lost and a replica follows: what it had goes on there', async () => {
    const { cluster, engines } = await start()
    const owner = await cluster.ownerOf(SHARD)
    await cluster.replicate(owner, { appendfsync: null })
    const engine = await engines.open()
    const worker = new TestWorker(engine)
    const [ran, waits] = [await runJob(engine, worker), await submit(engine)]
    await cluster.nodes[owner].kill()
    await eventually(async () => void (await submit(engine)))
    expect((await worker.one(waits)).attempt).toBe(1)
    expect((await readAll(engine, ran.id)).ended).toBe(true)
  })
})
