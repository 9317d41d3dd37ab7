/** Answers that are lost on their way: what was done is known to be done, and what only asks leaves nothing behind. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { SluiceError } from '../../src/core/errors.ts'
import { Names } from '../../src/engines/redis/client/names.ts'
import { DONE, eventually, readAll, runJob, submit, TestWorker } from '../conformance/harness.ts'
import { Engines } from './engines.ts'
import { openParts, type Parts } from './parts.ts'
import { FaultProxy } from './proxy.ts'
import { NO_REDIS, RedisServer } from './server.ts'

const RETRY = { kind: 'failed', retry: true } as const

describe.skipIf(NO_REDIS)('Redis: answers that are lost', () => {
  let redis: RedisServer
  let engines: Engines
  let store: Parts
  let proxy: FaultProxy
  const names = (): Names => new Names(engines.address.prefix)
  beforeAll(async () => {
    redis = await RedisServer.start({ appendfsync: 'everysec' })
  })
  afterAll(() => redis.remove())
  beforeEach(async () => {
    engines = new Engines({ url: redis.url })
    store = await openParts(engines.address)
    proxy = await FaultProxy.start(redis.port)
  })
  afterEach(async () => {
    await engines.close()
    store.close()
    await proxy.close()
  })

  /** What is sent from now on arrives; nothing comes back. Returns what cuts the connection, and heals it. */
  function loseAnswers(): () => void {
    proxy.stall('down')
    return () => {
      proxy.drop()
      proxy.heal()
    }
  }

  it.each(['with its last text', 'after it'])(
    'an end that was committed is told as it was, stored %s',
    async (when) => {
      const gateway = await engines.open()
      const far = await engines.open({ url: proxy.url })
      const worker = new TestWorker(far)
      // Redis knows the scripts from now on
      await runJob(far, worker)
      worker.heard.length = 0
      const job = await submit(gateway)
      const lease = await worker.one(job)
      const writer = far.log.open(lease)
      if (when === 'after it') {
        writer.append(['{"a":1}'], 1, true)
        await writer.flushed()
      }
      const heal = loseAnswers()
      if (when !== 'after it') writer.append(['{"a":1}'], 1, false)
      const finishing = far.work.finish(lease, DONE)
      await eventually(async () => expect((await gateway.jobs.get(job.id))?.state).toBe('done'))
      heal()
      expect(await finishing).toEqual({ kind: 'ended', state: 'done' })
      expect((await readAll(gateway, job.id)).records.length).toBe(2)
      expect(worker.heard).toEqual([`leased ${job.id}`])
    },
  )

  it('an attempt that failed, and goes on elsewhere, is told so', async () => {
    const gateway = await engines.open()
    const far = await engines.open({ url: proxy.url })
    const worker = new TestWorker(far)
    const job = await submit(gateway)
    const lease = await worker.one(job)
    const heal = loseAnswers()
    const error = new SluiceError('overloaded')
    const finishing = far.work.finish(lease, { ...RETRY, error })
    const other = new TestWorker(gateway)
    other.accept(1)
    await eventually(() => expect(other.taken.map(({ attempt }) => attempt)).toEqual([2]))
    heal()
    expect((await finishing).kind).toBe('again')
    expect((await gateway.work.finish(other.taken[0], DONE)).kind).toBe('ended')
  })

  it('one that was given up meanwhile is fenced, also where the job then ended otherwise', async () => {
    const gateway = await engines.open()
    const far = await engines.open({ url: proxy.url })
    const worker = new TestWorker(far)
    const job = await submit(gateway)
    const lease = await worker.one(job)
    proxy.cut()
    await eventually(async () => expect((await gateway.jobs.get(job.id))?.state).toBe('queued'))
    expect(await gateway.jobs.cancel(job.id)).toEqual({ kind: 'canceled' })
    const finishing = far.work.finish(lease, DONE)
    proxy.heal()
    expect(await finishing).toEqual({ kind: 'fenced' })
    expect(await gateway.jobs.get(job.id)).toMatchObject({ state: 'canceled', attempts: 1 })
  })

  it('queries store nothing: no entry of the inbox, no commit', async () => {
    const gateway = await engines.open()
    const other = await engines.open()
    const job = await submit(gateway)
    const { client } = store.commands
    const added = async (): Promise<string> => {
      const [, last] = /last-generated-id,([^,]+)/.exec(String(await client.call('XINFO', 'STREAM', names().inbox())))!
      return last
    }
    const before = [await added(), await client.get(names().fence())]
    for (const engine of [gateway, other]) {
      expect(await engine.operations.depth()).toMatchObject({ queued: 1 })
      expect(await engine.operations.paused()).toEqual([])
      expect(await engine.operations.deployments()).toEqual(expect.any(Array))
      expect((await engine.jobs.places([job.id])).size).toBe(1)
      expect((await engine.jobs.list({ tenant: 'acme', limit: 9 })).map(({ id }) => id)).toEqual([job.id])
    }
    expect([await added(), await client.get(names().fence())]).toEqual(before)
  })

  it('queries that are lost are asked again, and more of them than can wait are refused at once', async () => {
    await engines.open()
    const far = await engines.open({ url: proxy.url })
    const heal = loseAnswers()
    const asked = Array.from({ length: 10_001 }, () => far.operations.depth())
    const answered = Promise.allSettled(asked.slice(0, 10_000))
    await expect(asked[10_000]).rejects.toMatchObject({ code: 'storage_unavailable' })
    heal()
    expect((await answered).filter(({ status }) => status === 'rejected')).toEqual([])
    expect((await asked[0]).queued).toBe(0)
  })
})
