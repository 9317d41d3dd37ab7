/** All levels or none, held, corrected, settled once: the machine that says who may use what. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { depth } from '../../../test/depth.ts'
import {
  type Amounts,
  type BudgetLimit,
  type Calendar,
  type LevelKind,
  type LevelLimits,
  type LevelState,
  type LimitSettings,
  NO_LIMITS,
  type RateLimit,
  type Shortfall,
  type Unit,
  type WhenOut,
} from '../../core/limits.ts'
import { costOf, type Hold, type LimitedJob, Limits, type LimitsOptions } from './limits.ts'
import { OutputLengths } from './output-lengths.ts'

const HOUR_MS = 3_600_000
const NANO = 1e9
const hourly: Calendar = (window, now) => {
  const ms = { hour: HOUR_MS, day: 24 * HOUR_MS, month: 720 * HOUR_MS }[window]
  const index = Math.floor(now / ms)
  return { index, endsMono: (index + 1) * ms }
}

const rate = (unit: RateLimit['unit'], burst: number, perSecond: number, more: Partial<RateLimit> = {}): RateLimit => ({
  unit,
  burst,
  perSecond,
  whenOut: 'debt',
  oversize: 'refuse',
  ...more,
})
const limits = (more: Partial<LevelLimits> = {}): LevelLimits => ({
  rates: [],
  budgets: [],
  concurrent: null,
  ...more,
})
const budget = (dollars: number, more: Partial<BudgetLimit> = {}): BudgetLimit => ({
  window: 'day',
  nanoDollars: dollars * NANO,
  whenOut: 'cut',
  ...more,
})

const JOB: LimitedJob = {
  tenant: 'acme',
  model: 'm',
  keyId: 'key_1',
  user: 'ann',
  run: null,
  route: 'r',
  promptTokens: 100,
  maxOutputTokens: 100,
  price: { input: 1_000, output: 4_000 },
}
const job = (more: Partial<LimitedJob> = {}): LimitedJob => ({ ...JOB, ...more })

/** Each user, key and model has its own. */
const settingsOf = (by: Partial<Record<LevelKind, LevelLimits>>): LimitSettings => ({
  ...NO_LIMITS,
  global: by.global ?? null,
  models: by.model === undefined ? {} : { m: by.model },
  eachTenant: {
    all: by.tenant ?? null,
    eachUser: by.user ?? null,
    eachRun: by.run ?? null,
    eachKey: by.key ?? null,
    models: by.tenant_model === undefined ? {} : { m: by.tenant_model },
  },
})

const machine = (
  by: Partial<Record<LevelKind, LevelLimits>>,
  more: Partial<LimitsOptions> = {},
  calendar = hourly,
  stored: readonly LevelState[] = [],
  now = 0,
): Limits => {
  const settings = settingsOf(by)
  const made = new Limits({ settings: () => settings, outputQuantile: 0.8, unknownOutputTokens: 1_024, ...more })
  made.open(stored, calendar, now)
  return made
}

const held = (got: Hold | Shortfall | null): Hold => {
  expect(got).toHaveProperty('amounts')
  return got as Hold
}
const short = (got: Hold | Shortfall | null): Shortfall => {
  expect(got).toHaveProperty('waitMs')
  return got as Shortfall
}
const isHold = (got: Hold | Shortfall | null): got is Hold => got !== null && 'amounts' in got
const used = (inputTokens: number, outputTokens: number, nanoDollars = 0): Amounts => ({
  inputTokens,
  outputTokens,
  requests: 1,
  nanoDollars,
})
const left = (of: Limits, level: LevelKind, unit: Unit, now: number, who: LimitedJob = JOB): number =>
  of.rooms(who, now).find((one) => one.level === level && one.unit === unit)!.left

