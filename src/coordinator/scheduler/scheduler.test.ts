/**
 * One example a rule. Order over tenants: fairness.test.ts; places and refusals: place.test.ts; all together:
 * reference.test.ts.
 */
import { expect, it } from 'vitest'
import type { ScheduledJob } from '../../core/ports/coordinator.ts'
import { done, failed, job, OPTIONS, setUp, yes } from './testing/jobs.ts'

const inLane = (id: string, more: Partial<ScheduledJob> = {}): ScheduledJob => job(id, { lane: 'chat', ...more })

// ---------------------------------------------------------------- lanes

it('runs a lane in order, one at a time, and jobs without a lane side by side', () => {
  const { scheduler, submit, lease } = setUp()
  submit(0, inLane('1'), inLane('2'), job('x'), job('y'))
  expect(lease(0, 10)).toEqual(['1', 'x', 'y'])
  expect(lease(0, 10)).toEqual([])
  scheduler.finish('1', 1, done(), 1)
  expect(lease(1, 10)).toEqual(['2'])
})

it('keeps a lane waiting while its head is retried', () => {
  const { scheduler, submit, lease } = setUp()
  submit(0, inLane('1'), inLane('2'))
  expect(lease()).toEqual(['1'])
  expect(scheduler.finish('1', 1, failed(), 1_000)).toEqual({ kind: 'again', notBeforeMono: 1_100 })
  expect(scheduler.state('1')).toBe('delayed')
  expect(lease(1_099, 10)).toEqual([])
  expect(scheduler.nextAt()).toBe(1_100)
  expect(lease(1_100, 10)).toEqual(['1'])
})

it('keeps a lane waiting while its head is not due yet', () => {
  const { submit, lease } = setUp()
  submit(0, inLane('1', { notBeforeMono: 500 }), inLane('2'))
  expect(lease(499, 10)).toEqual([])
  expect(lease(500, 10)).toEqual(['1'])
})

it.each(['done', 'failed', 'canceled', 'expired'])('goes on with a lane whose head is %s', (how) => {
  const { scheduler, submit, lease } = setUp()
  submit(0, inLane('1', { deadlineMono: 100 }), inLane('2'), inLane('3'))
  if (how === 'expired') scheduler.tick(100)
  else if (how === 'canceled') scheduler.cancel('1', 0)
  else {
    lease()
    scheduler.finish('1', 1, how === 'done' ? done() : failed(false), 1)
  }
  expect(lease(100, 10)).toEqual(['2'])
})

it('takes a canceled job out of the middle of a lane', () => {
  const { scheduler, submit, lease } = setUp()
  submit(0, inLane('1'), inLane('2'), inLane('3'))
  scheduler.cancel('2', 0)
  lease()
  scheduler.finish('1', 1, done(), 1)
  expect(lease(1, 10)).toEqual(['3'])
})

it('lets the lanes of a tenant take turns', () => {
  const { scheduler, submit, lease } = setUp()
  for (const i of [1, 2, 3]) submit(0, job(`p${i}`, { lane: 'p' }))
  for (const i of [1, 2, 3]) submit(0, job(`q${i}`, { lane: 'q' }))
  const order: string[] = []
  for (let now = 0; now < 6; now++) {
    const [id] = lease(now)
    order.push(id)
    scheduler.finish(id, 1, done(), now)
  }
  expect(order).toEqual(['p1', 'q1', 'p2', 'q2', 'p3', 'q3'])
})

// ---------------------------------------------------------------- priority

it('serves better classes first, and yet every eighth lease takes the oldest', () => {
  const { submit, lease } = setUp()
  submit(0, job('low', { priority: 'low' }))
  for (let i = 1; i <= 20; i++) submit(0, job(`high${i}`, { priority: 'high' }))
  const order = lease(0, 10)
  expect(order.slice(0, 7)).toEqual([1, 2, 3, 4, 5, 6, 7].map((i) => `high${i}`))
  expect(order[7]).toBe('low')
  expect(order[8]).toBe('high8')
})

