/** Limits in the coordinator: refused or waiting, held and given back, cut, and what each attempt came to. */
import { describe, expect, it } from 'vitest'
import { SluiceError } from '../core/errors.ts'
import {
  type Amounts,
  type BudgetLimit,
  type Calendar,
  type LevelKind,
  type LevelLimits,
  type LimitSettings,
  NO_LIMITS,
  type RateLimit,
} from '../core/limits.ts'
import type { Change, Coordinator, Decision, Found, PlanDeployment, ScheduledJob } from '../core/ports/coordinator.ts'
import type { Outcome } from '../core/ports/work.ts'
import type { UsageRecord } from '../core/usage-record.ts'
import { type CoordinatorOptions, createCoordinator } from './coordinator.ts'
import { job, OPTIONS } from './scheduler/testing/jobs.ts'

const HOUR_MS = 3_600_000
const calendar: Calendar = (window, now) => {
  const ms = { hour: HOUR_MS, day: 24 * HOUR_MS, month: 720 * HOUR_MS }[window]
  const index = Math.floor(now / ms)
  return { index, endsMono: (index + 1) * ms }
}
const tokens = (burst: number, perSecond = 0.001, more: Partial<RateLimit> = {}): LevelLimits => ({
  rates: [{ unit: 'tokens', burst, perSecond, whenOut: 'debt', oversize: 'refuse', ...more }],
  budgets: [],
  concurrent: null,
})
const requests = (burst: number): LevelLimits => tokens(burst, 0.001, { unit: 'requests' })
const money = (nanoDollars: number, whenOut: BudgetLimit['whenOut'] = 'cut'): LevelLimits => ({
  rates: [],
  budgets: [{ window: 'hour', nanoDollars, whenOut }],
  concurrent: null,
})
const concurrent = (most: number): LevelLimits => ({ rates: [], budgets: [], concurrent: most })

type By = Partial<Record<LevelKind, LevelLimits>>
const settingsOf = (by: By): LimitSettings => ({
  ...NO_LIMITS,
  global: by.global ?? null,
  models: by.model === undefined ? {} : { chat: by.model },
  eachTenant: {
    all: by.tenant ?? null,
    eachUser: by.user ?? null,
    eachRun: by.run ?? null,
    eachKey: by.key ?? null,
    models: by.tenant_model === undefined ? {} : { chat: by.tenant_model },
  },
})
const deployment = (name: string, more: Partial<PlanDeployment> = {}): PlanDeployment => ({
  ...{ name, kinds: ['chat'], upstreamModel: null, concurrent: Infinity, order: 0, revision: name },
  ...more,
})
const MODELS = [{ name: 'chat', deployments: [deployment('a')] }]
const TIMING = { queuedMs: 0, totalMs: 0, attempts: 1 }
const usage = (promptTokens: number, completionTokens: number) => ({ promptTokens, completionTokens, estimated: false })
const done = (promptTokens = 100, completionTokens = 100): Outcome => ({
  kind: 'done',
  usage: usage(promptTokens, completionTokens),
  timing: TIMING,
})
const failed = (more: Partial<Extract<Outcome, { kind: 'failed' }>> = {}): Outcome => ({
  ...{ kind: 'failed', error: new SluiceError('provider_error'), retry: true },
  ...more,
})
const FOUND: Found = {
  tally: { attempts: 0, fails: 0, deaths: 0, crashes: 0, ranMs: 0, ttftMs: null },
  failedAt: [],
  reservation: null,
  held: null,
}
const PRICE = { input: 1_000, output: 4_000 }

/** Jobs of 190 tokens in and 10 out. */
class Stage {
  limits: LimitSettings
  readonly it: Coordinator
  readonly told: Change[] = []

  constructor(by: By = {}, more: Partial<CoordinatorOptions> = {}) {
    this.limits = settingsOf(by)
    this.it = createCoordinator({ ...OPTIONS, models: MODELS, limits: () => this.limits, ...more })
    this.it.openLimits([], calendar, 0)
    this.it.attach({ id: 'w', pools: [], slots: 999 }, 0)
  }

