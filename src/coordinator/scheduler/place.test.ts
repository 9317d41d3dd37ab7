/** Jobs' places, when they may start, and what is refused because of that. */
import { expect, it } from 'vitest'
import type { Scheduler } from './port.ts'
import { createScheduler } from './scheduler.ts'
import { done, job, OPTIONS, setUp } from './testing/jobs.ts'
import { simulate } from './testing/simulate.ts'

/**
 * Measured: 4 slots of 50 tokens a second, 100 + 100 tokens a job, so 0.4 tokens a ms. Nothing is left in line or
 * running.
 */
function measured(scheduler: Scheduler): number {
  const sim = simulate(
    scheduler,
    [{ tenant: 'warm', promptTokens: 100, outputTokens: 100, backlog: (now) => (now < 30_000 ? 10 : 0) }],
    4,
    50,
  )
  sim.run(60_000)
  expect(scheduler.depth()).toEqual({ queued: 0, delayed: 0, waiting: 0, leased: 0 })
  return sim.now
}

it('knows the rank in a lane and in a tenant exactly', () => {
  const { scheduler, submit, lease } = setUp()
  for (let i = 1; i <= 3; i++) submit(0, job(`l${i}`, { lane: 'l' }))
  for (let i = 1; i <= 600; i++) submit(0, job(`p${i}`))
  submit(0, job('first', { priority: 'high' }), job('last', { priority: 'low' }))
  const position = (id: string) => scheduler.place(id, 0)?.position
  expect(['l1', 'l2', 'l3'].map(position)).toEqual([1, 2, 3])
  expect(['first', 'p1', 'p600', 'last'].map(position)).toEqual([1, 3, 602, 603])
  scheduler.cancel('p300', 0)
  expect(['p299', 'p301', 'p600'].map(position)).toEqual([301, 302, 601])
  expect(lease(0, 2)).toEqual(['first', 'l1'])
  // A running head is not before anybody; the running, the ended and the unknown have no place
  expect(['l2', 'l3', 'p1', 'l1', 'p300', 'nobody'].map(position)).toEqual([1, 2, 1, undefined, undefined, undefined])
})

it('counts the work before a job: its own tenant first, and what the others are due until then', () => {
  const { scheduler, submit } = setUp()
  for (let i = 0; i < 10; i++) submit(0, job(`a${i}`), job(`b${i}`, { tenant: 'b' }))
  for (let i = 0; i < 3; i++) submit(0, job(`c${i}`, { tenant: 'c', promptTokens: 10 }))
  expect(scheduler.place('a0', 0)).toEqual({ position: 1, tokensAhead: 0 })
  // 900 of its own, 900 of b, all 30 of c
  expect(scheduler.place('a9', 0)).toEqual({ position: 10, tokensAhead: 1_830 })
  expect(scheduler.place('c2', 0)).toEqual({ position: 3, tokensAhead: 60 })
})

it('counts the work of a thousand tenants by a sample of them', () => {
  const { scheduler, submit } = setUp()
  for (let i = 0; i < 1_000; i++) for (const n of [1, 2]) submit(0, job(`t${i}.${n}`, { tenant: `t${i}` }))
  expect(scheduler.place('t500.2', 0)!.tokensAhead / 100_000).toBeCloseTo(1, 1)
})

it('tells what waits of each model, and how long all of it takes at the speed of late', () => {
  const scheduler = createScheduler(OPTIONS)
  const start = measured(scheduler)
  for (let i = 0; i < 60; i++) scheduler.submit(job(`${i}`, { promptTokens: 100 }), start)
  scheduler.submit(job('other', { model: 'other', promptTokens: 7 }), start)
  const [warm, other] = scheduler.backlog()
  expect(warm).toMatchObject({ jobs: 60, tokens: 12_000 })
  // Those before it, and itself
  const last = scheduler.place('59', start)!.etaMs!
  expect(warm.waitMs! / last).toBeGreaterThan(0.95)
  expect(warm.waitMs! / last).toBeLessThan(1.1)
  expect(other).toMatchObject({ model: 'other', jobs: 1, tokens: 7, waitMs: null })
})

it('says nothing of time before anything was measured', () => {
  const { scheduler, submit } = setUp()
  submit(0, job('1'))
  expect(scheduler.place('1', 0)).not.toHaveProperty('etaMs')
})

it('foresees the start of a job within a quarter', () => {
  const scheduler = createScheduler(OPTIONS)
  const start = measured(scheduler)
  for (let i = 0; i < 60; i++)
    for (const tenant of ['a', 'b']) scheduler.submit(job(`${tenant}${i}`, { tenant, promptTokens: 100 }), start)
  const foreseen = scheduler.place('a50', start)!.etaMs!
  let leasedMono = 0
  const running: Array<{ readonly id: string; readonly attempt: number; readonly until: number }> = []
  for (let now = start; leasedMono === 0; now += 100) {
    for (const [i, run] of [...running.entries()].reverse()) {
      if (run.until > now) continue
      scheduler.finish(run.id, run.attempt, done(100, 100), now)
      running.splice(i, 1)
    }
    for (const lease of scheduler.lease('w', [], 4 - running.length, () => null, now)) {
      running.push({ ...lease, until: now + 2_000 })
      if (lease.id === 'a50') leasedMono = now
    }
    scheduler.heartbeat('w', now)
  }
  expect(foreseen / (leasedMono - start)).toBeGreaterThan(0.75)
  expect(foreseen / (leasedMono - start)).toBeLessThan(1.25)
})

