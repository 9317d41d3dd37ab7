/** The coordinator of a fleet, on a real Redis: elected, fenced, restored, and never sure that a message arrived. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { systemClock, Wheel } from '../../src/core/clock.ts'
import { systemIds } from '../../src/core/ids.ts'
import { Health } from '../../src/engines/redis/bus/health.ts'
import { Connection } from '../../src/engines/redis/client/connection.ts'
import { Names } from '../../src/engines/redis/client/names.ts'
import { openRedis } from '../../src/engines/redis/open.ts'
import { writeRequests } from '../../src/engines/redis/protocol/commands.ts'
import { readLive, writeLive } from '../../src/engines/redis/protocol/rows.ts'
import { LAYOUT } from '../../src/engines/redis/protocol/version.ts'
import { UNLIMITED } from '../../src/engines/shared/conversation-limits.ts'
import { DONE, draft, eventually, leapClock, runJob, TestWorker } from '../conformance/harness.ts'
import { expectInTime } from '../in-time.ts'
import { TestFleet, type TestProcess } from './fleet.ts'
import { FaultProxy } from './proxy.ts'
import { NO_REDIS, RedisServer } from './server.ts'

describe.skipIf(NO_REDIS)('the coordinator on Redis', { concurrent: true }, () => {
  let redis: RedisServer
  beforeAll(async () => {
    redis = await RedisServer.start({ appendfsync: 'everysec' })
  })
  afterAll(() => redis.remove())
  // Beside each other: most of their time they wait for a takeover
  const it = test.extend<{ readonly fleet: TestFleet }>({
    async fleet({ task: _task }, use) {
      const fleet = new TestFleet(redis.url)
      await use(fleet)
      await fleet.close()
    },
  })

  it('a coordinator that is cut off as soon as it took over hears later who reads, and cancels nothing', async ({
    fleet,
  }) => {
    const proxy = await FaultProxy.start(redis.port)
    const rules = { disconnectGraceMs: 2_500 }
    const first = await fleet.host({ rules })
    const process = await fleet.process()
    const id = await process.accepted({ options: { onDisconnect: 'cancel' } })
    const second = await fleet.host({ rules }, proxy.url)
    let isCut = false
    // What it is told of readers is lost
    Object.defineProperty(process, 'reading', {
      get() {
        if (second.isActing && !isCut) proxy.cut()
        isCut ||= second.isActing
        return [id]
      },
    })
    first.kill()
    await eventually(() => expect(isCut).toBe(true))
    const { commands, names: of, bus } = process.ground
    const term = async (): Promise<string> => (await commands.client.get(of.fence()))!.split(':')[0]
    const before = await term()
    // A new coordinator is told as often as this takes
    await new Promise((passed) => setTimeout(passed, 4_000))
    proxy.heal()
    await eventually(async () => expect(await bus.ask({ type: 'depth' })).toMatchObject({ queued: 1 }))
    await new Promise((passed) => setTimeout(passed, 2 * rules.disconnectGraceMs))
    expect((await bus.ask({ type: 'look', ids: [id] })).map(({ state }) => state)).toEqual(['queued'])
    expect(await term()).toBe(before)
    await fleet.close()
    await proxy.close()
  })

  it('takes a job, leases it with its request, and ends it', async ({ fleet }) => {
    await fleet.host()
    const process = await fleet.process()
    await process.ground.bus.ask({ type: 'hello' })
    const worker = process.worker(2)
    const id = await process.accepted({ body: '{"a":"ü"}' })
    await eventually(() => expect(worker.taken.length).toBe(1))
    const [lease] = worker.taken
    expect(Buffer.from(lease.body).toString()).toBe('{"a":"ü"}')
    expect(lease).toMatchObject({ job: { id, state: 'leased' }, attempt: 1, log: { head: 0 } })
    expect(await process.work.finish(lease, DONE)).toEqual({ kind: 'ended', state: 'done' })
    expect(await process.work.finish(lease, DONE)).toEqual({ kind: 'fenced' })
    expect(await process.ground.bus.ask({ type: 'cancel', id })).toBe('ended')
    expect(fleet.facts.map(({ type }) => type)).toEqual(['job-leased', 'job-ended'])
  })

  it('is replaced within a second when it dies: what it accepted is there, in order', async ({ fleet }) => {
    const first = await fleet.host()
    const second = await fleet.host()
    expect([first.isActing, second.isActing]).toEqual([true, false])
    const process = await fleet.process()
    const ids = []
    for (let i = 0; i < 20; i++) ids.push(await process.accepted({ options: { lane: 'l' } }))
    const startedMono = performance.now()
    first.kill()
    ids.push(await process.accepted({ options: { lane: 'l' } }))
    expectInTime(performance.now() - startedMono, 1_000)
    expect(second.isActing).toBe(true)
    const worker = process.worker(1)
    for (const [i, id] of ids.entries()) {
      await eventually(() => expect(worker.taken.length).toBe(i + 1))
      expect(worker.taken[i].job.id).toBe(id)
      await process.work.finish(worker.taken[i], DONE)
    }
  })

  it('a takeover is over after few round trips: what it reads, it asks for at once', async ({ fleet }) => {
    const first = await fleet.host()
    const proxy = await FaultProxy.start(redis.port)
    await fleet.host({}, proxy.url)
    const process = await fleet.process()
    await process.accepted()
    const { commands, names } = process.ground
    // Both ways: 200 ms a round trip
    proxy.delay(100)
    first.kill()
    const accepting = process.accepted()
    const term = await commands.client.get(names.fence())
    await eventually(async () => expect(await commands.client.get(names.fence())).not.toBe(term))
    const wonMono = performance.now()
    await accepting
    // Eight of them one after the other would take 1,700 ms
    const tookMs = performance.now() - wonMono
    proxy.heal()
    await proxy.close()
    expectInTime(tookMs, 1_300)
  })

  it('a batch of which a takeover found a part gives no number twice, and loses no job', async ({ fleet }) => {
    let left = Infinity
    const first = await fleet.host({ commits: (run) => (left-- > 0 ? run() : new Promise(() => {})) })
    const process = await fleet.process()
    await process.settled()
    const { bus, time, commands, names } = process.ground
    const { body, isRetry, ...facts } = draft()
    const untilMs = time.nowMs() + 20_000
    const submits = Array.from({ length: 300 }, (_, n) => {
      const items = [{ id: `job_${n}`, facts, bodyBytes: body.length, isRetry }]
      return { type: 'submit', from: bus.process, n: 1_000 + n, untilMs, items } as const
    })
    left = 1
    await bus.put(writeRequests(submits))
    await eventually(async () => expect(await commands.client.hlen(names.live())).toBe(256))
    first.kill()
    const second = await fleet.host()
    await eventually(async () => expect(await commands.client.hlen(names.live())).toBe(300))
    const rows = (await commands.client.hvals(names.live())).map((row) => readLive(row)!)
    expect(new Set(rows.map(({ seq }) => seq)).size).toBe(300)
    second.kill()
    await fleet.host()
    await eventually(async () => expect((await bus.ask({ type: 'depth' })).queued).toBe(300))
  })

  it('jobs whose numbers are alike, of an earlier version, all go back in line; later ones come after', async ({
    fleet,
  }) => {
    const first = await fleet.host()
    const process = await fleet.process()
    const { bus, commands, names } = process.ground
    const ids = [await process.accepted(), await process.accepted(), await process.accepted()]
    first.kill()
    for (const id of ids) {
      const row = readLive((await commands.client.hget(names.live(), id))!)!
      await commands.client.hset(names.live(), id, writeLive({ ...row, seq: 7 }))
    }
    await commands.client.set(names.seq(), 2)
    await fleet.host()
    await eventually(async () => expect((await bus.ask({ type: 'depth' })).queued).toBe(3))
    expect(await process.submit({})).toMatchObject([{ kind: 'accepted', seq: 8 }])
  })

  it('an attempt that has ended before its lease is known to be stored is told of all the same', async ({ fleet }) => {
    const answers: Array<() => void> = []
    let isLate = false
    await fleet.host({
      async commits(run) {
        const answer = await run()
        if (isLate) await new Promise<void>((done) => answers.push(done))
        return answer
      },
    })
    const process = await fleet.process()
    const worker = process.worker(1)
    await process.settled()
    isLate = true
    await process.accepted()
    await eventually(() => expect(worker.taken.length).toBe(1))
    expect(await process.work.finish(worker.taken[0], DONE)).toEqual({ kind: 'ended', state: 'done' })
    await eventually(() => expect(answers.length).toBe(2))
    isLate = false
    for (const answer of answers) answer()
    const types = (): readonly string[] => fleet.facts.map(({ type }) => type)
    await eventually(() => expect(types()).toContain('job-ended'))
    expect(types()).toEqual(['job-leased', 'job-ended'])
  })

  it('no layout is raised while older processes that were cut off with all others may come back', async ({ fleet }) => {
    const [coordinator, older] = [await FaultProxy.start(redis.port), await FaultProxy.start(redis.port)]
    const connection = new Connection({ ...fleet.address, url: older.url })
    await connection.open()
    const channel = new Names(fleet.address.prefix).process('1-1-older')
    await connection.subscribe(channel, () => {})
    await fleet.host({}, coordinator.url)
    const process = await fleet.process()
    await process.settled()
    const { commands, names } = process.ground
    const layout = (): Promise<string | null> => commands.client.get(names.layout())
    older.cut()
    coordinator.drop()
    await new Promise((passed) => setTimeout(passed, 2_000))
    older.heal()
    await eventually(async () => expect(await commands.client.publish(channel, '')).toBe(1))
    expect(await layout()).toBe(null)
    connection.close()
    await eventually(async () => expect(await layout()).toBe(String(LAYOUT)))
    await fleet.close()
    await coordinator.close()
    await older.close()
  })

  it('hands over at a stop: another one follows at once', async ({ fleet }) => {
    const first = await fleet.host()
    await fleet.host()
    const process = await fleet.process()
    await process.accepted()
    const stopping = first.stop()
    const startedMono = performance.now()
    await process.accepted()
    expectInTime(performance.now() - startedMono, 500)
    await stopping
  })

  it('one that was stopped for longer than its lease, and comes back, changes and tells nothing', async ({ fleet }) => {
    const proxy = await FaultProxy.start(redis.port)
    const first = await fleet.host({}, proxy.url)
    const process = await fleet.process()
    const worker = process.worker(1)
    const held = await process.accepted()
    await eventually(() => expect(worker.taken.length).toBe(1))
    const second = await fleet.host()
    // Redis sees its connections, and hears nothing: what it sends arrives when it is awake
    proxy.stall()
    first.configure([])
    await eventually(() => expect(second.isActing).toBe(true))
    const [lease] = worker.taken
    await process.work.finish(lease, DONE)
    const after = await process.accepted()
    await eventually(() => expect(worker.taken.length).toBe(2))
    const { commands, names } = process.ground
    const term = (await commands.client.get(names.fence()))!.split(':')[0]
    const heard = worker.heard.length
    expect(first.isActing).toBe(true)
    proxy.heal()
    await eventually(() => expect(first.isActing).toBe(false))
    expect((await commands.client.get(names.fence()))!.split(':')[0]).toBe(term)
    expect(worker.heard.length).toBe(heard)
    expect(await process.ground.bus.ask({ type: 'cancel', id: held })).toBe('ended')
    expect(await process.work.finish(worker.taken[1], DONE)).toEqual({ kind: 'ended', state: 'done' })
    expect(worker.taken[1].job.id).toBe(after)
    await proxy.close()
  })

  it('adopts what runs, with its attempt; its end is taken by the next coordinator', async ({ fleet }) => {
    const first = await fleet.host()
    const process = await fleet.process()
    const worker = process.worker(1)
    const id = await process.accepted()
    await eventually(() => expect(worker.taken.length).toBe(1))
    const second = await fleet.host()
    first.kill()
    await eventually(() => expect(second.isActing).toBe(true))
    const [look] = await process.ground.bus.ask({ type: 'look', ids: [id] })
    expect(look).toMatchObject({ state: 'leased', attempts: 1 })
    expect(await process.work.finish(worker.taken[0], DONE)).toEqual({ kind: 'ended', state: 'done' })
    expect(worker.heard).toEqual([`leased ${id} 1`])
  })

  it('gives up what a process held that is gone, and blames it for one crash', async ({ fleet }) => {
    await fleet.host()
    const [gone, other] = [await fleet.process(), await fleet.process()]
    const worker = gone.worker(1)
    const id = await gone.accepted()
    await eventually(() => expect(worker.taken.length).toBe(1))
    const next = other.worker(1)
    const startedMono = performance.now()
    gone.kill()
    await eventually(() => expect(next.taken.length).toBe(1))
    expectInTime(performance.now() - startedMono, 2_000)
    expect(next.taken[0]).toMatchObject({ attempt: 2, crashes: 1, job: { id } })
  })

  it('what a process held that was about to stop was handed back', async ({ fleet }) => {
    await fleet.host()
    const [gone, other] = [await fleet.process(), await fleet.process()]
    const worker = gone.worker(1)
    await gone.accepted()
    await eventually(() => expect(worker.taken.length).toBe(1))
    const next = other.worker(1)
    gone.work.draining()
    await gone.settled()
    gone.kill()
    await eventually(() => expect(next.taken.length).toBe(1))
    expect(next.taken[0]).toMatchObject({ attempt: 2, crashes: 0 })
  })

  it('a commit that was cut is sent again, and is one commit', async ({ fleet }) => {
    const proxy = await FaultProxy.start(redis.port)
    const host = await fleet.host({}, proxy.url)
    const process = await fleet.process()
    const first = await process.accepted()
    const { commands, names } = process.ground
    const term = (await commands.client.get(names.fence()))!.split(':')[0]
    const ids = [first]
    for (let i = 0; i < 10; i++) {
      // Commits arrive, and their answers do not
      proxy.delay(40)
      const accepting = process.accepted()
      await eventually(async () => expect(await commands.client.hlen(names.live())).toBe(i + 2))
      proxy.drop()
      proxy.heal()
      ids.push(await accepting)
    }
    expect(host.isActing).toBe(true)
    expect((await commands.client.get(names.fence()))!.split(':')[0]).toBe(term)
    expect(new Set(ids)).toEqual(new Set(await commands.client.hkeys(names.live())))
    expect((await process.ground.bus.ask({ type: 'depth' })).queued).toBe(11)
    await proxy.close()
  })

  it('what could not be committed in time never is: its submit was refused meanwhile', async ({ fleet }) => {
    const refused = new Map<string, number>()
    const clock = leapClock()
    await fleet.host({ refused, clock })
    const process = await fleet.process()
    const { bus, time, commands, names } = process.ground
    await process.settled()
    refused.set('commit', 0)
    const { body, isRetry, ...facts } = draft()
    const item = { id: 'job_late', facts, bodyBytes: body.length, isRetry }
    await bus.put(
      writeRequests([{ type: 'submit', from: bus.process, n: 99, untilMs: time.nowMs() + 1_000, items: [item] }]),
    )
    await eventually(() => expect(refused.get('commit')).toBeGreaterThan(0))
    clock.leap(4_000)
    await new Promise((done) => setTimeout(done, 1_000))
    refused.clear()
    await process.settled()
    expect(await commands.client.hexists(names.live(), 'job_late')).toBe(0)
    await process.accepted()
  })

  it('a lease that its worker never heard of is told again within a few beats', async ({ fleet }) => {
    await fleet.host()
    const process = await fleet.process()
    const worker = process.worker(0)
    const [never, ran] = [await process.accepted(), await process.accepted()]
    const lost = loseMail(process, 'leased')
    worker.attachment.resize(2)
    await lost
    await eventually(() => expect(worker.taken.length).toBe(2))
    expect(worker.taken.map(({ job, attempt }) => [job.id, attempt]).sort()).toEqual([
      [never, 1],
      [ran, 1],
    ])
    expect(worker.heard.length).toBe(2)
  })

  it('a revocation that was lost is told again', async ({ fleet }) => {
    await fleet.host()
    const process = await fleet.process()
    const worker = process.worker(1)
    const id = await process.accepted()
    await eventually(() => expect(worker.taken.length).toBe(1))
    const lost = loseMail(process, 'revoked')
    expect(await process.ground.bus.ask({ type: 'cancel', id })).toBe('canceling')
    await lost
    await eventually(() => expect(worker.heard).toContain(`canceled ${id} 1`))
    expect(await process.work.finish(worker.taken[0], { kind: 'canceled' })).toEqual({
      kind: 'ended',
      state: 'canceled',
    })
  })

  it('an answer that was lost is given again: one job, one end', async ({ fleet }) => {
    await fleet.host()
    const process = await fleet.process()
    const worker = process.worker(0)
    void loseMail(process, 'answer')
    const id = await process.accepted()
    expect((await process.ground.bus.ask({ type: 'depth' })).queued).toBe(1)
    worker.attachment.resize(1)
    await eventually(() => expect(worker.taken.length).toBe(1))
    void loseMail(process, 'answer')
    expect(await process.work.finish(worker.taken[0], DONE)).toEqual({ kind: 'ended', state: 'done' })
    // Sent again after the end, it does not start anew
    expect(await process.submitAgain(id)).toMatchObject([{ kind: 'joined', id }])
    expect((await process.ground.bus.ask({ type: 'depth' })).queued).toBe(0)
  })

  it('an idempotency key is one job; another body, or user, is refused; also after a takeover', async ({ fleet }) => {
    const first = await fleet.host()
    const process = await fleet.process()
    const keyed = { body: '{"k":1}', options: { idempotencyKey: 'k' } } as const
    const [a, b, other] = await process.submit(keyed, keyed, { ...keyed, user: 'bob' })
    expect(a).toMatchObject({ kind: 'accepted' })
    expect(b).toMatchObject({ kind: 'joined', id: 'id' in a ? a.id : '' })
    expect(other).toMatchObject({ kind: 'refused', error: { code: 'idempotency_conflict' } })
    await fleet.host()
    first.kill()
    const [again] = await process.submit(keyed)
    expect(again).toMatchObject({ kind: 'joined', id: 'id' in a ? a.id : '' })
  })

  it('a retry joins what ended well before a takeover, in whichever layout that was stored', async ({ fleet }) => {
    // While one of the version before is there, nothing is stored that it can't read
    const older = new Connection(fleet.address)
    await older.open()
    await older.subscribe(new Names(fleet.address.prefix).process('1-1-older'), () => {})
    const first = await fleet.host()
    const process = await fleet.process()
    const { names, commands } = process.ground
    const worker = process.worker(1)
    const run = async (body: string): Promise<string> => {
      const id = await process.accepted({ body })
      await eventually(() => expect(worker.taken.at(-1)?.job.id).toBe(id))
      await process.work.finish(worker.taken.at(-1)!, DONE)
      return id
    }
    const keys = async (kind: string): Promise<number> =>
      (await commands.client.keys(`${names.shard.replace(/[*?[\]\\]/g, '\\$&')}:${kind}:*`)).length
    const ended = new Map([['{"post":0}', await run('{"post":0}')]])
    expect([await keys('j'), await keys('jw')]).toEqual([1, 0])
    older.close()
    await eventually(async () => {
      const body = `{"post":${ended.size}}`
      ended.set(body, await run(body))
      expect(await keys('jw')).toBeGreaterThan(0)
    })
    const second = await fleet.host()
    first.kill()
    await eventually(() => expect(second.isActing).toBe(true))
    for (const [body, id] of ended)
      expect(await process.submit({ body, isRetry: true })).toMatchObject([{ kind: 'joined', id }])
    expect(await process.submit({ body: '{"post":0}', isRetry: true, user: 'bob' })).toMatchObject([
      { kind: 'accepted' },
    ])
  })

  it('Redis away: what was asked meanwhile is answered when it is back, and no lease is lost', async () => {
    const down = await RedisServer.start({ appendfsync: 'always' })
    const own = new TestFleet(down.url)
    try {
      await own.host({ leaseMs: 2_500 })
      const process = await own.process()
      const worker = process.worker(1)
      const id = await process.accepted()
      await eventually(() => expect(worker.taken.length).toBe(1))
      await down.kill()
      const submitting = process.accepted()
      await new Promise((passed) => setTimeout(passed, 4_000))
      await down.restart()
      const later = await submitting
      expect(worker.heard).toEqual([`leased ${id} 1`])
      expect(await process.work.finish(worker.taken[0], DONE)).toEqual({ kind: 'ended', state: 'done' })
      await eventually(() => expect(worker.taken.at(-1)?.job.id).toBe(later))
      await eventually(() => expect(own.facts).toContainEqual(expect.objectContaining({ code: 'commits_missing' })))
    } finally {
      await own.close()
      await down.remove()
    }
  })

  it('one that hears nobody, as its connections are silent and not yet dead, takes no lease from anybody', async ({
    fleet,
  }) => {
    const proxy = await FaultProxy.start(redis.port)
    await fleet.host({ leaseMs: 3_500 }, proxy.url)
    const process = await fleet.process()
    const worker = process.worker(1)
    const id = await process.accepted()
    await eventually(() => expect(worker.taken.length).toBe(1))
    const beats = setInterval(() => worker.attachment.heartbeat(), 300)
    // Shorter than it takes to notice that a connection is dead
    proxy.stall()
    await new Promise((passed) => setTimeout(passed, 4_500))
    proxy.heal()
    await process.settled()
    clearInterval(beats)
    expect(worker.heard).toEqual([`leased ${id} 1`])
    expect(await process.work.finish(worker.taken[0], DONE)).toEqual({ kind: 'ended', state: 'done' })
    await proxy.close()
  })

  it('a store that lost its last commits is not believed to have them: the coordinator begins anew', async ({
    fleet,
  }) => {
    const host = await fleet.host()
    const process = await fleet.process()
    const { commands, names } = process.ground
    const kept = await process.accepted()
    const [fence, live] = [await commands.client.get(names.fence()), await commands.client.hgetall(names.live())]
    const lost = await process.accepted()
    // As a fail-over would leave it
    await commands.client.set(names.fence(), fence!)
    await commands.client.del(names.live())
    await commands.client.hset(names.live(), live)
    await process.accepted()
    expect(host.isActing).toBe(true)
    const looked = await process.ground.bus.ask({ type: 'look', ids: [kept, lost] })
    expect(looked.map(({ id }) => id)).toEqual([kept])
  })

  it('S2: the last reader leaves at one gateway, and another one comes back at a second', async ({ fleet }) => {
    // Time enough for a busy machine to bring its news of readers
    await fleet.host({ rules: { disconnectGraceMs: 3_000 } })
    const [a, b] = [await fleet.process(), await fleet.process()]
    const cancels = { options: { onDisconnect: 'cancel' } } as const
    const [back, gone, died] = [await a.accepted(cancels), await a.accepted(cancels), await b.accepted(cancels)]
    for (const id of [back, gone]) await a.ground.bus.ask({ type: 'reading', id, here: false })
    await b.ground.bus.ask({ type: 'reading', id: back, here: true })
    b.kill()
    const c = await fleet.process()
    await c.ground.bus.ask({ type: 'reading', id: back, here: true })
    await eventually(async () => {
      const looked = await c.ground.bus.ask({ type: 'look', ids: [back, gone, died] })
      expect(looked.map(({ id }) => id)).toEqual([back])
    })
  })

  it('in a thread of its own: it coordinates, tells what it did, and hands over at its stop', async ({ fleet }) => {
    const first = await fleet.thread()
    const process = await fleet.process()
    const worker = process.worker(1)
    await process.accepted()
    await eventually(() => expect(worker.taken.length).toBe(1))
    expect(first.isActing).toBe(true)
    await process.work.finish(worker.taken[0], DONE)
    const second = await fleet.host()
    await first.stop()
    expect(fleet.chores).toEqual(['start', 'stop'])
    await process.accepted()
    expect(second.isActing).toBe(true)
    // The answer to a submit may come before the lease that shares its commit is told
    const types = (): readonly string[] => fleet.facts.map(({ type }) => type)
    await eventually(() => expect(types()).toEqual(['job-leased', 'job-ended', 'job-leased']))
  })

  it('a thread that dies is followed by another one; one that can not start says why', async ({ fleet }) => {
    await expect(fleet.thread('broken')).rejects.toThrow('these options are broken')
    const host = await fleet.thread()
    const process = await fleet.process()
    await process.accepted()
    host.configure([], { fatal: true })
    await eventually(() => expect(fleet.facts.some(({ type }) => type === 'store-degraded')).toBe(true))
    await process.accepted()
  })

  it('health tells a Redis that is away from a fleet that nobody coordinates', async ({ fleet }) => {
    const proxy = await FaultProxy.start(redis.port)
    const host = await fleet.host()
    const process = await fleet.process(proxy.url)
    const health = new Health(process.ground)
    health.begin()
    const message = (): string => {
      const now = health.read()
      return now.ok ? 'ok' : now.error.message
    }
    await process.accepted()
    expect(message()).toBe('ok')
    proxy.cut()
    await eventually(() => expect(message()).toMatch('Redis cannot be reached'))
    proxy.heal()
    await eventually(() => expect(message()).toBe('ok'))
    await host.stop()
    await eventually(() => expect(message()).toMatch('No process coordinates'))
    await fleet.host()
    await eventually(() => expect(message()).toBe('ok'))
    health.close()
    await proxy.close()
  })

  it('coordinators die again and again under load: every accepted job ends once, lanes keep their order', async ({
    fleet,
  }) => {
    const proxy = await FaultProxy.start(redis.port)
    let hosts = [await fleet.host(), await fleet.host({}, proxy.url)]
    const [gateway, other] = [await fleet.process(), await fleet.process(proxy.url)]
    const ends = new Map<string, number>()
    const finishes: Array<Promise<void>> = []
    const lanes = new Map<string, string[]>()
    for (const process of [gateway, other]) {
      const worker = process.worker(8)
      const { leased } = worker
      worker.leased = (leases) => {
        leased.call(worker, leases)
        for (const lease of leases)
          finishes.push(
            process.work.finish(lease, DONE).then(({ kind }) => {
              if (kind === 'ended') ends.set(lease.job.id, (ends.get(lease.job.id) ?? 0) + 1)
            }),
          )
      }
    }
    const accepted: string[] = []
    let isOver = false
    const load = Array.from({ length: 8 }, async (_, n) => {
      const lane = `l${n}`
      const order: string[] = []
      lanes.set(lane, order)
      while (!isOver) {
        const id = await gateway.accepted({ options: { lane } })
        order.push(id)
        accepted.push(id)
      }
    })
    for (let round = 0; round < 6; round++) {
      await new Promise((passed) => setTimeout(passed, 400))
      if (round % 3 === 2) proxy.drop()
      else {
        const acting = hosts.find(({ isActing }) => isActing) ?? hosts[0]
        acting.kill()
        hosts = [...hosts.filter((host) => host !== acting), await fleet.host()]
      }
    }
    await eventually(() => expect(accepted.length).toBeGreaterThan(50))
    isOver = true
    await Promise.all(load)
    const ended = async (): Promise<number> => {
      await gateway.ground.scripts.run('jobs-file', [])
      return gateway.ground.commands.client.zcard(gateway.ground.names.jobs())
    }
    await eventually(async () => expect(await ended()).toBe(accepted.length))
    await Promise.all(finishes)
    expect([...ends.values()].every((times) => times === 1)).toBe(true)
    expect(ends.size).toBe(accepted.length)
    const seqs = new Map<string, number>()
    for (const [i, fact] of fleet.facts.entries()) if (fact.type === 'job-ended') seqs.set(fact.job, i)
    for (const order of lanes.values()) {
      const at = order.flatMap((id) => seqs.get(id) ?? [])
      expect(at).toEqual(at.toSorted((a, b) => a - b))
    }
    await proxy.close()
  })

  it('an engine runs it in a thread, as a server does', async ({ fleet }) => {
    const { engine } = await openRedis({
      redis: { url: redis.url, prefix: 'threaded' },
      durability: 'process',
      allowDataLoss: false,
      coordinator: { module: new URL('./decisions.ts', import.meta.url).href, options: () => ({}) },
      clock: systemClock,
      ids: systemIds(),
      wheel: new Wheel(systemClock),
      retention: {
        logsMs: 60_000,
        bytes: 1 << 30,
        atLeastMs: 0,
        usageMs: 86_400_000,
        usageBytes: 1 << 30,
        conversations: UNLIMITED,
        tenant: () => null,
      },
      joinAfterEndMs: 60_000,
      disconnectGraceMs: 15_000,
      onFact: (fact) => fleet.facts.push(fact),
    })
    try {
      await engine.restore()
      expect(engine.health()).toEqual({ ok: true })
      const job = await runJob(engine, new TestWorker(engine))
      expect((await engine.jobs.get(job.id))?.state).toBe('done')
    } finally {
      await engine.close()
    }
  })
})

/** The next message of this type to this process is lost; resolves when it was. */
function loseMail({ ground: { subscriber } }: TestProcess, type: string): Promise<void> {
  const { client } = subscriber
  const emit = client.emit.bind(client)
  const lost = Promise.withResolvers<void>()
  let isLost = false
  client.emit = (event: string, ...args: unknown[]) => {
    if (event !== 'messageBuffer' || isLost || !String(args[1]).includes(`"type":"${type}"`))
      return emit(event, ...args)
    isLost = true
    lost.resolve()
    return true
  }
  return lost.promise
}
