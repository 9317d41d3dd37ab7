import { describe, expect, it } from 'vitest'
import type { EngineCheck } from '../../core/engine-check.ts'
import type { FailedAt, PlanDeployment, ScheduledJob } from '../../core/ports/coordinator.ts'
import { job as scheduledJob } from '../scheduler/testing/jobs.ts'
import { Plan } from './plan.ts'
import type { Planned } from './planned.ts'

const deployment = (name: string, more: Partial<PlanDeployment> = {}): PlanDeployment => ({
  ...{ name, kinds: ['chat'], upstreamModel: null, concurrent: Infinity, order: 0, revision: '' },
  ...more,
})
const GOOD: EngineCheck = { ok: true, why: 'HTTP 200', tookMs: 5, holdsMs: 20_000, running: null, waiting: null }
const BAD: EngineCheck = { ...GOOD, ok: false, why: 'HTTP 503' }

function setUp(...deployments: PlanDeployment[]) {
  const plan = new Plan([{ name: 'chat', deployments }])
  let jobs = 0
  const stage = {
    plan,
    now: 1_000,
    start(failedAt: FailedAt = [], more: Partial<ScheduledJob> = {}): Planned & { readonly at: string | null } {
      const notes: Planned = { job: scheduledJob(`j${++jobs}`, { model: 'chat', ...more }), failedAt, call: null }
      const claimed = plan.claim(notes, stage.now)
      return Object.assign(notes, { at: 'scope' in claimed ? null : claimed.deployment })
    },
    end(notes: Planned, failure: 'provider_error' | null = null): FailedAt {
      let failedAt: FailedAt = []
      if (failure === null) plan.answered(notes, { completionTokens: 10 }, {}, stage.now)
      else {
        const told = { code: failure, retryAfterMs: undefined, elsewhere: false }
        failedAt = plan.failed(notes, told, stage.now).failedAt
      }
      plan.release(notes, null, stage.now)
      return failedAt
    },
    /** Where the next calls go, each ended before the next one starts. */
    where: (calls = 20): readonly string[] =>
      [
        ...new Set(
          Array.from({ length: calls }, () => {
            const notes = stage.start()
            plan.release(notes, null, stage.now)
            return String(notes.at)
          }),
        ),
      ].sort(),
    check(name: string, check: EngineCheck, times = 1): void {
      for (let i = 0; i < times; i++) plan.deployments.checked({ deployment: name, ...check }, stage.now++)
    },
    pass(ms: number): void {
      stage.now += ms
      plan.tick(stage.now)
    },
    out: (name: string): string | null => {
      const ask = scheduledJob('x', { model: 'chat' })
      return plan.explain(ask, stage.now).steps[0].deployments.find((one) => one.deployment === name)!.out
    },
  }
  return stage
}

