import { describe, expect, it } from 'vitest'
import { camelised } from '../../core/camel.ts'
import { levelLimits, levelSettings, modelLimits, tenantLimitSettings, tenantLimits } from './settings.ts'

const level = (given: object) => levelLimits(camelised(levelSettings.parse(given)))
const tenant = (given: object) => tenantLimits(camelised(tenantLimitSettings.parse(given)))!
const problems = (given: unknown, schema: typeof levelSettings | typeof tenantLimitSettings = levelSettings) =>
  schema.safeParse(given).error?.issues.map(({ path, message }) => [path.join('.'), message]) ?? 'taken'

describe('one level', () => {
  it('limits nothing where nothing is named', () => {
    expect(level({})).toBeNull()
    expect(level({ burst: 3, when_out: 'cut', tokens_per_minute: null })).toBeNull()
  })

  it('reads rates a minute as rates a second, with a burst of a minute', () => {
    expect(level({ tokens_per_minute: 60_000, requests_per_minute: 30 })).toEqual({
      rates: [
        { unit: 'tokens', burst: 60_000, perSecond: 1_000, whenOut: 'debt', oversize: 'refuse' },
        { unit: 'requests', burst: 30, perSecond: 0.5, whenOut: 'debt', oversize: 'refuse' },
      ],
      budgets: [],
      concurrent: null,
    })
  })

  it('reads a burst in minutes of each rate, whole and at least one', () => {
    const bursts = (given: object) => level(given)!.rates.map(({ burst }) => burst)
    expect(bursts({ input_tokens_per_minute: 1_001, output_tokens_per_minute: 10, burst: 2.5 })).toEqual([2_503, 25])
    expect(bursts({ tokens_per_minute: 1_000, requests_per_minute: 3, burst: 0.1 })).toEqual([100, 1])
  })

  it('reads dollars as whole nano-dollars, exactly', () => {
    const nano = (dollars_per_day: number | string) => level({ dollars_per_day })!.budgets[0].nanoDollars
    expect([0.1, 0.29, 1.1, 4.35, 1_000_000.01, 8_999_999.00000001, 0, 1e-9, '1_250.5'].map(nano)).toEqual([
      100_000_000, 290_000_000, 1_100_000_000, 4_350_000_000, 1_000_000_010_000_000, 8_999_999_000_000_010, 0, 1,
      1_250_500_000_000,
    ])
  })

  it('cuts for money and makes debt for rates, unless it is told otherwise', () => {
    const given = { tokens_per_minute: 1, dollars_per_hour: 1, dollars_per_month: 2 }
    const outs = (more: object) => {
      const { rates, budgets } = level({ ...given, ...more })!
      return [...rates, ...budgets].map(({ whenOut }) => whenOut)
    }
    expect(outs({})).toEqual(['debt', 'cut', 'cut'])
    expect(outs({ when_out: 'deny_next' })).toEqual(['deny_next', 'deny_next', 'deny_next'])
    expect(level({ tokens_per_minute: 1, oversize: 'debt' })!.rates[0].oversize).toBe('debt')
  })

  it('lets nothing run with concurrent: 0', () => {
    expect(level({ concurrent: 0 })).toEqual({ rates: [], budgets: [], concurrent: 0 })
  })

  it('compares how fast money is spent with the slower of the paces of a day and a month', () => {
    const velocity = (given: object) => level({ velocity: { trip: true }, ...given })!.velocity
    const standard = { fiveMinutes: 14, hour: 6, coolDownMs: 600_000 }
    expect(velocity({ dollars_per_month: 720 })).toEqual({ nanoDollarsPerHour: 1e9, ...standard })
    expect(velocity({ dollars_per_month: 720, dollars_per_day: 12 })).toMatchObject({ nanoDollarsPerHour: 5e8 })
    const own = { trip: true, five_minutes: 20, hour: '7.5', cool_down_ms: '1m' }
    expect(velocity({ dollars_per_day: 24, velocity: own })).toEqual({
      ...{ nanoDollarsPerHour: 1e9, fiveMinutes: 20, hour: 7.5, coolDownMs: 60_000 },
    })
    for (const velocity of [{}, { trip: false, hour: 9 }])
      expect(level({ dollars_per_day: 24, velocity })).not.toHaveProperty('velocity')
    const needs = 'needs "dollars_per_day" or "dollars_per_month": it compares with the pace at which they would last'
    expect(problems({ dollars_per_hour: 1, velocity: { trip: true } })).toEqual([['velocity', needs]])
    expect(problems({ each_run: { velocity: { trip: true } } }, tenantLimitSettings)).toEqual([
      ['each_run.velocity', needs],
    ])
    expect(problems({ velocity: { hours: 1 } })).toEqual([['velocity', '"hours" is not known. Did you mean "hour"?']])
    expect(problems({ velocity: { hour: 1 } })).toEqual([['velocity.hour', 'must be greater than 1']])
    expect(problems({ velocity: true })).toEqual([['velocity', 'expected a group, such as { trip: true }']])
  })

  it('has a largest request', () => {
    const limits = { rates: [], budgets: [], concurrent: null, maxRequestBytes: 65_536 }
    expect(level({ max_request_bytes: '64KiB' })).toEqual(limits)
  })

  it('refuses in words that help', () => {
    expect(problems({ tokens_per_minut: 1 })).toEqual([
      ['', '"tokens_per_minut" is not a limit. Did you mean "tokens_per_minute"?'],
    ])
    expect(problems({ burst: 0 })[0][1]).toMatch(/^must be greater than 0, .*"concurrent: 0"/)
    expect(problems({ dollars_per_day: 9_000_001 })).toEqual([
      ['dollars_per_day', "must be at most 9000000: larger sums can't be counted exactly"],
    ])
    expect(problems({ dollars_per_day: -1 })).toEqual([['dollars_per_day', 'must be at least 0']])
    expect(problems({ dollars_per_day: '5 USD' })[0][1]).toBe('expected an amount of US dollars, such as 12.5')
    expect(problems({ requests_per_minute: 0.5 })).toEqual([['requests_per_minute', 'expected a whole number']])
    expect(problems({ requests_per_minute: 0 })).toEqual([['requests_per_minute', 'must be at least 1']])
    expect(problems({ dollars_per_day: Infinity })).not.toBe('taken')
    expect(problems(5)).toEqual([['', 'expected a group of limits, such as { tokens_per_minute: 100000 }']])
  })
})