  decide(id: string, more: Partial<ScheduledJob> = {}, now = 0): Decision {
    const decision = this.it.submit(
      job(id, { promptTokens: 190, maxOutputTokens: 10, acceptedMono: now, ...more }),
      now,
    )
    this.#take()
    return decision
  }

  /** `accepted`, or why not. */
  submit(id: string, more: Partial<ScheduledJob> = {}, now = 0): string {
    const decision = this.decide(id, more, now)
    return decision.kind === 'refused' ? decision.error.code : decision.kind
  }

  /** What is leased, if it is worth a call. */
  lease(now = 0): readonly string[] {
    const from = this.told.length
    if (this.it.nextAt() <= now) this.it.tick(now)
    while (this.it.leasable) this.it.lease(now)
    this.#take()
    return this.told.slice(from).flatMap((change) => (change.type === 'leased' ? [change.id] : []))
  }

  finish(id: string, outcome: Outcome, now = 0, attempt = 1): void {
    this.it.finish(id, attempt, outcome, now)
    this.#take()
  }

  do(what: (it: Stage['it']) => void): void {
    what(this.it)
    this.#take()
  }

  left(level: LevelKind, now = 0, of: Partial<ScheduledJob> = {}): number {
    return this.it.standing(job('', of), now).find((room) => room.level === level)!.left
  }

  used(): readonly UsageRecord[] {
    return this.told.flatMap((change) => (change.type === 'used' ? [change.record] : []))
  }

  #take(): void {
    this.told.push(...this.it.changes())
  }
}