it('buys nothing from another tenant by priority', () => {
  const { submit, lease } = setUp()
  for (let i = 0; i < 4; i++)
    submit(0, job(`a${i}`, { priority: 'high' }), job(`b${i}`, { tenant: 'b', priority: 'low' }))
  expect(lease(0, 4).map((id) => id[0])).toEqual(['a', 'b', 'a', 'b'])
})

it("lets a tenant's models take turns", () => {
  const { submit, lease } = setUp()
  for (let i = 0; i < 3; i++) submit(0, job(`p${i}`, { model: 'p' }))
  for (let i = 0; i < 3; i++) submit(0, job(`q${i}`, { model: 'q' }))
  expect(lease(0, 6)).toEqual(['p0', 'q0', 'p1', 'q1', 'p2', 'q2'])
})

// ---------------------------------------------------------------- pools and headroom

it('gives a worker only its pools; none named means all', () => {
  const { scheduler, submit, lease } = setUp()
  submit(0, job('1', { pool: 'image' }), job('2'))
  expect(scheduler.lease('w', ['text'], 10, yes, 0).map((l) => l.id)).toEqual(['2'])
  expect(lease(0, 10)).toEqual(['1'])
})

it('passes over a model without headroom after one question, and serves what stands behind it', () => {
  const { scheduler, submit, lease } = setUp()
  for (let i = 0; i < 1_000; i++) submit(0, job(`busy${i}`, { model: 'busy', priority: 'high' }))
  submit(0, job('free', { model: 'free', priority: 'low' }))
  let asked = 0
  const headroom = ({ model }: ScheduledJob) => {
    asked++
    return model === 'busy' ? ({ scope: 'model' } as const) : null
  }
  expect(lease(0, 10, headroom)).toEqual(['free'])
  expect(asked).toBe(2)
  expect(scheduler.state('busy0')).toBe('waiting')
  expect(scheduler.depth()).toEqual({ queued: 999, delayed: 0, waiting: 1, leased: 1 })
  expect(lease(0, 2)).toEqual(['busy0', 'busy1'])
})

it('passes over a tenant without headroom, and over a single job', () => {
  const { submit, lease } = setUp()
  submit(
    0,
    job('a1'),
    job('a2', { model: 'other' }),
    job('b1', { tenant: 'b' }),
    job('b2', { tenant: 'b' }),
    job('b3', { tenant: 'b' }),
  )
  const asked: string[] = []
  const got = lease(0, 10, ({ id, tenant }) => {
    asked.push(id)
    return tenant === 'a' ? { scope: 'tenant' } : id === 'b1' ? { scope: 'job' } : null
  })
  expect(got).toEqual(['b2', 'b3'])
  expect(asked).toEqual(['a1', 'b1', 'b2', 'b3'])
  // All have kept their places
  expect(lease(0, 10)).toEqual(['a1', 'a2', 'b1'])
})

it('asks again at the next call: a refusal is not remembered', () => {
  const { submit, lease } = setUp()
  submit(0, job('1'))
  for (const scope of ['model', 'tenant', 'job'] as const) expect(lease(0, 1, () => ({ scope }))).toEqual([])
  expect(lease()).toEqual(['1'])
})

// ---------------------------------------------------------------- time

it('ends a job that was not leased before its deadline; a retry does not expire', () => {
  const { scheduler, submit, lease, events } = setUp()
  submit(0, job('1', { deadlineMono: 1_000 }), job('2', { deadlineMono: 1_000 }))
  expect(lease()).toEqual(['1'])
  expect(scheduler.nextAt()).toBe(1_000)
  expect(lease(1_000, 10)).toEqual([])
  expect(events('ended')).toMatchObject([{ id: '2', state: 'expired', error: { code: 'deadline_exceeded' } }])
  scheduler.finish('1', 1, failed(), 1_001)
  expect(lease(2_000)).toEqual(['1'])
})

it('serves jobs that become due together in the order they came', () => {
  const { submit, lease } = setUp()
  for (let i = 0; i < 20; i++) submit(0, job(`${i}`, { notBeforeMono: 100 }))
  expect(lease(100, 20)).toEqual(Array.from({ length: 20 }, (_, i) => `${i}`))
})

