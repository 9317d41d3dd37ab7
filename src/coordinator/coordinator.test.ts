/** The parts together: what comes in as calls goes out as changes and notices, and claims are settled once. */
import { expect, it } from 'vitest'
import { SluiceError } from '../core/errors.ts'
import { type LevelLimits, type LimitSettings, NO_LIMITS } from '../core/limits.ts'
import type { Found, PlanDeployment } from '../core/ports/coordinator.ts'
import type { Outcome } from '../core/ports/work.ts'
import { type CoordinatorOptions, createCoordinator } from './coordinator.ts'
import { done, job, OPTIONS } from './scheduler/testing/jobs.ts'

const deployment = (name: string, more: Partial<PlanDeployment> = {}): PlanDeployment => ({
  name,
  kinds: ['chat'],
  upstreamModel: null,
  concurrent: 1,
  order: 0,
  revision: name,
  ...more,
})
const FOUND: Found = {
  tally: { attempts: 0, fails: 0, deaths: 0, crashes: 0, ranMs: 0, ttftMs: null },
  failedAt: [],
  reservation: null,
  held: null,
}
const limitedTo = (more: Partial<LevelLimits>): LimitSettings => ({
  ...NO_LIMITS,
  eachTenant: {
    all: { rates: [], budgets: [], concurrent: null, ...more },
    eachUser: null,
    eachRun: null,
    eachKey: null,
    models: {},
  },
})
const globallyTo = (more: Partial<LevelLimits>): LimitSettings => ({
  ...NO_LIMITS,
  global: { rates: [], budgets: [], concurrent: null, ...more },
})
const failed = (code: SluiceError['code'], more: Partial<Extract<Outcome, { kind: 'failed' }>> = {}): Outcome => ({
  kind: 'failed',
  error: new SluiceError(code),
  retry: true,
  ...more,
})

function setUp(more: Partial<CoordinatorOptions> = {}) {
  const models = [{ name: 'chat', deployments: [deployment('a'), deployment('b', { order: 1 })] }]
  const coordinator = createCoordinator({ ...OPTIONS, models, ...more })
  const attach = (slots = 9, id = 'w', now = 0): void => coordinator.attach({ id, pools: [], slots }, now)
  attach()
  return {
    coordinator,
    attach,
    submit: (...ids: string[]) => ids.map((id) => coordinator.submit(job(id), 0).kind),
    /** Leases, and tells what was leased, where to. */
    lease(now = 0): readonly string[] {
      coordinator.changes()
      coordinator.lease(now)
      return coordinator
        .changes()
        .flatMap((change) => (change.type === 'leased' ? [`${change.id} ${change.claim.deployment}`] : []))
    },
    active: () => coordinator.status(0).map(({ active }) => active),
  }
}

it('tells what was decided in order: accepted, leased with its claim, returned, ended', () => {
  const { coordinator } = setUp()
  coordinator.submit(job('1', { acceptedMono: -40 }), 0)
  expect(coordinator.leasable).toBe(true)
  coordinator.lease(10)
  expect(coordinator.leasable).toBe(false)
  const claim = { deployment: 'a', reservation: null }
  const first = { sinceAcceptedMs: 50, queuedMs: 50, turnMs: 0, ttftMs: null }
  expect(coordinator.changes()).toEqual([
    { type: 'accepted', id: '1' },
    { type: 'leased', id: '1', worker: 'w', attempt: 1, crashes: 0, claim, ...first },
  ])
  expect(coordinator.changes()).toEqual([])
  const timing = { queuedMs: 50, ttftMs: 70, totalMs: 90, attempts: 1 }
  const finished = coordinator.finish('1', 1, failed('provider_cut', { timing }), 20)
  expect(finished).toEqual({ kind: 'again', notBeforeMono: 20 })
  expect(coordinator.changes()).toEqual([
    {
      type: 'returned',
      id: '1',
      notBeforeMono: 20,
      tally: { attempts: 1, fails: 1, deaths: 0, crashes: 0, ranMs: 10, ttftMs: 70 },
      failedAt: [{ deployment: 'a', never: false }],
    },
  ])
  expect(coordinator.leasable).toBe(true)
  coordinator.lease(120)
  // Not again where it failed
  expect(coordinator.changes()).toMatchObject([
    { type: 'leased', attempt: 2, claim: { deployment: 'b' }, sinceAcceptedMs: 160, queuedMs: 150, ttftMs: 70 },
  ])
  expect(coordinator.finish('1', 1, done(), 130)).toEqual({ kind: 'fenced' })
  expect(coordinator.finish('1', 2, done(), 140)).toEqual({ kind: 'ended', state: 'done' })
  expect(coordinator.changes()).toMatchObject([
    { type: 'used', record: { job: '1', attempt: 2, end: 'done', usage: { promptTokens: 100 } } },
    { type: 'ended', id: '1', state: 'done', error: null, usage: { promptTokens: 100 }, deployment: 'b' },
  ])
  expect(coordinator.finish('1', 2, done(), 150)).toEqual({ kind: 'fenced' })
})

