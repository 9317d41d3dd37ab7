import { expect, it } from 'vitest'
import type { FailedAt, PlanDeployment, PlanModel, ScheduledJob } from '../../core/ports/coordinator.ts'
import { job } from '../scheduler/testing/jobs.ts'
import type { Failure } from './elsewhere.ts'
import { Plan } from './plan.ts'
import type { Planned } from './planned.ts'

const deployment = (name: string, more: Partial<PlanDeployment> = {}): PlanDeployment => ({
  ...{ name, kinds: ['chat'], upstreamModel: null, concurrent: Infinity, order: 0, revision: '' },
  ...more,
})
const model = (name: string, deployments: PlanDeployment[], more: Partial<PlanModel> = {}): PlanModel => ({
  ...{ name, deployments },
  ...more,
})
const BROKEN: Failure = { code: 'provider_error', retryAfterMs: undefined, elsewhere: false }

/** The caller may use any of them. */
const ALL = ['other', 'long', 'frank'].map((name) => ({ model: name }))

class Stage {
  readonly plan: Plan
  now = 0
  #made = 0

  constructor(...models: PlanModel[]) {
    this.plan = new Plan(models)
  }

  claim(more: Partial<ScheduledJob> = {}, failedAt: FailedAt = []): Planned & { readonly at: string | null } {
    const id = `j${++this.#made}`
    const notes: Planned = {
      job: job(id, { acceptedMono: this.now, maxOutputTokens: 100, instead: ALL, ...more }),
      failedAt,
      call: null,
    }
    const claimed = this.plan.claim(notes, this.now)
    const at =
      'scope' in claimed
        ? null
        : claimed.model === undefined
          ? claimed.deployment
          : `${claimed.model} ${claimed.deployment}`
    return Object.assign(notes, { at })
  }

  end(call: Planned, how: Failure | null = null): FailedAt {
    let { failedAt } = call
    const used = { promptTokens: 100, completionTokens: 100 }
    if (how === null) this.plan.answered(call, used, { ttftMs: this.now - call.job.acceptedMono, tpotMs: 10 }, this.now)
    else failedAt = this.plan.failed(call, how, this.now).failedAt
    this.plan.release(call, how === null ? used : null, this.now)
    return failedAt
  }

  /** One after the other, each taking so long; where they went. */
  run(
    times: number,
    more: Partial<ScheduledJob> = {},
    tookMs: (at: string) => number = () => 1_000,
  ): readonly string[] {
    return Array.from({ length: times }, () => {
      const call = this.claim(more)
      this.now += tookMs(call.at!)
      this.end(call)
      return call.at!
    })
  }

  fail(times: number, more: Partial<ScheduledJob> = {}): void {
    for (let i = 0; i < times; i++) this.end(this.claim(more), BROKEN)
  }
}

const share = (of: readonly string[], name: string): number => of.filter((each) => each === name).length / of.length

// ---------------------------------------------------------------- policies

it('weighted: each gets its share, and one of weight 0 only what no other takes', () => {
  const of = [deployment('a', { weight: 3 }), deployment('b'), deployment('c', { weight: 0 })]
  const went = new Stage(model('chat', of, { policy: 'weighted' })).run(2_000)
  expect([share(went, 'a'), share(went, 'c')]).toEqual([expect.closeTo(0.75, 1), 0])
  expect(new Stage(model('chat', [of[2]], { policy: 'weighted' })).run(1)).toEqual(['c'])
})

it('cheapest: by what the job costs there; a price that nobody knows comes last', () => {
  const of = [
    deployment('unknown'),
    deployment('cheap to ask', { price: { input: 1, output: 9 } }),
    deployment('cheap to answer', { price: { input: 2, output: 2 } }),
  ]
  const stage = new Stage(model('chat', of, { policy: 'cheapest' }))
  expect(stage.claim({ promptTokens: 1_000, maxOutputTokens: 10 }).at).toBe('cheap to ask')
  expect(stage.claim({ promptTokens: 10, maxOutputTokens: 1_000 }).at).toBe('cheap to answer')
})

it('fastest: where the first text comes soonest, once each was asked', () => {
  const of = ['a', 'b', 'c'].map((name) => deployment(name))
  const stage = new Stage(model('chat', of, { policy: 'fastest' }))
  const went = stage.run(20, {}, (at) => (at === 'b' ? 100 : 900))
  expect([new Set(went).size > 1, new Set(went.slice(10))]).toEqual([true, new Set(['b'])])
})

it('round-robin: each in its turn', () => {
  const of = ['a', 'b', 'c'].map((name) => deployment(name))
  const went = new Stage(model('chat', of, { policy: 'round-robin' })).run(9)
  for (let i = 0; i < 9; i += 3) expect(went.slice(i, i + 3).toSorted()).toEqual(['a', 'b', 'c'])
})

