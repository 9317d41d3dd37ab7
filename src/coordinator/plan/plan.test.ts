import { describe, expect, it } from 'vitest'
import type { FailedAt, PlanDeployment, PlanModel, ScheduledJob } from '../../core/ports/coordinator.ts'
import type { HeadroomRefusal } from '../scheduler/port.ts'
import { job as scheduledJob } from '../scheduler/testing/jobs.ts'
import type { Failure } from './elsewhere.ts'
import { withFailure } from './failed-at.ts'
import { Plan } from './plan.ts'
import type { Planned } from './planned.ts'

const deployment = (name: string, more: Partial<PlanDeployment> = {}): PlanDeployment => ({
  name,
  kinds: ['chat'],
  upstreamModel: null,
  concurrent: Infinity,
  order: 0,
  revision: name,
  ...more,
})
const model = (name: string, ...deployments: PlanDeployment[]): PlanModel => ({ name, deployments })
const job = (id: string, more: Partial<ScheduledJob> = {}): ScheduledJob => scheduledJob(id, more)
const failure = (code: Failure['code'], retryAfterMs?: number, elsewhere = false): Failure => ({
  code,
  retryAfterMs,
  elsewhere,
})

const USED = { promptTokens: 100, completionTokens: 10 }

/** A plan with the notes that a coordinator keeps: claims, and where jobs failed. */
function setUp(...models: PlanModel[]) {
  const plan = new Plan(models)
  plan.takeRoom()
  const where = new Map<string, string>()
  const claims = new Map<string, Planned>()
  const failedAt = new Map<string, FailedAt>()
  const stage = {
    plan,
    now: 0,
    failedAt,
    /** Null: it has a slot. */
    ask(id: string, more: Partial<ScheduledJob> = {}): HeadroomRefusal | null {
      const notes: Planned = { job: job(id, more), failedAt: failedAt.get(id) ?? [], call: null }
      const found = plan.claim(notes, stage.now)
      if ('scope' in found) return found
      claims.set(id, notes)
      where.set(id, found.deployment)
      return null
    },
    claimed: (id: string): string => where.get(id)!,
    notes: (id: string): Planned => claims.get(id)!,
    /** Takes a slot for the job and names where it went. */
    take(id: string, more: Partial<ScheduledJob> = {}): string {
      expect(stage.ask(id, more)).toBeNull()
      return stage.claimed(id)
    },
    /** Gives the slot back; null: it went well. Returns how long no call starts there. */
    release(id: string, how: Failure | 'stopped' | null): number {
      const notes = claims.get(id)!
      claims.delete(id)
      if (how === null) plan.answered(notes, USED, {}, stage.now)
      else if (how !== 'stopped') failedAt.set(id, plan.failed(notes, how, stage.now).failedAt)
      const coolsForMs = plan.coolsForMs(notes, stage.now)
      plan.release(notes, how === null ? USED : null, stage.now)
      return coolsForMs
    },
  }
  return stage
}

it('holds a deployment to its slots and tells when one comes free', () => {
  const { plan, ask, release } = setUp(model('chat', deployment('a', { concurrent: 2 })))
  expect([1, 2, 3].map((i) => ask(`j${i}`))).toEqual([null, null, { scope: 'model' }])
  release('j1', null)
  expect(plan.takeRoom()).toBe(true)
  expect(plan.takeRoom()).toBe(false)
  expect(ask('j3')).toBeNull()
  expect(ask('j4')).toEqual({ scope: 'model' })
})

it('spreads by load inside an order, and goes to the next order when the first is full', () => {
  const { take } = setUp(
    model(
      'chat',
      deployment('a', { concurrent: 1 }),
      deployment('b', { concurrent: 1 }),
      deployment('c', { order: 1 }),
    ),
  )
  const taken = ['1', '2', '3'].map((id) => take(id))
  expect([...taken.slice(0, 2).sort(), taken[2]]).toEqual(['a', 'b', 'c'])
})

