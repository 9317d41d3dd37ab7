/** The `limits` of the settings, and of tenants: as they are given, and as the coordinator reads them. */
import { z } from 'zod'
import type { Camelised } from '../../core/camel.ts'
import type { BudgetLimit, LevelLimits, RateLimit, TenantLimits, VelocityLimit } from '../../core/limits.ts'
import { didYouMean } from '../../core/nearest.ts'
import { count, duration, fieldKinds, flag, size } from '../../settings/fields.ts'

/** More is no exact number of nano-dollars. */
const MOST_DOLLARS = 9_000_000
const MOST_A_MINUTE = 1e12
const MOST_CONCURRENT = 1e6
const MOST_DEPTH = 1_000
/** A month's worth, in minutes. */
const MOST_BURST = 44_640

// ---------------------------------------------------------------- as they are given

const rate = (what: string) =>
  count({ min: 1, max: MOST_A_MINUTE }).nullable().prefault(null).describe(`${what} in a minute. Null: no limit.`)

function decimal(what: string, given: z.ZodNumber) {
  const expected = `expected ${what}`
  const field = z
    .union([z.number(), z.string().regex(/^\d+(_\d+)*(\.\d+)?$/, expected)], { error: expected })
    .transform((value) => (typeof value === 'number' ? value : Number(value.replaceAll('_', ''))))
    .pipe(given)
  fieldKinds.add(field, { kind: 'number' })
  return field
}

const dollars = (window: string) =>
  decimal(
    'an amount of US dollars, such as 12.5',
    z
      .number()
      .min(0, 'must be at least 0')
      .max(MOST_DOLLARS, `must be at most ${MOST_DOLLARS}: larger sums can't be counted exactly`),
  )
    .nullable()
    .prefault(null)
    .describe(`US dollars for each ${window} of the calendar, UTC. 0: only what costs nothing. Null: no budget.`)

const MOST_FACTOR = 10_000
const factor = (standard: number, description: string) =>
  decimal(
    "a number of times the budget's pace, such as 14",
    z.number().gt(1, 'must be greater than 1').max(MOST_FACTOR, `must be at most ${MOST_FACTOR}`),
  )
    .prefault(standard)
    .describe(description)

const velocityShape = {
  trip: flag()
    .prefault(false)
    .describe(
      'Refuse what costs money while the budget is spent too fast (docs/limits.md). Needs `dollars_per_day` or ' +
        '`dollars_per_month`.',
    ),
  five_minutes: factor(14, 'Too fast is more than so many times the pace at which it would last, over five minutes …'),
  hour: factor(6, '… and more than so many times over an hour.'),
  cool_down_ms: duration({ min: 1_000, max: 7 * 86_400_000 })
    .prefault('10m')
    .describe('Until a single request is let in, which shows whether it still is.'),
}
const velocity = z.strictObject(velocityShape, {
  error: (issue) =>
    issue.code === 'unrecognized_keys'
      ? issue.keys.map((key) => `"${key}" is not known.${didYouMean(key, Object.keys(velocityShape))}`).join(' ')
      : issue.code === 'invalid_type'
        ? 'expected a group, such as { trip: true }'
        : undefined,
})

