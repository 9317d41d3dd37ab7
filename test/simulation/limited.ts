/** Limits of a simulated world, drawn by its seed, and what no decision may do to them. */
import type { Calendar, LevelKind, LevelLimits, LimitSettings, RateLimit } from '../../src/core/limits.ts'
import { NO_LIMITS } from '../../src/core/limits.ts'
import type { ScheduledJob } from '../../src/core/ports/coordinator.ts'
import { type Ledger, must } from './ledger.ts'
import type { Random } from './random.ts'

/** Short windows: a world lasts some seconds. */
const WINDOWS_MS = { hour: 2_000, day: 7_000, month: 30_000 }
export const calendar: Calendar = (window, now) => {
  const index = Math.floor(now / WINDOWS_MS[window])
  return { index, endsMono: (index + 1) * WINDOWS_MS[window] }
}

const eachTenant = (more: Partial<NonNullable<LimitSettings['eachTenant']>>): LimitSettings => ({
  ...NO_LIMITS,
  eachTenant: { all: null, eachUser: null, eachRun: null, eachKey: null, models: {}, ...more },
})
const tokens = (burst: number): LevelLimits => ({
  rates: [{ unit: 'tokens', burst, perSecond: burst, whenOut: 'debt', oversize: 'refuse' }],
  budgets: [],
  concurrent: null,
})
/** What is held is held at the key alone. */
export const ROOMY = eachTenant({ eachKey: tokens(1e6) })
export const ONE_AT_A_TIME = eachTenant({ all: { rates: [], budgets: [], concurrent: 1 } })
/** For nearly all prompts. */
export const TOO_TIGHT = eachTenant({ all: tokens(1) })

/** `hasSwitches`: some let nothing run; what waits then waits for other limits. */
export function limitsOf(draw: Random, hasSwitches = false): LimitSettings {
  const level = (share: number): LevelLimits | null => (draw.chance(share) ? levelOf(draw, hasSwitches) : null)
  return {
    ...NO_LIMITS,
    global: level(0.15),
    models: draw.chance(0.2) ? { m1: levelOf(draw, hasSwitches) } : {},
    tenants: {
      b: { all: level(0.7), eachUser: null, eachRun: null, eachKey: null, models: { m2: levelOf(draw, hasSwitches) } },
    },
    eachTenant: { all: level(0.6), eachUser: level(0.5), eachRun: level(0.3), eachKey: level(0.3), models: {} },
    keys: draw.chance(0.2) ? { key_2: levelOf(draw, hasSwitches) } : {},
  }
}

function levelOf(draw: Random, hasSwitches: boolean): LevelLimits {
  const whenOut = () => draw.of(['debt', 'debt', 'deny_next', 'cut'] as const)
  const rate = (unit: RateLimit['unit'], burst: number, perSecond: number): RateLimit[] =>
    draw.chance(0.4) ? [{ unit, burst, perSecond, whenOut: whenOut(), oversize: draw.of(['refuse', 'debt']) }] : []
  return {
    rates: [
      ...rate('tokens', draw.of([350, 600, 2_000]), draw.of([500, 4_000])),
      ...rate('output_tokens', draw.of([30, 200]), draw.of([100, 2_000])),
      ...rate('requests', draw.of([1, 3, 10]), draw.of([5, 50])),
    ],
    budgets: draw.chance(0.4)
      ? [{ window: draw.of(['hour', 'day'] as const), nanoDollars: draw.of([4_000, 20_000]), whenOut: whenOut() }]
      : [],
    concurrent: draw.chance(0.4) ? draw.of(hasSwitches ? [0, 1, 2] : [1, 2, 3]) : null,
  }
}

interface Member {
  readonly limits: LevelLimits
  readonly id: string
}

/** Written for reading, not for speed: the levels of a job. */
function levelsOf({ global, models, tenants, eachTenant, keys }: LimitSettings, job: ScheduledJob): readonly Member[] {
  const { tenant, user, run, keyId, model } = job
  const own = tenants[tenant] ?? eachTenant
  const found: Array<readonly [LevelKind, string | null, LevelLimits | null | undefined]> = [
    ['run', run, own?.eachRun],
    ['key', keyId, keys[keyId] ?? own?.eachKey],
    ['user', user, own?.eachUser],
    ['tenant_model', model, own?.models[model]],
    ['tenant', '', own?.all],
  ]
  const shared: typeof found = [
    ['model', model, models[model]],
    ['global', '', global],
  ]
  const members = (of: typeof found, owner: string): Member[] =>
    of.flatMap(([kind, name, limits]) => (name === null || !limits ? [] : [{ limits, id: `${kind}/${owner}/${name}` }]))
  return [...members(found, tenant), ...members(shared, '')]
}