it('spreads by the share of slots that is taken', () => {
  const { take } = setUp(model('chat', deployment('a', { concurrent: 2 }), deployment('b', { concurrent: 6 })))
  const names = Array.from({ length: 8 }, (_, i) => take(`${i}`))
  expect(names.slice(0, 4).toSorted()).toEqual(['a', 'b', 'b', 'b'])
  expect(names.slice(4).toSorted()).toEqual(['a', 'b', 'b', 'b'])
})

it('leaves a rate-limited deployment alone for as long as it asked, then tells that it is open', () => {
  const stage = setUp(model('chat', deployment('a')))
  const { plan, ask, release } = stage
  ask('1')
  release('1', failure('provider_rate_limited', 3_000))
  expect(ask('2')).toEqual({ scope: 'model' })
  expect(plan.nextAt()).toBe(3_000)
  plan.tick(2_999)
  expect(plan.takeRoom()).toBe(false)
  stage.now = 3_000
  plan.tick(3_000)
  expect(plan.takeRoom()).toBe(true)
  expect(plan.nextAt()).toBe(Infinity)
  expect(ask('2')).toBeNull()
})

it('an answer to a call that began before does not end the wait; jobs are told when it ends, however it does', () => {
  const stage = setUp(model('chat', deployment('a')))
  const { plan, ask, release } = stage
  ask('began before')
  ask('1')
  release('1', failure('provider_rate_limited', 3_000))
  plan.takeRoom()
  release('began before', null)
  expect(ask('2')).toEqual({ scope: 'model' })
  expect(plan.nextAt()).toBe(3_000)
  // Its end is noticed late: an answer that comes in between must not lose it
  stage.now = 3_001
  ask('3')
  release('3', null)
  plan.tick(3_001)
  expect(plan.takeRoom()).toBe(true)
})

it('takes a job that failed somewhere to another deployment, and back only when there is no other', () => {
  const { take, release, failedAt } = setUp(model('chat', deployment('a'), deployment('b', { order: 1 })))
  expect(take('1')).toBe('a')
  release('1', failure('provider_unreachable'))
  expect(take('1')).toBe('b')
  release('1', failure('provider_error'))
  expect(take('1')).toBe('a')
  release('1', null)
  failedAt.delete('1')
  expect(take('1')).toBe('a')
})

it('waits for one that only has no room rather than use its attempts up where it failed', () => {
  const stage = setUp(model('chat', deployment('a'), deployment('b', { order: 1, concurrent: 1 })))
  const { ask, take, release } = stage
  expect(take('1')).toBe('a')
  release('1', failure('provider_unreachable'))
  stage.failedAt.set('blocker', [{ deployment: 'a', never: false }])
  expect(take('blocker')).toBe('b')
  // Others are not in its way, nor it in theirs
  expect(ask('1')).toEqual({ scope: 'places' })
  expect(take('another')).toBe('a')
  release('blocker', null)
  expect(take('1')).toBe('b')
  // Where the other one is away for long, or out, it goes back
  release('1', failure('provider_rate_limited', 60_000))
  stage.failedAt.set('2', [{ deployment: 'a', never: false }])
  expect(take('2')).toBe('a')
})

it('passes by a deployment that fails again and again, while there is another', () => {
  const { ask, take, release } = setUp(model('chat', deployment('a'), deployment('b', { order: 1 })))
  for (let i = 0; i < 5; i++) {
    ask(`f${i}`)
    release(`f${i}`, failure('provider_timeout'))
  }
  expect(take('next')).toBe('b')
})

it('a job goes rather to a deployment that fails others than back to where it failed itself', () => {
  const { take, release, failedAt } = setUp(model('chat', deployment('a'), deployment('b', { order: 1 })))
  for (const id of ['1', '2', '3', '4', '5']) {
    failedAt.set(id, [{ deployment: 'a', never: true }])
    expect(take(id)).toBe('b')
    release(id, failure('provider_error'))
  }
  failedAt.set('next', [{ deployment: 'a', never: false }])
  expect(take('next')).toBe('b')
})

