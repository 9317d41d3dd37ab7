/** What is kept of ended jobs in Redis: by age, by the bytes of all, and by tenant. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { systemIds } from '../../src/core/ids.ts'
import type { JobId } from '../../src/core/job.ts'
import { type Ground, openGround } from '../../src/engines/redis/bus/ground.ts'
import { Commit } from '../../src/engines/redis/coordinator/commit.ts'
import type { Host } from '../../src/engines/redis/coordinator/host.ts'
import { Sweep } from '../../src/engines/redis/jobs/sweep.ts'
import { writeLive } from '../../src/engines/redis/protocol/rows.ts'
import { LAYOUT } from '../../src/engines/redis/protocol/version.ts'
import type { JobRetention } from '../../src/engines/shared/retention.ts'
import { DONE, draft, eventually, leapClock } from '../conformance/harness.ts'
import { TestFleet, type TestProcess } from './fleet.ts'
import { NO_REDIS, RedisServer } from './server.ts'

const HOUR_MS = 3_600_000

describe.skipIf(NO_REDIS)('Redis: retention', () => {
  let redis: RedisServer
  let fleet: TestFleet
  let ground: Ground
  let host: Host
  let process: TestProcess
  const opened: Array<() => unknown> = []
  beforeAll(async () => {
    redis = await RedisServer.start({ appendfsync: 'everysec' })
  })
  afterAll(() => redis.remove())
  beforeEach(async () => {
    fleet = new TestFleet(redis.url)
    host = await fleet.host({ rules: { keepMs: (tenant) => (tenant === 'nothing' ? 0 : HOUR_MS), unreadMs: 60_000 } })
    process = await fleet.process()
    ground = process.ground
  })
  afterEach(async () => {
    for (const close of opened.splice(0)) await close()
    await fleet.close()
  })

  function sweeper(retention: Partial<JobRetention>): Sweep {
    const all = {
      logsMs: HOUR_MS,
      bytes: Infinity,
      atLeastMs: 0,
      usageMs: HOUR_MS,
      usageBytes: 1 << 30,
      tenant: () => null,
      ...retention,
    }
    const sweep = new Sweep(ground, all)
    sweep.start()
    opened.push(() => sweep.stop())
    return sweep
  }

  async function run(tenant: string, bytes: number, idempotencyKey?: string, more: object = {}): Promise<JobId> {
    const options = idempotencyKey === undefined ? {} : { idempotencyKey }
    const id = await process.accepted({ tenant, body: ' '.repeat(bytes), options, ...more })
    await eventually(() => expect(worker().taken.map(({ job }) => job.id)).toContain(id))
    await process.work.finish(worker().taken.find(({ job }) => job.id === id)!, DONE)
    return id
  }
  let made: ReturnType<TestProcess['worker']> | null = null
  beforeEach(() => {
    made = null
  })
  const worker = (): ReturnType<TestProcess['worker']> => (made ??= process.worker(5))

  const isThere = async (id: JobId): Promise<boolean> =>
    (await ground.commands.client.exists(ground.names.row(id), ground.names.body(id))) > 0
  const there = async (ids: readonly JobId[]): Promise<readonly boolean[]> => Promise.all(ids.map(isThere))
  const used = async (): Promise<number> => {
    await ground.scripts.run('jobs-file', [])
    const bytes = await ground.commands.client.hgetall(ground.names.bytes())
    return Object.values(bytes).reduce((sum, n) => sum + Number(n), 0)
  }
  const traces = async (ids: readonly JobId[]): Promise<readonly string[]> => {
    const keys = await ground.commands.client.keys(`${ground.names.shard}:*`)
    const found: string[] = []
    for (const key of keys) {
      if (ids.some((id) => key.includes(id))) found.push(key)
      if ((await ground.commands.client.type(key)) !== 'zset') continue
      for (const member of await ground.commands.client.zrange(key, 0, '-1'))
        if (ids.some((id) => member.startsWith(id))) found.push(`${key} ${member}`)
    }
    return found
  }

  it('counts what a job takes in Redis, and forgets it with the job, its indexes and its key', async () => {
    const ids = [await run('acme', 100, 'key'), await run('acme', 50_000), await run('other', 100)]
    const counted = await used()
    expect(counted).toBeGreaterThan(50_000)
    expect(counted).toBeLessThan(70_000)
    const sweep = sweeper({ tenant: (tenant) => (tenant === 'acme' ? { logsMs: -HOUR_MS } : null) })
    await sweep.sweep()
    expect(await there(ids)).toEqual([false, false, true])
    expect(await traces(ids.slice(0, 2))).toEqual([])
    expect(Object.keys(await ground.commands.client.hgetall(ground.names.bytes()))).toEqual(['other'])
    expect(sweep.removed.value).toBe(2)
    // Its key is free
    expect(await process.submit({ tenant: 'acme', body: 'new', options: { idempotencyKey: 'key' } })).toMatchObject([
      { kind: 'accepted' },
    ])
  })

  it('beyond its bytes, the tenant that takes most loses its oldest; none falls below its share', async () => {
    const small = [await run('small', 1_000), await run('small', 1_000)]
    const large: JobId[] = []
    for (let i = 0; i < 6; i++) large.push(await run('large', 20_000))
    const sweep = sweeper({ bytes: 80_000 })
    await sweep.sweep()
    expect(await there(small)).toEqual([true, true])
    expect(await there(large)).toEqual([false, false, false, true, true, true])
    expect(await used()).toBeLessThan(80_000)
    await sweep.sweep()
    expect((await there(large)).filter(Boolean).length).toBe(3)
  })

  it('beyond its bytes, nothing goes that a job which waits comes after', async () => {
    const ids = [await run('acme', 100_000), await run('acme', 100_000), await run('acme', 100_000)]
    const options = { delayMs: HOUR_MS, deadlineMs: 2 * HOUR_MS }
    await process.accepted({ tenant: 'acme', after: [ids[0]!], options })
    const sweep = sweeper({ bytes: 250_000 })
    await sweep.sweep()
    expect(await there(ids)).toEqual([true, false, true])
  })

  it('what ended a moment ago stays, whatever it takes', async () => {
    const ids = [await run('acme', 20_000), await run('acme', 20_000)]
    await sweeper({ bytes: 1_000, atLeastMs: HOUR_MS }).sweep()
    expect(await there(ids)).toEqual([true, true])
  })

  it('two that sweep at once count nothing twice, and remove nothing that lives', async () => {
    const ids: JobId[] = []
    for (let i = 0; i < 30; i++) ids.push(await run('acme', 500))
    const waits = await process.accepted({ tenant: 'acme', options: { delayMs: HOUR_MS, idempotencyKey: 'k' } })
    const sweeps = [sweeper({ logsMs: -HOUR_MS }), sweeper({ logsMs: -HOUR_MS })]
    await Promise.all(sweeps.map((sweep) => sweep.sweep()))
    expect(sweeps[0].removed.value + sweeps[1].removed.value).toBe(30)
    expect(await ground.commands.client.hgetall(ground.names.bytes())).toEqual({})
    expect(await traces(ids)).toEqual([])
    expect(await ground.commands.client.hexists(ground.names.live(), waits)).toBe(1)
    expect(await ground.commands.client.exists(ground.names.body(waits))).toBe(1)
  })

  it('requests that were never taken are removed; those of jobs, and of what may yet be taken, stay', async () => {
    const { names, commands } = ground
    const [ended, waits] = [await run('acme', 10), await process.accepted({ options: { delayMs: HOUR_MS } })]
    const store = async (id: JobId, at: string): Promise<JobId> => {
      await commands.client.set(names.body(id), 'a request')
      await commands.client.xadd(names.sent(), at, 'i', id)
      return id
    }
    const [lost, recent] = [systemIds().job(1), systemIds().job(2)]
    await commands.client.xadd(names.sent(), '1-1', 'i', `${ended} ${waits}`)
    await store(lost, '1-2')
    await store(recent, '*')
    await sweeper({}).sweep()
    const isKept = async (id: JobId): Promise<boolean> => (await commands.client.exists(names.body(id))) === 1
    expect(await Promise.all([ended, waits, lost, recent].map(isKept))).toEqual([true, true, false, true])
    expect((await commands.client.xrange(names.sent(), '-', '+')).map(([, fields]) => fields)).toEqual([['i', recent]])
  })

  it('of requests that may never have been taken, each step looks at so many, whatever their submits', async () => {
    const { names, commands, scripts } = ground
    const ids = Array.from({ length: 4_200 }, (_, n) => systemIds().job(n + 1))
    const { client } = commands
    await client.mset(ids.flatMap((id) => [names.body(id), 'a request']))
    await client.xadd(names.sent(), '*', 'i', ids.slice(0, 2_000).join(' '))
    for (const id of ids.slice(2_000, 2_200)) await client.xadd(names.sent(), '*', 'i', id)
    await client.xadd(names.sent(), '*', 'i', ids.slice(2_200).join(' '))
    const step = async (): Promise<readonly unknown[]> => {
      const isMore = await scripts.run('submit-left', ['+', 150])
      return [isMore, await client.exists(ids.map((id) => names.body(id))), await client.xlen(names.sent())]
    }
    expect(await step()).toEqual([1, 2_200, 201])
    expect(await step()).toEqual([1, 2_050, 51])
    expect(await step()).toEqual([1, 0, 0])
    expect(await step()).toEqual([0, 0, 0])
  })

  it('the request of a job that was submitted again, with the same id, stays for the newer try', async () => {
    const { names, commands, scripts } = ground
    const [again, lost] = [systemIds().job(1), systemIds().job(2)]
    // Nobody takes them
    await host.stop()
    const submit = (ids: readonly JobId[]): Promise<unknown> => {
      const requests = ids.flatMap((id) => [id, 'a request'])
      return scripts.run('submit', [1_000, 'a command', 0, requests.length, ...requests])
    }
    await submit([again, lost])
    const [[first]] = await commands.client.xrange(names.sent(), '-', '+')
    await submit([again])
    const left = async (until: string): Promise<readonly unknown[]> => {
      const isMore = await scripts.run('submit-left', [until, 150])
      const kept = await Promise.all([again, lost].map((id) => commands.client.exists(names.body(id))))
      return [isMore, ...kept, await commands.client.xlen(names.sent())]
    }
    expect(await left(first)).toEqual([0, 1, 0, 1])
    expect(await left('+')).toEqual([0, 0, 0, 0])
  })

  it('where more was submitted since than a step looks at, requests are looked at once more, later', async () => {
    const { names, commands, scripts } = ground
    const [again, lost, other] = [systemIds().job(1), systemIds().job(2), systemIds().job(3)]
    const { client } = commands
    await client.mset([again, lost].flatMap((id) => [names.body(id), 'a request']))
    await client.xadd(names.sent(), '1-1', 'i', `${again} ${lost}`)
    const many = Array.from({ length: 2_000 }, () => other).join(' ')
    for (let n = 1; n <= 20; n++) await client.xadd(names.sent(), `2-${n}`, 'i', many)
    await client.xadd(names.sent(), '3-1', 'i', again)
    const isThere = (ids: readonly JobId[]): Promise<number> => client.exists(ids.map((id) => names.body(id)))
    expect(await scripts.run('submit-left', ['1-1', 150])).toBe(0)
    expect(await isThere([again, lost])).toBe(2)
    // Behind all others, so that these don't wait for it
    const entries = await client.xrange(names.sent(), '-', '+')
    expect(entries.length).toBe(22)
    expect(entries.at(-1)![1]).toEqual(['i', `${again} ${lost}`])
    while ((await scripts.run('submit-left', ['+', 150])) === 1);
    expect(await isThere([again, lost])).toBe(0)
    expect(await client.xlen(names.sent())).toBe(0)
  })

  it('what keeps requests from being swept keeps nothing else', async () => {
    const id = await run('acme', 10)
    await ground.commands.client.set(ground.names.sent(), 'of another program')
    await sweeper({ logsMs: -HOUR_MS }).sweep()
    expect(await isThere(id)).toBe(false)
  })

  it('what is indexed of ended jobs is written when there is much of it, or when somebody reads an index', async () => {
    const { names, commands, scripts } = ground
    const commit = async (ids: readonly JobId[]): Promise<void> => {
      const [term, number] = (await commands.client.get(names.fence()))!.split(/:(?=\d+$)/)
      const { epoch } = { epoch: Number((await commands.client.lindex(names.epochs(), 0))!.split(' ')[0]) }
      const { body: _body, isRetry: _retry, ...facts } = draft({ tenant: 'a b' })
      const ending = new Commit()
      ending.filesLater = true
      for (const [seq, id] of ids.entries()) {
        ending.live(id, writeLive({ id, seq, acceptedAtMs: 1, epoch, from: 'p', bodyBytes: 1, facts }))
        const over = {
          id,
          record: '@end {"state":"failed"}',
          tenant: 'a b',
          seq,
          state: 'failed',
          endedAtMs: 5,
          text: '{}',
        }
        const none = { key: '', join: '', joinMs: 0, conversation: '' }
        ending.over.push({ ...over, ...none, bodyBytes: 1, keeps: true, attempt: 0, isEmpty: true })
      }
      expect(await scripts.run('commit', ending.args(term, Number(number), epoch, 1))).toEqual(['ok'])
    }
    // Nobody else commits
    await host.stop()
    await scripts.run('takeover', ['h', 60_000, '', 1, LAYOUT])
    const ids = Array.from({ length: 600 }, (_, n) => systemIds().job(n + 1))
    const counts = async (): Promise<readonly number[]> => [
      await commands.client.llen(names.unfiled()),
      ...(await Promise.all(
        [names.jobs(), names.jobs('a b'), names.bad('a b')].map((key) => commands.client.zcard(key)),
      )),
    ]
    await commit(ids.slice(0, 500))
    expect(await counts()).toEqual([500, 0, 0, 0])
    await commit(ids.slice(500))
    expect(await counts()).toEqual([0, 600, 600, 600])
    const more = systemIds().job(1_000)
    await commit([more])
    expect(await counts()).toEqual([1, 600, 600, 600])
    await scripts.run('jobs-remove', [more, 'a b', 0, '', ''])
    expect(await counts()).toEqual([0, 600, 600, 600])
    const bytes = Number((await commands.client.hgetall(names.bytes()))['a b'])
    const members = await commands.client.zrange(names.ends('a b'), '0', '-1')
    expect(bytes).toBe(members.reduce((sum, member) => sum + Number(member.split(':')[1]), 0))
  })

  it('the index of a run has its jobs until they go, and expires after the last one', async () => {
    const ids = [await run('acme', 10, undefined, { run: 'r/1' }), await run('acme', 10, undefined, { run: 'r/1' })]
    await run('acme', 10)
    const { commands, names } = ground
    const index = names.runJobs('acme', 'r/1')
    expect(await commands.client.zrange(index, '0', '-1')).toEqual(ids)
    expect(await commands.client.pttl(index)).toBeGreaterThan(30 * 24 * HOUR_MS)
    await sweeper({ logsMs: -HOUR_MS }).sweep()
    expect(await Promise.all(ids.map(isThere))).toEqual([false, false])
    expect(await commands.client.exists(index)).toBe(0)
  })

  it('a key that names another job by now is not freed by the removal of the first', async () => {
    const id = await run('acme', 10, 'key')
    const key = ground.names.key('acme', 'key')
    const other = 'job_00000000000000000000000009 digest'
    await ground.commands.client.set(key, other)
    await sweeper({ logsMs: -HOUR_MS }).sweep()
    expect(await isThere(id)).toBe(false)
    expect(await ground.commands.client.get(key)).toBe(other)
  })

  it('of a tenant that keeps nothing, a job goes soon after its end, later where nobody read it', async () => {
    const unread = await run('nothing', 10)
    const read = await process.accepted({ tenant: 'nothing' })
    await eventually(() => expect(worker().taken.map(({ job }) => job.id)).toContain(read))
    await ground.commands.client.hset(ground.names.followers(), read, 'somebody')
    await process.work.finish(worker().taken.find(({ job }) => job.id === read)!, DONE)
    for (const id of [unread, read]) {
      const ttl = await ground.commands.client.pttl(ground.names.row(id))
      expect(ttl).toBeGreaterThan(0)
      expect(ttl).toBeLessThan(2 * HOUR_MS)
    }
    const sweptIn = async (ms: number): Promise<void> => {
      const clock = leapClock()
      const now = async (): Promise<number> => Date.now() + ms
      const leaping = await openGround({ url: redis.url }, clock, systemIds(), () => {}, now)
      opened.push(leaping.close)
      const later = new Sweep({ ...ground, clock, time: leaping.time }, { ...KEEP, tenant: () => ({ logsMs: 0 }) })
      later.start()
      opened.push(() => later.stop())
      clock.leap(600)
    }
    await sweptIn(5_000)
    await eventually(async () => expect(await isThere(read)).toBe(false))
    expect(await isThere(unread)).toBe(true)
    await sweptIn(70_000)
    await eventually(async () => expect(await isThere(unread)).toBe(false))
    expect(await traces([unread, read])).toEqual([])
  })
})

const KEEP = { logsMs: HOUR_MS, bytes: Infinity, atLeastMs: 0, usageMs: HOUR_MS, usageBytes: 1 << 30 }
