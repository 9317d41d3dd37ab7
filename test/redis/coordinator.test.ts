/** The coordinator of a fleet, on a real Redis: elected, fenced, restored, and never sure that a message arrived. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { DONE } from '../conformance/harness.ts'
import { eventually } from '../conformance/harness.ts'
import { TestFleet } from './fleet.ts'
import { NO_REDIS, RedisServer } from './server.ts'

describe.skipIf(NO_REDIS)('the coordinator on Redis', () => {
  let redis: RedisServer
  let fleet: TestFleet
  beforeAll(async () => {
    redis = await RedisServer.start({ appendfsync: 'everysec' })
  })
  afterAll(() => redis.remove())
  beforeEach(async () => {
    fleet = new TestFleet(redis.url)
  })
  afterEach(() => fleet.close())

  it('takes a job, leases it with its request, and ends it', async () => {
    await fleet.host()
    const process = await fleet.process()
    await process.ground.bus.ask({ type: 'hello' })
    const worker = process.worker(2)
    const id = await process.accepted({ body: '{"a":"ü"}' })
    await eventually(() => expect(worker.taken.length).toBe(1))
    const [lease] = worker.taken
    expect(Buffer.from(lease.job.body).toString()).toBe('{"a":"ü"}')
    expect(lease).toMatchObject({ job: { id, state: 'leased' }, attempt: 1, log: { head: 0 } })
    expect(await process.work.finish(lease, DONE)).toEqual({ kind: 'ended', state: 'done' })
    expect(await process.work.finish(lease, DONE)).toEqual({ kind: 'fenced' })
    expect(await process.ground.bus.ask({ type: 'cancel', id })).toBe('ended')
    expect(fleet.facts.map(({ type }) => type)).toEqual(['job-leased', 'job-ended'])
  })
})