describe('a hold', () => {
  it('takes prompt and answer from every level, and a settlement gives back what was not used', () => {
    const of = machine({
      tenant: limits({ rates: [rate('tokens', 1_000, 0.001)] }),
      user: limits({ rates: [rate('requests', 5, 0.001)] }),
    })
    const hold = held(of.reserve(JOB, true, 0))
    expect([left(of, 'tenant', 'tokens', 0), left(of, 'user', 'requests', 0)]).toEqual([800, 4])
    of.settle(hold, used(90, 20), 0)
    expect([left(of, 'tenant', 'tokens', 0), left(of, 'user', 'requests', 0)]).toEqual([890, 4])
  })

  it('is refused by the level with the longest wait, which is named, and takes nothing anywhere', () => {
    const of = machine({
      key: limits({ rates: [rate('tokens', 1_000, 1)] }),
      tenant: limits({ rates: [rate('tokens', 450, 0.1)] }),
    })
    held(of.reserve(JOB, true, 0))
    held(of.reserve(JOB, true, 0))
    expect(short(of.reserve(JOB, true, 0))).toEqual({
      level: 'tenant',
      name: 'acme',
      unit: 'tokens',
      windowMs: 4_500_000,
      limit: 450,
      weight: 200,
      left: 50,
      waitMs: 1_500_000,
    })
    expect(left(of, 'key', 'tokens', 0)).toBe(600)
    expect(isHold(of.reserve(JOB, true, 1_499_999))).toBe(false)
    expect(isHold(of.reserve(JOB, true, 1_500_000))).toBe(true)
  })

  it('refused calls cost nothing, however often they come (rate-limiter-flexible: 240 of 100; Upstash: -140)', () => {
    const of = machine({ tenant: limits({ rates: [rate('tokens', 500, 0.001)] }) })
    for (let i = 0; i < 2; i++) held(of.reserve(JOB, true, 0))
    for (let i = 0; i < 1_000; i++) short(of.reserve(JOB, true, 0))
    expect(left(of, 'tenant', 'tokens', 0)).toBe(100)
  })

  it('of 1,000 parallel calls on a bucket for 33, exactly 33', () => {
    const of = machine({ tenant: limits({ rates: [rate('tokens', 33 * 200, 0.001)] }) })
    expect(Array.from({ length: 1_000 }, () => of.reserve(JOB, true, 0)).filter(isHold)).toHaveLength(33)
  })

  it('settled twice is settled once', () => {
    const of = machine({ tenant: limits({ rates: [rate('tokens', 1_000, 0.001)], concurrent: 2 }) })
    const hold = held(of.reserve(JOB, true, 0))
    for (let i = 0; i < 3; i++) of.settle(hold, used(10, 10), 0)
    expect([left(of, 'tenant', 'tokens', 0), left(of, 'tenant', 'running', 0)]).toEqual([980, 2])
  })

  it('of an error before the first byte is given back whole', () => {
    const of = machine({ tenant: limits({ rates: [rate('tokens', 1_000, 0.001)], budgets: [budget(1)] }) })
    of.settle(held(of.reserve(JOB, true, 0)), null, 0)
    expect([left(of, 'tenant', 'tokens', 0), left(of, 'tenant', 'nano_dollars', 0)]).toEqual([1_000, NANO])
  })

  it('given back after its bucket was full again is no credit (rate-limiter-flexible: 180 of 100)', () => {
    const of = machine({ tenant: limits({ rates: [rate('tokens', 1_000, 1_000)] }) })
    const hold = held(of.reserve(JOB, true, 0))
    of.settle(hold, null, HOUR_MS)
    expect(left(of, 'tenant', 'tokens', HOUR_MS)).toBe(1_000)
  })

  it('that leaked is no bank: given up later, it lets nobody in (4,700 tokens in 2.4 s of a burst of 600)', () => {
    const of = machine({ user: limits({ rates: [rate('tokens', 600, 10)] }) })
    const whole = job({ promptTokens: 600, maxOutputTokens: 0 })
    let now = 0
    const banked: Hold[] = []
    for (let i = 0; i < 8; i++, now += 60_000) banked.push(held(of.reserve(whole, false, now)))
    let taken = 0
    for (;;) {
      const got = of.reserve(whole, true, now)
      if (isHold(got)) {
        taken += 600
        of.settle(got, used(600, 0), now)
      } else if (banked.length > 0) of.settle(banked.pop()!, null, now)
      else break
    }
    expect(taken).toBe(600)
  })

  it('of each user is its own: one who is out does not stand in the way of another', () => {
    const of = machine({
      user: limits({ rates: [rate('tokens', 250, 0.001)] }),
      tenant: limits({ rates: [rate('tokens', 1e6, 1)] }),
    })
    held(of.reserve(job({ user: 'loop' }), true, 0))
    expect(short(of.reserve(job({ user: 'loop' }), true, 0)).level).toBe('user')
    expect(isHold(of.reserve(job({ user: 'ann' }), true, 0))).toBe(true)
  })

  it('of models that begin alike is of all of them together; a model that is named counts for itself', () => {
    const one = limits({ rates: [rate('requests', 1, 0.001)] })
    const models = { 'gpt-*': one, 'gpt-4-mini': one, 'gpt-4*': one }
    const settings: LimitSettings = {
      ...NO_LIMITS,
      models,
      tenants: { acme: { all: null, eachUser: null, eachRun: null, eachKey: null, models: { '*': one } } },
    }
    const open = (stored: readonly LevelState[] = []): Limits => {
      const of = new Limits({ settings: () => settings, outputQuantile: 0.8, unknownOutputTokens: 1_024 })
      of.open(stored, hourly, 0)
      return of
    }
    const of = open()
    const ask = (model: string, tenant = 'other') => isHold(of.reserve({ ...JOB, model, tenant }, true, 0))
    expect(['gpt-3', 'gpt-5'].map((model) => ask(model))).toEqual([true, false])
    expect(['gpt-4', 'gpt-4o'].map((model) => ask(model))).toEqual([true, false])
    expect(['gpt-4-mini', 'gpt-4-mini'].map((model) => ask(model))).toEqual([true, false])
    expect(of.reserve({ ...JOB, model: 'llama', tenant: 'other' }, true, 0)).toBeNull()
    expect([ask('llama', 'acme'), ask('qwen', 'acme')]).toEqual([true, false])
    const stored = of.take(0)
    expect(stored.map(({ kind, owner, name }) => [kind, owner, name])).toEqual([
      ['model', '', 'gpt-*'],
      ['model', '', 'gpt-4*'],
      ['model', '', 'gpt-4-mini'],
      ['tenant_model', 'acme', '*'],
    ])
    const used = stored.map((state) => ({ ...state, used: { atMono: 0, rates: { requests: 1 }, spent: {} } }))
    const again = open(used)
    const names = ['gpt-9', 'gpt-4-turbo', 'gpt-4-mini']
    const inReach = names.map((model) => isHold(again.reserve({ ...JOB, model, tenant: 'other' }, true, 0)))
    expect(inReach).toEqual([false, false, false])
  })

  it('of a lease that waited: a place among those that run is taken when it starts, and given back once', () => {
    const of = machine({ tenant: limits({ concurrent: 1 }) })
    const [first, second] = [held(of.reserve(JOB, false, 0)), held(of.reserve(JOB, false, 0))]
    expect(of.start(first, 0)).toBe(null)
    expect(of.start(first, 0)).toBe(null)
    expect(short(of.start(second, 0))).toMatchObject({ level: 'tenant', unit: 'running', limit: 1 })
    of.settle(first, null, 0)
    expect(of.start(second, 0)).toBe(null)
  })
})