it('least-wait: a slow one gets next to nothing', () => {
  const stage = new Stage(model('chat', [deployment('a'), deployment('b')]))
  const went = stage.run(600, {}, (at) => (at === 'b' ? 5_000 : 500))
  expect(share(went, 'b')).toBeLessThan(0.02)
})

it('the lower order first, whatever the policy says of it', () => {
  for (const policy of ['least-wait', 'weighted', 'cheapest', 'fastest', 'round-robin'] as const) {
    const of = [
      deployment('b', { order: 1, weight: 9, price: { input: 0, output: 0 } }),
      deployment('a', { concurrent: 1 }),
    ]
    const stage = new Stage(model('chat', of, { policy }))
    expect([stage.claim().at, stage.claim().at], policy).toEqual(['a', 'b'])
  }
})

// ---------------------------------------------------------------- what it needs

it('goes where what it needs is there; what is not known is taken to be', () => {
  const of = [
    deployment('plain', { can: { tools: false, vision: false } }),
    deployment('eu', { order: 1, tags: ['eu', 'gdpr'], can: { tools: true, vision: false } }),
    deployment('any', { order: 2, tags: ['eu'] }),
  ]
  const stage = new Stage(model('chat', of))
  const at = (can: readonly ('tools' | 'vision')[], tags: readonly string[]) => stage.claim({ needs: { can, tags } }).at
  expect([at([], []), at(['tools'], []), at(['vision'], []), at([], ['gdpr']), at(['vision'], ['gdpr'])]).toEqual([
    ...['plain', 'eu', 'any', 'eu'],
    // None is known to be able to see: the settings may be wrong, its client's tags are not
    'eu',
  ])
  expect(at([], ['us'])).toBeNull()
})

it('a long prompt goes where it fits; where it fits nowhere, the upstream says so', () => {
  const of = [deployment('small', { contextTokens: 1_000 }), deployment('large', { order: 1, contextTokens: 9_000 })]
  const stage = new Stage(model('chat', of))
  const sizes = [900, 1_001, 9_001]
  expect(sizes.map((promptTokens) => stage.claim({ promptTokens }).at)).toEqual(['small', 'large', 'small'])
})

it('a prompt that is heavier than what a minute of a deployment holds goes elsewhere, or to another model', () => {
  const other = model('other', [deployment('o')])
  const small = deployment('small', { tokensPerMinute: 1_000 })
  const both = new Stage(model('chat', [small, deployment('large', { order: 1 })]))
  expect([1_000, 1_001].map((promptTokens) => both.claim({ promptTokens, maxOutputTokens: 0 }).at)).toEqual([
    'small',
    'large',
  ])
  const fallbacks = { general: [], contextWindow: ['other'], contentPolicy: [] }
  const alone = new Stage(model('chat', [small], { fallbacks }), other)
  expect(alone.claim({ promptTokens: 1_001 }).at).toBe('other o')
})

it('a job that can not use what is free keeps nobody from it that can', () => {
  const stage = new Stage(
    model('chat', [deployment('a', { can: { vision: false } }), deployment('b', { concurrent: 1 })]),
  )
  const needs = { can: ['vision'] as const, tags: [] }
  expect(stage.claim({ needs }).at).toBe('b')
  const asked: Planned = { job: job('v', { needs }), failedAt: [], call: null }
  expect(stage.plan.claim(asked, 0)).toEqual({ scope: 'places' })
  expect(stage.claim().at).toBe('a')
})

// ---------------------------------------------------------------- breakers

it('one that fails is left alone, twice as long each time; then one job at a time tries it', () => {
  const stage = new Stage(model('chat', [deployment('a'), deployment('b', { order: 1 })]))
  stage.fail(5)
  const waits = [5_000, 10_000, 20_000, 40_000, 60_000, 60_000]
  for (const ms of waits) {
    expect(stage.plan.nextAt()).toBe(stage.now + ms)
    stage.now += ms - 1
    expect(stage.claim().at, `before ${ms}`).toBe('b')
    stage.now += 1
    const probe = stage.claim()
    expect([probe.at, stage.claim().at]).toEqual(['a', 'b'])
    stage.end(probe, BROKEN)
    expect(stage.claim().at).toBe('b')
  }
  stage.now += 60_000
  stage.end(stage.claim())
  stage.now += 60_000
  expect([stage.claim().at, stage.claim().at]).toEqual(['a', 'a'])
})