it('announces each pool once a drain, whenever something becomes leasable', () => {
  const { scheduler, submit, lease, events } = setUp()
  submit(0, inLane('1'), inLane('2'), job('x', { pool: 'image', notBeforeMono: 50 }))
  expect(events()).toEqual([{ type: 'ready', pool: 'text' }])
  scheduler.tick(50)
  expect(events()).toEqual([{ type: 'ready', pool: 'image' }])
  lease(50, 10)
  expect(events()).toEqual([])
  scheduler.finish('1', 1, done(), 51)
  expect(events()).toEqual([{ type: 'ready', pool: 'text' }])
})

// ---------------------------------------------------------------- leases

it('keeps a lease by heartbeats, and gives the job to the next worker when they stop', () => {
  const { scheduler, submit, lease, events } = setUp()
  submit(0, job('1'), job('2'))
  lease(0, 2)
  scheduler.drain()
  scheduler.heartbeat('w', 20_000)
  expect(scheduler.nextAt()).toBe(50_000)
  scheduler.tick(49_999)
  expect(events()).toEqual([])
  scheduler.tick(50_000)
  expect(events()).toEqual([
    { type: 'revoked', id: '2', worker: 'w', attempt: 1, reason: 'lost' },
    { type: 'delayed', id: '2', notBeforeMono: 50_000 },
    { type: 'revoked', id: '1', worker: 'w', attempt: 1, reason: 'lost' },
    { type: 'delayed', id: '1', notBeforeMono: 50_000 },
    { type: 'ready', pool: 'text' },
  ])
  expect(scheduler.lease('v', [], 9, yes, 50_000)).toEqual([
    { id: '1', attempt: 2, crashes: 0 },
    { id: '2', attempt: 2, crashes: 0 },
  ])
  expect(scheduler.tally('1')).toEqual({ attempts: 2, fails: 0, deaths: 1, crashes: 0, ranMs: 50_000, ttftMs: null })
})

it('does not prolong a lease by taking another', () => {
  const { scheduler, submit, lease } = setUp()
  submit(0, job('1'), job('2'))
  lease(0)
  lease(20_000)
  scheduler.tick(30_000)
  expect([scheduler.state('1'), scheduler.state('2')]).toEqual(['queued', 'leased'])
  expect(scheduler.nextAt()).toBe(50_000)
})

it('puts what a dead worker held at the head of its lane and before all else of its tenant', () => {
  const { scheduler, submit, lease } = setUp()
  submit(0, inLane('1'), inLane('2'), job('x'), job('y'))
  expect(lease(0, 2)).toEqual(['1', 'x'])
  scheduler.lose('w', 10)
  expect(lease(10, 10)).toEqual(['1', 'x', 'y'])
})

it('gives a job up when workers die of it again and again', () => {
  const { scheduler, submit, lease, events } = setUp({ maxCrashes: 2 })
  submit(0, job('1'))
  for (const now of [1, 2, 3]) {
    expect(lease(now)).toEqual(['1'])
    scheduler.lose('w', now)
  }
  expect(events('ended')).toMatchObject([{ id: '1', state: 'failed', error: { code: 'poison_job' } }])
  expect(scheduler.state('1')).toBeNull()
})

/**
 * Runs all that may run until the process dies, again and again; `killer` kills it whenever it runs. Returns who was
 * given up.
 */
function deaths(innocents: number, killer: string, maxCrashes: number, rounds: number) {
  const { scheduler, submit, lease, events } = setUp({ maxCrashes })
  let made = 0
  const poisoned: string[] = []
  const finished: string[] = []
  submit(0, ...Array.from({ length: innocents }, () => job(`innocent ${made++}`)), job(killer))
  let died = 0
  for (let now = 0; now < rounds; now++) {
    const running = lease(now, 1_000)
    if (running.includes(killer)) {
      died++
      scheduler.lose('w', now)
    } else
      for (const id of running) {
        scheduler.finish(id, scheduler.tally(id)!.attempts, done(), now)
        finished.push(id)
      }
    // There are always others that run beside it
    submit(now, ...Array.from({ length: innocents }, () => job(`innocent ${made++}`)))
    for (const event of events('ended')) poisoned.push((event as { id: string }).id)
  }
  return { died, poisoned, finished }
}