describe('submit', () => {
  it('policy reject: held from now on, told with it; what finds no room is refused, and costs nothing', () => {
    const of = new Stage({ tenant: tokens(450) })
    const first = of.decide('1', { policy: 'reject' })
    expect(first).toMatchObject({
      kind: 'accepted',
      reservation: { inputTokens: 190, outputTokens: 10, requests: 1, nanoDollars: 0 },
      standing: [{ level: 'tenant', unit: 'tokens', limit: 450, left: 250 }],
    })
    expect(of.submit('2', { policy: 'reject' })).toBe('accepted')
    for (let i = 0; i < 50; i++) {
      const refused = of.decide(`no${i}`, { policy: 'reject' })
      expect(refused).toMatchObject({
        kind: 'refused',
        error: { code: 'rate_limit_exceeded', limit: { level: 'tenant', weight: 200, left: 50 } },
      })
    }
    expect(of.left('tenant')).toBe(50)
    expect(of.lease()).toEqual(['1', '2'])
  })

  it('policy wait: taken without a hold, leased when there is room; its state tells that it waits', () => {
    const of = new Stage({ tenant: tokens(200, 1) })
    expect(of.decide('1')).toMatchObject({ kind: 'accepted', reservation: null })
    expect(of.submit('2')).toBe('accepted')
    expect(of.lease()).toEqual(['1'])
    expect(of.it.state('2')).toBe('waiting')
    of.do((it) => it.heartbeat('w', 199_000))
    expect([of.lease(199_000), of.lease(200_000)]).toEqual([[], ['2']])
  })

  it.each<[string, By, Partial<ScheduledJob>, string]>([
    ['heavier than its bucket', { tenant: tokens(190) }, {}, 'request_exceeds_limit'],
    ['no room before its deadline', { tenant: tokens(300, 1) }, { deadlineMono: 99_000 }, 'rate_limit_exceeded'],
    ['only money helps', { run: money(300_000) }, { price: PRICE, run: 'r' }, 'insufficient_quota'],
  ])('policy wait is refused: %s', (_why, by, more, code) => {
    const of = new Stage(by)
    expect(of.submit('1', more)).toBe(code === 'request_exceeds_limit' ? code : 'accepted')
    of.lease()
    expect(of.submit('2', more)).toBe(code)
  })

  it('policy wait is not refused where concurrency is out: it runs later', () => {
    const of = new Stage({ tenant: concurrent(1) })
    for (const id of ['1', '2', '3']) expect(of.submit(id)).toBe('accepted')
    expect(of.lease()).toEqual(['1'])
  })

  it('policy reject in a lane where others are before it: refused where there is no room, but it holds nothing', () => {
    const of = new Stage({ tenant: money(2_000_000) })
    of.submit('1', { lane: 'l', price: PRICE, promptTokens: 400 })
    expect(of.lease()).toEqual(['1'])
    expect(of.submit('2', { lane: 'l', price: PRICE, promptTokens: 1_000 })).toBe('accepted')
    expect(of.decide('3', { lane: 'l', price: PRICE, policy: 'reject' })).toMatchObject({ reservation: null })
    const large = { lane: 'l', price: PRICE, policy: 'reject', promptTokens: 1_900 } as const
    expect(of.submit('4', large)).toBe('insufficient_quota')
    of.finish('1', done(400, 10))
    expect(of.lease()).toEqual(['2'])
  })

  it('policy reject with a delay: refused where there is no room, but it holds nothing until its time', () => {
    const of = new Stage({ tenant: tokens(450) })
    const later = { policy: 'reject', notBeforeMono: 1_000 } as const
    expect(of.decide('1', later)).toMatchObject({ kind: 'accepted', reservation: null })
    expect(of.submit('heavy', { ...later, promptTokens: 500 })).toBe('request_exceeds_limit')
    expect([of.submit('2', { policy: 'reject' }), of.submit('3', { policy: 'reject' })]).toEqual([
      'accepted',
      'accepted',
    ])
    expect(of.submit('4', later)).toBe('rate_limit_exceeded')
    expect(of.lease()).toEqual(['2', '3'])
    for (const id of ['2', '3']) of.finish(id, done(0, 0))
    expect(of.lease(1_000)).toEqual(['1'])
  })

  it('what the queue refuses, and what joins, holds nothing', () => {
    const of = new Stage({ tenant: requests(5) }, { maxQueuedPerTenant: 1 })
    expect(of.submit('1', { policy: 'reject', joinKey: 'k' })).toBe('accepted')
    expect(of.submit('2', { policy: 'reject' })).toBe('queue_full')
    expect(of.it.submit(job('3', { policy: 'reject', joinKey: 'k' }), 0, undefined, true).kind).toBe('joined')
    expect(of.it.submit(job('4', { policy: 'reject' }), 0, { id: '1', sameBody: true }).kind).toBe('joined')
    expect(of.left('tenant')).toBe(4)
  })
})

