/** What a run may use in all: refused beyond it, ended in line, cut in the middle, kept over a restart. */
import { expect, it } from 'vitest'
import { SluiceError } from '../core/errors.ts'
import type { LevelState, RunBudget } from '../core/limits.ts'
import type { Change, Coordinator, ScheduledJob } from '../core/ports/coordinator.ts'
import type { Outcome } from '../core/ports/work.ts'
import { createCoordinator } from './coordinator.ts'
import { done, job, OPTIONS } from './scheduler/testing/jobs.ts'

const MODELS = [
  {
    name: 'chat',
    deployments: [
      { name: 'a', kinds: ['chat' as const], upstreamModel: null, concurrent: Infinity, order: 0, revision: '' },
    ],
  },
]
const DAY_MS = 86_400_000
const PRICE = { input: 1_000, output: 4_000 }

/** Jobs of 100 tokens in and 10 out. */
class Stage {
  readonly it: Coordinator
  readonly told: Change[] = []
  readonly budget: RunBudget
  readonly levels = new Map<string, LevelState>()

  constructor(budget: RunBudget, levels: readonly LevelState[] = [], slots = 1) {
    this.budget = budget
    this.it = createCoordinator({ ...OPTIONS, models: MODELS })
    this.it.openLimits(levels, () => ({ index: 0, endsMono: Infinity }), 0)
    this.it.attach({ id: 'w', pools: [], slots }, 0)
  }

  submit(id: string, more: Partial<ScheduledJob> = {}, now = 0): string {
    const of = { run: 'r', budget: this.budget, maxOutputTokens: 10, price: PRICE, acceptedMono: now }
    const decision = this.it.submit(job(id, { ...of, ...more }), now)
    this.take(now)
    return decision.kind === 'refused' ? decision.error.code : decision.kind
  }

  lease(now = 0): readonly string[] {
    const from = this.told.length
    while (this.it.leasable) this.it.lease(now)
    this.take(now)
    return this.told.slice(from).flatMap((change) => (change.type === 'leased' ? [change.id] : []))
  }

  finish(id: string, now = 0): void {
    this.it.finish(id, 1, done(), now)
    this.take(now)
  }

  ends(): ReadonlyArray<readonly [string, string, string | undefined]> {
    return this.told.flatMap((change) =>
      change.type === 'ended' ? [[change.id, change.state, change.error?.code] as const] : [],
    )
  }

  take(now: number): void {
    this.told.push(...this.it.changes())
    for (const level of this.it.takeLevels(now)) this.levels.set(level.name, level)
  }
}

it.each([
  ['tokens', { tokens: 220 }],
  ['steps', { steps: 2 }],
  ['dollars', { nanoDollars: 280_000 }],
])('two jobs fit into a budget of %s: the third is refused, whenever it comes', (_name, budget) => {
  const of = new Stage(budget)
  for (const id of ['1', '2']) {
    expect(of.submit(id)).toBe('accepted')
    expect(of.lease()).toEqual([id])
    of.finish(id)
  }
  expect(of.submit('3', {}, 20 * DAY_MS)).toBe('run_budget_exceeded')
  expect(of.submit('4', { policy: 'reject' })).toBe('run_budget_exceeded')
  expect(of.submit('other', { run: 'q' })).toBe('accepted')
  expect(of.submit('none', { run: null })).toBe('accepted')
})

it('what waits when it is used up ends, all of it in one look, and holds nobody else up', () => {
  const of = new Stage({ steps: 2 }, [], 4)
  for (let i = 0; i < 200; i++) expect(of.submit(`${i}`)).toBe('accepted')
  expect(of.submit('other', { run: null })).toBe('accepted')
  // Two may run; the others wait, as those may come to nothing
  expect(of.lease()).toEqual(['0', '1', 'other'])
  expect(of.ends()).toEqual([])
  of.finish('0')
  expect(of.ends()).toEqual([['0', 'done', undefined]])
  of.lease()
  of.finish('1')
  expect(of.lease()).toEqual([])
  expect(of.ends().slice(2)).toHaveLength(198)
  expect(of.ends().at(-1)).toEqual(['199', 'failed', 'run_budget_exceeded'])
  expect(of.it.depth()).toMatchObject({ queued: 0, waiting: 0, leased: 1 })
})

it('an answer that needs more than is left is cut', () => {
  const of = new Stage({ tokens: 150 })
  of.submit('1', { maxOutputTokens: null })
  expect(of.lease()).toEqual(['1'])
  of.it.charge('1', 1, 60, 0)
  expect(of.it.notices()).toMatchObject([
    { type: 'cut', id: '1', cause: { level: 'run', unit: 'tokens', window: 'run' } },
  ])
})