describe('a request that is heavier than a bucket can ever hold', () => {
  it('is refused for good: the limit and its weight are named, there is no time to come back at', () => {
    const of = machine({ user: limits({ rates: [rate('tokens', 5_000, 10)] }) })
    expect(short(of.reserve(job({ promptTokens: 80_000 }), false, 0))).toMatchObject({
      level: 'user',
      limit: 5_000,
      weight: 80_100,
      waitMs: null,
    })
    expect(left(of, 'user', 'tokens', 0)).toBe(5_000)
  })

  it('passes on a full bucket where the policy lets it make debt, and the next one waits until that is paid', () => {
    const of = machine({ tenant: limits({ rates: [rate('tokens', 1_000, 1, { oversize: 'debt' })] }) })
    const big = job({ promptTokens: 1_900 })
    const hold = held(of.reserve(big, true, 0))
    expect(left(of, 'tenant', 'tokens', 0)).toBe(-1_000)
    expect(short(of.reserve(JOB, true, 0)).waitMs).toBe(1_200_000)
    expect(short(of.reserve(big, true, 0)).waitMs).toBe(2_000_000)
    of.settle(hold, used(1_900, 100), 0)
    expect(isHold(of.reserve(big, true, 2_000_000))).toBe(true)
  })
})

describe('while an answer streams', () => {
  const streaming = (whenOut: WhenOut, burst: number) => {
    const of = machine({ tenant: limits({ rates: [rate('output_tokens', burst, 0.001, { whenOut })] }) })
    return { of, hold: held(of.reserve(job({ maxOutputTokens: null }), true, 0)) }
  }

  it('holds more ahead of what is needed, while there is some', () => {
    const { of, hold } = streaming('cut', 10_000)
    expect(hold.amounts!.outputTokens).toBe(1_024)
    for (let tokens = 0; tokens <= 8_000; tokens += 10) expect(of.streamed(hold, tokens, 0)).toBe(null)
    expect(hold.amounts!.outputTokens).toBeGreaterThan(8_000)
    of.settle(hold, used(100, 8_000), 0)
    expect(left(of, 'tenant', 'output_tokens', 0)).toBe(2_000)
  })

  it('cut: ends the answer when nothing is left, and never before', () => {
    const { of, hold } = streaming('cut', 4_000)
    let tokens = 0
    while (of.streamed(hold, tokens, 0) === null && tokens < 10_000) tokens += 5
    expect(tokens).toBeGreaterThan(3_900)
    expect(tokens).toBeLessThanOrEqual(4_005)
    of.settle(hold, used(100, tokens), 0)
    expect(left(of, 'tenant', 'output_tokens', 0)).toBeGreaterThanOrEqual(-5)
  })

  it('debt: goes on, others see the debt at once, and all of it is paid back', () => {
    const { of, hold } = streaming('debt', 2_000)
    for (let tokens = 0; tokens <= 5_000; tokens += 5) expect(of.streamed(hold, tokens, 0)).toBe(null)
    expect(left(of, 'tenant', 'output_tokens', 0)).toBe(-3_000)
    of.settle(hold, used(100, 5_000), 0)
    expect(left(of, 'tenant', 'output_tokens', 0)).toBe(-3_000)
  })

  it('deny_next: goes on, and what there was not is not paid back', () => {
    const { of, hold } = streaming('deny_next', 2_000)
    for (let tokens = 0; tokens <= 5_000; tokens += 5) expect(of.streamed(hold, tokens, 0)).toBe(null)
    of.settle(hold, used(100, 5_000), 0)
    expect(left(of, 'tenant', 'output_tokens', 0)).toBe(0)
    expect(isHold(of.reserve(JOB, true, 0))).toBe(false)
  })

  it('never holds more than its client lets it be', () => {
    const of = machine({ tenant: limits({ rates: [rate('output_tokens', 1e6, 1)] }) })
    const hold = held(of.reserve(job({ maxOutputTokens: 70 }), true, 0))
    for (let tokens = 0; tokens <= 70; tokens++) of.streamed(hold, tokens, 0)
    expect(hold.amounts!.outputTokens).toBe(70)
  })
})