describe('lease', () => {
  it('what the plan has no deployment for holds nothing, and what it held from its submit on it keeps', () => {
    const full = [{ name: 'chat', deployments: [deployment('a', { concurrent: 1 })] }]
    const of = new Stage({ tenant: { ...tokens(1_000), concurrent: 2 } }, { models: full })
    of.submit('1')
    of.submit('2')
    of.submit('3', { policy: 'reject', tenant: 'b' })
    expect(of.lease()).toEqual(['1'])
    expect([of.left('tenant'), of.left('tenant', 0, { tenant: 'b' })]).toEqual([800, 800])
    of.finish('1', done())
    expect(of.lease()).toHaveLength(1)
    of.do((it) => it.cancel('3', 0))
    of.do((it) => it.cancel('2', 0))
  })

  it('two that held at submit run one after the other where one may run, and nobody looks in vain meanwhile', () => {
    const of = new Stage({ tenant: { ...tokens(1_000), concurrent: 1 } })
    of.submit('1', { policy: 'reject' })
    of.submit('2', { policy: 'reject' })
    expect(of.lease()).toEqual(['1'])
    expect([of.it.leasable, of.it.nextAt()]).toEqual([false, OPTIONS.leaseMs])
    of.finish('1', done())
    expect(of.lease()).toEqual(['2'])
  })

  it.each<LevelKind>(['run', 'key', 'user', 'tenant_model', 'tenant', 'model', 'global'])(
    'what was let in, and holds its weight, waits for no job that has no room: %s',
    (level) => {
      const whose = { user: 'u', run: 'r' }
      const of = new Stage({ [level]: { ...tokens(500), concurrent: 1 } })
      of.submit('runs', whose)
      expect(of.lease()).toEqual(['runs'])
      for (const id of ['1', '2', '3']) of.submit(id, { ...whose, promptTokens: 400 })
      expect(of.lease()).toEqual([])
      expect(of.submit('post', { ...whose, policy: 'reject' })).toBe('accepted')
      expect(of.submit('another', { ...whose, policy: 'reject', promptTokens: 60 })).toBe('accepted')
      expect([of.lease(), of.it.leasable]).toEqual([[], false])
      of.finish('runs', done(190, 10))
      expect(of.lease()).toEqual(['post'])
      of.finish('post', done(190, 10))
      expect(of.lease()).toEqual(['another'])
    },
  )

  it.each<LevelKind>(['run', 'key', 'user', 'tenant_model', 'tenant', 'model', 'global'])(
    'waits for an end, not for a time, where one may run at once: %s',
    (level) => {
      const of = new Stage({ [level]: concurrent(1) })
      for (const id of ['1', '2']) of.submit(id, { user: 'u', run: 'r' })
      expect(of.lease()).toEqual(['1'])
      expect([of.it.leasable, of.it.nextAt()]).toEqual([false, OPTIONS.leaseMs])
      of.finish('1', done())
      expect(of.lease()).toEqual(['2'])
    },
  )

  it.each<LevelKind>(['run', 'key', 'user', 'tenant_model', 'tenant', 'model', 'global'])(
    'wakes by time where tokens come back: %s',
    (level) => {
      const of = new Stage({ [level]: tokens(200, 100) })
      for (const id of ['1', '2']) of.submit(id, { user: 'u', run: 'r' })
      expect(of.lease()).toEqual(['1'])
      expect([of.it.leasable, of.it.nextAt()]).toEqual([false, 2_000])
      expect(of.lease(2_000)).toEqual(['2'])
    },
  )

  it.each<LevelKind>(['run', 'key', 'user', 'tenant_model', 'tenant', 'model', 'global'])(
    'wakes when something is given back: %s',
    (level) => {
      const of = new Stage({ [level]: tokens(200) })
      for (const id of ['1', '2']) of.submit(id, { user: 'u', run: 'r' })
      expect(of.lease()).toEqual(['1'])
      of.finish('1', failed({ retry: false }))
      expect(of.lease()).toEqual(['2'])
    },
  )

  it('freed: who waits there wakes, and nobody else', () => {
    const of = new Stage({ user: concurrent(1) })
    for (const id of ['a1', 'a2', 'b1', 'b2']) of.submit(id, { user: id[0] })
    expect(of.lease()).toEqual(['a1', 'b1'])
    of.finish('b1', done())
    expect(of.lease()).toEqual(['b2'])
    of.finish('a1', done())
    expect(of.lease()).toEqual(['a2'])
  })

  it.each<LevelKind>(['run', 'key', 'user', 'tenant_model', 'tenant', 'model', 'global'])(
    'small jobs do not overtake a large one for ever: %s',
    (level) => {
      const of = new Stage({ [level]: tokens(1_000, 100) })
      const whose = { user: 'u', run: 'r' }
      of.submit('first', { ...whose, promptTokens: 850 })
      expect(of.lease()).toEqual(['first'])
      of.submit('large', { ...whose, promptTokens: 800 })
      const leased: string[] = []
      for (let now = 0, i = 0; now <= 12_000 && !leased.includes('large'); now += 500, i++) {
        of.submit(`small${i}`, { ...whose, promptTokens: 10, maxOutputTokens: 10 }, now)
        leased.push(...of.lease(now))
      }
      expect(leased[0]).toBe('large')
    },
  )
})

