/** Another model answers in a job's place: by that one's limits, and at its price. */
import { expect, it } from 'vitest'
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
function setUp(limits: Partial<LimitSettings>, instead: ScheduledJob['instead']) {
  const settings = { ...NO_LIMITS, ...limits }
  const coordinator = createCoordinator({ ...OPTIONS, models: MODELS, limits: () => settings })
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