it.each([0, 1, 2, 5])('finds the one that kills its worker among 50 that run beside it (max_crashes %i)', (max) => {
  const { died, poisoned, finished } = deaths(50, 'killer', max, 200)
  expect(poisoned).toEqual(['killer'])
  expect(died).toBe(Math.max(2, 2 * max + 1))
  expect(finished.length).toBeGreaterThan(1_000)
})

it('blames no one for a death that many shared; suspects then run one at a time, beside the others', () => {
  const { scheduler, submit, lease, events } = setUp({ maxCrashes: 2 })
  submit(0, job('1'), job('2'), job('3'))
  for (const now of [1, 2]) {
    expect(lease(now, 9)).toEqual(['1', '2', '3'])
    scheduler.lose('w', now)
  }
  expect(events('ended')).toEqual([])
  submit(3, job('new'))
  expect(lease(3, 9)).toEqual(['1', 'new'])
  expect(scheduler.state('2')).toBe('waiting')
  expect(lease(3, 9)).toEqual([])
  scheduler.drain()
  scheduler.finish('1', 3, done(), 4)
  expect(events('ready')).toEqual([{ type: 'ready', pool: 'text' }])
  expect(lease(4, 9)).toEqual(['2'])
})

it('blames no lease that ran out alone, while others of its worker had not', () => {
  const { scheduler, submit, lease } = setUp({ maxCrashes: 0 })
  submit(0, job('1'), job('2'))
  lease(0)
  lease(20_000)
  scheduler.tick(30_000)
  expect(scheduler.tally('1')).toMatchObject({ deaths: 1, crashes: 0, ranMs: 30_000, ttftMs: null })
})

it('lets no lease run out for time in which the process did not run', () => {
  const { scheduler, submit, lease, events } = setUp()
  submit(0, job('1'), job('2', { deadlineMono: 100_000 }))
  lease(0)
  scheduler.drain()
  scheduler.woke(400_000)
  scheduler.tick(400_000)
  expect(events('revoked')).toEqual([])
  expect(scheduler.state('1')).toBe('leased')
  expect(scheduler.state('2')).toBeNull()
  scheduler.tick(430_000)
  expect(events('revoked')).toMatchObject([{ id: '1', reason: 'lost' }])
})

it('fences whoever lost its lease', () => {
  const { scheduler, submit, lease } = setUp()
  submit(0, job('1'))
  lease()
  scheduler.lose('w', 1)
  expect(scheduler.finish('1', 1, done(), 1)).toEqual({ kind: 'fenced' })
  lease(2)
  expect(scheduler.finish('1', 1, done(), 3)).toEqual({ kind: 'fenced' })
  expect(scheduler.finish('1', 2, done(), 3)).toEqual({ kind: 'ended', state: 'done' })
  expect(scheduler.finish('1', 2, done(), 3)).toEqual({ kind: 'fenced' })
})

// ---------------------------------------------------------------- retries

it('retries what may be retried, as often as allowed', () => {
  const { scheduler, submit, lease } = setUp({ maxAttempts: 3 })
  submit(0, job('1'))
  let now = 0
  const waits: number[] = []
  for (let attempt = 1; attempt <= 3; attempt++) {
    lease(now)
    const finished = scheduler.finish('1', attempt, failed(), now)
    if (finished.kind !== 'again') {
      expect(finished).toEqual({ kind: 'ended', state: 'failed' })
      break
    }
    waits.push(finished.notBeforeMono - now)
    now = finished.notBeforeMono
  }
  expect(waits).toEqual([100, 200])
})

