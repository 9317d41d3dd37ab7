import { describe, expect, it } from 'vitest'
import type { FailedAt, PlanDeployment, PlanModel, ScheduledJob } from '../../core/ports/coordinator.ts'
import { job as scheduledJob } from '../scheduler/testing/jobs.ts'
import { Plan } from './plan.ts'
import type { Planned } from './planned.ts'

const deployment = (name: string, more: Partial<PlanDeployment> = {}): PlanDeployment => ({
  ...{ name, kinds: ['chat'], upstreamModel: null, concurrent: 2, order: 0, revision: '' },
  ...more,
})
const FAST_MS = 1_000
const SLOW_MS = 10_000
/** Each answer has 100 tokens, as is known beforehand. */
const SHORT = { model: 'chat', promptTokens: 0, maxOutputTokens: 100 }

/** A fast one and a slow one, whose paces are known; `learns`: those that have answered. */
function setUp(
  {
    fast = {},
    slow = {},
    model = {},
  }: {
    fast?: Partial<PlanDeployment>
    slow?: Partial<PlanDeployment>
    model?: Partial<PlanModel>
  } = {},
  learns: readonly string[] = ['fast', 'slow'],
  slowMs = SLOW_MS,
) {
  const drained = new Set<string>()
  const models = [
    {
      name: 'chat',
      deployments: [deployment('fast', fast), deployment('slow', { concurrent: 50, ...slow })],
      ...model,
    },
  ]
  const plan = new Plan(models, (name) => drained.has(name))
  let jobs = 0
  const stage = {
    plan,
    drained,
    now: 0,
    make: (more: Partial<ScheduledJob> = {}, failedAt: FailedAt = []): Planned => ({
      job: scheduledJob(`j${++jobs}`, { ...SHORT, acceptedMono: stage.now, notBeforeMono: stage.now, ...more }),
      failedAt,
      call: null,
    }),
    /** Where it goes; else why not. */
    ask(notes: Planned): string {
      const found = plan.claim(notes, stage.now)
      return 'scope' in found ? `waits (${found.scope})` : found.deployment
    },
    end(notes: Planned): void {
      plan.answered(notes, { completionTokens: 100 }, {}, stage.now)
      plan.release(notes, null, stage.now)
    },
    /** Only this one is left to it. */
    start(name: string): Planned {
      const others = ['fast', 'slow'].filter((other) => other !== name)
      const notes = stage.make(
        {},
        others.map((other) => ({ deployment: other, never: true })),
      )
      expect(stage.ask(notes)).toBe(name)
      return notes
    },
    pass(ms: number): void {
      stage.now += ms
      plan.tick(stage.now)
    },
  }
  for (const name of learns)
    for (let i = 0; i < 3; i++) {
      const notes = stage.start(name)
      stage.pass(name === 'fast' ? FAST_MS : slowMs)
      stage.end(notes)
    }
  plan.takeRoom()
  return stage
}

function full(...given: Parameters<typeof setUp>) {
  const stage = setUp(...given)
  const running = [stage.start('fast'), stage.start('fast')]
  return { ...stage, stage, running }
}

