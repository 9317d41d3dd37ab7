/**
 * Redis was restarted, or failed over, and has lost the last of what it had told: whoever goes on finds that out, and
 * nothing that is missing is taken for whole. What is lost is taken out by hand here; the simulation found these.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { Names } from '../../src/engines/redis/client/names.ts'
import { RedisJobs } from '../../src/engines/redis/jobs/jobs.ts'
import { RedisPresence } from '../../src/engines/redis/jobs/presence.ts'
import { RedisSubmissions } from '../../src/engines/redis/jobs/submissions.ts'
import { writeRequests } from '../../src/engines/redis/protocol/commands.ts'
import { accepted, DONE, draft, eventually, readAll, refusal, submit, TestWorker } from '../conformance/harness.ts'
import { Engines } from './engines.ts'
import { logsOf, TestFleet } from './fleet.ts'
import { openParts, type Parts } from './parts.ts'
import { NO_REDIS, RedisServer } from './server.ts'

const NO_KEYS = { digestOf: () => null, isValid: () => false, doubt() {} }

describe.skipIf(NO_REDIS)('Redis: a tail that was lost', () => {
  let redis: RedisServer
  let engines: Engines
  let store: Parts
  const names = (): Names => new Names(engines.address.prefix)
  beforeAll(async () => {
    redis = await RedisServer.start({ appendfsync: 'everysec' })
  })
  afterAll(() => redis.remove())
  beforeEach(async () => {
    engines = new Engines({ url: redis.url })
    store = await openParts(engines.address)
  })
  afterEach(async () => {
    await engines.close()
    store.close()
  })

  it('an attempt whose text is lost is not done: another one follows', async () => {
    const engine = await engines.open()
    const worker = new TestWorker(engine)
    const job = await submit(engine)
    const lease = await worker.one(job)
    const writer = engine.log.open(lease)
    for (const record of ['{"a":1}', '{"a":2}']) {
      writer.append([record], 1, true)
      await writer.flushed()
    }
    await store.commands.client.rpop(names().log(job.id))
    expect(await engine.work.finish(lease, DONE)).toEqual({ kind: 'fenced' })
    worker.accept(1)
    await eventually(() => expect(worker.taken.length).toBe(2))
    const [, again] = worker.taken
    await engine.work.finish(again, DONE)
    expect((await readAll(engine, job.id)).records.length).toBe(2)
  })

  it('what was decided before a restart is not committed after it', async () => {
    const fleet = new TestFleet(redis.url)
    const [host, process] = [await fleet.host(), await fleet.process()]
    const worker = process.worker(1)
    await process.accepted()
    await eventually(() => expect(worker.taken.length).toBe(1))
    const { commands, names: of } = process.ground
    const term = async (): Promise<string> => (await commands.client.get(of.fence()))!.split(':')[0]
    const before = await term()
    // As its first command finds it there
    const [epoch] = (await commands.client.lindex(of.epochs(), 0))!.split(' ')
    await commands.client.lset(of.epochs(), 0, `${epoch} ${'0'.repeat(40)}`)
    expect(await process.work.finish(worker.taken[0], DONE)).toEqual({ kind: 'ended', state: 'done' })
    expect(await term()).not.toBe(before)
    expect(fleet.facts.filter(({ type }) => type === 'store-warned').length).toBe(1)
    await host.stop()
    await fleet.close()
  })

  it('a host whose own election is lost is elected to another term', async () => {
    const fleet = new TestFleet(redis.url)
    const host = await fleet.host()
    const { commands, names: of } = (await fleet.process()).ground
    const term = async (): Promise<string> => (await commands.client.get(of.fence()))!.split(':')[0]
    await eventually(async () => expect(await commands.client.exists(of.fence())).toBe(1))
    const before = await term()
    const [epoch] = (await commands.client.lindex(of.epochs(), 0))!.split(' ')
    await commands.client
      .multi()
      .lset(of.epochs(), 0, `${epoch} ${'0'.repeat(40)}`)
      .decr(of.term())
      .exec()
    await eventually(async () => expect(await term()).not.toBe(before))
    await host.stop()
    await fleet.close()
  })

  it('a submit that is sent again brings its request again where that is gone', async () => {
    const fleet = new TestFleet(redis.url)
    const { ground } = await fleet.process()
    const { commands, names: of } = ground
    const jobs = new RedisJobs(ground, () => Promise.resolve())
    const submissions = new RedisSubmissions(ground, jobs, new RedisPresence(ground), logsOf(ground), NO_KEYS)
    // Nobody coordinates yet
    const submitting = submissions.submit([draft({ body: '{"model":"m"}' })])
    let keys: string[] = []
    await eventually(async () => {
      keys = await commands.client.keys(`${of.body('')}*`)
      expect(keys.length).toBe(1)
    })
    await commands.client.del(...keys, of.inbox())
    await fleet.host()
    const [taken] = await submitting
    expect(taken.kind).toBe('accepted')
    expect(await commands.client.get(keys[0])).toBe('{"model":"m"}')
    submissions.close()
    await fleet.close()
  })

  it.each([
    ['lost with what Redis had last', true, 'job_lost'],
    ['erased', false, 'job_gone'],
  ])('a job that a submit joins, and that is %s before it is looked up, is told so', async (_, isLost, code) => {
    const fleet = new TestFleet(redis.url)
    await fleet.host()
    const { ground } = await fleet.process()
    const { commands, names: of } = ground
    let joined = ''
    class Jobs extends RedisJobs {
      override async get(id: string) {
        if (id !== joined) return super.get(id)
        const [epoch] = (await commands.client.lindex(of.epochs(), 0))!.split(' ')
        const gone = commands.client.multi().hdel(of.live(), id)
        if (isLost) gone.lset(of.epochs(), 0, `${epoch} ${'0'.repeat(40)}`)
        await gone.exec()
        return super.get(id)
      }
    }
    const jobs = new Jobs(ground, () => Promise.resolve())
    const submissions = new RedisSubmissions(ground, jobs, new RedisPresence(ground), logsOf(ground), NO_KEYS)
    const same = draft({ options: { idempotencyKey: 'k' } })
    const first = accepted((await submissions.submit([same]))[0])
    joined = first.id
    expect(refusal((await submissions.submit([same]))[0]).code).toBe(code)
    submissions.close()
    await fleet.close()
  })

  it('a submit that is sent again in the batch in which its job ends is not taken anew', async () => {
    const fleet = new TestFleet(redis.url)
    await fleet.host()
    const process = await fleet.process()
    const worker = process.worker(1)
    const id = await process.accepted()
    await eventually(() => expect(worker.taken.length).toBe(1))
    const { bus, time } = process.ground
    const { body, isRetry, ...facts } = draft()
    const from = bus.process
    const item = { id, facts, bodyBytes: body.length, isRetry }
    const { answer: _answer, ...outcome } = { ...DONE, answer: '' }
    await bus.put(
      writeRequests([
        { type: 'finish', from, n: 1_001, worker: `${from}.1`, id, attempt: 1, outcome },
        { type: 'submit', from, n: 1_002, re: true, untilMs: time.nowMs() + 20_000, items: [item] },
      ]),
    )
    await process.accepted()
    expect(await bus.ask({ type: 'cancel', id })).toBe('ended')
    expect(worker.taken.map(({ job }) => job.id)).not.toEqual([id, id])
    await fleet.close()
  })
})
