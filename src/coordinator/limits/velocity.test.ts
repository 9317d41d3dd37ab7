/** The breaker of a budget that is spent too fast: who trips it, when, what that costs, and how it closes. */
import { describe, expect, it } from 'vitest'
import { camelised } from '../../core/camel.ts'
import { type Amounts, type Calendar, type LevelLimits, type LevelState, NO_LIMITS } from '../../core/limits.ts'
import { type Hold, type LimitedJob, Limits } from './limits.ts'
import { levelLimits, levelSettings } from './settings.ts'

const SECOND_MS = 1_000
const MINUTE_MS = 60_000
const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const DOLLAR = 1e9
const BUDGET = 720
/** Of the budget's pace, in nano-dollars, as a month has 720 hours. */
const HOURLY = DOLLAR
const calendar: Calendar = (window, now) => {
  const ms = { hour: HOUR_MS, day: DAY_MS, month: 30 * DAY_MS }[window]
  const index = Math.floor(now / ms)
  return { index, endsMono: (index + 1) * ms }
}
const settings = (velocity: object = {}, more: object = {}): LevelLimits =>
  levelLimits(
    camelised(levelSettings.parse({ dollars_per_month: BUDGET, velocity: { trip: true, ...velocity }, ...more })),
  )!

class Stage {
  readonly of: Limits
  all: LevelLimits
  spent = 0

  constructor(all: LevelLimits = settings(), stored: readonly LevelState[] = [], now = 0) {
    this.all = all
    this.of = new Limits({
      settings: () => ({
        ...NO_LIMITS,
        eachTenant: { all: this.all, eachUser: null, eachRun: null, eachKey: null, models: {} },
      }),
      outputQuantile: 0.5,
      unknownOutputTokens: 100,
    })
    this.of.open(stored, calendar, now)
  }

  reserve(now: number, more: Partial<LimitedJob> = {}) {
    return this.of.reserve({ ...JOB, ...more }, true, now)
  }

  /** How long it is refused for; 0: it was let in. */
  waitMs(now: number): number {
    const short = this.of.lacks(JOB, true, now)
    return short === null ? 0 : short.waitMs!
  }

  /** One request that costs so much; false: it was refused. */
  spend(nanoDollars: number, now: number): boolean {
    const hold = this.reserve(now)
    if (!isHold(hold)) return false
    this.settle(hold, nanoDollars, now)
    return true
  }

  settle(hold: Hold, nanoDollars: number, now: number): void {
    this.spent += nanoDollars
    this.of.settle(hold, nanoDollars === 0 ? null : used(nanoDollars), now)
  }

  /** A loop that asks each second, a hundred times as fast as the budget lasts. When it was first refused. */
  runaway(from = 0): number {
    let now = from
    while (this.spend(100 * A_SECOND, now)) now += SECOND_MS
    return now
  }
}
const JOB: LimitedJob = {
  ...{ tenant: 'acme', model: 'm', keyId: 'key_1', user: null, run: null, route: 'r' },
  ...{ promptTokens: 100, maxOutputTokens: 100, price: { input: 10, output: 10 } },
}
const A_SECOND = HOURLY / 3_600
const isHold = (got: unknown): got is Hold => typeof got === 'object' && got !== null && 'amounts' in got
const used = (nanoDollars: number): Amounts => ({ inputTokens: 1, outputTokens: 1, requests: 1, nanoDollars })

describe('who spends evenly', () => {
  it.each([
    ['at the pace of the budget', 30 * SECOND_MS, 1, 5 * DAY_MS],
    ['at five times that', 30 * SECOND_MS, 5, 5 * DAY_MS],
    ['at twelve times that, as five minutes of it are no runaway', 30 * SECOND_MS, 12, 2 * DAY_MS],
    ['in bursts, each hour', HOUR_MS, 3, 5 * DAY_MS],
  ])('never trips: %s', (_who, everyMs, times, forMs) => {
    const stage = new Stage()
    let refused = 0
    for (let now = 0; now < forMs; now += everyMs)
      if (!stage.spend((times * HOURLY * everyMs) / HOUR_MS, now)) refused++
    expect(refused).toBe(0)
    expect(stage.of.trips()).toEqual([])
  })

  it('nor does one request that costs as much as five hours may', () => {
    const stage = new Stage()
    stage.spend(5 * HOURLY, 0)
    expect(stage.waitMs(0)).toBe(0)
  })
})

describe('a runaway', () => {
  it('trips within five minutes, and before a hundredth of the month is spent', () => {
    const stage = new Stage()
    const at = stage.runaway()
    expect(at).toBeGreaterThan(MINUTE_MS)
    expect(at).toBeLessThan(5 * MINUTE_MS)
    expect(stage.spent).toBeLessThan((BUDGET * DOLLAR) / 100)
    expect(stage.of.trips()).toEqual([{ level: 'tenant', owner: '', name: 'acme', ms: 600_000 }])
    expect(stage.of.trips()).toEqual([])
    expect(stage.of.lacks(JOB, true, at)).toMatchObject({
      level: 'tenant',
      unit: 'spend_velocity',
      limit: 6 * HOURLY,
      left: 0,
      waitMs: 600_000 - SECOND_MS,
    })
  })

  it('that never gives up spends a fifth of the month in a day, not all of it in seven hours', () => {
    const stage = new Stage()
    for (let now = 0; now < DAY_MS; now += 2 * SECOND_MS) stage.spend(200 * A_SECOND, now)
    const share = stage.spent / (BUDGET * DOLLAR)
    expect(share).toBeGreaterThan(0.2)
    expect(share).toBeLessThan(0.23)
  })

  it('is refused only what costs money, and only at its own level', () => {
    const stage = new Stage()
    const at = stage.runaway()
    expect(isHold(stage.reserve(at, { price: null }))).toBe(true)
    expect(isHold(stage.reserve(at, { tenant: 'other' }))).toBe(true)
  })

  it('that is let in already streams on, and holds more as it needs it', () => {
    const stage = new Stage()
    const hold = stage.reserve(0, { maxOutputTokens: null }) as Hold
    const at = stage.runaway()
    const before = hold.amounts!.outputTokens
    expect(stage.of.streamed(hold, before, at)).toBeNull()
    expect(hold.amounts!.outputTokens).toBeGreaterThan(before)
  })
})