describe('checks that fail', () => {
  it('two in a row leave it alone, and one that succeeds ends that at once', () => {
    const { plan, where, check, out } = setUp(deployment('a'), deployment('b'))
    check('a', BAD)
    expect(where()).toEqual(['a', 'b'])
    check('a', GOOD)
    check('a', BAD)
    expect(where()).toEqual(['a', 'b'])
    check('a', BAD)
    expect([where(), out('a')]).toEqual([['b'], 'broken'])
    plan.takeRoom()
    check('a', BAD, 10)
    expect([where(), plan.takeRoom()]).toEqual([['b'], false])
    check('a', GOOD)
    expect([where(), plan.takeRoom()]).toEqual([['a', 'b'], true])
  })

  it('what can’t tell says nothing, and ends what was said', () => {
    const { where, check } = setUp(deployment('a'), deployment('b'))
    const unclear = { ...GOOD, ok: null, why: 'HTTP 404' }
    check('a', BAD)
    check('a', unclear)
    check('a', BAD)
    expect(where()).toEqual(['a', 'b'])
    check('a', BAD)
    check('a', unclear)
    expect(where()).toEqual(['a', 'b'])
  })

  it('no more than half of a group, and never a lone one', () => {
    const lone = setUp(deployment('a'))
    lone.check('a', BAD, 3)
    expect(lone.where()).toEqual(['a'])
    const { where, check } = setUp(deployment('a'), deployment('b'), deployment('c'), deployment('d'))
    for (const name of ['a', 'b', 'c', 'd']) check(name, BAD, 2)
    // Those that broke last are out
    expect(where(100)).toEqual(['a', 'b'])
  })

  it('all of a model, where a fallback works', () => {
    const { plan, start, check } = setUp(deployment('a'))
    const fallbacks = { general: ['other'], contextWindow: [], contentPolicy: [] }
    plan.configure([
      { name: 'chat', deployments: [deployment('a')], fallbacks },
      { name: 'other', deployments: [deployment('b')] },
    ])
    const where = (): string | null => {
      const notes = start([], { instead: [{ model: 'other' }] })
      plan.release(notes, null, 0)
      return notes.at
    }
    check('a', BAD, 2)
    expect(where()).toBe('b')
    check('b', BAD, 2)
    expect(where()).toBe('a')
    check('a', GOOD)
    expect(where()).toBe('a')
  })

  it('breakers of calls and of checks count as one', () => {
    const stage = setUp(deployment('a'), deployment('b'))
    for (let i = 0; i < 5; i++) {
      const notes = stage.start([{ deployment: 'b', never: true }])
      expect(notes.at).toBe('a')
      stage.end(notes, 'provider_error')
    }
    stage.pass(1)
    stage.check('b', BAD, 2)
    // b broke last
    expect(stage.where()).toEqual(['a'])
  })

  it('it has answered a call since: it is not down', () => {
    const stage = setUp(deployment('a'), deployment('b'))
    const running = stage.start([{ deployment: 'b', never: true }])
    const slow = { ...BAD, why: 'no answer within 2000 ms', tookMs: 2_000 }
    for (let i = 0; i < 5; i++) {
      stage.pass(4_000)
      stage.plan.streamed(running, 3, stage.now)
      stage.pass(1_000)
      stage.check('a', slow)
      expect(stage.out('a'), String(i)).toBeNull()
    }
    // Silent now, too
    stage.pass(5_000)
    stage.check('a', slow)
    expect(stage.out('a')).toBeNull()
    stage.pass(5_000)
    stage.check('a', slow)
    expect(stage.out('a')).toBe('broken')
    // And its text comes after all
    stage.plan.takeRoom()
    stage.plan.streamed(running, 1, stage.now)
    expect([stage.out('a'), stage.plan.takeRoom()]).toEqual([null, true])
    stage.check('a', slow)
    expect(stage.out('a')).toBeNull()
  })

  it('nobody has checked it for a while: it is called again', () => {
    const { plan, where, check, pass } = setUp(deployment('a'), deployment('b'))
    check('a', BAD, 2)
    pass(19_000)
    plan.takeRoom()
    expect(where()).toEqual(['b'])
    expect(plan.nextAt()).toBeLessThan(Infinity)
    pass(2_000)
    expect([plan.takeRoom(), where(), plan.nextAt()]).toEqual([true, ['a', 'b'], Infinity])
  })

  it('another engine under the same name begins anew; one that is not there, or no longer, is none', () => {
    const { plan, where, check } = setUp(deployment('a'), deployment('b'))
    check('a', BAD, 2)
    check('nobody', BAD, 2)
    const models = (revision: string) => [
      { name: 'chat', deployments: [deployment('a', { revision }), deployment('b')] },
    ]
    plan.configure(models(''))
    expect(where()).toEqual(['b'])
    plan.configure(models('new'))
    expect(where()).toEqual(['a', 'b'])
    expect(plan.deployments.status(0).map(({ check }) => check)).toEqual([null, null])
  })
})

describe('a check that succeeds', () => {
  function broken() {
    const stage = setUp(deployment('a'), deployment('b'))
    for (let i = 0; i < 5; i++) stage.end(stage.start([{ deployment: 'b', never: true }]), 'provider_error')
    expect(stage.where()).toEqual(['b'])
    return stage
  }

  it('after one that failed lets one call try it before its breaker would, and no more', () => {
    const stage = broken()
    stage.check('a', BAD, 2)
    stage.pass(500)
    stage.check('a', GOOD)
    const first = Array.from({ length: 6 }, () => stage.start())
    expect(first.filter(({ at }) => at === 'a').length).toBe(1)
    for (const each of first) stage.end(each)
    expect(stage.where()).toEqual(['a', 'b'])
  })

  it('as it did while its calls failed is no news', () => {
    const stage = broken()
    stage.check('a', GOOD, 5)
    expect(stage.where()).toEqual(['b'])
    stage.pass(5_000)
    expect(stage.where()).toEqual(['a', 'b'])
  })
})