describe('while it streams', () => {
  it('cut: told to its worker once there is nothing left, with the cause; the record says so', () => {
    const of = new Stage({ run: money(600_000) })
    of.submit('1', { run: 'r', price: PRICE, promptTokens: 100, maxOutputTokens: 10_000 })
    of.lease()
    of.do((it) => {
      for (let i = 0; i < 125; i++) it.charge('1', 1, 1, 0)
    })
    expect(of.it.notices()).toEqual([])
    of.do((it) => it.charge('1', 1, 1, 0))
    const [notice] = of.it.notices()
    expect(notice).toMatchObject({ type: 'cut', id: '1', worker: 'w', attempt: 1, cause: { level: 'run', name: 'r' } })
    of.finish('1', { ...done(100, 126), cut: notice.type === 'cut' ? notice.cause : null } as Outcome)
    expect(of.used()).toMatchObject([{ end: 'cut', nanoDollars: 604_000 }])
  })

  it('an older attempt’s tokens top nothing up, and end nothing', () => {
    const of = new Stage({ tenant: tokens(300, 0.001, { whenOut: 'cut' }) })
    of.submit('1')
    of.lease()
    of.finish('1', { kind: 'released' })
    of.lease()
    of.do((it) => it.charge('1', 1, 9_999, 0))
    expect([of.it.notices(), of.left('tenant')]).toEqual([[], 100])
  })
})