describe('when it has cooled down', () => {
  const tripped = (velocity: object = {}) => {
    const stage = new Stage(settings(velocity))
    const at = stage.runaway()
    stage.of.trips()
    return { stage, at, cooledMono: at + stage.waitMs(at) }
  }

  it('one request is let in as a probe, while others wait; slow enough, and it closes', () => {
    const { stage, cooledMono } = tripped()
    expect(stage.spend(1, cooledMono - 1)).toBe(false)
    const probe = stage.reserve(cooledMono) as Hold
    expect(isHold(probe)).toBe(true)
    expect(stage.waitMs(cooledMono)).toBe(5_000)
    expect(stage.waitMs(cooledMono + MINUTE_MS)).toBe(5_000)
    stage.settle(probe, A_SECOND, cooledMono + MINUTE_MS)
    for (let i = 0; i < 10; i++) expect(isHold(stage.reserve(cooledMono + MINUTE_MS))).toBe(true)
    expect(stage.of.trips()).toEqual([])
  })

  it('still too fast, and it trips again', () => {
    const { stage, cooledMono } = tripped({ cool_down_ms: '30s' })
    expect(stage.spend(HOURLY, cooledMono)).toBe(true)
    expect(stage.waitMs(cooledMono)).toBe(30_000)
    expect(stage.of.trips()).toHaveLength(1)
  })

  it('a probe that costs nothing tells nothing: the next one is the probe, and what ran before frees none', () => {
    const stage = new Stage()
    const before = stage.reserve(0) as Hold
    const at = stage.runaway()
    const cooledMono = at + stage.waitMs(at)
    stage.settle(stage.reserve(cooledMono) as Hold, 0, cooledMono)
    expect(isHold(stage.reserve(cooledMono))).toBe(true)
    stage.settle(before, 0, cooledMono)
    expect(stage.waitMs(cooledMono)).toBe(5_000)
  })

  it('what ran when it tripped prolongs nothing', () => {
    const stage = new Stage()
    const before = stage.reserve(0) as Hold
    const at = stage.runaway()
    const waitMs = stage.waitMs(at)
    stage.settle(before, 5 * HOURLY, at + SECOND_MS)
    expect(stage.waitMs(at)).toBe(waitMs)
  })

  it('other settings close it at once; the same ones do not', () => {
    const { stage, at } = tripped()
    stage.all = settings()
    expect(stage.waitMs(at)).toBeGreaterThan(0)
    stage.all = settings({ hour: 7 })
    expect(stage.waitMs(at)).toBe(0)
    expect(stage.spend(A_SECOND, at)).toBe(true)
    expect(stage.waitMs(at)).toBe(0)
    stage.runaway(at)
    stage.all = settings({ trip: false })
    expect(stage.waitMs(at)).toBe(0)
  })
})

describe('a restart', () => {
  /** As another process finds them, whose clock shows `by` more. */
  const stored = (states: readonly LevelState[], by = 0): readonly LevelState[] =>
    (JSON.parse(JSON.stringify(states)) as readonly LevelState[]).map(({ used, ...level }) => ({
      ...level,
      used: used && { ...used, atMono: used.atMono + by },
    }))

  it('finds it as it was, whether it has tripped or is about to', () => {
    const plain = new Stage()
    const killedMono = 3 * MINUTE_MS
    for (let now = 0; now < killedMono; now += SECOND_MS) plain.spend(100 * A_SECOND, now)
    const startMono = killedMono + 20_000
    let again = new Stage(settings(), stored(plain.of.take(killedMono), -startMono), 0)
    const at = plain.runaway(startMono)
    expect(at).toBeGreaterThan(startMono)
    expect(again.runaway()).toBe(at - startMono)
    again = new Stage(settings(), stored(again.of.take(at - startMono)), at - startMono)
    expect(again.waitMs(at - startMono)).toBe(plain.waitMs(at))
    expect(plain.waitMs(at)).toBe(600_000 - SECOND_MS)
  })

  it('is forgotten when next to nothing is left of it', () => {
    const stage = new Stage(settings({}, { dollars_per_month: null, dollars_per_day: 24 }))
    stage.spend(DOLLAR, 0)
    expect(stage.of.take(0)[0].used!.velocity).toEqual({ fiveMinutes: DOLLAR, hour: DOLLAR, cooledInMs: null })
    for (let i = 0; i < 5; i++) stage.reserve(2 * DAY_MS, { tenant: 'other', price: null })
    expect(stage.of.take(2 * DAY_MS)).toContainEqual({ kind: 'tenant', owner: '', name: 'acme', used: null })
  })
})
