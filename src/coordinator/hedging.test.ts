/** A second call of an attempt: where it goes, what it holds, and that each call is booked once, however it ends. */
import { expect, it } from 'vitest'
import { SluiceError } from '../core/errors.ts'
import { type LevelLimits, NO_LIMITS } from '../core/limits.ts'
import type { Change, Found, PlanDeployment, ScheduledJob } from '../core/ports/coordinator.ts'
import type { Claim, Outcome, Race } from '../core/ports/work.ts'
import { type CoordinatorOptions, createCoordinator } from './coordinator.ts'
import { done, job, OPTIONS } from './scheduler/testing/jobs.ts'

const HEDGE = { quantile: 0.95, afterMs: 500 }
const deployment = (name: string, more: Partial<PlanDeployment> = {}): PlanDeployment => ({
  ...{ name, kinds: ['chat'], upstreamModel: null, concurrent: Infinity, order: 0, revision: '', hedge: HEDGE },
  ...more,
})
const A_B = [deployment('a'), deployment('b', { order: 1 })]
const tokens = (burst: number): LevelLimits => ({
  rates: [{ unit: 'tokens', burst, perSecond: 0.001, whenOut: 'debt', oversize: 'refuse' }],
  budgets: [],
  concurrent: 1,
})
const usage = (promptTokens: number, completionTokens: number) => ({ promptTokens, completionTokens, estimated: true })
const OUTRUN: Race = { won: 'second', end: 'outrun', usage: usage(100, 0) }
const CANCELED: Outcome = { kind: 'canceled', attemptUsage: usage(100, 0) }

class Stage {
  readonly it
  readonly told: Change[] = []

  constructor(deployments: readonly PlanDeployment[] = A_B, more: Partial<CoordinatorOptions> = {}) {
    this.it = createCoordinator({ ...OPTIONS, models: [{ name: 'chat', deployments }], ...more })
    this.it.openLimits([], () => ({ index: 0, endsMono: Infinity }), 0)
    this.it.attach({ id: 'w', pools: [], slots: 99 }, 0)
  }

  take(): readonly Change[] {
    const changes = this.it.changes()
    this.told.push(...changes)
    return changes
  }

  lease(more: Partial<ScheduledJob> = {}, id = '1', now = 0): Claim {
    this.it.submit(job(id, { promptTokens: 100, maxOutputTokens: 10, ...more }), now)
    this.it.lease(now)
    const leased = this.take().find((change) => change.type === 'leased')
    if (leased?.type !== 'leased') throw new Error('not leased')
    return leased.claim
  }

  hedge(id = '1', now = 500): Claim | null {
    const claim = this.it.hedge(id, 1, now)
    this.take()
    return claim
  }

  /** [deployment, tokens, end, is it the second], in the order in which they were booked. */
  get booked() {
    this.take()
    return this.told.flatMap((change) => {
      if (change.type !== 'used') return []
      const { deployment: at, usage: of, end, hedge, attempt } = change.record
      return [[at, of.promptTokens + of.completionTokens, end, hedge === true ? `${attempt}h` : String(attempt)]]
    })
  }

  get active() {
    return this.it.status(1_000).map(({ active }) => active)
  }
}

it('goes elsewhere, once, and is told with the claim', () => {
  const stage = new Stage()
  expect(stage.lease()).toMatchObject({ deployment: 'a', hedgeAfterMs: 500 })
  const claim = stage.hedge()
  expect(claim).toMatchObject({ deployment: 'b', isHedge: true })
  expect(stage.hedge()).toBe(claim)
  expect(stage.told.filter(({ type }) => type === 'hedged')).toMatchObject([
    { id: '1', attempt: 1, claim: { deployment: 'a', hedge: { deployment: 'b' } } },
  ])
  expect(stage.active).toEqual([1, 1])
})

it.each([
  ['there is no other', [deployment('a')]],
  ['the other is full', [deployment('a'), deployment('b', { order: 1, concurrent: 0 })]],
])('goes on alone where %s', (_why, deployments) => {
  const stage = new Stage(deployments)
  stage.lease()
  expect(stage.hedge()).toBeNull()
  stage.it.finish('1', 1, done(100, 10), 900)
  expect(stage.booked).toEqual([['a', 110, 'done', '1']])
})

it('goes on alone where the other is broken, or drained, and where text was streamed', () => {
  const drained = new Stage(A_B, { isDrained: (name) => name === 'b' })
  drained.lease()
  expect(drained.hedge()).toBeNull()
  const streamed = new Stage()
  streamed.lease()
  streamed.it.charge('1', 1, 1, 400)
  expect(streamed.hedge()).toBeNull()
  const stale = new Stage()
  stale.lease()
  expect([stale.it.hedge('1', 2, 500), stale.it.hedge('2', 1, 500)]).toEqual([null, null])
})