describe('how long an answer will be', () => {
  const of = () => machine({ tenant: limits({ rates: [rate('tokens', 1e7, 1)] }) })
  const unknown = job({ maxOutputTokens: null })
  const learn = (limits: Limits, lengths: readonly number[]): void => {
    const hold = held(limits.reserve(unknown, true, 0))
    for (const tokens of lengths) limits.answered(hold.job, tokens)
    limits.settle(hold, null, 0)
  }
  const heldFor = (limits: Limits, who: LimitedJob): number => {
    const hold = held(limits.reserve(who, true, 0))
    const { outputTokens } = hold.amounts!
    limits.settle(hold, null, 0)
    return outputTokens
  }

  it('is learned for tenant, model and route; what is not known there is taken from the tenant, then the model', () => {
    const limits = of()
    expect(heldFor(limits, unknown)).toBe(1_024)
    learn(
      limits,
      Array.from({ length: 100 }, (_, i) => i + 1),
    )
    expect(heldFor(limits, unknown)).toBeGreaterThanOrEqual(80)
    expect(heldFor(limits, unknown)).toBeLessThanOrEqual(96)
    expect(heldFor(limits, job({ maxOutputTokens: null, route: 'new' }))).toBeLessThanOrEqual(96)
    expect(heldFor(limits, job({ maxOutputTokens: null, tenant: 'new' }))).toBeLessThanOrEqual(96)
    expect(heldFor(limits, job({ maxOutputTokens: null, model: 'new' }))).toBe(1_024)
    expect(heldFor(limits, job({ maxOutputTokens: 7 }))).toBe(7)
  })

  const few = Array<number>(8).fill(30)
  const routeOf = (i: number) => job({ tenant: `t${i}`, model: `m${i}`, route: `r${i}`, maxOutputTokens: null })

  it('who only asks, or is refused, makes nobody forget it', () => {
    const limits = of()
    learn(limits, few)
    const before = heldFor(limits, unknown)
    for (let i = 0; i < 12_000; i++) limits.lacks(routeOf(i), true, 0)
    expect([before, heldFor(limits, unknown)]).toEqual([32, 32])
  })

  it('a tenant of many routes makes nobody else forget, and of its own those that are asked for least', () => {
    const lengths = new OutputLengths()
    const [other, busy, quiet] = [job({ tenant: 'other', model: 'old' }), JOB, job({ route: 'quiet' })]
    const learn = (who: LimitedJob, tokens: number): void => {
      for (let i = 0; i < 8; i++) lengths.learn(who, tokens)
    }
    for (const who of [other, busy, quiet]) learn(who, 30)
    for (let i = 0; i < 12_000; i++) {
      lengths.learn(job({ route: `r${i}` }), 2_000)
      if (i % 300 === 0) learn(busy, 30)
    }
    const known = [other, { ...other, route: 'new' }, { ...other, tenant: 'new' }, busy, quiet]
    expect(known.map((who) => lengths.quantile(who, 0.5))).toEqual([32, 32, 32, 32, 2_048])
  })

  it('of all tenants together 10,000 routes at most are known: the latest', () => {
    const lengths = new OutputLengths()
    for (let i = 0; i < 30_000; i++) lengths.learn(job({ tenant: `t${i >> 3}`, route: 'r' }), 30)
    for (let i = 0; i < 15_000; i++)
      for (let n = 0; n < 8; n++) lengths.learn(job({ tenant: `t${i % 100}`, model: 'm2', route: `r${i}` }), 500)
    const asked = (route: number) => lengths.quantile(job({ tenant: `t${route % 100}`, model: 'm', route: 'r' }), 0.5)
    expect([asked(0), asked(99)]).toEqual([32, 32])
    expect(lengths.size).toBeLessThanOrEqual(10_000)
  })

  it('follows a change', () => {
    const limits = of()
    learn(limits, Array(1_000).fill(10))
    learn(limits, Array(600).fill(2_000))
    expect(heldFor(limits, unknown)).toBeGreaterThanOrEqual(2_000)
  })

  it('does not refuse the first call of a small bucket (LiteLLM: a floor of 1,024)', () => {
    const limits = machine({ tenant: limits_(1_000) })
    expect(heldFor(limits, unknown)).toBe(250)
  })
  it.each<[string, Partial<LevelLimits>]>([
    ['tokens', { rates: [rate('tokens', 300, 1)] }],
    ['output tokens', { rates: [rate('output_tokens', 150, 1)] }],
    ['money', { budgets: [budget(0.0005)] }],
  ])('makes no request too heavy for ever: only a prompt, or what is left, does: %s', (_unit, user) => {
    const of = machine({ user: limits(user), model: limits({ rates: [rate('tokens', 1e7, 1)] }) })
    const long = held(of.reserve(job({ user: null }), true, 0))
    for (let i = 0; i < 20; i++) of.answered(long.job, 5_000)
    const hold = held(of.reserve(unknown, true, 0))
    expect(hold.amounts!.outputTokens).toBeGreaterThanOrEqual(100)
    of.settle(hold, hold.amounts, 0)
    const wait = short(of.reserve(unknown, true, 0)).waitMs
    expect(wait).not.toBe(null)
    expect(isHold(of.reserve(unknown, true, wait!))).toBe(true)
  })

  const limits_ = (burst: number): LevelLimits => limits({ rates: [rate('tokens', burst, 1)] })
})