it('foresees a lane by the time its jobs take', () => {
  const scheduler = createScheduler(OPTIONS)
  const start = measured(scheduler)
  for (let i = 0; i < 5; i++) scheduler.submit(job(`${i}`, { lane: 'l' }), start)
  scheduler.lease('w', [], 1, () => null, start)
  // The running one has taken half its time, two more are ahead of it: 2 s each
  expect(scheduler.place('3', start + 1_000)!.etaMs).toBeGreaterThan(4_500)
  expect(scheduler.place('3', start + 1_000)!.etaMs).toBeLessThan(5_500)
})

it('gives no time to what is paused, and none before its own to what is delayed', () => {
  const scheduler = createScheduler(OPTIONS)
  const start = measured(scheduler)
  scheduler.submit(job('paused', { tenant: 'p' }), start)
  scheduler.submit(job('later', { notBeforeMono: start + 7_000 }), start)
  scheduler.pause({ tenant: 'p' })
  expect(scheduler.place('paused', start)).not.toHaveProperty('etaMs')
  expect(scheduler.place('later', start)!.etaMs).toBe(7_000)
})

// ---------------------------------------------------------------- caps

it.each([
  ['of all', { maxQueuedJobs: 2 }, { tenant: 'x', lane: null }],
  ['of a tenant', { maxQueuedPerTenant: 2 }, { lane: null }],
  ['of a lane', { maxQueuedPerLane: 2 }, {}],
  ['in bytes of a tenant', { maxQueuedBytesPerTenant: 1_100 }, { lane: null }],
])('refuses what is over the cap %s; what runs is not in line', (_what, caps, more) => {
  const { scheduler, submit, lease } = setUp(caps)
  expect(submit(0, job('1', { lane: 'l' }), job('2', { lane: 'l' }))).toEqual(['accepted', 'accepted'])
  expect(scheduler.submit(job('3', { lane: 'l', ...more }), 0)).toMatchObject({
    kind: 'refused',
    error: { code: 'queue_full', retryAfterMs: undefined },
  })
  expect(scheduler.state('3')).toBeNull()
  expect(lease()).toEqual(['1'])
  expect(submit(0, job('3', { lane: 'l', ...more }))).toEqual(['accepted'])
})

it('takes what has waited in a broker into a full lane: all that waits behind it there would wait with it', () => {
  const { submit } = setUp({ maxQueuedPerLane: 1, maxQueuedPerTenant: 3 })
  const come = { lane: 'l', hasWaited: true } as const
  expect(submit(0, job('1', come), job('2', come), job('3', { lane: 'l' }), job('4', come), job('5', come))).toEqual([
    'accepted',
    'accepted',
    'refused',
    'accepted',
    'refused',
  ])
})

it('leaves other tenants and lanes alone when one is full', () => {
  const { submit } = setUp({ maxQueuedPerTenant: 2, maxQueuedPerLane: 1 })
  expect(submit(0, job('1', { lane: 'l' }), job('2', { lane: 'm' }), job('3', { tenant: 'b', lane: 'n' }))).toEqual([
    'accepted',
    'accepted',
    'accepted',
  ])
})

it('says when to come back, by what it has measured', () => {
  const scheduler = createScheduler({ ...OPTIONS, maxQueuedJobs: 200 })
  const start = measured(scheduler)
  for (let i = 0; i < 200; i++) scheduler.submit(job(`${i}`), start)
  // 200 jobs of 200 tokens at 0.4 a ms are 100 s; a tenth of it
  const refused = scheduler.submit(job('one more'), start)
  expect(refused).toMatchObject({ kind: 'refused', error: { code: 'queue_full' } })
  const { retryAfterMs } = (refused as { error: { retryAfterMs: number } }).error
  expect(retryAfterMs).toBeGreaterThan(7_500)
  expect(retryAfterMs).toBeLessThan(12_500)
})

// ---------------------------------------------------------------- deadlines

it('refuses nothing for its deadline on a guess', () => {
  const { submit } = setUp()
  for (let i = 0; i < 5_000; i++) expect(submit(0, job(`${i}`, { deadlineMono: 10 }))).toEqual(['accepted'])
})