describe('what an attempt came to', () => {
  const by: By = { tenant: { ...tokens(10_000), concurrent: 1 }, user: requests(10) }
  const cost = { nanoDollars: 77, priceVersion: 'v1' }
  const streamed = (it: Stage['it']) => it.charge('1', 1, 30, 0)
  type End = readonly [how: string, end: (of: Stage) => void, used: object | null, left: number]
  const ends: readonly End[] = [
    ['done', (of) => of.finish('1', done(90, 40)), { end: 'done', usage: usage(90, 40) }, 9_870],
    [
      'done, priced by its worker',
      (of) => of.finish('1', { ...done(90, 40), cost } as Outcome),
      { end: 'done', nanoDollars: 77, priceVersion: 'v1' },
      9_870,
    ],
    [
      'done after others: its own usage',
      (of) => of.finish('1', { ...done(500, 500), attemptUsage: usage(90, 40) } as Outcome),
      { end: 'done', usage: usage(90, 40) },
      9_870,
    ],
    [
      'failed after some text',
      (of) => of.finish('1', failed({ retry: false, attemptUsage: usage(100, 7) })),
      { end: 'failed', usage: usage(100, 7) },
      9_893,
    ],
    [
      'failed, to be tried again',
      (of) => of.finish('1', failed({ attemptUsage: usage(100, 7) })),
      { end: 'failed', usage: usage(100, 7) },
      9_893,
    ],
    [
      'refused upstream: a record, and not a request',
      (of) => of.finish('1', failed({ retry: false, attemptUsage: usage(0, 0) })),
      { end: 'failed', usage: usage(0, 0) },
      10_000,
    ],
    ['never called', (of) => of.finish('1', failed({ retry: false })), null, 10_000],
    [
      'handed back after it had called',
      (of) => of.finish('1', { kind: 'released', attemptUsage: usage(100, 3) }),
      { end: 'released' },
      9_897,
    ],
    ['handed back before', (of) => of.finish('1', { kind: 'released' }), null, 10_000],
    [
      'canceled while it runs',
      (of) => {
        of.do((it) => it.cancel('1', 0))
        of.finish('1', { kind: 'canceled', attemptUsage: usage(100, 30) })
      },
      { end: 'canceled' },
      9_870,
    ],
    [
      'canceled, and its worker says nothing',
      (of) => {
        of.do((it) => {
          streamed(it)
          it.cancel('1', 0)
          it.tick(OPTIONS.leaseMs)
        })
      },
      { end: 'lost', usage: { ...usage(190, 30), estimated: true } },
      9_780,
    ],
    [
      'its lease runs out',
      (of) => {
        of.do((it) => {
          streamed(it)
          it.tick(OPTIONS.leaseMs)
        })
      },
      { end: 'lost', usage: { ...usage(190, 30), estimated: true } },
      9_780,
    ],
    [
      'its worker leaves',
      (of) => {
        of.do((it) => {
          streamed(it)
          it.leave('w', 0)
        })
      },
      { end: 'lost', usage: { ...usage(190, 30), estimated: true } },
      9_780,
    ],
    ['withdrawn: nobody was told', (of) => of.do((it) => it.withdraw('1')), null, 10_000],
  ]

  it.each(ends)('%s: told once, counted once, and all holds are gone', (_how, end, used, left) => {
    const of = new Stage(by)
    of.submit('1', { user: 'u', price: PRICE })
    expect(of.lease()).toEqual(['1'])
    const before = of.told.length
    end(of)
    of.finish('1', done(1, 1))
    const told = of.told.slice(before).filter(({ type }) => type !== 'canceling')
    expect(of.used()).toHaveLength(used === null ? 0 : 1)
    // Before the job's own end or return, so that both are one commit
    if (used !== null)
      expect(told[0]).toMatchObject({ type: 'used', id: '1', record: { job: '1', attempt: 1, ...used } })
    expect(of.left('tenant')).toBeCloseTo(left, 0)
    expect(of.left('user', 0, { user: 'u' })).toBeCloseTo(left === 10_000 ? 10 : 9, 0)
    // Its place among those that run is free
    of.do((it) => it.cancel('1', 0))
    of.it.attach({ id: 'v', pools: [], slots: 9 }, OPTIONS.leaseMs)
    of.submit('2', {}, OPTIONS.leaseMs)
    expect(of.lease(OPTIONS.leaseMs)).toEqual(['2'])
  })

  it.each<[string, (it: Stage['it']) => void]>([
    ['canceled', (it) => void it.cancel('1', 0)],
    ['expired', (it) => it.tick(1_000)],
    ['purged', (it) => void it.purge({}, 0, 1)],
    ['withdrawn', (it) => it.withdraw('1')],
  ])('held at submit and %s in line: nothing was used, all is given back, who waits for it runs', (_how, end) => {
    const of = new Stage({ tenant: tokens(300) })
    of.submit('1', { policy: 'reject', deadlineMono: 1_000, pool: 'image', priority: 'low' })
    of.submit('2')
    of.it.attach({ id: 'w', pools: ['text'], slots: 9 }, 0)
    expect(of.lease()).toEqual([])
    of.do(end)
    expect([of.used(), of.lease(1_000)]).toEqual([[], ['2']])
  })

  it('an answer of which its provider counts no tokens is a request all the same', () => {
    const of = new Stage({ tenant: requests(2) })
    of.submit('1')
    of.lease()
    of.finish('1', done(0, 0))
    expect(of.left('tenant')).toBe(1)
  })

  it('each attempt is billed once, also where another deployment is tried', () => {
    const of = new Stage(by)
    of.submit('1', { user: 'u' })
    let now = 0
    for (let attempt = 1; attempt <= 2; attempt++) {
      expect(of.lease(now)).toEqual(['1'])
      of.finish('1', failed({ attemptUsage: usage(100, 50) }), now, attempt)
      now += 10_000
    }
    expect(of.lease(now)).toEqual(['1'])
    of.finish('1', done(100, 10), now, 3)
    expect(of.used().map(({ attempt, usage }) => [attempt, usage.completionTokens])).toEqual([
      [1, 50],
      [2, 50],
      [3, 10],
    ])
    expect(of.left('tenant', now)).toBeCloseTo(10_000 - 410, 0)
  })
})