it('does not blame a deployment for a request it refused', () => {
  const { ask, take, release } = setUp(model('chat', deployment('a'), deployment('b', { order: 1 })))
  for (let i = 0; i < 9; i++) {
    ask(`f${i}`)
    release(`f${i}`, failure('provider_rejected'))
  }
  expect(take('next')).toBe('a')
})

it('makes the wait longer while a deployment goes on refusing, once for calls that were under way together', () => {
  const stage = setUp(model('chat', deployment('a')))
  const { ask, take, release } = stage
  const refuse = (...ids: string[]): number => {
    for (const id of ids) expect(ask(id)).toBeNull()
    return Math.max(...ids.map((id) => release(id, failure('provider_rate_limited', 0))))
  }
  const waits = [refuse('1', '2', '3')]
  for (let i = 0; i < 7; i++) {
    stage.now += waits.at(-1)! + 1
    waits.push(refuse(`again${i}`))
  }
  expect(waits).toEqual([1_000, 2_000, 4_000, 8_000, 15_000, 15_000, 15_000, 15_000])
  stage.now += 60_001
  take('good')
  release('good', null)
  expect(refuse('after')).toBe(1_000)
})

it('closes to others for less where one job is all that it failed', () => {
  const stage = setUp(model('chat', deployment('a')))
  const fail = (id: string): number => {
    expect(stage.ask(id)).toBeNull()
    const waitMs = stage.release(id, failure('provider_error', 0))
    stage.now += waitMs + 1
    return waitMs
  }
  expect([fail('1'), fail('1'), fail('1')]).toEqual([1_000, 1_000, 1_000])
  expect(['2', '3', '4', '5', '6', '7'].map(fail)).toEqual([2_000, 4_000, 8_000, 15_000, 15_000, 15_000])
})

it('is not told by a stop of ours that a deployment is well', () => {
  const stage = setUp(model('chat', deployment('a')))
  const { take, release } = stage
  take('1')
  release('1', failure('provider_rate_limited'))
  stage.now += 1_001
  take('2')
  release('2', 'stopped')
  take('3')
  expect(release('3', failure('provider_rate_limited'))).toBe(2_000)
})

it('never tries a job again where it was too slow, while there is another place', () => {
  const stage = setUp(model('chat', deployment('a'), deployment('b', { concurrent: 1, order: 1 })))
  const { plan, ask, take, release, failedAt } = stage
  const elsewhereInMs = (): number | null =>
    plan.elsewhere.inMs({ ...stage.notes('1'), failedAt: failedAt.get('1') ?? [] }, stage.now)
  expect(take('1')).toBe('a')
  expect(elsewhereInMs()).toBe(0)
  release('1', failure('provider_timeout', undefined, true))
  expect(take('other')).toBe('a')
  release('other', null)
  // The other place is taken: this job waits for it, and no other job of the model with it
  failedAt.set('blocker', [{ deployment: 'a', never: true }])
  expect(take('blocker')).toBe('b')
  expect(ask('1')).toEqual({ scope: 'places' })
  expect(take('another')).toBe('a')
  release('blocker', failure('provider_timeout'))
  expect(take('1')).toBe('b')
  expect(elsewhereInMs()).toBeNull()
})

it('waits for local faults without blaming the deployment', () => {
  const stage = setUp(model('chat', deployment('a'), deployment('b', { order: 1 })))
  for (let i = 0; i < 9; i++) {
    stage.ask(`f${i}`)
    stage.release(`f${i}`, failure('overloaded', 1_000))
    stage.now += 60_001
  }
  expect(stage.take('next')).toBe('a')
})

