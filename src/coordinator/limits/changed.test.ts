/** Limits that change while they are used: what was used stays used, what was held is given back, and no more. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { depth } from '../../../test/depth.ts'
import {
  type Amounts,
  type BudgetLimit,
  type Calendar,
  type LevelLimits,
  type LevelState,
  NO_LIMITS,
  type RateLimit,
  type TenantLimits,
  type Unit,
  type WhenOut,
  type Window,
} from '../../core/limits.ts'
import { type Hold, type LimitedJob, Limits } from './limits.ts'

const DAY_MS = 86_400_000
const daily: Calendar = (_window, now) => {
  const index = Math.floor(now / DAY_MS)
  return { index, endsMono: (index + 1) * DAY_MS }
}
const JOB: LimitedJob = {
  tenant: 'acme',
  model: 'm',
  keyId: 'key_1',
  user: 'ann',
  run: null,
  route: 'r',
  promptTokens: 0,
  maxOutputTokens: null,
  price: { input: 100, output: 1_000 },
}
const BUDGET = 1_000_000

const budget = (whenOut: WhenOut, window: Window = 'day'): BudgetLimit => ({ window, nanoDollars: BUDGET, whenOut })
const rate = (whenOut: WhenOut, unit: RateLimit['unit'] = 'output_tokens', perSecond = 1): RateLimit => ({
  unit,
  burst: 1_000,
  perSecond,
  whenOut,
  oversize: 'refuse',
})
const limits = (rates: readonly RateLimit[], budgets: readonly BudgetLimit[] = [], concurrent: number | null = null) =>
  ({ rates, budgets, concurrent }) satisfies LevelLimits
const used = (outputTokens: number, requests = 1): Amounts => ({
  inputTokens: 0,
  outputTokens,
  requests,
  nanoDollars: outputTokens * 1_000,
})

/** Of one tenant, whose limits come and go. */
class Tenant {
  #settings = NO_LIMITS
  #limits = this.#make()
  readonly #store = new Map<string, LevelState>()