describe('a restart', () => {
  const by: By = { tenant: { ...tokens(1_000, 1), concurrent: 2 } }
  const amounts: Amounts = { inputTokens: 100, outputTokens: 100, requests: 1, nanoDollars: 0 }

  it('holds again what waits with a reservation, and what runs', () => {
    const of = new Stage(by)
    const held = { worker: 'w', claim: { deployment: 'a', reservation: amounts } }
    of.do((it) => {
      it.restore(job('runs'), { ...FOUND, tally: { ...FOUND.tally, attempts: 1 }, held }, 0)
      it.restore(job('waits', { policy: 'reject' }), { ...FOUND, reservation: amounts }, 0)
      it.restore(job('free', { maxOutputTokens: 100 }), FOUND, 0)
    })
    expect(of.left('tenant')).toBe(600)
    expect(of.lease()).toEqual(['waits'])
    expect(of.left('tenant')).toBe(600)
    of.finish('runs', done(100, 50))
    expect(of.lease()).toEqual(['free'])
    expect(of.left('tenant')).toBe(450)
  })

  it('counts what died with its process, once, before its return; one that came to nothing is no request', () => {
    const of = new Stage({ ...by, user: requests(10) })
    const tally = { ...FOUND.tally, attempts: 2 }
    of.do((it) => {
      it.restore(job('1', { user: 'u', price: PRICE }), { ...FOUND, tally }, 0)
      it.restore(job('2', { user: 'u', promptTokens: 0 }), { ...FOUND, tally }, 0)
      it.died(
        [
          { id: '1', deployment: 'a', outputTokens: 30 },
          { id: '2', deployment: null, outputTokens: 0 },
        ],
        0,
      )
    })
    expect(of.used()).toMatchObject([
      { job: '1', attempt: 2, deployment: 'a', end: 'lost', usage: { completionTokens: 30, estimated: true } },
      { job: '2', attempt: 2, deployment: null, end: 'lost' },
    ])
    expect(of.told.map(({ type }) => type)).toEqual(['used', 'used', 'returned', 'returned'])
    expect([of.left('tenant'), of.left('user', 0, { user: 'u' })]).toEqual([870, 9])
  })

  it('decides as if it had not been: also what has leaked of a hold meanwhile stays leaked', () => {
    const before = new Stage(by)
    before.submit('1')
    before.submit('2')
    const reservations = before
      .lease()
      .map((id) => before.told.flatMap((c) => (c.type === 'leased' && c.id === id ? [c.claim] : []))[0].reservation)
    before.do((it) => it.heartbeat('w', 200_000))
    const stored = before.it.takeLevels(200_000)
    const after = new Stage(by)
    after.it.openLimits(JSON.parse(JSON.stringify(stored)), calendar, 250_000)
    after.do((it) => {
      for (const [i, reservation] of reservations.entries()) {
        const held = { worker: 'w', claim: { deployment: 'a', reservation } }
        it.restore(job(`${i + 1}`), { ...FOUND, tally: { ...FOUND.tally, attempts: 1 }, held }, 250_000)
      }
    })
    for (const now of [250_000, 300_000]) expect(after.left('tenant', now)).toBe(before.left('tenant', now))
    for (const stage of [before, after]) stage.finish('1', done(300, 300), 300_000)
    expect(after.left('tenant', 300_000)).toBe(before.left('tenant', 300_000))
  })
})