describe('money', () => {
  it('costs what it costs: a price a token of so many nano-dollars for a prompt gives them back', () => {
    const tokens = fc.integer({ min: 1, max: 2_000_000 })
    const nanoDollars = fc.integer({ min: 0, max: 1e12 })
    fc.assert(
      fc.property(tokens, nanoDollars, tokens, fc.nat(1e6), (prompt, cost, answer, perToken) => {
        expect(costOf({ input: cost / prompt, output: 0 }, prompt, 0)).toBe(cost)
        const both = costOf({ input: cost / prompt, output: perToken }, prompt, answer)
        expect(both).toBe(cost + perToken * answer)
      }),
      { numRuns: depth(10_000, 1_000) },
    )
    expect([0.1, 7.001, 1_000_000_000.001].map((input) => costOf({ input, output: 0 }, 1, 0))).toEqual([
      1, 8, 1_000_000_001,
    ])
  })

  it('held and spent count alike; a new window begins with nothing spent, and what still runs held', () => {
    const of = machine({ tenant: limits({ budgets: [budget(0.001)] }) })
    // 100 tokens in at 1,000 nano-dollars, 100 out at 4,000
    const [a, b] = [held(of.reserve(JOB, true, 0)), held(of.reserve(JOB, true, 0))]
    expect(short(of.reserve(JOB, true, 0))).toMatchObject({
      unit: 'nano_dollars',
      weight: 500_000,
      left: 0,
      waitMs: 24 * HOUR_MS,
    })
    of.settle(a, used(100, 100, 400_000), 0)
    expect(left(of, 'tenant', 'nano_dollars', 0)).toBe(100_000)
    expect(left(of, 'tenant', 'nano_dollars', 24 * HOUR_MS)).toBe(500_000)
    of.settle(b, used(100, 100, 500_000), 24 * HOUR_MS)
    expect(left(of, 'tenant', 'nano_dollars', 24 * HOUR_MS)).toBe(500_000)
  })

  it('a window that the calendar repeats (a clock that was set back) does not give it again', () => {
    let index = 5
    const of = machine({ tenant: limits({ budgets: [budget(0.001)] }) }, {}, (_, now) => ({ index, endsMono: now + 1 }))
    of.settle(held(of.reserve(JOB, true, 0)), used(0, 0, 700_000), 0)
    index = 4
    expect(left(of, 'tenant', 'nano_dollars', 10)).toBe(300_000)
    index = 6
    expect(left(of, 'tenant', 'nano_dollars', 20)).toBe(1_000_000)
  })
})