  #make(): Limits {
    return new Limits({ settings: () => this.#settings, outputQuantile: 0.5, unknownOutputTokens: 100 })
  }

  set(all: LevelLimits | null, eachUser: LevelLimits | null = null): void {
    const tenant: TenantLimits = { all, eachUser, eachRun: null, eachKey: null, models: {} }
    this.#settings = { ...NO_LIMITS, tenants: { acme: tenant } }
  }

  commit(now: number): void {
    for (const state of this.#limits.take(now)) {
      const id = JSON.stringify([state.kind, state.name])
      if (state.used === null) this.#store.delete(id)
      else this.#store.set(id, JSON.parse(JSON.stringify(state)) as LevelState)
    }
  }

  restart(now: number): void {
    this.#limits = this.#make()
    this.#limits.open([...this.#store.values()], daily, now)
  }

  get stored(): number {
    return this.#store.size
  }

  get machine(): Limits {
    return this.#limits
  }

  /** Null: nothing limits it. */
  hold(now: number): Hold | null {
    const got = this.#limits.reserve(JOB, true, now)
    if (got !== null) expect(got).toHaveProperty('amounts')
    return got as Hold | null
  }

  use(outputTokens: number, now: number): void {
    this.#limits.settle(this.hold(now)!, used(outputTokens), now)
    this.commit(now)
  }

  left(unit: Unit, now: number): number {
    return this.#limits.rooms(JOB, now).find((room) => room.unit === unit)!.left
  }
}

const opened = (all: LevelLimits): Tenant => {
  const tenant = new Tenant()
  tenant.restart(0)
  tenant.set(all)
  return tenant
}

const POLICIES: readonly WhenOut[] = ['debt', 'deny_next', 'cut']
const CHANGES = POLICIES.flatMap((from) => POLICIES.map((to) => [from, to] as const))

describe('another policy while an answer streams', () => {
  const streamed = (tenant: Tenant, to: LevelLimits): void => {
    const { machine } = tenant
    const hold = tenant.hold(0)!
    for (let tokens = 50; tokens <= 3_000; tokens += 50) machine.streamed(hold, tokens, 0)
    tenant.set(to)
    // Others ask meanwhile
    machine.rooms(JOB, 0)
    for (let tokens = 3_050; tokens <= 4_000; tokens += 50) machine.streamed(hold, tokens, 0)
    machine.settle(hold, used(4_000), 0)
  }

  it.each(CHANGES)('%s, then %s: a budget has spent what was used, and holds nothing', (from, to) => {
    const tenant = opened(limits([], [budget(from)]))
    streamed(tenant, limits([], [budget(to)]))
    expect(tenant.left('nano_dollars', 0)).toBe(BUDGET - 4_000_000)
    // Of the next window nothing is used, and nothing held
    expect(tenant.left('nano_dollars', DAY_MS)).toBe(BUDGET)
  })

  it.each(CHANGES)('%s, then %s: a rate has counted what was used, and deny_next forgives debt only', (from, to) => {
    const tenant = opened(limits([rate(from)]))
    streamed(tenant, limits([rate(to)]))
    const left = tenant.left('output_tokens', 0)
    if (to === 'deny_next') expect([0, -2_000, -3_000]).toContain(left)
    else expect(left).toBe(-3_000)
    if (from === 'deny_next' && to === 'deny_next') expect(left).toBe(0)
    tenant.commit(0)
    tenant.restart(0)
    expect(tenant.left('output_tokens', 0)).toBe(left)
  })
})

describe('a limit that is left out, and put back', () => {
  const HALF = limits([rate('debt')], [budget('cut'), budget('cut', 'month')], 2)
  const WITHOUT: ReadonlyArray<readonly [string, LevelLimits | null]> = [
    ['of its level', limits([rate('debt', 'requests')])],
    ['with its level', null],
  ]

  it.each(WITHOUT)('%s: has used what it had, on a reload', (_how, without) => {
    const tenant = opened(HALF)
    tenant.use(500, 0)
    tenant.set(without)
    if (without === null) expect(tenant.hold(1_000)).toBe(null)
    else tenant.use(10, 1_000)
    tenant.set(HALF)
    expect(tenant.left('nano_dollars', 10_000)).toBe(BUDGET - 500_000)
    expect(tenant.left('output_tokens', 10_000)).toBe(510)
  })

  it.each(WITHOUT)('%s: and after restarts meanwhile', (_how, without) => {
    const tenant = opened(HALF)
    tenant.use(500, 0)
    tenant.set(without)
    for (const now of [5_000, 6_000]) {
      tenant.restart(now)
      if (without !== null) tenant.use(10, now)
      tenant.commit(now)
    }
    tenant.set(HALF)
    expect(tenant.left('nano_dollars', 10_000)).toBe(BUDGET - 500_000)
    const left = tenant.left('output_tokens', 10_000)
    // What leaked before a second restart is not known exactly
    if (without === null) expect(left).toBe(510)
    else expect(left).toBeGreaterThanOrEqual(500)
    expect(left).toBeLessThanOrEqual(510)
  })

  it('goes when its window ends, or its time, with its level', () => {
    const tenant = opened(limits([rate('debt')], [budget('cut')]))
    tenant.use(500, 0)
    tenant.set(null)
    tenant.restart(1_000)
    const sweep = (now: number): number => {
      tenant.set(null, limits([rate('debt', 'requests')]))
      for (let i = 0; i < 4; i++) tenant.machine.rooms(JOB, now)
      tenant.commit(now)
      return tenant.stored
    }
    expect([sweep(DAY_MS - 1), tenant.stored]).toEqual([1, 1])
    expect(sweep(DAY_MS)).toBe(0)
  })

  it('counts those that run still', () => {
    const tenant = opened(limits([], [], 1))
    const hold = tenant.hold(0)!
    tenant.set(limits([rate('debt')]))
    tenant.machine.settle(tenant.hold(0)!, null, 0)
    tenant.set(limits([], [], 1))
    expect(tenant.machine.lacks(JOB, true, 0)).toMatchObject({ unit: 'running', left: 0 })
    tenant.machine.settle(hold, null, 0)
    expect(tenant.machine.lacks(JOB, true, 0)).toBe(null)
  })

  it('whose hold ends meanwhile: what it used counts, and it holds nothing', () => {
    const tenant = opened(HALF)
    const hold = tenant.hold(0)!
    tenant.set(limits([rate('debt', 'requests')]))
    tenant.machine.rooms(JOB, 0)
    tenant.machine.settle(hold, used(300), 0)
    tenant.commit(0)
    for (const restarts of [false, true]) {
      if (restarts) tenant.restart(0)
      tenant.set(HALF)
      expect([tenant.left('nano_dollars', 0), tenant.left('output_tokens', 0)]).toEqual([BUDGET - 300_000, 700])
    }
  })
})

interface Drawn {
  readonly budgets: ReadonlyArray<readonly [Window, WhenOut]>
  readonly tokens: WhenOut | null
  readonly requests: WhenOut | null
}

it('whatever is changed, and when: each account has used what its holds came to, and holds nothing in the end', () => {
  const WINDOWS: readonly Window[] = ['hour', 'day', 'month']
  const policy = fc.constantFrom(...POLICIES)
  const settings = fc.option(
    fc.record({
      budgets: fc.uniqueArray(fc.tuple(fc.constantFrom(...WINDOWS), policy), { selector: ([window]) => window }),
      // deny_next forgives what there was no room for: its sum is known above only
      tokens: fc.option(fc.constantFrom<WhenOut>('debt', 'cut')),
      requests: fc.option(fc.constantFrom<WhenOut>('debt', 'cut')),
    }),
    { freq: 4 },
  )
  const step = fc.oneof(
    fc.record({ kind: fc.constant('set' as const), to: settings }),
    fc.record({ kind: fc.constant('start' as const) }),
    fc.record({ kind: fc.constant('stream' as const), at: fc.nat(9), tokens: fc.nat(900) }),
    fc.record({ kind: fc.constant('end' as const), at: fc.nat(9), tokens: fc.nat(2_000) }),
    fc.record({ kind: fc.constant('restart' as const) }),
  )
  const read = ({ budgets, tokens, requests }: Drawn): LevelLimits => ({
    rates: [
      ...(tokens === null ? [] : [{ ...rate(tokens), burst: 4_000 }]),
      ...(requests === null ? [] : [rate(requests, 'requests')]),
    ],
    budgets: budgets.map(([window, whenOut], i) => ({ window, whenOut, nanoDollars: (3 + i) * BUDGET })),
    concurrent: null,
  })
  const accounts = ({ rates, budgets }: LevelLimits): readonly string[] => [
    ...rates.map(({ unit }) => unit),
    ...budgets.map(({ window }) => window),
  ]
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const tenant = opened(limits([]))
      let inForce: LevelLimits | null = limits([])
      /** What each account has come to. */
      const spent = new Map<string, number>()
      let open: Array<{ hold: Hold; on: readonly string[]; tokens: number }> = []
      const end = ({ hold, on }: (typeof open)[number], tokens: number): void => {
        tenant.machine.settle(hold, used(tokens), 0)
        for (const name of on) {
          const amount = name === 'requests' ? 1 : name === 'output_tokens' ? tokens : tokens * 1_000
          spent.set(name, (spent.get(name) ?? 0) + amount)
        }
      }
      for (const one of steps) {
        if (one.kind === 'set') {
          inForce = one.to === null ? null : read(one.to)
          tenant.set(inForce)
        } else if (one.kind === 'start') {
          const hold = tenant.machine.reserve(JOB, true, 0)
          if (hold !== null && 'amounts' in hold) open.push({ hold, on: accounts(inForce!), tokens: 0 })
        } else if (one.kind === 'restart') {
          tenant.restart(0)
          open = open.map(({ hold, tokens }) => ({
            hold: tenant.machine.adopt(JOB, hold.amounts!, true, 0),
            on: inForce === null ? [] : accounts(inForce),
            tokens,
          }))
        } else if (open.length > 0) {
          const at = one.at % open.length
          if (one.kind === 'stream') {
            open[at].tokens += one.tokens
            tenant.machine.streamed(open[at].hold, open[at].tokens, 0)
          } else end(open.splice(at, 1)[0], one.tokens)
        }
        tenant.commit(0)
      }
      for (const one of open) end(one, one.tokens)
      tenant.commit(0)
      for (const restarts of [false, true]) {
        if (restarts) tenant.restart(0)
        const level = read({ budgets: WINDOWS.map((window) => [window, 'cut']), tokens: 'debt', requests: 'debt' })
        tenant.set(level)
        const rooms = tenant.machine.rooms(JOB, 0)
        expect(rooms.map(({ limit, left }) => limit - left)).toEqual(
          accounts(level).map((name) => spent.get(name) ?? 0),
        )
      }
    }),
    { numRuns: depth(5_000, 500) },
  )
})