it('takes other models over: what runs still counts, under the name of its deployment', () => {
  const { plan, take, release } = setUp(
    model('chat', deployment('a', { concurrent: 1 })),
    model('gone', deployment('g')),
  )
  expect(take('1')).toBe('a')
  expect(take('g', { model: 'gone' })).toBe('g')
  plan.configure([model('chat', deployment('a', { concurrent: 1 }), deployment('b', { order: 1 }))])
  expect(plan.takeRoom()).toBe(true)
  // Its one slot is taken by a call that began before
  expect(take('2')).toBe('b')
  expect(plan.deployments.status(0).map(({ deployment, active }) => [deployment, active])).toEqual([
    ['a', 1],
    ['b', 1],
    ['g', 1],
  ])
  release('1', null)
  expect(take('3')).toBe('a')
  release('g', failure('provider_error', 9_000))
  expect(plan.deployments.status(0).map(({ deployment }) => deployment)).toEqual(['a', 'b'])
})

it('a deployment keeps its health over a reload, unless its revision is another', () => {
  const { plan, take, release } = setUp(model('chat', deployment('a'), deployment('b', { order: 1 })))
  take('1')
  release('1', failure('provider_rate_limited', 5_000))
  plan.configure([model('chat', deployment('a'), deployment('b', { order: 1 }))])
  expect(take('2')).toBe('b')
  plan.configure([model('chat', deployment('a', { revision: 'new key' }), deployment('b', { order: 1 }))])
  expect(take('3')).toBe('a')
  expect(plan.nextAt()).toBe(Infinity)
})

describe('a deployment that is renamed, and made of the same', () => {
  const made = (name: string, more: Partial<PlanDeployment> = {}) =>
    deployment(name, { revision: 'r', identity: 'i', ...more })

  it('keeps what it has used of its quota, and what calls that still run use', () => {
    const limited = { requestsPerMinute: 2 }
    const { plan, ask, take, release } = setUp(model('chat', made('a', limited)))
    take('1')
    release('1', null)
    take('2')
    plan.configure([model('chat', made('b', limited))])
    expect(ask('3')).toEqual({ scope: 'model' })
    release('2', null)
    expect(ask('3')).toEqual({ scope: 'model' })
    expect(plan.deployments.status(0).map(({ deployment }) => deployment)).toEqual(['b'])
  })

  it('keeps its calls, and its health', () => {
    const { plan, ask, take, release } = setUp(model('chat', made('a', { concurrent: 1 })))
    take('1')
    plan.configure([model('chat', made('b', { concurrent: 1 }))])
    expect(ask('2')).toEqual({ scope: 'model' })
    release('1', failure('provider_rate_limited', 9_000))
    plan.configure([model('chat', made('c', { concurrent: 1 }))])
    expect(ask('2')).toEqual({ scope: 'model' })
    expect(plan.nextAt()).toBe(9_000)
  })

  it('is another one where it is made of something else', () => {
    const { plan, take } = setUp(model('chat', made('a', { requestsPerMinute: 1 })))
    take('1')
    plan.configure([model('chat', made('b', { requestsPerMinute: 1, identity: 'other' }))])
    expect(take('2')).toBe('b')
  })

  it('keeps the calls that another coordinator began under its new name', () => {
    const { plan, ask } = setUp(model('chat', made('a', { concurrent: 1 })))
    const notes: Planned = { job: job('adopted'), failedAt: [], call: null }
    plan.adopt(notes, { deployment: 'b', reservation: null }, 0)
    plan.configure([model('chat', made('b', { concurrent: 1 }))])
    expect(ask('1')).toEqual({ scope: 'model' })
    plan.release(notes, USED, 0)
    expect(ask('1')).toBeNull()
  })

  it('is not lost where a call ends of one that had its name before', () => {
    const { plan, take, release } = setUp(model('chat', made('x', { identity: 'x' })))
    take('old')
    plan.configure([model('chat', made('a'))])
    plan.configure([model('chat', made('x'))])
    take('new')
    release('old', null)
    expect(plan.deployments.status(0).map(({ deployment, active }) => [deployment, active])).toEqual([['x', 1]])
  })
})