describe('a restart', () => {
  const by = {
    tenant: limits({ rates: [rate('tokens', 1_000, 1)], budgets: [budget(0.01)], concurrent: 2 }),
    user: limits({ rates: [rate('requests', 5, 0.001)] }),
  }

  it('finds what was used, as long ago as it is, and what is held is held again', () => {
    const before = machine(by)
    before.settle(held(before.reserve(JOB, true, 0)), used(300, 100, 700_000), 0)
    const runs = held(before.reserve(JOB, true, 1_000))
    const stored = before.take(1_000)
    expect(before.take(1_000)).toEqual([])
    expect(stored.map(({ kind, name }) => `${kind} ${name}`).sort()).toEqual(['tenant acme', 'user ann'])
    const after = machine(by, {}, hourly, JSON.parse(JSON.stringify(stored)), 1_000)
    const adopted = after.adopt(JOB, runs.amounts!, true, 1_000)
    for (const unit of ['tokens', 'nano_dollars', 'running'] as const)
      expect([unit, left(after, 'tenant', unit, 11_000)]).toEqual([unit, left(before, 'tenant', unit, 11_000)])
    expect(left(after, 'user', 'requests', 11_000)).toBeCloseTo(left(before, 'user', 'requests', 11_000))
    for (const [of, hold] of [[before, runs] as const, [after, adopted] as const])
      of.settle(hold, used(10, 20, 30_000), 12_000)
    for (const unit of ['tokens', 'nano_dollars', 'running'] as const)
      expect([unit, left(after, 'tenant', unit, 12_000)]).toEqual([unit, left(before, 'tenant', unit, 12_000)])
  })

  it('finds nothing of what is no longer used, and a level that was forgotten is deleted, once', () => {
    const of = machine({ tenant: limits({ rates: [rate('tokens', 1_000, 1)] }) })
    of.settle(held(of.reserve(JOB, true, 0)), used(300, 100), 0)
    expect(of.take(0)).toMatchObject([{ kind: 'tenant', owner: '', name: 'acme', used: { rates: { tokens: 400 } } }])
    for (let i = 0; i < 3; i++) of.rooms(job({ tenant: 'other' }), HOUR_MS)
    expect(of.take(HOUR_MS)).toEqual([{ kind: 'tenant', owner: '', name: 'acme', used: null }])
    expect(of.take(HOUR_MS)).toEqual([])
  })

  it('at any time changes nothing of what is left: what is held, what it leaked and what is used come back', () => {
    const step = fc.record({
      ms: fc.nat(4_000),
      user: fc.nat(3),
      prompt: fc.nat(400),
      end: fc.option(fc.record({ at: fc.nat(20), output: fc.nat(500) })),
      restarts: fc.boolean(),
    })
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 40 }),
        fc.constantFrom<WhenOut>('debt', 'deny_next'),
        (steps, whenOut) => {
          const tight = {
            tenant: limits({ rates: [rate('tokens', 1_500, 30, { whenOut })], budgets: [budget(0.01)], concurrent: 4 }),
            user: limits({ rates: [rate('requests', 5, 0.5), rate('output_tokens', 700, 40, { whenOut })] }),
          }
          let of = machine(tight)
          const store = new Map<string, LevelState>()
          let now = 0
          const open: Array<{ readonly who: LimitedJob; hold: Hold }> = []
          const leftAt = (at: number): readonly number[] =>
            [0, 1, 2, 3].flatMap((i) => of.rooms(job({ user: `u${i}` }), at).map(({ left }) => left))
          for (const { ms, user, prompt, end, restarts } of steps) {
            now += ms
            const who = job({ user: `u${user}`, promptTokens: prompt })
            const got = of.reserve(who, true, now)
            if (isHold(got)) open.push({ who, hold: got })
            if (end !== null && open.length > 0) {
              const [one] = open.splice(end.at % open.length, 1)
              of.settle(one.hold, used(one.who.promptTokens, end.output, end.output * 1_000), now)
            }
            for (const state of of.take(now)) {
              const id = JSON.stringify([state.kind, state.owner, state.name])
              if (state.used === null) store.delete(id)
              else store.set(id, JSON.parse(JSON.stringify(state)) as LevelState)
            }
            if (!restarts) continue
            now += ms
            const before = leftAt(now)
            of = machine(tight, {}, hourly, [...store.values()], now)
            for (const one of open) one.hold = of.adopt(one.who, one.hold.amounts!, true, now)
            for (const [at, left] of leftAt(now).entries()) expect(left).toBeCloseTo(before[at], 3)
          }
          // What is held is given back: no level has more than it ever had, and in time all is free
          for (const { hold } of open) of.settle(hold, null, now)
          const full = machine(tight)
            .rooms(JOB, 0)
            .map(({ left }) => left)
          for (const [at, left] of leftAt(now).entries()) expect(left).toBeLessThanOrEqual(full[at % full.length])
        },
      ),
      { numRuns: depth(3_000, 300) },
    )
  })

  it('finds what is used of a level that was forgotten and made anew in one commit', () => {
    const of = machine({ tenant: limits({ rates: [rate('tokens', 1_000, 1)] }) })
    of.settle(held(of.reserve(JOB, true, 0)), used(300, 100), 0)
    of.take(0)
    for (let i = 0; i < 3; i++) of.rooms(job({ tenant: 'other' }), HOUR_MS)
    of.spend(JOB, used(100, 30), HOUR_MS)
    expect(of.take(HOUR_MS).at(-1)).toMatchObject({ name: 'acme', used: { rates: { tokens: 130 } } })
  })

  it('finds nothing of a tenant that was erased, nor is it written back; what others use, or it holds, stays', () => {
    const each = limits({ rates: [rate('tokens', 1_000, 1)] })
    const of = machine({
      run: each,
      key: each,
      user: each,
      tenant_model: each,
      tenant: each,
      model: each,
      global: each,
    })
    const acme = job({ run: 'r' })
    const others = job({ tenant: 'other', user: 'acme' })
    of.spend(acme, used(100, 50), 0)
    of.take(0)
    of.spend(acme, used(10, 5), 0)
    of.spend(others, used(1, 1), 0)
    of.spend(job({ user: 'new' }), used(1, 1), 0)
    const runs = held(of.reserve(job({ user: 'holds', keyId: 'k', model: 'n', run: null }), true, 0))
    of.forgetTenant('acme')
    const changed = of.take(0)
    const gone = changed.filter((level) => level.used === null).map(({ kind, owner, name }) => [kind, owner, name])
    expect(gone.toSorted()).toEqual([
      ['key', 'acme', 'key_1'],
      ['run', 'acme', 'r'],
      ['tenant_model', 'acme', 'm'],
      ['user', 'acme', 'ann'],
    ])
    const kept = changed.filter((level) => level.used !== null && level.owner === 'acme').map(({ name }) => name)
    expect(kept.toSorted()).toEqual(['holds', 'k'])
    for (const level of ['run', 'key', 'user', 'tenant_model'] as const)
      expect(left(of, level, 'tokens', 0, acme)).toBe(1_000)
    expect(left(of, 'model', 'tokens', 0)).toBe(1_000 - 150 - 15 - 2 - 2)
    expect(left(of, 'user', 'tokens', 0, others)).toBe(998)
    of.settle(runs, null, 0)
    of.forgetTenant('acme')
    expect(left(of, 'tenant', 'tokens', 0, acme)).toBe(1_000)
    expect(of.take(0)).toContainEqual({ kind: 'tenant', owner: '', name: 'acme', used: null })
  })

  it('of an attempt that died with its process: what was seen of it is counted', () => {
    const of = machine({ tenant: limits({ rates: [rate('tokens', 1_000, 1)] }) })
    of.spend(JOB, used(100, 30), 0)
    expect(left(of, 'tenant', 'tokens', 0)).toBe(870)
  })
})