it('waits as long as the provider asked for', () => {
  const { scheduler, submit, lease } = setUp()
  submit(0, job('1'))
  lease()
  expect(scheduler.finish('1', 1, failed(true, 60_000), 5)).toEqual({ kind: 'again', notBeforeMono: 60_005 })
})

it('does not retry what would fail again', () => {
  const { scheduler, submit, lease } = setUp()
  submit(0, job('1'))
  lease()
  expect(scheduler.finish('1', 1, failed(false), 5)).toEqual({ kind: 'ended', state: 'failed' })
})

it('takes a job back unharmed: no attempt is counted, its number grows', () => {
  const { scheduler, submit, lease } = setUp({ maxAttempts: 1 })
  submit(0, inLane('1'), inLane('2'))
  for (let attempt = 1; attempt <= 5; attempt++) {
    expect(lease(attempt)).toEqual(['1'])
    expect(scheduler.finish('1', attempt, { kind: 'released' }, attempt)).toEqual({
      kind: 'again',
      notBeforeMono: attempt,
    })
    expect(scheduler.state('1')).toBe('queued')
  }
  lease(6)
  expect(scheduler.finish('1', 6, failed(), 7)).toEqual({ kind: 'ended', state: 'failed' })
})

// ---------------------------------------------------------------- cancel

it('ends a job in line at once', () => {
  const { scheduler, submit, events } = setUp()
  submit(0, job('1'), job('2', { notBeforeMono: 100 }))
  expect(scheduler.cancel('1', 0)).toBe('canceled')
  expect(scheduler.cancel('2', 0)).toBe('canceled')
  expect(scheduler.cancel('2', 0)).toBe('unknown')
  expect(events('ended').map((event) => 'id' in event && event.id)).toEqual(['1', '2'])
  expect(scheduler.nextAt()).toBe(Infinity)
})

it('tells the worker of a running one, once', () => {
  const { scheduler, submit, lease, events } = setUp()
  submit(0, job('1'))
  lease()
  scheduler.drain()
  expect([scheduler.cancel('1', 1), scheduler.cancel('1', 2)]).toEqual(['canceling', 'canceling'])
  expect(events()).toEqual([{ type: 'revoked', id: '1', worker: 'w', attempt: 1, reason: 'canceled' }])
})

it.each([
  ['canceled', { kind: 'canceled' } as const, 'canceled'],
  ['a failure that could be retried', failed(), 'canceled'],
  ['handed back', { kind: 'released' } as const, 'canceled'],
  ['done all the same', done(), 'done'],
])('ends one that is being canceled: %s', (_how, outcome, state) => {
  const { scheduler, submit, lease } = setUp()
  submit(0, job('1'))
  lease()
  scheduler.cancel('1', 1)
  expect(scheduler.finish('1', 1, outcome, 2)).toEqual({ kind: 'ended', state })
})

it('ends one that is being canceled when its worker dies', () => {
  const { scheduler, submit, lease, events } = setUp()
  submit(0, job('1'))
  lease()
  scheduler.cancel('1', 1)
  scheduler.tick(30_000)
  expect(events('ended')).toMatchObject([{ id: '1', state: 'canceled', error: { code: 'job_canceled' } }])
})

// ---------------------------------------------------------------- the same job again

it('answers a known idempotency key with its job, or a conflict', () => {
  const { scheduler } = setUp()
  expect(scheduler.submit(job('2'), 0, { id: '1', sameBody: true })).toEqual({ kind: 'joined', id: '1' })
  expect(scheduler.submit(job('2'), 0, { id: '1', sameBody: false })).toMatchObject({
    kind: 'refused',
    error: { code: 'idempotency_conflict' },
  })
  expect(scheduler.state('2')).toBeNull()
})

it("joins an SDK's retry to its job while that lives, and for a while after it ended well", () => {
  const { scheduler, submit, lease } = setUp()
  const retry = (id: string, now: number) => scheduler.submit(job(id, { joinKey: 'k' }), now, undefined, true)
  submit(0, job('1', { joinKey: 'k' }))
  expect(retry('2', 1)).toEqual({ kind: 'joined', id: '1' })
  lease(2)
  expect(retry('2', 3)).toEqual({ kind: 'joined', id: '1' })
  scheduler.finish('1', 1, done(), 10)
  expect(retry('2', 10 + OPTIONS.joinAfterEndMs - 1)).toEqual({ kind: 'joined', id: '1' })
  expect(retry('2', 10 + OPTIONS.joinAfterEndMs)).toEqual({ kind: 'accepted' })
})

