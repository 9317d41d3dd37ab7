/** How a tenant stands with its limits: what is used, what is held, who is near. */
import { describe, expect, it } from 'vitest'
import { type Calendar, type LevelLimits, type LimitSettings, NO_LIMITS } from '../../core/limits.ts'
import { type Hold, type LimitedJob, Limits } from './limits.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const calendar: Calendar = (_, now) => ({
  index: Math.floor(now / DAY_MS),
  endsMono: (Math.floor(now / DAY_MS) + 1) * DAY_MS,
})
const level = (more: Partial<LevelLimits>): LevelLimits => ({ rates: [], budgets: [], concurrent: null, ...more })
const tokens = (burst: number, perSecond = 1) =>
  ({ unit: 'tokens', burst, perSecond, whenOut: 'debt', oversize: 'refuse' }) as const
const JOB: LimitedJob = {
  tenant: 'acme',
  model: 'm',
  keyId: 'key_1',
  user: 'ann',
  run: null,
  route: '',
  promptTokens: 100,
  maxOutputTokens: 100,
  price: { input: 1, output: 1 },
}

function machine(settings: () => LimitSettings): Limits {
  const made = new Limits({ settings, outputQuantile: 0.5, unknownOutputTokens: 100 })
  made.open([], calendar, 0)
  return made
}
const limited = (all: LevelLimits, more: Partial<LimitSettings['tenants'][string]> = {}): LimitSettings => ({
  ...NO_LIMITS,
  tenants: { acme: { all, eachUser: null, eachRun: null, eachKey: null, models: {}, ...more } },
})

describe('a tenant’s standing', () => {
  it('tells each of its limits, used or not, the fullest first, and keeps nothing for it', () => {
    const settings = limited(
      level({
        rates: [tokens(1_000)],
        budgets: [{ window: 'day', nanoDollars: 400, whenOut: 'cut' }],
        concurrent: 4,
      }),
      { models: { 'm*': level({ concurrent: 2 }) } },
    )
    const limits = machine(() => settings)
    expect(limits.tenantStanding('acme', 0).own.map(({ used, held }) => used + held)).toEqual([0, 0, 0, 0])
    expect(limits.size).toBe(0)
    const hold = limits.reserve(JOB, true, 0) as Hold
    expect(limits.tenantStanding('acme', 0)).toEqual({
      own: [
        {
          level: 'tenant',
          name: 'acme',
          unit: 'nano_dollars',
          window: 'day',
          limit: 400,
          used: 0,
          held: 200,
          resetMs: DAY_MS,
        },
        { level: 'tenant_model', name: 'm*', unit: 'running', limit: 2, used: 1, held: 0, resetMs: 0 },
        { level: 'tenant', name: 'acme', unit: 'running', limit: 4, used: 1, held: 0, resetMs: 0 },
        { level: 'tenant', name: 'acme', unit: 'tokens', limit: 1_000, used: 0, held: 200, resetMs: 200_000 },
      ],
      near: [],
      more: 0,
      isPartial: false,
    })
    limits.settle(hold, { inputTokens: 100, outputTokens: 50, requests: 1, nanoDollars: 150 }, 0)
    const { own } = limits.tenantStanding('acme', 50_000)
    expect(own[0]).toMatchObject({ unit: 'nano_dollars', used: 150, held: 0, resetMs: DAY_MS - 50_000 })
    expect(own.find(({ unit }) => unit === 'tokens')).toMatchObject({ used: 100, held: 0, resetMs: 100_000 })
    expect(own.filter(({ unit }) => unit === 'running').map(({ used }) => used)).toEqual([0, 0])
  })

  it('tells debt as more than the limit, and follows a reload at once', () => {
    let settings = limited(level({ rates: [tokens(1_000)] }))
    const limits = machine(() => settings)
    limits.settle(
      limits.reserve(JOB, false, 0) as Hold,
      { inputTokens: 0, outputTokens: 1_500, requests: 1, nanoDollars: 0 },
      0,
    )
    expect(limits.tenantStanding('acme', 0).own).toMatchObject([{ limit: 1_000, used: 1_500 }])
    settings = limited(level({ rates: [tokens(3_000)] }))
    expect(limits.tenantStanding('acme', 0).own).toMatchObject([{ limit: 3_000, used: 1_500 }])
    settings = NO_LIMITS
    expect(limits.tenantStanding('acme', 0).own).toEqual([])
  })

  it('names keys and users that have used half of a limit, the fullest 20, and counts the others', () => {
    const settings = limited(level({}), {
      eachUser: level({ rates: [tokens(1_000, 1e-6)] }),
      eachKey: level({ rates: [tokens(1e6, 1e-6)] }),
    })
    const limits = machine(() => settings)
    const use = (user: string, outputTokens: number, tenant = 'acme'): void =>
      limits.settle(
        limits.reserve({ ...JOB, user, tenant }, false, 0) as Hold,
        { inputTokens: 0, outputTokens, requests: 1, nanoDollars: 0 },
        0,
      )
    use('idle', 499)
    for (let i = 0; i < 30; i++) use(`u${i}`, 500 + i)
    const { near, more, isPartial } = limits.tenantStanding('acme', 0)
    expect(near.length).toBe(20)
    expect(near[0]).toMatchObject({ level: 'user', name: 'u29', unit: 'tokens', limit: 1_000, used: 529 })
    expect(near.some(({ name }) => name === 'idle' || name === 'key_1')).toBe(false)
    expect([more, isPartial]).toEqual([10, false])
  })

  it('looks at a bounded number of users, and says so', () => {
    const limits = machine(() => ({
      ...NO_LIMITS,
      eachTenant: {
        all: null,
        eachUser: level({ rates: [tokens(1_000, 1e-6)] }),
        eachRun: null,
        eachKey: null,
        models: {},
      },
    }))
    for (let i = 0; i < 12_000; i++)
      limits.settle(
        limits.reserve({ ...JOB, user: `u${i}` }, false, 0) as Hold,
        { inputTokens: 0, outputTokens: 900, requests: 1, nanoDollars: 0 },
        0,
      )
    const { near, more, isPartial } = limits.tenantStanding('acme', 0)
    expect([near.length, near.length + more, isPartial]).toEqual([20, 10_000, true])
    expect(limits.tenantStanding('globex', 0)).toMatchObject({ near: [], isPartial: false })
  })
})