it('tells, for each unit, of the level with the smallest share left', () => {
  const of = machine({
    user: limits({ rates: [rate('tokens', 1_000, 10), rate('requests', 2, 0.1)] }),
    tenant: limits({ rates: [rate('tokens', 100_000, 100), rate('requests', 3, 0.1)], concurrent: 3 }),
  })
  held(of.reserve(job({ user: 'bob' }), true, 0))
  held(of.reserve(job({ user: 'bob' }), true, 0))
  held(of.reserve(JOB, true, 0))
  expect(of.standing(JOB, 0)).toEqual([
    { level: 'user', unit: 'tokens', limit: 1_000, left: 800, resetMs: 20_000, windowMs: 100_000 },
    { level: 'tenant', unit: 'requests', limit: 3, left: 0, resetMs: 30_000, windowMs: 30_000 },
  ])
})

describe('of a level that others use, too, nothing is told (T1)', () => {
  const of = machine({
    user: limits({ rates: [rate('tokens', 1_000, 10)] }),
    tenant: limits({ rates: [rate('tokens', 400, 100)] }),
    model: limits({ rates: [rate('tokens', 400, 50)] }),
  })
  held(of.reserve(JOB, true, 0))
  const page = job({ session: 'ann' })

  it('of what is left', () => {
    expect(of.standing(JOB, 0)).toMatchObject([{ level: 'tenant', left: 200 }])
    expect(of.standing(page, 0)).toMatchObject([{ level: 'user', left: 800 }])
  })

  it('of what ran out', () => {
    held(of.reserve(JOB, true, 0))
    expect(of.lacks(JOB, false, 0)).toMatchObject({ level: 'model', shared: true })
    const tenants = machine({ tenant: limits({ rates: [rate('tokens', 400, 100)] }) })
    for (const now of [0, 0]) held(tenants.reserve(JOB, true, now))
    expect(tenants.lacks(JOB, false, 0)).not.toHaveProperty('shared')
    expect(tenants.lacks(page, false, 0)).toMatchObject({ level: 'tenant', shared: true })
  })
})

it('what is no longer used is forgotten: a million users leave nothing', () => {
  const of = machine({ user: limits({ rates: [rate('tokens', 1_000, 100_000)] }) })
  for (let i = 0; i < 20_000; i++) {
    of.settle(held(of.reserve(job({ user: `u${i}` }), true, i)), used(10, 10), i)
    of.take(i)
  }
  expect(of.size).toBeLessThan(100)
})

it('a reload changes what there may be; what was used stays used', () => {
  let now = limits({ rates: [rate('tokens', 1_000, 1)], concurrent: 1 })
  const of = machine({}, { settings: () => settingsOf({ tenant: now }) })
  const hold = held(of.reserve(JOB, true, 0))
  now = limits({ rates: [rate('tokens', 300, 1), rate('requests', 1, 1)], concurrent: 2 })
  expect(left(of, 'tenant', 'tokens', 0)).toBe(100)
  expect(left(of, 'tenant', 'running', 0)).toBe(1)
  expect(left(of, 'tenant', 'requests', 0)).toBe(1)
  of.settle(hold, used(100, 0), 0)
  expect([left(of, 'tenant', 'tokens', 0), left(of, 'tenant', 'running', 0)]).toEqual([200, 2])
})