it('what was used outlives a restart; a month later nothing is known of it', () => {
  const before = new Stage({ tokens: 220, steps: 9, nanoDollars: 1e9 })
  before.submit('1')
  before.lease()
  before.finish('1')
  const levels = [...before.levels.values()]
  expect(levels).toMatchObject([
    { kind: 'run', owner: 'a', name: 'r', used: { totals: { tokens: 110, requests: 1, nano_dollars: 140_000 } } },
  ])
  const after = new Stage({ tokens: 209 }, levels)
  expect(after.submit('2')).toBe('run_budget_exceeded')
  expect(new Stage({ tokens: 220 }, levels).submit('2')).toBe('accepted')

  const late = new Stage({ tokens: 209 }, levels)
  for (let i = 0; i < 5; i++) late.submit(`x${i}`, { run: null, budget: undefined as never, user: 'u' }, 31 * DAY_MS)
  expect(late.submit('2', {}, 31 * DAY_MS)).toBe('accepted')
})

it.each([
  ['tokens', { tokens: 600 }],
  ['dollars', { nanoDollars: 1_800_000 }],
])(
  'while nobody knows how long answers are, a budget of %s is used up to its end, by as many at once as fit',
  (_name, budget) => {
    const of = new Stage(budget, [], 200)
    for (let i = 0; i < 200; i++)
      expect(of.submit(`${i}`, { promptTokens: 10, maxOutputTokens: null })).toBe('accepted')
    let ran = 0
    for (let round = 0; round < 200; round++) {
      const leased = of.lease()
      if (leased.length === 0) break
      ran += leased.length
      for (const id of leased) of.it.finish(id, 1, done(10, 20), 0)
      of.take(0)
    }
    // Of 30 tokens each
    expect(ran).toBeGreaterThanOrEqual(18)
    expect(ran).toBeLessThanOrEqual(20)
    expect(of.ends().filter(([, , code]) => code === 'run_budget_exceeded')).toHaveLength(200 - ran)
  },
)

it('a plain call that lacks only what other calls of its run hold waits for them', () => {
  const of = new Stage({ tokens: 220 }, [], 4)
  of.submit('1')
  of.submit('2')
  of.lease()
  for (const id of ['3', '4']) expect(of.submit(id, { policy: 'reject' })).toBe('accepted')
  expect(of.lease()).toEqual([])
  // It came to less than it had held
  of.it.finish('1', 1, done(2, 1), 0)
  of.take(0)
  expect(of.lease()).toEqual([])
  of.it.finish('2', 1, done(2, 1), 0)
  of.take(0)
  expect(of.lease()).toEqual(['3'])
  of.it.finish('3', 1, done(110, 10), 0)
  of.take(0)
  expect(of.lease()).toEqual([])
  expect(of.ends().at(-1)).toEqual(['4', 'failed', 'run_budget_exceeded'])
  expect(of.submit('5', { policy: 'reject' })).toBe('run_budget_exceeded')
})

it('a job is one step, however often it is tried; one that is refused before it costs anything is none', () => {
  const cut = (promptTokens: number, completionTokens: number): Outcome => ({
    kind: 'failed',
    retry: true,
    error: new SluiceError('provider_error'),
    attemptUsage: { promptTokens, completionTokens, estimated: false },
  })
  const of = new Stage({ steps: 2 })
  of.submit('1')
  for (let attempt = 1; attempt <= 3; attempt++) {
    expect(of.lease(attempt * 60_000)).toEqual(['1'])
    of.it.finish('1', attempt, attempt < 3 ? cut(100, 5) : done(), attempt * 60_000)
    of.take(attempt * 60_000)
  }
  expect(of.ends()).toEqual([['1', 'done', undefined]])
  expect(of.levels.get('r')).toMatchObject({ used: { totals: { requests: 1 } } })
  expect(of.submit('2', {}, 200_000)).toBe('accepted')
  expect(of.lease(200_000)).toEqual(['2'])
  of.it.finish('2', 1, cut(0, 0), 200_000)
  of.take(200_000)
  expect(of.levels.get('r')).toMatchObject({ used: { totals: { requests: 1 } } })
})

it('counts what a run without a budget uses, for a day after its last job', () => {
  const of = new Stage({})
  of.submit('1', { budget: undefined as never })
  of.lease()
  expect(of.it.runUse('a', 'r')).toEqual(use(0, 110, 0, 1, 0, 140_000))
  of.finish('1')
  expect(of.it.runUse('a', 'r')).toEqual(use(110, 0, 1, 0, 140_000, 0))
  const other = (at: number) => {
    for (let i = 0; i < 9; i++) of.submit(`${at}-${i}`, { run: null, user: 'u' }, at)
  }
  other(DAY_MS)
  expect(of.it.runUse('a', 'r')).toEqual(use(110, 0, 1, 0, 140_000, 0))
  other(DAY_MS + 1)
  expect(of.it.runUse('a', 'r')).toBeNull()
})

it('learns how long answers are though nothing limits them', () => {
  const of = new Stage({ tokens: 1_000 })
  for (let i = 0; i < 8; i++) {
    of.submit(`${i}`, { run: null, maxOutputTokens: null })
    of.lease()
    of.finish(`${i}`)
  }
  of.submit('9', { maxOutputTokens: null })
  expect(of.it.runUse('a', 'r')?.tokens.held).toBeLessThan(115)
})

const use = (tokens: number, t: number, requests: number, r: number, nano: number, n: number) => ({
  tokens: { used: tokens, held: t },
  requests: { used: requests, held: r },
  nano_dollars: { used: nano, held: n },
})