it('goes on alone where a limit has no room for a second call, and takes nothing then', () => {
  const room = (burst: number) => {
    const stage = new Stage(A_B, { limits: () => ({ ...NO_LIMITS, global: tokens(burst) }) })
    stage.lease()
    return stage
  }
  expect(room(219).hedge()).toBeNull()
  const stage = room(220)
  expect(stage.hedge()).toMatchObject({ reservation: { inputTokens: 100, outputTokens: 10 } })
  // What both hold nobody else has
  stage.it.submit(job('2', { promptTokens: 1, maxOutputTokens: 0 }), 500)
  stage.it.lease(500)
  expect(stage.it.state('2')).toBe('waiting')
})

it('goes on alone where the other has nothing left of what its provider allows', () => {
  const stage = new Stage([deployment('a'), deployment('b', { order: 1, tokensPerMinute: 219 })])
  for (const id of ['1', '2']) stage.lease({}, id)
  expect([stage.hedge('1'), stage.hedge('2')]).toMatchObject([{ deployment: 'b', quotaTokens: 110 }, null])
})

it('draws on the budget of retries: a fifth of the calls', () => {
  const stage = new Stage()
  let hedged = 0
  for (let i = 0; i < 1_000; i++) {
    stage.lease({}, `j${i}`)
    if (stage.hedge(`j${i}`, 0) !== null) hedged++
    stage.it.finish(`j${i}`, 1, done(100, 10), 0)
  }
  expect(hedged).toBeGreaterThan(200)
  expect(hedged).toBeLessThanOrEqual(221)
})

it('the second one wins: what it came to is of its deployment, and the first one is booked at once', () => {
  const limits = () => ({ ...NO_LIMITS, global: tokens(1_000) })
  const stage = new Stage(A_B, { limits })
  stage.lease()
  stage.hedge()
  stage.it.raced('1', 1, OUTRUN, 700)
  expect(stage.booked).toEqual([['a', 100, 'outrun', '1']])
  expect(stage.active).toEqual([0, 1])
  // It still runs: its tenant's only place is not free
  stage.it.submit(job('2', { promptTokens: 1, maxOutputTokens: 1 }), 700)
  stage.it.lease(700)
  expect(stage.it.state('2')).toBe('waiting')
  stage.it.raced('1', 1, OUTRUN, 701)
  expect(stage.hedge('1', 702)).toBeNull()
  stage.it.finish('1', 1, { ...done(100, 10), race: OUTRUN }, 900)
  expect(stage.booked).toEqual([
    ['a', 100, 'outrun', '1'],
    ['b', 110, 'done', '1h'],
  ])
  expect(stage.told.find(({ type }) => type === 'ended')).toMatchObject({ deployment: 'b' })
  expect(stage.active).toEqual([0, 0])
  // Of the limit: both calls, and nothing is held any more
  expect(stage.it.takeLevels(900).find(({ kind }) => kind === 'global')?.used?.rates).toMatchObject({
    tokens: expect.closeTo(210, 0),
  })
})

it('the first one wins, and its end alone tells', () => {
  const stage = new Stage()
  stage.lease()
  stage.hedge()
  stage.it.finish('1', 1, { ...done(100, 10), race: { won: 'first', end: 'outrun', usage: usage(100, 0) } }, 900)
  expect(stage.booked).toEqual([
    ['b', 100, 'outrun', '1h'],
    ['a', 110, 'done', '1'],
  ])
  expect(stage.active).toEqual([0, 0])
})

it('where it was granted and not made, it costs nothing', () => {
  const stage = new Stage()
  stage.lease()
  stage.hedge()
  stage.it.finish('1', 1, done(100, 10), 900)
  expect(stage.booked).toEqual([['a', 110, 'done', '1']])
  expect(stage.active).toEqual([0, 0])
})

it('both fail: it is noted where, and the job goes to neither while there is a third', () => {
  const stage = new Stage([...A_B, deployment('c', { order: 2 })])
  stage.lease()
  stage.hedge()
  const failure = { code: 'provider_error' as const, elsewhere: false }
  stage.it.raced('1', 1, { won: 'second', end: 'failed', failure, usage: usage(0, 0) }, 600)
  const failed = stage.it.finish(
    '1',
    1,
    { kind: 'failed', error: new SluiceError('provider_error'), retry: true, attemptUsage: usage(0, 0) },
    700,
  )
  expect(failed.kind).toBe('again')
  const returned = stage.take().find(({ type }) => type === 'returned')
  expect(returned).toMatchObject({ failedAt: [{ deployment: 'a' }, { deployment: 'b' }] })
  stage.it.lease(2_000)
  expect(stage.take().find(({ type }) => type === 'leased')).toMatchObject({ claim: { deployment: 'c' } })
})

it.each([
  ['canceled', (stage: Stage) => void stage.it.finish('1', 1, { ...CANCELED, race: race('canceled') }, 900)],
  ['lost', (stage: Stage) => stage.it.leave('w', 900)],
])('%s in the middle: both calls are booked, once', (end, how) => {
  const stage = new Stage()
  stage.lease()
  stage.hedge()
  stage.it.cancel('1', 800)
  how(stage)
  stage.it.raced('1', 1, race('canceled'), 950)
  expect(stage.booked).toEqual([
    ['b', 100, end, '1h'],
    ['a', 100, end, '1'],
  ])
  expect(stage.active).toEqual([0, 0])
})
const race = (end: Race['end']): Race => ({ won: 'first', end, usage: usage(100, 0) })