it('is leasable when something may start, and when room comes free; not for every call', () => {
  const { coordinator, attach, submit, lease } = setUp()
  attach(2)
  lease()
  submit('1', '2', '3')
  expect(lease()).toEqual(['1 a', '2 b'])
  expect(coordinator.leasable).toBe(false)
  submit('4')
  lease()
  coordinator.finish('1', 1, done(), 1)
  expect(coordinator.leasable).toBe(true)
  expect(lease(1)).toEqual(['3 a'])
  // The worker has room, no deployment has
  attach(9)
  expect(lease(1)).toEqual([])
  coordinator.finish('2', 1, done(), 2)
  expect(lease(2)).toEqual(['4 b'])
  // Handed back: each goes to the front
  for (const id of ['4', '3']) coordinator.finish(id, 1, failed('provider_rate_limited'), 3)
  expect(lease(3)).toEqual([])
  expect(coordinator.nextAt()).toBe(1_003)
  coordinator.tick(1_003)
  expect(coordinator.leasable).toBe(true)
  expect(lease(1_003)).toEqual(['3 a', '4 b'])
})

it.each<[string, (stage: ReturnType<typeof setUp>) => void]>([
  ['done', ({ coordinator }) => void coordinator.finish('1', 1, done(), 1)],
  ['failed for good', ({ coordinator }) => void coordinator.finish('1', 1, failed('internal', { retry: false }), 1)],
  ['failed, to be tried again', ({ coordinator }) => void coordinator.finish('1', 1, failed('internal'), 1)],
  ['handed back', ({ coordinator }) => void coordinator.finish('1', 1, { kind: 'released' }, 1)],
  [
    'canceled, and its worker answers',
    ({ coordinator }) => {
      coordinator.cancel('1', 1)
      coordinator.finish('1', 1, { kind: 'canceled' }, 1)
    },
  ],
  [
    'canceled, and its lease runs out',
    ({ coordinator }) => {
      coordinator.cancel('1', 1)
      coordinator.tick(OPTIONS.leaseMs)
    },
  ],
  ['its lease runs out', ({ coordinator }) => coordinator.tick(OPTIONS.leaseMs)],
  ['its worker leaves', ({ coordinator }) => coordinator.leave('w', 1)],
  ['it could not be stored', ({ coordinator }) => coordinator.withdraw('1')],
])('settles a claim and a hold once: %s', (_how, end) => {
  const stage = setUp({ limits: () => limitedTo({ concurrent: 1 }) })
  stage.submit('1', '2')
  expect(stage.lease()).toEqual(['1 a'])
  expect(stage.coordinator.leasable).toBe(false)
  end(stage)
  stage.coordinator.finish('1', 1, done(), OPTIONS.leaseMs)
  expect(stage.active()).toEqual([0, 0])
  stage.coordinator.cancel('1', OPTIONS.leaseMs)
  stage.attach(9, 'other', OPTIONS.leaseMs)
  expect(stage.coordinator.leasable).toBe(true)
  expect(stage.lease(OPTIONS.leaseMs)).toHaveLength(1)
})

