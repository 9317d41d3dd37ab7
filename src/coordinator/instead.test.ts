/** Another model answers in a job's place: by that one's limits, and at its price. */
import { describe, expect, it } from 'vitest'
import { SluiceError } from '../core/errors.ts'
import { type LevelLimits, type LimitSettings, NO_LIMITS } from '../core/limits.ts'
import type { PlanDeployment, PlanModel, ScheduledJob } from '../core/ports/coordinator.ts'
import type { Outcome } from '../core/ports/work.ts'
import { createCoordinator } from './coordinator.ts'
import { done, OPTIONS, job as scheduled } from './scheduler/testing/jobs.ts'

const deployment = (name: string): PlanDeployment => ({
  ...{ name, kinds: ['chat'], upstreamModel: null, concurrent: Infinity, order: 0, revision: '' },
})
const MODELS: readonly PlanModel[] = [
  {
    name: 'chat',
    deployments: [deployment('a')],
    fallbacks: { general: ['dear', 'cheap'], contextWindow: [], contentPolicy: [] },
  },
  { name: 'dear', deployments: [deployment('d')] },
  { name: 'cheap', deployments: [deployment('c')] },
]
const CHEAP = { input: 1, output: 1 }
const DEAR = { input: 1_000, output: 1_000 }
const money = (nanoDollars: number): LevelLimits => ({
  ...{ rates: [], budgets: [{ window: 'day', nanoDollars, whenOut: 'cut' }], concurrent: null },
})
const requests = (burst: number, perSecond: number): LevelLimits => ({
  rates: [{ unit: 'requests', burst, perSecond, whenOut: 'debt', oversize: 'refuse' }],
  ...{ budgets: [], concurrent: null },
})
const FAILED: Outcome = { kind: 'failed', error: new SluiceError('provider_unreachable'), retry: true }

/** `a` fails: where the job goes then, and how. */
function setUp(
  limits: Partial<LimitSettings>,
  instead: ScheduledJob['instead'],
  models = MODELS,
  isDrained: (name: string) => boolean = () => false,
) {
  const settings = { ...NO_LIMITS, ...limits }
  const coordinator = createCoordinator({ ...OPTIONS, models, limits: () => settings, isDrained })
  coordinator.openLimits([], () => ({ index: 0, endsMono: Infinity }), 0)
  coordinator.attach({ id: 'w', pools: [], slots: 100 }, 0)
  const leases = (now: number) => {
    coordinator.changes()
    coordinator.lease(now)
    return coordinator.changes().flatMap((change) => (change.type === 'leased' ? [change.claim] : []))
  }
  return {
    coordinator,
    leases,
    job: (id: string, more: Partial<ScheduledJob> = {}) =>
      scheduled(id, {
        ...{ promptTokens: 100, maxOutputTokens: 100, price: CHEAP, deadlineMono: 60_000, ...more },
        ...(instead !== undefined && { instead }),
      }),
    /** Submitted, and failed at `a`: where it goes then. */
    fallsBack(id: string, more: Partial<ScheduledJob> = {}) {
      const taken = coordinator.submit(this.job(id, more), 0)
      expect(taken.kind).toBe('accepted')
      expect(leases(0)).toMatchObject([{ deployment: 'a' }])
      coordinator.finish(id, 1, FAILED, 0)
      return leases(0)[0] ?? null
    },
  }
}

it.each(['reject', 'wait'] as const)('holds what the other model costs, or does not ask it (%s)', (policy) => {
  // 200 tokens: 200 nano-dollars of the cheap ones, 200,000 of the dear one
  const stage = setUp({ global: money(450_000) }, [
    { model: 'dear', price: DEAR },
    { model: 'cheap', price: CHEAP },
  ])
  const reservation = { inputTokens: 100, outputTokens: 100, requests: 1, nanoDollars: 200_000 }
  expect(stage.fallsBack('1', { policy })).toEqual({ deployment: 'd', model: 'dear', reservation })
  expect(stage.fallsBack('2', { policy })).toMatchObject({ deployment: 'd' })
  // No more than that: the next in its place
  expect(stage.fallsBack('3', { policy })).toMatchObject({ deployment: 'c', reservation: { nanoDollars: 200 } })
  // What they did not use comes back
  stage.coordinator.finish('1', 2, done(1, 0), 1)
  expect(stage.fallsBack('4', { policy })).toMatchObject({ deployment: 'd' })
})

it('goes on where it failed if no other one can be paid, and ends', () => {
  const stage = setUp({ global: money(1_000) }, [{ model: 'dear', price: DEAR }])
  expect(stage.fallsBack('1')).toBeNull()
  let attempt = 1
  for (let now = 1_000; now < 60_000; now += 1_000)
    if (stage.leases(now)[0]?.deployment === 'a') {
      attempt++
      if (stage.coordinator.finish('1', attempt, FAILED, now).kind === 'ended') break
    }
  expect(attempt).toBe(OPTIONS.maxAttempts)
})