describe('a tenant', () => {
  it('has limits for itself, and for each that acts for it', () => {
    const limits = tenant({
      concurrent: 9,
      each_user: { concurrent: 1 },
      each_key: { concurrent: 2 },
      each_run: { concurrent: 3 },
      models: [{ name: 'chat', concurrent: 4 }, { name: 'free' }],
    })
    expect([limits.all, limits.eachUser, limits.eachKey, limits.eachRun].map((one) => one?.concurrent)).toEqual([
      9, 1, 2, 3,
    ])
    expect(Object.keys(limits.models)).toEqual(['chat'])
  })

  it('may have none, where others have some', () => {
    expect(tenant({})).toEqual({ all: null, eachUser: null, eachKey: null, eachRun: null, models: {} })
    expect(tenantLimits(null)).toBeNull()
  })

  it('names a model once', () => {
    const models = [{ name: 'chat' }, { name: 'chat' }]
    expect(problems({ models }, tenantLimitSettings)).toEqual([['models.1.name', '"chat" is a duplicate']])
    expect(problems({ models: [{}] }, tenantLimitSettings)).toEqual([['models.0.name', expect.any(String)]])
  })

  it('may have a model that is named as no member should be', () => {
    const settings = tenantLimitSettings.parse({ models: [{ name: '__proto__', concurrent: 1 }] })
    expect(Object.keys(modelLimits(camelised(settings.models)))).toEqual(['__proto__'])
  })
})