it('a job that kills its worker again and again is given up, and its claim settled', () => {
  const { coordinator, attach, submit, lease, active } = setUp({ maxCrashes: 0 })
  submit('1')
  expect(lease()).toEqual(['1 a'])
  coordinator.leave('w', 1)
  attach(1, 'next', 1)
  expect(coordinator.changes()).toMatchObject([
    { type: 'used', record: { end: 'lost', usage: { promptTokens: 100, estimated: true } } },
    { type: 'ended', id: '1', state: 'failed', error: { code: 'poison_job' }, deployment: null },
  ])
  expect(active()).toEqual([0, 0])
})

it('cancels: noted once, its worker told once, and it ends as canceled even if it failed', () => {
  const { coordinator, submit, lease } = setUp()
  submit('1', '2')
  lease()
  expect([coordinator.cancel('1', 1), coordinator.cancel('1', 1)]).toEqual(['canceling', 'canceling'])
  expect(coordinator.changes()).toEqual([{ type: 'canceling', id: '1' }])
  expect(coordinator.notices()).toEqual([{ type: 'revoked', id: '1', worker: 'w', attempt: 1, reason: 'canceled' }])
  expect(coordinator.finish('1', 1, failed('provider_cut'), 2)).toEqual({ kind: 'ended', state: 'canceled' })
  expect(coordinator.changes()).toMatchObject([{ type: 'ended', state: 'canceled', error: { code: 'job_canceled' } }])
})

it('tells of a deployment that is left alone for long', () => {
  const { coordinator, submit, lease } = setUp()
  submit('1')
  lease()
  const error = new SluiceError('provider_rate_limited', { retryAfterMs: 9_000 })
  coordinator.finish('1', 1, failed('provider_rate_limited', { error }), 1)
  expect(coordinator.notices()).toEqual([
    { type: 'cooling', deployment: 'a', model: 'chat', code: 'provider_rate_limited', ms: 9_000 },
  ])
  expect(coordinator.notices()).toEqual([])
  expect(lease(1)).toEqual(['1 b'])
})

it('adopts what runs: it has its slots, its worker, and a whole new lease', () => {
  const { coordinator, attach, submit, lease, active } = setUp({
    models: [{ name: 'chat', deployments: [deployment('a')] }],
  })
  const tally = { ...FOUND.tally, attempts: 3, ttftMs: 5 }
  const claim = { deployment: 'a', reservation: null }
  coordinator.restore(job('held'), { tally, failedAt: [], reservation: null, held: { worker: 'other', claim } }, 1_000)
  coordinator.restore(job('waits'), FOUND, 1_000)
  // Its place is taken
  expect(lease(1_000)).toEqual([])
  expect(active()).toEqual([1])
  attach(1, 'other', 1_000)
  submit('new')
  expect(coordinator.state('held')).toBe('leased')
  expect(coordinator.finish('held', 3, done(), 2_000)).toEqual({ kind: 'ended', state: 'done' })
  expect(lease(2_000)).toEqual(['waits a'])
})

it('an adopted lease whose worker does not come back is lost, also on a deployment that is gone', () => {
  const { coordinator } = setUp({ models: [] })
  const held = { worker: 'gone', claim: { deployment: 'old', reservation: null } }
  coordinator.restore(job('1'), { tally: { ...FOUND.tally, attempts: 1 }, failedAt: [], reservation: null, held }, 0)
  expect(coordinator.status(0)).toMatchObject([{ deployment: 'old', active: 1 }])
  coordinator.tick(OPTIONS.leaseMs)
  expect(coordinator.changes()).toMatchObject([
    { type: 'used', record: { deployment: 'old', end: 'lost' } },
    { type: 'returned', id: '1', tally: { attempts: 1, deaths: 1 } },
  ])
  expect(coordinator.status(0)).toEqual([])
})