it(
  'refuses what could not start before its deadline, once it knows; by the fair order, not by the length of the ' +
    'line',
  () => {
    const scheduler = createScheduler(OPTIONS)
    const start = measured(scheduler)
    const submit = (id: string, tenant: string, more = {}) =>
      scheduler.submit(job(id, { tenant, deadlineMono: start + 10_000, ...more }), start)
    let taken = 0
    while (submit(`a${taken}`, 'a').kind === 'accepted') taken++
    // 10 s x 0.4 tokens a ms ÷ 200 tokens a job
    expect(taken).toBeGreaterThan(15)
    expect(taken).toBeLessThan(25)
    expect(submit('late', 'a')).toMatchObject({ error: { code: 'deadline_unreachable' } })
    expect((submit('late', 'a') as { error: { retryAfterMs: number } }).error.retryAfterMs).toBeGreaterThanOrEqual(250)
    expect(submit('b', 'b').kind).toBe('accepted')
    expect(submit('urgent', 'a', { priority: 'high' }).kind).toBe('accepted')
    expect(submit('patient', 'a', { deadlineMono: start + 60_000 }).kind).toBe('accepted')
  },
)

it('refuses nothing that starts at once, whatever the provider reports of its prompts', () => {
  const scheduler = createScheduler(OPTIONS)
  let now = 0
  let n = 0
  // Bursts of four clients for one slot, and a pause after each
  function burst(promptTokens: number): void {
    const submit = () => scheduler.submit(job(`${++n}`, { promptTokens, deadlineMono: now + 60_000 }), now).kind
    const lease = () => scheduler.lease('w', [], 1, () => null, now)[0]
    const finish = ({ id, attempt }: ReturnType<typeof lease>) => {
      now += 130
      scheduler.finish(id, attempt, done(10, 20), now)
    }
    expect(submit()).toBe('accepted')
    let running = lease()
    now += 1
    expect([submit(), submit(), submit()]).toEqual(['accepted', 'accepted', 'accepted'])
    for (let i = 0; i < 3; i++) {
      finish(running)
      running = lease()
    }
    finish(running)
    now += 1_000
  }
  for (let i = 0; i < 50; i++) burst(10)
  for (let i = 0; i < 200; i++) burst(600)
})

it('learns nothing of how fast it is from an outage, in which nothing ran', () => {
  const scheduler = createScheduler(OPTIONS)
  let now = 0
  let n = 0
  const submit = () => scheduler.submit(job(`${++n}`, { promptTokens: 1_000, deadlineMono: now + 60_000 }), now).kind
  function serve(): void {
    const [{ id, attempt }] = scheduler.lease('w', [], 1, () => null, now)
    now += 300
    scheduler.finish(id, attempt, done(1_000, 20), now)
  }
  for (let i = 0; i < 20; i++) {
    submit()
    serve()
  }
  submit()
  submit()
  // Nothing may start for 30 s
  for (let i = 0; i < 30; i++) {
    expect(scheduler.lease('w', [], 4_096, () => ({ scope: 'model' }), now)).toEqual([])
    now += 1_000
  }
  serve()
  serve()
  now += 60_000
  expect(Array.from({ length: 40 }, submit)).toEqual(Array(40).fill('accepted'))
})

it('refuses nothing for its deadline that could start at once, however slow the work of late was', () => {
  let free = 100
  const scheduler = createScheduler({ ...OPTIONS, free: () => free })
  const now = measured(scheduler)
  const submit = (i: number) => scheduler.submit(job(`${i}`, { deadlineMono: now + 1_000 }), now).kind
  expect(Array.from({ length: 100 }, (_, i) => submit(i))).toEqual(Array(100).fill('accepted'))
  expect(submit(100)).toBe('refused')
  free = 102
  expect(submit(101)).toBe('accepted')
})

it('refuses what its lane could not begin in time', () => {
  const scheduler = createScheduler(OPTIONS)
  const start = measured(scheduler)
  const kinds = Array.from(
    { length: 10 },
    (_, i) => scheduler.submit(job(`${i}`, { lane: 'l', deadlineMono: start + 9_000 }), start).kind,
  )
  // Each takes 2 s
  expect(kinds.filter((kind) => kind === 'accepted').length).toBe(5)
})

it('at twice the load it can hold, serves what it can hold and refuses the rest at once', () => {
  const scheduler = createScheduler(OPTIONS)
  let now = measured(scheduler)
  const count = { offered: 0, refused: 0, served: 0, expired: 0 }
  const running: Array<{ readonly id: string; readonly attempt: number; readonly until: number }> = []
  const end = now + 300_000
  for (; now < end; now += 100) {
    // 2 jobs a second is what 4 slots of 2 s hold
    for (let i = 0; i < (now % 1_000 < 400 ? 1 : 0); i++) {
      count.offered++
      if (scheduler.submit(job(`${now}.${i}`, { deadlineMono: now + 20_000 }), now).kind === 'refused') count.refused++
    }
    for (const [i, run] of [...running.entries()].reverse()) {
      if (run.until > now) continue
      scheduler.finish(run.id, run.attempt, done(100, 100), now)
      running.splice(i, 1)
      count.served++
    }
    for (const lease of scheduler.lease('w', [], 4 - running.length, () => null, now))
      running.push({ ...lease, until: now + 2_000 })
    scheduler.heartbeat('w', now)
    count.expired += scheduler.drain().filter((event) => event.type === 'ended').length
  }
  expect(count.served).toBeGreaterThan(2 * 300 * 0.95)
  expect(count.refused).toBeGreaterThan(count.offered * 0.35)
  expect(count.expired).toBeLessThan(count.offered * 0.08)
})