const level = {
  tokens_per_minute: rate('Tokens, of prompts and answers together,'),
  input_tokens_per_minute: rate('Tokens of prompts'),
  output_tokens_per_minute: rate('Tokens of answers'),
  requests_per_minute: rate('Requests'),
  burst: decimal(
    "a number of minutes' worth, such as 2 or 0.5",
    z
      .number()
      .gt(0, 'must be greater than 0, or nothing would ever fit; "concurrent: 0" lets nothing run')
      .max(MOST_BURST, `must be at most ${MOST_BURST}`),
  )
    .prefault(1)
    .describe("How much may be used at once, in minutes' worth of these rates."),
  dollars_per_hour: dollars('hour'),
  dollars_per_day: dollars('day'),
  dollars_per_month: dollars('month'),
  velocity: velocity.prefault({}),
  concurrent: count({ max: MOST_CONCURRENT })
    .nullable()
    .prefault(null)
    .describe('Jobs that run at once; more wait. 0: nothing runs. Null: no limit.'),
  max_request_bytes: size({ min: 1 })
    .nullable()
    .prefault(null)
    .describe('Largest body of a request; one whose `content-length` is larger is refused unread. Null: no limit.'),
  when_out: z
    .enum(['debt', 'deny_next', 'cut'])
    .nullable()
    .prefault(null)
    .describe(
      'What becomes of an answer that needs more than there is. `debt`: it goes on, and what it took is paid back ' +
        'first. `deny_next`: it goes on, and only the next request waits. `cut`: it ends (`finish_reason: length`). ' +
        'Null: `debt` for rates, `cut` for money.',
    ),
  oversize: z
    .enum(['refuse', 'debt'])
    .prefault('refuse')
    .describe(
      'A request heavier than all that may be used at once. `refuse`: it is refused for good. `debt`: it runs when ' +
        'nothing else is used, and what it took is paid back.',
    ),
}

interface Paced {
  readonly velocity?: { readonly trip: boolean }
  readonly dollars_per_day?: number | null
  readonly dollars_per_month?: number | null
}

/** Names what is not known here; all else is told by the members themselves. */
const strict = <Shape extends z.ZodRawShape>(shape: Shape) =>
  z
    .strictObject(shape, {
      error: (issue) =>
        issue.code === 'unrecognized_keys'
          ? issue.keys.map((key) => `"${key}" is not a limit.${didYouMean(key, Object.keys(shape))}`).join(' ')
          : issue.code === 'invalid_type'
            ? `expected a group of limits, such as { ${Object.keys(level)[0]}: 100000 }`
            : undefined,
    })
    .superRefine((given, context) => {
      const { velocity, dollars_per_day: day = null, dollars_per_month: month = null } = given as Paced
      if (velocity?.trip !== true || day !== null || month !== null) return
      const message =
        'needs "dollars_per_day" or "dollars_per_month": it compares with the pace at which they would last'
      context.addIssue({ code: 'custom', path: ['velocity'], message })
    })

/** A group of limits is shown as one: its members have no flags. */
function group<Shape extends z.ZodRawShape>(shape: Shape) {
  const schema = strict(shape)
  fieldKinds.add(schema, { kind: 'limits' })
  return schema
}

/** What one level may use. */
export const levelSettings = group(level)

export const modelLimitSettings = z
  .array(
    strict({
      name: z
        .string()
        .regex(/^[\w.:/@+-]{1,200}\*?$|^\*$/, 'expected the name of a model, or the beginning of one followed by "*"')
        .describe('A model as clients name it; with a trailing "*" all that begin so, together.'),
      ...level,
    }),
    { error: 'expected a list of limits, each with the "name" of its model' },
  )
  .superRefine((models, context) => {
    for (const [i, { name }] of models.entries())
      if (models.findIndex((one) => one.name === name) < i)
        context.addIssue({ code: 'custom', path: [i, 'name'], message: `"${name}" is a duplicate` })
  })
  .prefault([])

const each = (whose: string) => levelSettings.nullable().prefault(null).describe(whose)

const runLimitSettings = group({
  ...level,
  depth: count({ min: 1, max: MOST_DEPTH })
    .nullable()
    .prefault(null)
    .describe('The longest chain of parents (`sluice: { parent }`); 1: no job has one. Null: 1,000.'),
})

/** What a tenant may use, and whoever acts for it. */
export const tenantLimitSettings = group({
  ...level,
  each_user: each('Of each of its end users. Null: no limits.'),
  each_key: each('Of each of its API keys. Null: no limits.'),
  each_run: runLimitSettings
    .nullable()
    .prefault(null)
    .describe('Of each run of an agent (`sluice: { run }`). Null: no limits.'),
  models: modelLimitSettings.describe('Of its models.'),
})