it('joins none that failed, was canceled or is being canceled; and only retries join', () => {
  const { scheduler, submit, lease } = setUp()
  const retry = (id: string) => scheduler.submit(job(id, { joinKey: 'k' }), 9, undefined, true).kind
  submit(0, job('1', { joinKey: 'k' }))
  expect(submit(0, job('2', { joinKey: 'k' }))).toEqual(['accepted'])
  expect(lease(0, 2)).toEqual(['1', '2'])
  scheduler.finish('2', 1, failed(false), 1)
  expect(scheduler.submit(job('3', { joinKey: 'k' }), 2, undefined, true)).toEqual({ kind: 'joined', id: '1' })
  scheduler.cancel('1', 3)
  expect(retry('3')).toBe('accepted')
  scheduler.cancel('3', 9)
  expect(retry('4')).toBe('accepted')
})

// ---------------------------------------------------------------- the store's and the operator's

it('withdraws what could not be stored, without a word', () => {
  const { scheduler, submit, lease, events } = setUp()
  submit(0, inLane('1'), inLane('2'))
  scheduler.withdraw('1')
  expect(events('ended')).toEqual([])
  expect(scheduler.state('1')).toBeNull()
  expect(lease(0, 10)).toEqual(['2'])
})

it('restores what a restart found, in order, with its numbers', () => {
  const { scheduler, events } = setUp({ maxCrashes: 2, maxAttempts: 3 })
  scheduler.restore(inLane('1'), { attempts: 2, fails: 0, deaths: 1, crashes: 1, ranMs: 0, ttftMs: null }, 0)
  scheduler.restore(inLane('2'), { attempts: 0, fails: 0, deaths: 0, crashes: 0, ranMs: 0, ttftMs: null }, 0)
  scheduler.restore(job('poison'), { attempts: 3, fails: 0, deaths: 2, crashes: 2, ranMs: 0, ttftMs: null }, 0)
  scheduler.restore(job('tried'), { attempts: 9, fails: 2, deaths: 0, crashes: 0, ranMs: 0, ttftMs: null }, 0)
  scheduler.died(['1', 'poison', 'gone'], 0)
  expect(events('ended')).toMatchObject([{ id: 'poison', error: { code: 'poison_job' } }])
  expect(scheduler.lease('w', [], 9, yes, 0)).toEqual([
    { id: '1', attempt: 3, crashes: 1 },
    { id: 'tried', attempt: 10, crashes: 0 },
  ])
  expect(scheduler.tally('1')).toEqual({ attempts: 3, fails: 0, deaths: 2, crashes: 1, ranMs: 0, ttftMs: null })
  expect(scheduler.finish('tried', 10, failed(), 1)).toEqual({ kind: 'ended', state: 'failed' })
})

it.each([
  { tenant: 'a' },
  { model: 'chat' },
  { lane: 'chat' },
  { tenant: 'a', model: 'chat' },
  { tenant: 'a', lane: 'chat', model: 'chat' },
  {},
])('leases nothing that is paused by %o, and all of it in order afterwards', (selector) => {
  const { scheduler, submit, lease, events } = setUp()
  submit(0, inLane('1'), inLane('2'), job('free', { tenant: 'b', model: 'other' }))
  scheduler.pause(selector)
  scheduler.pause(selector)
  expect(scheduler.paused()).toEqual([selector])
  submit(0, inLane('3'))
  expect(lease(0, 10)).toEqual(Object.keys(selector).length === 0 ? [] : ['free'])
  scheduler.drain()
  scheduler.resume(selector)
  expect(events()).toEqual([{ type: 'ready', pool: 'text' }])
  expect(scheduler.paused()).toEqual([])
  expect(lease(0, 1)).toEqual(['1'])
  scheduler.finish('1', 1, done(), 1)
  expect(lease(1, 10).filter((id) => id !== 'free')).toEqual(['2'])
})