it('remembers over a restart where a job failed', () => {
  const { coordinator, lease } = setUp()
  coordinator.restore(job('1'), { ...FOUND, failedAt: [{ deployment: 'a', never: true }] }, 0)
  expect(lease()).toEqual(['1 b'])
})

it('takes workers as they are: no more than their slots, the least loaded first, none that leaves', () => {
  const { coordinator, attach, submit } = setUp({
    models: [{ name: 'chat', deployments: [deployment('a', { concurrent: Infinity })] }],
  })
  attach(2)
  attach(4, 'v')
  submit('1', '2', '3', '4', '5', '6', '7')
  coordinator.changes()
  coordinator.lease(0)
  const workers = coordinator.changes().map((change) => (change.type === 'leased' ? change.worker : ''))
  expect(workers.toSorted().join('')).toBe('vvvvww')
  // A worker that takes no more finishes what it has
  attach(0, 'v')
  coordinator.finish('1', 1, done(), 1)
  coordinator.finish('2', 1, done(), 1)
  coordinator.lease(1)
  expect(coordinator.changes().filter(({ type }) => type === 'leased')).toMatchObject([{ id: '7', worker: 'w' }])
})

it('what its worker can not run is ready after a while, and others come before that worker then', () => {
  const { coordinator, attach, submit } = setUp({
    models: [{ name: 'chat', deployments: [deployment('a', { concurrent: 9 })] }],
  })
  const leasedTo = (now: number): readonly string[] => {
    coordinator.changes()
    coordinator.lease(now)
    return coordinator
      .changes()
      .flatMap((change) => (change.type === 'leased' ? [`${change.id} ${change.worker}`] : []))
  }
  submit('1')
  expect(leasedTo(0)).toEqual(['1 w'])
  attach(9, 'lacks')
  submit('2')
  expect(leasedTo(0)).toEqual(['2 lacks'])
  coordinator.finish('2', 1, { kind: 'released', inMs: 1_000 }, 5)
  expect([leasedTo(5), coordinator.nextAt()]).toEqual([[], 1_005])
  coordinator.tick(1_005)
  expect(leasedTo(1_005)).toEqual(['2 w'])
  // Not for ever
  submit('3')
  expect(leasedTo(2_005)).toEqual(['3 lacks'])
})

it('shares a batch among workers that have room for all of it', () => {
  const { coordinator, attach } = setUp({
    models: [{ name: 'chat', deployments: [deployment('a', { concurrent: Infinity })] }],
  })
  attach(100)
  attach(100, 'v')
  for (let i = 0; i < 64; i++) coordinator.submit(job(`${i}`), 0)
  coordinator.changes()
  coordinator.lease(0)
  const workers = coordinator.changes().map((change) => (change.type === 'leased' ? change.worker : ''))
  const given = ['v', 'w'].map((id) => workers.filter((worker) => worker === id).length)
  expect(given[0] + given[1]).toBe(64)
  expect(Math.abs(given[0] - given[1])).toBeLessThanOrEqual(8)
})

it('keeps when a job first showed text, whatever a later attempt knows of it', () => {
  const { coordinator, submit, lease } = setUp()
  submit('1')
  lease()
  const timing = { queuedMs: 0, ttftMs: 70, totalMs: 90, attempts: 1 }
  coordinator.finish('1', 1, failed('provider_cut', { timing }), 100)
  expect(lease(1_000)).toEqual(['1 b'])
  coordinator.finish('1', 2, failed('internal'), 1_100)
  expect(coordinator.changes()).toMatchObject([{ type: 'returned', tally: { attempts: 2, ttftMs: 70 } }])
})

it('leases in batches, and is leasable until all that may start has', () => {
  const { coordinator, attach } = setUp({
    models: [{ name: 'chat', deployments: [deployment('a', { concurrent: Infinity })] }],
  })
  attach(100)
  for (let i = 0; i < 90; i++) coordinator.submit(job(`${i}`), 0)
  const lease = (): number => {
    coordinator.changes()
    coordinator.lease(0)
    return coordinator.changes().length
  }
  expect([lease(), coordinator.leasable, lease(), coordinator.leasable]).toEqual([64, true, 26, false])
})