/** The names of YAML, and of the admin API. */
export type LevelSettings = z.output<typeof levelSettings>
export type TenantLimitSettings = z.output<typeof tenantLimitSettings>

// ---------------------------------------------------------------- as they are read

/** Null: nothing is limited. */
export function levelLimits(
  given: (Camelised<LevelSettings> & { readonly depth?: number | null }) | null,
): LevelLimits | null {
  if (given === null) return null
  const { burst, whenOut, oversize, concurrent, maxRequestBytes, depth } = given
  const rates: RateLimit[] = []
  const rate = (unit: RateLimit['unit'], perMinute: number | null): void => {
    if (perMinute === null) return
    // Whole units: what is added up stays exact
    const atOnce = Math.max(1, Math.round(perMinute * burst))
    rates.push({ unit, burst: atOnce, perSecond: perMinute / 60, whenOut: whenOut ?? 'debt', oversize })
  }
  rate('tokens', given.tokensPerMinute)
  rate('input_tokens', given.inputTokensPerMinute)
  rate('output_tokens', given.outputTokensPerMinute)
  rate('requests', given.requestsPerMinute)
  const budgets: BudgetLimit[] = []
  const budget = (window: BudgetLimit['window'], dollars: number | null): void => {
    if (dollars !== null) budgets.push({ window, nanoDollars: nanoDollars(dollars), whenOut: whenOut ?? 'cut' })
  }
  budget('hour', given.dollarsPerHour)
  budget('day', given.dollarsPerDay)
  budget('month', given.dollarsPerMonth)
  const others = {
    ...(maxRequestBytes !== null && { maxRequestBytes }),
    ...(depth != null && { depth }),
  }
  const isNone = concurrent === null && [...rates, ...budgets, ...Object.keys(others)].length === 0
  return isNone ? null : { rates, budgets, ...velocityOf(given), concurrent, ...others }
}

const HOURS = { day: 24, month: 720 }

function velocityOf({ velocity, dollarsPerDay, dollarsPerMonth }: Camelised<LevelSettings>): {
  readonly velocity?: VelocityLimit
} {
  const { trip, fiveMinutes, hour, coolDownMs } = velocity
  const dollarsPerHour = Math.min(
    dollarsPerDay === null ? Infinity : dollarsPerDay / HOURS.day,
    dollarsPerMonth === null ? Infinity : dollarsPerMonth / HOURS.month,
  )
  if (!trip || dollarsPerHour === Infinity) return {}
  return { velocity: { nanoDollarsPerHour: dollarsPerHour * 1e9, fiveMinutes, hour, coolDownMs } }
}

/** Null: those of tenants without limits of their own hold. */
export const tenantLimits = (given: Camelised<TenantLimitSettings> | null): TenantLimits | null =>
  given === null
    ? null
    : {
        all: levelLimits(given),
        eachUser: levelLimits(given.eachUser),
        eachRun: levelLimits(given.eachRun),
        eachKey: levelLimits(given.eachKey),
        models: modelLimits(given.models),
      }

/** By name. */
export function modelLimits(
  given: Camelised<z.output<typeof modelLimitSettings>>,
): Readonly<Record<string, LevelLimits>> {
  return Object.fromEntries(
    given.flatMap((one): ReadonlyArray<readonly [string, LevelLimits]> => {
      const limits = levelLimits(one)
      return limits === null ? [] : [[one.name, limits]]
    }),
  )
}

/** Shifted as it is written: 0.1 has no exact form in binary, and 100_000_000 is meant. */
function nanoDollars(dollars: number): number {
  const [digits, exponent = '0'] = String(dollars).split('e')
  return Math.round(Number(`${digits}e${Number(exponent) + 9}`))
}