it('jobs of a model that is gone wait, and run when it is back', () => {
  const { plan, ask, take } = setUp(model('chat', deployment('a')))
  plan.configure([])
  expect(ask('1')).toEqual({ scope: 'model' })
  plan.takeRoom()
  plan.configure([model('chat', deployment('a'))])
  expect(plan.takeRoom()).toBe(true)
  expect(take('1')).toBe('a')
})

describe('models behind one pattern', () => {
  const busy = failure('provider_rate_limited', 20_000)

  it('wait and fail each for themselves', () => {
    const { ask, take, release } = setUp(model('*', deployment('a'), deployment('b', { order: 1 })))
    ask('1', { model: 'bad' })
    release('1', busy)
    for (let i = 0; i < 5; i++) {
      ask(`f${i}`, { model: 'worse' })
      release(`f${i}`, failure('provider_error'))
    }
    expect(['bad', 'worse', 'good'].map((model) => take(model, { model }))).toEqual(['b', 'b', 'a'])
  })

  it('wait together where the deployment calls them all by one name', () => {
    const { plan, ask, release } = setUp(model('*', deployment('a', { upstreamModel: 'm' })))
    ask('1', { model: 'x' })
    release('1', busy)
    expect(ask('2', { model: 'y' })).toEqual({ scope: 'model' })
    expect(plan.nextAt()).toBe(20_000)
  })

  it('are remembered in bounded memory', () => {
    const { plan, ask, release } = setUp(model('*', deployment('a')))
    for (let i = 0; i < 3_000; i++) {
      expect(ask(`${i}`, { model: `m${i}` })).toBeNull()
      expect(release(`${i}`, busy)).toBe(20_000)
    }
    expect(ask('old', { model: 'm0' })).toBeNull()
    expect(ask('new', { model: 'm2999' })).toMatchObject({ scope: 'model' })
    expect(plan.deployments.status(0)[0].unwell.length).toBe(1_000)
  })
})

it('does not try again where a job was told to go elsewhere, whatever the failure', () => {
  const { take, release } = setUp(model('chat', deployment('a'), deployment('b', { order: 1 })))
  expect(take('1')).toBe('a')
  release('1', failure('provider_rejected', undefined, true))
  expect(take('1')).toBe('b')
})

it('plans a job only where its kind is served', () => {
  const { ask, take, release, failedAt } = setUp(
    model('m', deployment('chat'), deployment('vectors', { kinds: ['embedding'], concurrent: 1, order: 1 })),
  )
  expect(take('1', { model: 'm', kind: 'embedding' })).toBe('vectors')
  expect(ask('2', { model: 'm', kind: 'embedding' })).toEqual({ scope: 'model' })
  expect(take('3', { model: 'm' })).toBe('chat')
  release('1', failure('provider_timeout', undefined, true))
  // There is no other for this kind: better there than nowhere
  expect(failedAt.get('1')).toEqual([{ deployment: 'vectors', never: true }])
  expect(take('1', { model: 'm', kind: 'embedding' })).toBe('vectors')
})

it('never goes back where a job was told to go elsewhere, though it failed there otherwise since', () => {
  const { plan, ask, take, release } = setUp(model('chat', deployment('a')))
  take('1')
  release('1', failure('provider_timeout', undefined, true))
  // There is no other, for now
  expect(take('1')).toBe('a')
  release('1', failure('provider_error'))
  plan.configure([model('chat', deployment('a'), deployment('b', { concurrent: 0, order: 1 }))])
  expect(ask('1')).toEqual({ scope: 'places' })
})

it('remembers where a job failed, briefly said', () => {
  let failedAt: FailedAt = []
  for (let i = 0; i < 100; i++) failedAt = withFailure(failedAt, `d${i}`, false)
  expect(failedAt.length).toBe(32)
  expect(failedAt.at(-1)).toEqual({ deployment: 'd99', never: false })
})