it.each(['before', 'after'] as const)('a coordinator that takes over %s the race knows both calls', (when) => {
  const first = new Stage()
  first.lease()
  first.hedge()
  if (when === 'after') first.it.raced('1', 1, OUTRUN, 700)
  first.take()
  const claim = first.told.findLast((change) => change.type === 'hedged')
  if (claim?.type !== 'hedged') throw new Error('not hedged')
  const next = new Stage()
  const tally = { attempts: 1, fails: 0, deaths: 0, crashes: 0, ranMs: 0, ttftMs: null }
  const stored = JSON.parse(JSON.stringify(claim.claim)) as Claim
  const found: Found = { tally, failedAt: [], reservation: null, held: { worker: 'w', claim: stored } }
  next.it.restore(job('1', { promptTokens: 100, maxOutputTokens: 10 }), found, 10)
  expect(next.active).toEqual(when === 'before' ? [1, 1] : [0, 1])
  next.it.finish('1', 1, { ...done(100, 10), race: OUTRUN }, 900)
  expect(next.booked).toEqual([...(when === 'before' ? [['a', 100, 'outrun', '1']] : []), ['b', 110, 'done', '1h']])
  expect(next.active).toEqual([0, 0])
})

it('a process that died with both calls: both are booked where they ran', () => {
  const stage = new Stage()
  const tally = { attempts: 1, fails: 0, deaths: 0, crashes: 0, ranMs: 0, ttftMs: null }
  stage.it.restore(job('1', { promptTokens: 100 }), { tally, failedAt: [], reservation: null, held: null }, 10)
  stage.it.died([{ id: '1', deployment: 'a', beside: 'b', outputTokens: 3 }], 10)
  expect(stage.booked).toEqual([
    ['a', 103, 'lost', '1'],
    ['b', 100, 'lost', '1h'],
  ])
})

// ---------------------------------------------------------------- when

it('after the percentile of its own first texts, once enough of them are known, and never sooner than 100 ms', () => {
  const learned = { quantile: 0.95, afterMs: null }
  const after = (ttft: (i: number) => number): number | undefined => {
    const stage = new Stage([deployment('a', { hedge: learned }), deployment('b', { order: 1 })])
    for (let i = 0; i < 40; i++) {
      const claim = stage.lease({ acceptedMono: i * 10_000 }, `j${i}`, i * 10_000)
      if (i < 20) expect(claim.hedgeAfterMs).toBeUndefined()
      const { kind, ...ended } = done(100, 10) as Extract<Outcome, { kind: 'done' }>
      const timing = { ...ended.timing, ttftMs: ttft(i) }
      stage.it.finish(`j${i}`, 1, { kind, ...ended, timing }, i * 10_000 + 5_000)
    }
    return stage.lease({ acceptedMono: 500_000 }, 'last', 500_000).hedgeAfterMs
  }
  expect(after((i) => (i % 10 === 0 ? 3_000 : 200 + i))).toBe(3_000)
  expect(after((i) => (i === 7 ? 3_000 : 200 + i))).toBe(238)
  expect(after(() => 20)).toBe(100)
})

it('is told where a route is explained', () => {
  const stage = new Stage([deployment('a'), deployment('b', { hedge: null })])
  const ask = { model: 'chat', kind: 'chat', promptTokens: 1, maxOutputTokens: 1, draw: 'x' } as const
  const { steps } = stage.it.explain(ask, 0)
  expect(steps[0].deployments.map(({ hedgeAfterMs }) => hedgeAfterMs)).toEqual([500, null])
})

it('one that is outrun three times in a row comes after the others', () => {
  const stage = new Stage([deployment('a'), deployment('b')], {})
  const went: string[] = []
  for (let i = 0; i < 8; i++) {
    const { deployment: at } = stage.lease({ acceptedMono: i * 1_000 }, `j${i}`, i * 1_000)
    went.push(at)
    const second = stage.hedge(`j${i}`, i * 1_000 + 500)
    const lost: Race = { won: 'second', end: 'outrun', usage: usage(100, 0) }
    const race = second === null || at === 'b' ? undefined : lost
    stage.it.finish(`j${i}`, 1, { ...done(100, 10), ...(race && { race }) }, i * 1_000 + 600)
  }
  expect(went.filter((at) => at === 'a').length).toBeLessThanOrEqual(3)
})

it('an attempt gets no third call, when the second one is over', () => {
  const stage = new Stage()
  stage.lease()
  stage.hedge()
  stage.it.raced('1', 1, { won: 'first', end: 'outrun', usage: usage(100, 0) }, 700)
  expect(stage.hedge('1', 701)).toBeNull()
  stage.it.finish('1', 1, done(100, 10), 900)
  expect(stage.booked.map(([, , , call]) => call)).toEqual(['1h', '1'])
})