it('a model that comes back is leasable at once; places of many are asked for together', () => {
  const { coordinator, submit, lease } = setUp({ models: [] })
  submit('1', '2')
  expect(lease()).toEqual([])
  expect([...coordinator.places(['2', '1', 'unknown'], 0)].map(([id, { position }]) => [id, position])).toEqual([
    ['2', 2],
    ['1', 1],
  ])
  coordinator.configure([{ name: 'chat', deployments: [deployment('a')] }], 0)
  expect(coordinator.leasable).toBe(true)
  expect(lease()).toEqual(['1 a'])
  expect([...coordinator.places(['1', '2'], 0).keys()]).toEqual(['2'])
})

it('a job in line is told which limit has no room for it, and for how long; not if it waits for its turn alone', () => {
  const limits = limitedTo({
    rates: [{ unit: 'requests', burst: 2, perSecond: 1, whenOut: 'debt', oversize: 'refuse' }],
    concurrent: 2,
  })
  const { coordinator, lease } = setUp({ limits: () => limits })
  const waits = (id: string, now: number) => coordinator.places([id], now).get(id)!.waitingFor
  for (const id of ['1', '2', '3']) coordinator.submit(job(id, { policy: 'wait' }), 0)
  expect(waits('1', 0)).toBeUndefined()
  lease()
  expect(waits('3', 0)).toEqual({ level: 'tenant', unit: 'requests', inMs: 1_000 })
  // Nobody knows when one of those that run will end
  expect(waits('3', 1_000)).toEqual({ level: 'tenant', unit: 'running', inMs: null })
  expect(coordinator.submit(job('4', { policy: 'reject' }), 5_000).kind).toBe('accepted')
  expect(waits('4', 5_000)).toEqual({ level: 'tenant', unit: 'running', inMs: null })
})

it('joins tell what is left, too', () => {
  const limits = limitedTo({
    rates: [{ unit: 'requests', burst: 2, perSecond: 1, whenOut: 'debt', oversize: 'refuse' }],
  })
  const { coordinator } = setUp({ limits: () => limits })
  const left = (known?: { id: string; sameBody: boolean }) =>
    coordinator.submit(job('1', { policy: 'reject' }), 0, known)
  expect(left()).toMatchObject({ kind: 'accepted', standing: [{ unit: 'requests', limit: 2, left: 1 }] })
  expect(left({ id: '1', sameBody: true })).toMatchObject({ kind: 'joined', standing: [{ left: 1 }] })
})

it('lets waiting jobs try again when the limits have changed', () => {
  const user = (concurrent: number | null): LimitSettings => ({
    ...NO_LIMITS,
    eachTenant: {
      all: null,
      eachUser: { rates: [], budgets: [], concurrent },
      eachRun: null,
      eachKey: null,
      models: {},
    },
  })
  const all = [limitedTo, ({ concurrent = null }: Partial<LevelLimits>) => user(concurrent), globallyTo]
  for (const levels of all) {
    let limits = levels({ concurrent: 0 })
    const models = [{ name: 'chat', deployments: [deployment('a', { concurrent: 9 })] }]
    const { coordinator, lease } = setUp({ models, limits: () => limits })
    for (const id of ['1', '2', '3']) coordinator.submit(job(id, { user: 'ann' }), 0)
    expect(lease()).toEqual([])
    limits = levels({ concurrent: 2 })
    coordinator.configure(models, 1)
    expect(coordinator.leasable).toBe(true)
    expect(lease(1)).toEqual(['1 a', '2 a'])
    expect(lease(2)).toEqual([])
    limits = NO_LIMITS
    coordinator.configure(models, 3)
    expect(lease(3)).toEqual(['3 a'])
  }
})