describe('other limits by a reload', () => {
  it.each<LevelKind>(['run', 'key', 'user', 'tenant_model', 'tenant', 'model', 'global'])(
    'raised: who waits runs at once: %s',
    (level) => {
      const of = new Stage({ [level]: tokens(200) })
      for (const id of ['1', '2', '3']) of.submit(id, { user: 'u', run: 'r' })
      expect(of.lease()).toEqual(['1'])
      of.limits = settingsOf({ [level]: tokens(600) })
      of.do((it) => it.configure(MODELS, 0))
      expect(of.lease()).toEqual(['2', '3'])
    },
  )

  it.each<LevelKind>(['run', 'key', 'user', 'tenant_model', 'tenant', 'model', 'global'])(
    'lowered below what a job weighs: it waits alone, runs if that is undone, else is told why it expired: %s',
    (level) => {
      const of = new Stage({ [level]: tokens(1_000) })
      const whose = { user: 'u', run: 'r' }
      const small = { ...whose, promptTokens: 10, maxOutputTokens: 10 }
      of.submit('large', { ...whose, promptTokens: 500 })
      of.submit('late', { ...whose, promptTokens: 500, deadlineMono: 5_000 })
      of.submit('small', small)
      of.limits = settingsOf({ [level]: tokens(300) })
      expect(of.lease()).toEqual(['small'])
      of.submit('small2', small)
      expect(of.lease()).toEqual(['small2'])
      expect(['large', 'late'].map((id) => of.it.state(id))).toEqual(['waiting', 'waiting'])
      of.do((it) => it.tick(5_000))
      expect(of.told.at(-1)).toMatchObject({
        type: 'ended',
        id: 'late',
        state: 'expired',
        error: { code: 'deadline_exceeded', limit: { level, weight: 510, limit: 300 } },
      })
      of.limits = settingsOf({ [level]: tokens(2_000) })
      of.do((it) => it.configure(MODELS, 5_000))
      expect(of.lease(5_000)).toEqual(['large'])
    },
  )
})

describe('a user with room again, whose next job has none for another reason', () => {
  const models = [
    { name: 'chat', deployments: [deployment('a', { concurrent: 1 })] },
    { name: 'other', deployments: [deployment('b')] },
  ]
  /** u is used up; chat1 and other1 of u wait. */
  const waiting = (by: By): Stage => {
    const of = new Stage({ user: tokens(200, 10), ...by }, { models, leaseMs: 1e9 })
    of.submit('long', { user: 'v' })
    of.submit('first', { user: 'u', model: 'other' })
    expect(of.lease()).toEqual(['long', 'first'])
    of.submit('chat1', { user: 'u' })
    of.submit('other1', { user: 'u', model: 'other' })
    expect(of.lease()).toEqual([])
    return of
  }

  it.each<[string, By]>([
    ['its model is full', {}],
    ['its tenant’s model is', { tenant_model: concurrent(1) }],
  ])('others of its jobs run: %s', (_what, by) => {
    const of = waiting(by)
    expect(of.lease(20_000)).toEqual(['other1'])
    of.submit('other2', { user: 'u', model: 'other' }, 20_000)
    expect(of.lease(40_000)).toEqual(['other2'])
    of.do((it) => it.finish('long', 1, done(), 60_000))
    expect(of.lease(60_000)).toEqual(['chat1'])
  })

  it('others of its jobs run: its model is paused', () => {
    const of = waiting({})
    of.do((it) => it.finish('long', 1, done(), 0))
    of.do((it) => it.pause({ model: 'chat' }, 0))
    expect(of.lease(20_000)).toEqual(['other1'])
    of.do((it) => it.resume({ model: 'chat' }, 40_000))
    expect(of.lease(40_000)).toEqual(['chat1'])
  })
})

it('what ends tells also those that wait at a level that is newer than its submit', () => {
  const of = new Stage({ user: tokens(10_000) })
  expect(of.submit('1', { user: 'u', policy: 'reject' })).toBe('accepted')
  of.limits = settingsOf({ user: tokens(10_000), tenant: concurrent(1) })
  of.do((it) => it.limitsChanged(0))
  expect(of.lease()).toEqual(['1'])
  of.submit('2', { user: 'v' })
  expect(of.lease()).toEqual([])
  of.do((it) => it.finish('1', 1, done(), 0))
  expect(of.lease()).toEqual(['2'])
})

it('what expires while its limit is out is told so, also where others of its tenant are before it', () => {
  const of = new Stage({ tenant: concurrent(1) })
  for (const id of ['1', '2', '3']) of.submit(id, { deadlineMono: 1_000 })
  expect(of.lease()).toEqual(['1'])
  of.do((it) => it.tick(1_000))
  const ends = of.told.flatMap((change) => (change.type === 'ended' ? [change.error?.message] : []))
  expect(ends).toHaveLength(2)
  for (const message of ends)
    expect(message).toMatch(/waited for room on concurrent requests of your account, Limit 1,/)
})