it("a model's limit counts what it answers in the place of others, which wait for room there", () => {
  const stage = setUp({ models: { cheap: requests(2, 0.5) } }, [{ model: 'cheap', price: CHEAP }])
  expect(['1', '2', '3'].map((id) => stage.fallsBack(id)?.deployment)).toEqual(['c', 'c', undefined])
  // Who asks for it by its name finds it used up, too
  const direct = { ...stage.job('x'), model: 'cheap', policy: 'reject' as const }
  expect(stage.coordinator.submit(direct, 0)).toMatchObject({ kind: 'refused' })
  stage.coordinator.tick(2_000)
  expect(stage.leases(2_000)).toMatchObject([{ deployment: 'c', model: 'cheap' }])
})

it('a restart finds what it holds, by the model that answers', () => {
  const instead = [{ model: 'cheap', price: CHEAP }]
  const limits = { models: { cheap: requests(1, 0.001) } }
  const first = setUp(limits, instead)
  const claim = first.fallsBack('1')!
  const next = setUp(limits, instead)
  const tally = { attempts: 2, fails: 1, deaths: 0, crashes: 0, ranMs: 0, ttftMs: null }
  const found = { tally, failedAt: [], reservation: null, held: { worker: 'w', claim } }
  next.coordinator.restore(next.job('1'), found, 0)
  const direct = (id: string) => next.coordinator.submit({ ...next.job(id), model: 'cheap', policy: 'reject' }, 1).kind
  expect(direct('x')).toBe('refused')
  next.coordinator.finish('1', 2, { kind: 'released' }, 1)
  expect(direct('y')).toBe('accepted')
})

/** A fallback that takes two requests, and one each two seconds. */
const CHEAP_ALONE = [{ model: 'cheap', price: CHEAP }]
const NARROW = { cheap: requests(2, 0.5) }
const tenant = (more: object) => ({
  eachTenant: { all: null, eachUser: null, eachRun: null, eachKey: null, models: {}, ...more },
})

describe.each([
  ['its tenant has limits, too', tenant({ all: requests(1_000, 10), models: NARROW })],
  ['nothing else is limited', tenant({ models: NARROW })],
  ['all tenants share the limit', { models: NARROW }],
])('a fallback at its limit: %s', (_, limits) => {
  it('is waited for until it has room, and no longer', () => {
    const stage = setUp(limits, CHEAP_ALONE)
    expect(['1', '2', '3'].map((id) => stage.fallsBack(id)?.deployment)).toEqual(['c', 'c', undefined])
    const at = stage.coordinator.nextAt()
    expect(at).toBe(2_000)
    stage.coordinator.tick(at)
    expect(stage.coordinator.leasable).toBe(true)
    expect(stage.leases(at)).toMatchObject([{ deployment: 'c', model: 'cheap' }])
  })

  it('holds up nobody who has not failed', () => {
    const stage = setUp(limits, CHEAP_ALONE)
    for (const id of ['1', '2', '3']) stage.fallsBack(id)
    stage.coordinator.submit(stage.job('4'), 100)
    expect(stage.leases(100)).toMatchObject([{ deployment: 'a' }])
  })
})

it('what it holds itself is no reason against its fallback', () => {
  const stage = setUp({ global: money(300) }, CHEAP_ALONE)
  expect(stage.fallsBack('1')).toMatchObject({ deployment: 'c', reservation: { nanoDollars: 200 } })
})

it('is asked again when a minute of its deployment has room, with no other sign', () => {
  const models = MODELS.map((model) =>
    model.name === 'cheap' ? { ...model, deployments: [{ ...deployment('c'), requestsPerMinute: 2 }] } : model,
  )
  const stage = setUp({}, CHEAP_ALONE, models, (name) => name === 'a')
  for (const id of ['1', '2', '3']) stage.coordinator.submit(stage.job(id, { deadlineMono: 3_600_000 }), 0)
  expect(stage.leases(0)).toHaveLength(2)
  for (const id of ['1', '2']) stage.coordinator.finish(id, 1, done(), 10)
  const at = stage.coordinator.nextAt()
  expect(at).toBeLessThan(70_000)
  stage.coordinator.tick(at)
  expect(stage.coordinator.leasable).toBe(true)
  expect(stage.leases(at)).toMatchObject([{ deployment: 'c' }])
})

it('what it cost when its process died is booked at its price, and in its limits', () => {
  const stage = setUp({ models: { dear: money(1_000_000) } }, [{ model: 'dear', price: DEAR }])
  const tally = { attempts: 2, fails: 1, deaths: 0, crashes: 0, ranMs: 0, ttftMs: null }
  stage.coordinator.restore(stage.job('1'), { tally, failedAt: [], reservation: null, held: null }, 0)
  stage.coordinator.changes()
  stage.coordinator.died([{ id: '1', deployment: 'd', model: 'dear', outputTokens: 500 }], 0)
  const used = stage.coordinator.changes().flatMap((change) => (change.type === 'used' ? [change.record] : []))
  expect(used).toMatchObject([{ model: 'chat', deployment: 'd', nanoDollars: 600_000 }])
  const direct = { ...stage.job('x'), model: 'dear', price: DEAR, promptTokens: 500, policy: 'reject' as const }
  expect(stage.coordinator.submit(direct, 1)).toMatchObject({ kind: 'refused' })
})