it('where nothing may run, what would not wait is refused for good, and what waits and what streams is not', () => {
  let now = limits({ concurrent: 0 })
  const of = machine(
    {},
    { settings: () => settingsOf({ tenant: limits({ rates: [rate('tokens', 1_000, 1)] }), user: now }) },
  )
  const hurried = job({ policy: 'reject', maxOutputTokens: null })
  for (const got of [of.reserve(hurried, false, 0), of.lacks(hurried, false, 0)])
    expect(short(got)).toMatchObject({ level: 'user', unit: 'running', limit: 0, waitMs: null })
  expect(left(of, 'tenant', 'tokens', 0)).toBe(1_000)
  expect(of.lacks(job({ policy: 'wait' }), false, 0)).toBe(null)
  now = limits({ concurrent: 1 })
  const first = held(of.reserve(hurried, false, 0))
  expect(of.start(first, 0)).toBe(null)
  // Full is not closed
  expect(of.lacks(hurried, false, 0)).toBe(null)
  now = limits({ concurrent: 0 })
  const { outputTokens } = first.amounts!
  expect(of.streamed(first, outputTokens - 1, 0)).toBe(null)
  expect(first.amounts!.outputTokens).toBe(2 * outputTokens)
})

describe('any history', () => {
  const UNITS = ['tokens', 'output_tokens', 'requests'] as const
  const step = fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        do: fc.constant('reserve' as const),
        user: fc.nat(2),
        prompt: fc.nat(300),
        max: fc.option(fc.integer({ min: 1, max: 400 })),
        run: fc.boolean(),
      }),
    },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('stream' as const), at: fc.nat(50), tokens: fc.nat(600) }) },
    {
      weight: 4,
      arbitrary: fc.record({
        do: fc.constant('settle' as const),
        at: fc.nat(50),
        input: fc.nat(300),
        output: fc.nat(600),
        lost: fc.boolean(),
      }),
    },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.nat(5_000) }) },
  )
  const rates = fc.uniqueArray(
    fc.record({
      unit: fc.constantFrom(...UNITS),
      burst: fc.integer({ min: 1, max: 2_000 }),
      perSecond: fc.constantFrom(0.1, 3, 50, 1_000),
      whenOut: fc.constantFrom<WhenOut>('debt', 'cut', 'deny_next'),
      oversize: fc.constantFrom('refuse' as const, 'debt' as const),
    }),
    { selector: ({ unit }) => unit, maxLength: 3 },
  )
  const level = fc.record({ rates, budgets: fc.constant([budget(0.01)]), concurrent: fc.constantFrom(1, 3, null) })

  it('ends with nothing held: each level has what was used, and no more was let in than it had', () => {
    fc.assert(
      fc.property(level, level, fc.array(step, { maxLength: 60 }), (tenant, user, steps) => {
        const of = machine({ tenant, user })
        const open: Hold[] = []
        let now = 0
        const running = (): number => open.filter(({ places }) => places !== null).length
        for (const one of steps) {
          if (one.do === 'pass') now += one.ms
          else if (one.do === 'reserve') {
            const who = job({ user: `u${one.user}`, promptTokens: one.prompt, maxOutputTokens: one.max })
            const before = JSON.stringify(of.rooms(who, now))
            const got = of.reserve(who, one.run, now)
            if (isHold(got)) open.push(got)
            else {
              expect(JSON.stringify(of.rooms(who, now))).toBe(before)
              expect(short(got).waitMs ?? Infinity).toBeGreaterThan(0)
            }
          } else {
            const at = one.at % Math.max(1, open.length)
            const hold = open[at]
            if (hold === undefined) continue
            if (one.do === 'stream') of.streamed(hold, one.tokens, now)
            else {
              open.splice(at, 1)
              of.settle(hold, one.lost ? null : used(one.input, one.output, one.input + one.output), now)
            }
          }
          expect(running()).toBeLessThanOrEqual(
            Math.min(tenant.concurrent ?? Infinity, 3 * (user.concurrent ?? Infinity)),
          )
        }
        for (const hold of open) of.settle(hold, null, now)
        // Much later all is free again, whatever happened: nothing stays held
        for (const name of ['u0', 'u1', 'u2'])
          for (const { unit, limit, left } of of.rooms(job({ user: name }), now + 1e9))
            expect([unit, left]).toEqual([unit, limit])
      }),
      { numRuns: depth(3_000, 300) },
    )
  })

  it('with one amount and no streaming, is a leaky bucket that a plain loop counts', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(400), fc.nat(300)), { maxLength: 80 }), (calls) => {
        const of = machine({ tenant: limits({ rates: [rate('input_tokens', 500, 100)] }) })
        let [now, level] = [0, 0]
        for (const [ms, tokens] of calls) {
          now += ms
          level = Math.max(0, level - ms / 10)
          const fits = tokens === 0 || level + tokens <= 500 + 1e-6
          expect(isHold(of.reserve(job({ promptTokens: tokens }), true, now))).toBe(fits)
          if (fits) level += tokens
        }
      }),
      { numRuns: depth(3_000, 300) },
    )
  })
})