describe('a full one that is fast', () => {
  it('is waited for, and got when it has room; those in line are asked about again by then', () => {
    const { stage, plan, running } = full()
    const job = stage.make()
    expect(stage.ask(job)).toBe('waits (job)')
    const lookMono = plan.nextAt()
    expect(lookMono - stage.now).toBeGreaterThanOrEqual(50)
    expect(lookMono - stage.now).toBeLessThanOrEqual(5_000)
    plan.takeRoom()
    stage.pass(lookMono - stage.now)
    expect(plan.takeRoom()).toBe(true)
    stage.end(running[0])
    expect(plan.takeRoom()).toBe(true)
    expect(stage.ask(job)).toBe('fast')
  })

  it('is waited for by as many as are answered sooner there; the others go elsewhere', () => {
    const { stage } = full({}, undefined, 4 * FAST_MS)
    const went = Array.from({ length: 30 }, () => stage.ask(stage.make()))
    const waits = went.filter((where) => where === 'waits (job)').length
    // Two at once take two seconds: with one to wait that is three, with two it is four, as at the slow one
    expect(went.slice(0, 2)).toEqual(['waits (job)', 'slow'])
    expect(waits).toBeLessThanOrEqual(16)
    expect(new Set(went)).toEqual(new Set(['waits (job)', 'slow']))
    // The next pass counts anew
    stage.now++
    expect(stage.ask(stage.make())).toBe('waits (job)')
  })

  it('is waited for no longer than the slow one would take', () => {
    const { stage } = full()
    const job = stage.make()
    expect(stage.ask(job)).toBe('waits (job)')
    stage.now += 1
    expect(stage.ask(stage.make({ acceptedMono: stage.now - 3 * SLOW_MS }))).toBe('slow')
  })

  it('that hangs is left, by its oldest call, and by who waits when it is asked about again', () => {
    const { stage, plan } = full()
    const job = stage.make()
    expect(stage.ask(job)).toBe('waits (job)')
    stage.now += 5 * SLOW_MS
    expect(stage.ask(stage.make())).toBe('slow')
    // Not before that is told: who leases goes by it
    expect(stage.ask(job)).toBe('waits (job)')
    stage.pass(0)
    expect([plan.takeRoom(), stage.ask(job)]).toEqual([true, 'slow'])
  })

  it('takes nothing while it is waited for, and is told with when', () => {
    const { stage, plan } = full()
    const before = plan.deployments.status(stage.now)
    const told = plan.explain(scheduledJob('x', { ...SHORT, acceptedMono: stage.now }), stage.now)
    expect(told).toMatchObject({ deployment: null, steps: [{ chosen: null, awaits: { deployment: 'fast' } }] })
    expect(told.steps[0].awaits!.inMs).toBeGreaterThan(0)
    expect(told.steps[0].awaits!.inMs).toBeLessThan(SLOW_MS)
    stage.ask(stage.make())
    expect(plan.deployments.status(stage.now)).toEqual(before)
  })
})

describe('nobody waits', () => {
  const goes = (stage: ReturnType<typeof setUp>, job = stage.make()): string => stage.ask(job)

  it('where the one with room is nearly as fast', () => {
    expect(goes(full({}, undefined, 4 * FAST_MS).stage)).toBe('waits (job)')
    expect(goes(full({}, undefined, 3.3 * FAST_MS).stage)).toBe('slow')
  })

  it.each(['fast', 'slow'])('where only the pace of the %s one is known', (name) => {
    const stage = setUp({}, [name])
    stage.start('fast')
    stage.start('fast')
    expect(goes(stage)).toBe('slow')
  })

  it('who has failed somewhere', () => {
    const { stage } = full()
    expect(goes(stage, stage.make({}, [{ deployment: 'gone', never: false }]))).toBe('slow')
  })

  it.each(['weighted', 'cheapest', 'fastest', 'round-robin'] as const)('under %s', (policy) => {
    expect(goes(full({ model: { policy } }).stage)).toBe('slow')
  })

  it('for one of a higher order', () => {
    expect(goes(full({ fast: { order: 1 } }).stage)).toBe('slow')
  })

  it('for one that is left alone, or down, or out of its quota', () => {
    const busy = full()
    const failure = { code: 'provider_rate_limited', retryAfterMs: 60_000, elsewhere: false } as const
    busy.plan.failed(busy.running[0], failure, busy.stage.now)
    expect(goes(busy.stage)).toBe('slow')

    const down = full()
    const check = { ok: false, why: '', tookMs: 1, holdsMs: 60_000, running: null, waiting: null }
    down.stage.now += 100
    for (let i = 0; i < 2; i++) down.plan.deployments.checked({ deployment: 'fast', ...check }, down.stage.now)
    expect(goes(down.stage)).toBe('slow')

    expect(goes(full({ fast: { requestsPerMinute: 2 } }).stage)).toBe('slow')
  })

  it('for one that is drained', () => {
    const { stage } = full()
    stage.drained.add('fast')
    expect(goes(stage)).toBe('slow')
  })
})