it('who waits for a try that has ended is told', () => {
  const stage = new Stage(model('chat', [deployment('a'), deployment('b', { concurrent: 1, order: 1 })]))
  stage.fail(5)
  stage.claim()
  stage.now = 5_000
  stage.plan.tick(stage.now)
  const probe = stage.claim()
  expect([probe.at, stage.claim().at]).toEqual(['a', null])
  stage.plan.takeRoom()
  // Stopped: nothing was learned, and the next one may try
  stage.plan.release(probe, null, stage.now)
  expect(stage.plan.takeRoom()).toBe(true)
  expect(stage.claim().at).toBe('a')
})

it('opens where half of the calls fail, of ten at least', () => {
  const stage = new Stage(model('chat', [deployment('a'), deployment('b', { order: 1 })]))
  for (let i = 0; i < 4; i++) {
    stage.fail(1)
    stage.end(stage.claim())
  }
  stage.fail(1)
  expect(stage.claim().at).toBe('a')
  stage.fail(1)
  expect(stage.claim().at).toBe('b')
})

it('never ejects more than half, and never a lone one', () => {
  for (const [size, ejected] of [
    [1, 0],
    [2, 1],
    [3, 1],
    [4, 2],
    [5, 2],
  ]) {
    const names = Array.from({ length: size }, (_, i) => `d${i}`)
    const stage = new Stage(
      model(
        'chat',
        names.map((name) => deployment(name, { concurrent: 1 })),
      ),
    )
    for (let round = 0; round < 8; round++) {
      const calls = names.map(() => stage.claim()).filter(({ at }) => at !== null)
      for (const call of calls) stage.end(call, BROKEN)
    }
    const went = names.map(() => stage.claim().at)
    expect(went.filter((at) => at === null).length, `of ${size}`).toBe(ejected)
  }
})

it('who waits for a deployment that is both busy and broken is told of each end', () => {
  const stage = new Stage(model('chat', [deployment('a')]))
  const { plan } = stage
  stage.fail(4)
  stage.end(stage.claim(), { ...BROKEN, retryAfterMs: 3_000 })
  const told = [3_000, 5_000].map((at) => {
    plan.takeRoom()
    const due = plan.nextAt()
    plan.tick(at)
    return [due, plan.takeRoom()]
  })
  expect(told).toEqual([
    [3_000, true],
    [5_000, true],
  ])
})

// ---------------------------------------------------------------- caches

it('a chat goes where its beginning was read, unless that is busy, or slow', () => {
  const stage = new Stage(
    model(
      'chat',
      ['a', 'b', 'c'].map((name) => deployment(name)),
    ),
  )
  const [home] = stage.run(1, { affinity: 'x' })
  expect(new Set(stage.run(30, { affinity: 'x' }))).toEqual(new Set([home]))
  expect(new Set(stage.run(60)).size).toBe(3)
  const went = Array.from({ length: 12 }, () => stage.claim({ affinity: 'x' }).at)
  expect(went.slice(0, 5).every((at) => at === home)).toBe(true)
  expect(new Set(went).size).toBeGreaterThan(1)
})

// ---------------------------------------------------------------- fallbacks

const INSTEAD = { general: ['other'], contextWindow: ['long'], contentPolicy: ['frank'] }
const withFallbacks = (): Stage =>
  new Stage(
    model(
      'chat',
      [deployment('a', { contextTokens: 1_000, concurrent: 3 }), deployment('b', { contextTokens: 1_000 })],
      {
        fallbacks: INSTEAD,
      },
    ),
    model('other', [deployment('o')]),
    model('long', [deployment('l')]),
    model('frank', [deployment('f')]),
  )

it('another model answers where none of its own works', () => {
  const stage = withFallbacks()
  const first = stage.claim()
  const second = stage.claim({}, stage.end(first, BROKEN))
  expect([first.at, second.at].toSorted()).toEqual(['a', 'b'])
  const third = stage.claim({}, stage.end(second, BROKEN))
  expect(third.at).toBe('other o')
  // Failed there, too: better where it failed than nowhere
  expect(['a', 'b']).toContain(stage.claim({}, stage.end(third, BROKEN)).at)
})

it('that it is busy is no reason for another model', () => {
  const stage = new Stage(
    model('chat', [deployment('a', { concurrent: 1 })], { fallbacks: INSTEAD }),
    model('other', [deployment('o')]),
  )
  expect([stage.claim().at, stage.claim().at]).toEqual(['a', null])
})

it('but that its provider wants to be left alone for long is one', () => {
  for (const [askedMs, at] of [
    [10_000, null],
    [3_600_000, 'other o'],
  ] as const) {
    const stage = new Stage(model('chat', [deployment('a')], { fallbacks: INSTEAD }), model('other', [deployment('o')]))
    const limited: Failure = { code: 'provider_rate_limited', retryAfterMs: askedMs, elsewhere: false }
    expect(stage.claim({}, stage.end(stage.claim(), limited)).at, `${askedMs}`).toBe(at)
  }
})