it('stays paused as long as one selector matches', () => {
  const { scheduler, submit, lease } = setUp()
  submit(0, job('1'))
  scheduler.pause({ tenant: 'a' })
  scheduler.pause({ model: 'chat' })
  scheduler.resume({ tenant: 'a' })
  expect(lease()).toEqual([])
  scheduler.resume({ model: 'chat' })
  expect(lease()).toEqual(['1'])
})

it('purges what matches and is not running', () => {
  const { scheduler, submit, lease, events } = setUp()
  submit(0, inLane('1'), inLane('2'), inLane('3'), job('other', { tenant: 'b' }))
  expect(lease(0, 1)).toEqual(['1'])
  expect(scheduler.purge({ lane: 'chat' }, 1)).toEqual(['2', '3'])
  expect(events('ended')).toMatchObject([
    { id: '2', state: 'canceled' },
    { id: '3', state: 'canceled' },
  ])
  expect(lease(1, 10)).toEqual(['other'])
})

it('a job that comes back in line expires too: at its deadline, or after the room that it is given', () => {
  const { scheduler, submit, lease, events } = setUp({ returnRoomMs: 1_000 })
  submit(0, job('early', { deadlineMono: 5_000 }), job('late', { deadlineMono: 5_000 }))
  expect(lease(0, 2)).toEqual(['early', 'late'])
  scheduler.finish('early', 1, { kind: 'released' }, 100)
  scheduler.tick(5_000)
  expect(events('ended')).toMatchObject([{ id: 'early', state: 'expired', error: { code: 'deadline_exceeded' } }])
  // It was running at its deadline
  scheduler.finish('late', 1, failed(true, 2_000), 6_000)
  expect(scheduler.nextAt()).toBe(8_000)
  scheduler.tick(8_999)
  expect(scheduler.state('late')).toBe('queued')
  scheduler.tick(9_000)
  expect(events('ended')).toMatchObject([{ id: 'late', state: 'expired' }])
})

it('a restart gives what had started the same room', () => {
  const { scheduler, events } = setUp({ returnRoomMs: 1_000 })
  const tally = { attempts: 1, fails: 0, deaths: 0, crashes: 0, ranMs: 0, ttftMs: null }
  scheduler.restore(job('started', { deadlineMono: -5_000 }), tally, 100)
  scheduler.restore(job('never', { deadlineMono: -5_000 }), { ...tally, attempts: 0 }, 100)
  scheduler.tick(100)
  expect(events('ended')).toMatchObject([{ id: 'never', state: 'expired' }])
  scheduler.tick(1_100)
  expect(events('ended')).toMatchObject([{ id: 'started', state: 'expired' }])
})

it('a kind that has no room does not hold back the other kind of its model', () => {
  const { submit, lease } = setUp()
  submit(0, job('chat'), job('embedding', { kind: 'embedding' }), job('next'))
  expect(lease(0, 3, ({ kind }) => (kind === 'chat' ? { scope: 'model' } : null))).toEqual(['embedding'])
})

it('adopts a lease that a restart found: the attempt goes on, its lease begins anew, and its lane waits', () => {
  const { scheduler, submit, lease, events } = setUp()
  const tally = { attempts: 2, fails: 1, deaths: 0, crashes: 0, ranMs: 0, ttftMs: 40 }
  scheduler.restore(job('held', { lane: 'l' }), tally, 1_000)
  scheduler.adopt('held', 'other', 1_000)
  submit(1_000, job('next', { lane: 'l' }))
  expect(lease(1_000)).toEqual([])
  expect(scheduler.nextAt()).toBe(31_000)
  expect(scheduler.finish('held', 2, done(), 2_000)).toEqual({ kind: 'ended', state: 'done' })
  expect(lease(2_000)).toEqual(['next'])
  expect(events('ended')).toEqual([])
})