const unitsOf = (promptTokens: number, outputTokens: number) => ({
  input_tokens: promptTokens,
  output_tokens: outputTokens,
  tokens: promptTokens + outputTokens,
  requests: 1,
})

interface Sum {
  readonly limits: LevelLimits
  running: number
  /** Of all that ended as far as it was held, and of all that is held: by unit. */
  readonly rates: Record<RateLimit['unit'], number>
  /** The same in the window that is now. */
  readonly money: Record<'hour' | 'day' | 'month', number>
  heaviest: number
}

/** What is let in is no more than there is (M2): what streams beyond what was held for it is not let in. */
export function checkLevels(settings: LimitSettings, ledger: Ledger, startedMono: number, now: number): void {
  const sums = new Map<string, Sum>()
  const each = (job: ScheduledJob, visit: (sum: Sum) => void): void => {
    for (const { id, limits } of levelsOf(settings, job)) {
      const sum = sums.get(id) ?? {
        limits,
        running: 0,
        rates: { input_tokens: 0, output_tokens: 0, tokens: 0, requests: 0 },
        money: { hour: 0, day: 0, month: 0 },
        heaviest: 0,
      }
      sums.set(id, sum)
      visit(sum)
    }
  }
  for (const { record, reservation, job, atMono } of ledger.used) {
    const { promptTokens, completionTokens } = record.usage
    if (reservation === null || promptTokens + completionTokens === 0) continue
    const used = unitsOf(promptTokens, completionTokens)
    const held = unitsOf(reservation.inputTokens, reservation.outputTokens)
    each(job, (sum) => {
      for (const unit of UNITS) sum.rates[unit] += Math.min(used[unit], held[unit])
      sum.heaviest = Math.max(sum.heaviest, held.tokens)
      for (const { window } of sum.limits.budgets)
        if (calendar(window, atMono).index === calendar(window, now).index)
          sum.money[window] += Math.min(record.nanoDollars ?? 0, reservation.nanoDollars)
    })
  }
  for (const { job, held, reservation: waiting } of ledger.open()) {
    const reservation = held === null ? waiting : held.claim.reservation
    each(job, (sum) => {
      if (held !== null) sum.running++
      if (reservation === null) return
      for (const each of [reservation, held?.claim.hedge?.reservation ?? null]) {
        if (each === null) continue
        const amounts = unitsOf(each.inputTokens, each.outputTokens)
        for (const unit of UNITS) sum.rates[unit] += amounts[unit]
        sum.heaviest = Math.max(sum.heaviest, amounts.tokens)
        for (const { window } of sum.limits.budgets) sum.money[window] += each.nanoDollars
      }
    })
  }
  for (const [id, { limits, running, rates, money, heaviest }] of sums) {
    must(running <= (limits.concurrent ?? Infinity), `${id}: ${running} run of ${limits.concurrent}`)
    for (const { unit, burst, perSecond, oversize } of limits.rates) {
      const most = (oversize === 'debt' ? burst + heaviest : burst) + (perSecond * (now - startedMono)) / 1_000
      must(rates[unit] <= most + 1e-6, `${id}: ${rates[unit]} ${unit} were let in, of ${most}`)
    }
    for (const { window, nanoDollars } of limits.budgets)
      must(money[window] <= nanoDollars, `${id}: ${money[window]} nano-dollars were let in, of ${nanoDollars}`)
  }
}

/** Once nothing runs: what is spent is what the records say, and all else is free again in time. */
export function checkRest(
  settings: LimitSettings,
  ledger: Ledger,
  jobs: readonly ScheduledJob[],
  standing: (
    job: ScheduledJob,
    now: number,
  ) => ReadonlyArray<{ unit: string; level: string; left: number; limit: number }>,
  now: number,
): void {
  for (const job of jobs) {
    for (const { level, left, limit, unit } of standing(job, now)) {
      if (unit !== 'nano_dollars') continue
      const member = levelsOf(settings, job).find(({ id }) => id.startsWith(`${level}/`))!
      const spent = (window: 'hour' | 'day' | 'month'): number =>
        ledger.used
          .filter((one) => levelsOf(settings, one.job).some(({ id }) => id === member.id))
          .filter(({ atMono }) => calendar(window, atMono).index === calendar(window, now).index)
          .reduce((sum, { record }) => sum + (record.nanoDollars ?? 0), 0)
      const expected = member.limits.budgets.map(({ window, nanoDollars }) => nanoDollars - spent(window))
      must(expected.includes(left), `${member.id}: ${left} of ${limit} are left, not ${expected}`)
    }
  }
  for (const job of jobs)
    for (const { level, unit, left, limit } of standing(job, now + 1e9))
      must(left === limit, `${level}, ${unit}: ${left} of ${limit} are free after all has ended`)
}

const UNITS = ['input_tokens', 'output_tokens', 'tokens', 'requests'] as const