it('a lone deployment is no exception: a prompt that is too long for it goes to the model for that', () => {
  const stage = new Stage(
    model('chat', [deployment('a', { contextTokens: 1_000 })], { fallbacks: INSTEAD }),
    model('long', [deployment('l')]),
  )
  expect(stage.claim({ promptTokens: 1_001 }).at).toBe('long l')
})

it('a model that the caller may not use answers nothing', () => {
  const stage = withFallbacks()
  const others = [{ model: 'long' }]
  const first = stage.claim({ instead: others })
  const second = stage.claim({ instead: others }, stage.end(first, BROKEN))
  expect(['a', 'b']).toContain(stage.claim({ instead: others }, stage.end(second, BROKEN)).at)
  expect(stage.claim({ promptTokens: 1_001, instead: [{ model: 'other' }] }).at).toMatch(/^[ab]$/)
})

it('a prompt that is too long goes to the model for that at once', () => {
  expect(withFallbacks().claim({ promptTokens: 1_001 }).at).toBe('long l')
})

it('a model that refused what was asked is not asked again', () => {
  const stage = withFallbacks()
  for (const [refused, to] of [
    ['contentPolicy', 'frank f'],
    ['contextWindow', 'long l'],
  ] as const) {
    const call = stage.claim()
    expect(stage.plan.elsewhere.hasInstead(call, refused)).toBe(true)
    const failedAt = stage.end(call, { code: 'provider_rejected', retryAfterMs: undefined, elsewhere: true, refused })
    expect(stage.plan.elsewhere.inMs({ ...stage.claim(), failedAt }, 0)).toBe(0)
    expect(stage.claim({}, failedAt).at).toBe(to)
  }
})

// ---------------------------------------------------------------- why

it('tells why, and takes nothing', () => {
  const stage = new Stage(
    model(
      'chat',
      [
        deployment('full', { concurrent: 1 }),
        deployment('drained'),
        deployment('blind', { can: { vision: false } }),
        deployment('later', { order: 2 }),
        deployment('spent', { requestsPerMinute: 1 }),
        deployment('good', { order: 1 }),
      ],
      { policy: 'cheapest' },
    ),
  )
  const plan = new Plan([model('chat', [deployment('a'), deployment('b')])], (name) => name === 'a')
  expect(plan.explain(job('x'), 0).steps[0].deployments.map(({ out }) => out)).toEqual(['drained', null])
  const needs = { can: ['vision'] as const, tags: [] }
  stage.claim({ needs })
  const before = stage.plan.deployments.status(0)
  const trace = stage.plan.explain(job('x', { needs }), 0)
  expect(stage.plan.deployments.status(0)).toEqual(before)
  expect(trace.deployment).toBe(stage.claim({ needs }).at)
  const [{ deployments, policy, unit, model: asked }] = trace.steps
  expect([asked, policy, unit]).toEqual(['chat', 'cheapest', 'nano_dollars'])
  expect(deployments.find(({ deployment }) => deployment === 'blind')).toMatchObject({ out: 'abilities', order: 0 })
  expect(deployments.find(({ deployment }) => deployment === 'later')).toMatchObject({ out: 'order', order: 2 })
  expect(stage.plan.explain(job('y', { model: 'none' }), 0)).toMatchObject({ deployment: null, steps: [] })
})

it('tells why one was not chosen: dearer, price unknown, fails more, equal', () => {
  const price = (input: number) => ({ input, output: 0 }) as NonNullable<PlanDeployment['price']>
  const names = ['cheap', 'same', 'dear', 'free']
  const all = names.map((name, i) => deployment(name, { price: [price(1), price(1), price(3), null][i] }))
  const told = new Plan([model('chat', all, { policy: 'cheapest' })]).explain(job('x', { promptTokens: 10 }), 0)
  const by = new Map(told.steps[0].deployments.map((one) => [one.deployment, one.behind ?? null]))
  expect(by.get('dear')).toEqual({ by: 'score', amount: 20 })
  expect(by.get('free')).toEqual({ by: 'unknown' })
  expect([by.get('cheap'), by.get('same')]).toEqual(expect.arrayContaining([null, { by: 'draw' }]))
  const stage = new Stage(model('chat', [deployment('a'), deployment('b')]))
  for (let i = 0; i < 200; i++) {
    const call = stage.claim()
    stage.now += 10
    // One in three of its calls fails: never so many in a row that it is broken
    stage.end(call, call.at === 'a' && i % 3 === 0 ? BROKEN : null)
    if (stage.plan.explain(job('x'), stage.now).steps[0].deployments[0].out === 'errors') return
  }
  expect.unreachable('it never ailed')
})