describe('the load of others', () => {
  const loaded = (running: number, waiting = 0): EngineCheck => ({ ...GOOD, running, waiting })

  it('counts as ours does, once two checks have told of it', () => {
    const { start, check, where } = setUp(deployment('a'), deployment('b'))
    check('a', loaded(20, 5))
    expect(where()).toEqual(['a', 'b'])
    check('a', loaded(30))
    const went = Array.from({ length: 10 }, () => start().at)
    expect(new Set(went)).toEqual(new Set(['b']))
  })

  it('what is ours is not counted twice', () => {
    const { start, check, where } = setUp(deployment('a'), deployment('b'))
    const running = Array.from({ length: 40 }, () => start().at)
    const here = running.filter((at) => at === 'a').length
    expect(here).toBeGreaterThan(10)
    check('a', loaded(here), 2)
    const more = Array.from({ length: 40 }, () => start().at).filter((at) => at === 'a').length
    expect(Math.abs(more - 20)).toBeLessThanOrEqual(here > 20 ? here - 18 : 22 - here)
    check('a', loaded(0), 2)
    expect(where().length).toBeGreaterThan(0)
  })

  it('is forgotten when it is gone, and when nobody looks any more', () => {
    const { plan, start, check, pass } = setUp(deployment('a'), deployment('b'))
    const goesTo = (): ReadonlySet<string | null> => {
      const started = Array.from({ length: 6 }, () => start())
      for (const each of started) plan.release(each, null, 0)
      return new Set(started.map(({ at }) => at))
    }
    check('a', loaded(25), 2)
    expect(goesTo()).toEqual(new Set(['b']))
    check('a', loaded(0))
    expect(goesTo()).toEqual(new Set(['a', 'b']))
    check('a', loaded(25), 2)
    expect(goesTo()).toEqual(new Set(['b']))
    pass(21_000)
    expect(goesTo()).toEqual(new Set(['a', 'b']))
  })

  it('neither what is cached there nor the pace that is learned under it misleads', () => {
    const SHORT = { maxOutputTokens: 10 }
    const stage = setUp(deployment('a'), deployment('b'))
    // Under a load of others a takes 40 ms a token, b 10 without
    stage.check('a', loaded(30), 2)
    for (let i = 0; i < 10; i++)
      for (const [name, ms] of [
        ['a', 400],
        ['b', 100],
      ] as const) {
        const notes = stage.start([{ deployment: name === 'a' ? 'b' : 'a', never: true }], SHORT)
        expect(notes.at).toBe(name)
        stage.now += ms
        stage.end(notes)
      }
    expect(stage.start([], SHORT).at).toBe('b')
    // It was the load: without it a is as good again, or better
    stage.check('a', loaded(0), 2)
    expect(stage.start([], SHORT).at).toBe('a')
  })

  it('is told, with what the check found', () => {
    const { plan, check } = setUp(deployment('a'), deployment('b'))
    check('a', loaded(3, 2))
    check('b', BAD, 2)
    expect(plan.deployments.status(1_010).map(({ check }) => check)).toEqual([
      { ok: true, why: 'HTTP 200', running: 3, waiting: 2, agoMs: 10, isDown: false },
      { ok: false, why: 'HTTP 503', running: null, waiting: null, agoMs: 8, isDown: true },
    ])
  })
})

it('one that is down wakes those that wait for a slot there', () => {
  const { plan, start, check } = setUp(deployment('a', { concurrent: 1 }), deployment('b', { concurrent: 1, order: 1 }))
  expect(start().at).toBe('a')
  expect(start().at).toBe('b')
  expect(start().at).toBeNull()
  plan.takeRoom()
  check('a', BAD)
  expect(plan.takeRoom()).toBe(false)
  check('a', BAD)
  expect(plan.takeRoom()).toBe(true)
})
