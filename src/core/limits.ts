/** Who may use how much: the settings of the limits as plain data (JSON), and what the limits tell of themselves. */
import { wholeMs } from './duration.ts'
import { ModelIndex } from './model-index.ts'

/** Whose a limit is: an agent's run, a key, an end user, a tenant, a tenant's model, a model, everybody. */
export type LevelKind = 'run' | 'key' | 'user' | 'tenant' | 'tenant_model' | 'model' | 'global'

/**
 * What is counted. Money is in nano-dollars: an integer, exact up to 9 million dollars. `spend_velocity`: how fast it
 * is spent, in nano-dollars an hour.
 */
export type Unit =
  | 'input_tokens'
  | 'output_tokens'
  | 'tokens'
  | 'requests'
  | 'nano_dollars'
  | 'spend_velocity'
  | 'running'

/** Of the calendar, in UTC. */
export type Window = 'hour' | 'day' | 'month'

/**
 * What a stream does that needs more than there is. `debt`: it goes on, and what it took is paid back before the next
 * request. `deny_next`: it goes on, and the next request waits for room, but no longer than if the account had only
 * just run out. `cut`: it ends.
 */
export type WhenOut = 'debt' | 'deny_next' | 'cut'

// ---------------------------------------------------------------- settings

export interface RateLimit {
  readonly unit: Exclude<Unit, 'nano_dollars' | 'spend_velocity' | 'running'>
  /** Units that may be used at once. */
  readonly burst: number
  readonly perSecond: number
  readonly whenOut: WhenOut
  /** A request that is heavier than the burst: `refuse`d for good, or let through when all is free, leaving debt. */
  readonly oversize: 'refuse' | 'debt'
}

export interface BudgetLimit {
  readonly window: Window
  readonly nanoDollars: number
  readonly whenOut: WhenOut
}

/** New requests are refused, or wait, where money is spent so fast. */
export interface VelocityLimit {
  /** The pace at which the budget would last for just its window. */
  readonly nanoDollarsPerHour: number
  /** So many times that pace over five minutes … */
  readonly fiveMinutes: number
  /** … and so many times over an hour. */
  readonly hour: number
  /** Until a single request is let in as a probe. */
  readonly coolDownMs: number
}

/** In all, whenever; what an answer needs beyond it ends the answer. */
export interface TotalLimit {
  readonly unit: 'tokens' | 'requests' | 'nano_dollars'
  readonly most: number
}

/** What a run may use in all; absent: any number. */
export interface RunBudget {
  /** Of prompts and answers. */
  readonly tokens?: number
  readonly nanoDollars?: number
  /** Its jobs that were answered, or cost something. */
  readonly steps?: number
}

/** What one level may use: a rate for each unit at most, a budget for each window at most. */
export interface LevelLimits {
  readonly rates: readonly RateLimit[]
  readonly budgets: readonly BudgetLimit[]
  /** Absent: as fast as the budgets last. */
  readonly velocity?: VelocityLimit
  /** Absent: none. */
  readonly totals?: readonly TotalLimit[]
  /** Jobs at once; null: any number. */
  readonly concurrent: number | null
  /** Of a run: the longest chain of parents, a job without one being 1; absent: any. */
  readonly depth?: number
  /** Of one request's body, known before it is read; absent: as many as the server takes. */
  readonly maxRequestBytes?: number
}

/** All limits; null: none. The same object for as long as nothing changes. */
export interface LimitSettings {
  /** Of everybody together. */
  readonly global: LevelLimits | null
  /** Of all tenants together. */
  readonly models: ModelLimits
  readonly tenants: Readonly<Record<string, TenantLimits>>
  /** Of tenants that are not in `tenants`. */
  readonly eachTenant: TenantLimits | null
  /** By the key's id. */
  readonly keys: Readonly<Record<string, LevelLimits>>
}

export interface TenantLimits {
  readonly all: LevelLimits | null
  /** Each end user has accounts of its own. */
  readonly eachUser: LevelLimits | null
  /** Each run of an agent. */
  readonly eachRun: LevelLimits | null
  /** Each key that has no limits of its own. */
  readonly eachKey: LevelLimits | null
  /** As of all tenants. */
  readonly models: ModelLimits
}

/** By the model's public name, or by its beginning and a "*": models that begin so share what there is. */
export type ModelLimits = Readonly<Record<string, LevelLimits>>

export const NO_LIMITS: LimitSettings = { global: null, models: {}, tenants: {}, eachTenant: null, keys: {} }

/** Names are clients' own: `constructor` is not limited. */
const own = <T>(record: Readonly<Record<string, T>>, name: string): T | null =>
  Object.hasOwn(record, name) ? record[name] : null

const tenantOf = ({ tenants, eachTenant }: LimitSettings, tenant: string): TenantLimits | null =>
  own(tenants, tenant) ?? eachTenant

const keyLimits = (settings: LimitSettings, tenant: TenantLimits | null, id: string): LevelLimits | null =>
  own(settings.keys, id) ?? tenant?.eachKey ?? null

/** Made once for each settings. */
const indexes = new WeakMap<ModelLimits, ModelIndex<{ readonly name: string }>>()

/** The name under which a model is limited: its own, or the longest beginning of it. Null: it is not. */
function limitedAs(models: ModelLimits, model: string): string | null {
  let index = indexes.get(models)
  if (index === undefined) {
    index = new ModelIndex(Object.keys(models).map((name) => ({ name })))
    indexes.set(models, index)
  }
  return index.find(model)?.name ?? null
}

/** The level at which a model's requests count: of a tenant, or, with null, of all tenants. Null: there is none. */
export function modelLevel(settings: LimitSettings, tenant: string | null, model: string): string | null {
  const models = tenant === null ? settings.models : tenantOf(settings, tenant)?.models
  return models === undefined ? null : limitedAs(models, model)
}

/** The models, or beginnings of models, that are limited for a tenant. */
export const modelLevels = (settings: LimitSettings, tenant: string): readonly string[] =>
  Object.keys(tenantOf(settings, tenant)?.models ?? {})

/** What a level may use, by the settings; null: it is not limited. `owner`: its tenant, of those that have one. */
export function limitsAt(settings: LimitSettings, kind: LevelKind, owner: string, name: string): LevelLimits | null {
  switch (kind) {
    case 'run':
      return tenantOf(settings, owner)?.eachRun ?? null
    case 'key':
      return keyLimits(settings, tenantOf(settings, owner), name)
    case 'user':
      return tenantOf(settings, owner)?.eachUser ?? null
    case 'tenant_model': {
      const level = modelLevel(settings, owner, name)
      return level === null ? null : tenantOf(settings, owner)!.models[level]
    }
    case 'tenant':
      return tenantOf(settings, name)?.all ?? null
    case 'model': {
      const level = modelLevel(settings, null, name)
      return level === null ? null : settings.models[level]
    }
    case 'global':
      return settings.global
  }
}

/** Whose request it is. What is absent or null has no level. */
export interface Asker {
  readonly tenant: string
  readonly keyId: string
  readonly user?: string | null | undefined
  /** An agent's. */
  readonly run?: string | null | undefined
  /** That run's own. */
  readonly budget?: RunBudget | null | undefined
  readonly model?: string
}

/** A level that is limited. */
export interface LimitedLevel {
  readonly kind: LevelKind
  /** Its tenant, of those that have one; else ''. */
  readonly owner: string
  /** Of a model: the name under which it is limited. Of everybody together: ''. */
  readonly name: string
  readonly limits: LevelLimits
}

/** What limits a request, from the narrowest level to the widest: `limitsAt` each of them, in one look. */
export function levelsOf(settings: LimitSettings, { tenant, keyId, user, run, budget, model }: Asker): LimitedLevel[] {
  const own = tenantOf(settings, tenant)
  const found: LimitedLevel[] = []
  const add = (kind: LevelKind, owner: string, name: string, limits: LevelLimits | null | undefined): void => {
    if (limits != null) found.push({ kind, owner, name, limits })
  }
  if (run != null) add('run', tenant, run, withBudget(own?.eachRun ?? null, budget))
  add('key', tenant, keyId, keyLimits(settings, own, keyId))
  if (user != null) add('user', tenant, user, own?.eachUser)
  const ownModel = model === undefined || own === null ? null : limitedAs(own.models, model)
  if (ownModel !== null) add('tenant_model', tenant, ownModel, own!.models[ownModel])
  add('tenant', '', tenant, own?.all)
  const anyModel = model === undefined ? null : limitedAs(settings.models, model)
  if (anyModel !== null) add('model', '', anyModel, settings.models[anyModel])
  add('global', '', '', settings.global)
  return found
}

const NONE: LevelLimits = { rates: [], budgets: [], concurrent: null }
const budgeted = new WeakMap<RunBudget, { readonly base: LevelLimits | null; readonly limits: LevelLimits }>()

/** The same object for as long as nothing changes. */
function withBudget(base: LevelLimits | null, budget: RunBudget | null | undefined): LevelLimits | null {
  if (budget == null) return base
  const known = budgeted.get(budget)
  if (known?.base === base) return known!.limits
  const { tokens, nanoDollars, steps } = budget
  const totals: TotalLimit[] = []
  if (tokens !== undefined) totals.push({ unit: 'tokens', most: tokens })
  if (nanoDollars !== undefined) totals.push({ unit: 'nano_dollars', most: nanoDollars })
  if (steps !== undefined) totals.push({ unit: 'requests', most: steps })
  const limits = { ...(base ?? NONE), totals }
  budgeted.set(budget, { base, limits })
  return limits
}

// ---------------------------------------------------------------- what is held, and used

/** Tokens that were used, or are held, and what they cost. */
export interface Amounts {
  readonly inputTokens: number
  readonly outputTokens: number
  readonly requests: number
  /** An integer. */
  readonly nanoDollars: number
}

/** Nano-dollars a token; fractions are allowed. */
export interface TokenPrice {
  readonly input: number
  readonly output: number
}

/** What one level has used, for its store. */
export interface LevelState {
  /** `deployment`: what was used of its provider's limits. */
  readonly kind: LevelKind | 'deployment'
  /** Of a user, a key, a run and a tenant's model: the tenant. Else empty. */
  readonly owner: string
  readonly name: string
  /** Null: nothing; it is forgotten. */
  readonly used: LevelUse | null
}

export interface LevelUse {
  /** When `rates` were right, monotonic ms. An engine stores it in a clock that outlives the process. */
  readonly atMono: number
  /** Used, without what is held, by unit; below zero where some of that was paid back by time. */
  readonly rates: Readonly<Partial<Record<Unit, number>>>
  /** Spent in the window of this index, without what is held. */
  readonly spent: Readonly<Partial<Record<Window, { readonly index: number; readonly nanoDollars: number }>>>
  /** Nano-dollars of the last five minutes and hour, at `atMono`. Absent: nothing. */
  readonly velocity?: {
    readonly fiveMinutes: number
    readonly hour: number
    /** It has tripped; below zero: it has cooled down since. Null: it has not. */
    readonly cooledInMs: number | null
  }
  /** Used in all, without what is held. Absent: nothing that is limited. */
  readonly totals?: Readonly<Partial<Record<TotalLimit['unit'], number>>>
}

/**
 * The calendar, as far as budgets need it. It must not follow the jumps of the wall clock: a clock that is set must not
 * open a new month (P1).
 */
export type Calendar = (
  window: Window,
  nowMono: number,
) => {
  /** Grows from window to window. */
  readonly index: number
  readonly endsMono: number
}

// ---------------------------------------------------------------- what clients are told

/** What stands in the way of a job: the account with the longest wait. */
export interface Shortfall {
  readonly level: LevelKind
  /** Whose: of a user, the user. */
  readonly name: string
  readonly unit: Unit
  /** Of a budget; `run`: in all. */
  readonly window?: Window | 'run'
  /** Of a rate: the time in which `limit` comes back. */
  readonly windowMs?: number
  readonly limit: number
  /** What the job weighs there. */
  readonly weight: number
  readonly left: number
  /** Until it fits, if nothing else comes; null: never, it is more than there can be. */
  readonly waitMs: number | null
  /** Its client may not know of others that use it, too: see `isShared`. */
  readonly shared?: true
}

/** What is left of one limit. */
export interface Room {
  readonly level: LevelKind
  readonly unit: Unit
  readonly limit: number
  /** Below zero: debt. */
  readonly left: number
  /** Until nothing of it is used, if nothing more comes. */
  readonly resetMs: number
  /** The time in which `limit` comes back; of a budget, until its window ends. */
  readonly windowMs: number
}

/** For each unit that is limited, its client's own level that has the smallest share left. Empty: there is none. */
export type Standing = readonly Room[]

/** One limit of one level, for operators: what is used of it, and what is held besides. */
export interface LimitUse {
  readonly level: LevelKind
  /** Whose: the tenant's, a key's id, a user's, a run's, a model's. */
  readonly name: string
  readonly unit: Unit
  /** Of a budget. */
  readonly window?: Window | 'run'
  readonly limit: number
  /** Used for good, or, of jobs at once, running. More than the limit: debt. */
  readonly used: number
  /** By what runs, or waits with its weight held; what it does not use comes back. */
  readonly held: number
  /** Until nothing of it is used, if nothing more comes; of a budget, until its window ends. */
  readonly resetMs: number
}

/** What a run has used in all, and what its jobs hold of it; of what its budget counts, the others are 0. */
export type RunUse = Readonly<Record<TotalLimit['unit'], { readonly used: number; readonly held: number }>>

/** How a tenant stands with its limits. */
export interface TenantStanding {
  /** Its own and its models', the fullest first. */
  readonly own: readonly LimitUse[]
  /** Of its keys, users and runs that have used half of one or more, the fullest first; at most 20. */
  readonly near: readonly LimitUse[]
  /** So many more are that near. */
  readonly more: number
  /** There are more keys, users and runs than are looked at for one answer. */
  readonly isPartial: boolean
}

/**
 * What is left of a level tells how much others use it (T1): all tenants a model, the users of a tenant its own levels.
 * `ofSession`: the client is a page's session, which sees its user's work only.
 */
export const isShared = (level: LevelKind, ofSession: boolean): boolean =>
  level === 'model' || level === 'global' || (ofSession && level !== 'user' && level !== 'run')

// ---------------------------------------------------------------- on the wire

/** A limit that has no room. */
export interface WireLimit {
  readonly level: LevelKind
  /** Whose: of a level `key`, the key's id; absent where that is not its client's to know. */
  readonly name?: string
  /** Money is in billionths of a dollar. */
  readonly unit: Unit
  /** Of a budget; `run`: what a run may use in all. */
  readonly window?: Window | 'run'
  /** Absent: money that is others', too. */
  readonly limit?: number
  /** Never below 0. Absent: others use it, too, and what is left tells of them. */
  readonly remaining?: number
  /** What the request weighs there. */
  readonly requested: number
  /** Until it fits, if nothing else comes; null: never. */
  readonly reset_ms: number | null
}

const isMoney = (unit: Unit): boolean => unit === 'nano_dollars' || unit === 'spend_velocity'

/** As its client may see it (T1). Amounts are whole: what is left is rounded down, a wait up. */
export function wireLimit({ level, name, unit, window, limit, weight, left, waitMs, shared }: Shortfall): WireLimit {
  return {
    level,
    ...(name !== '' && !shared && { name }),
    unit,
    ...(window !== undefined && { window }),
    ...(!(shared && isMoney(unit)) && { limit: Math.floor(limit) }),
    ...(!shared && { remaining: Math.max(0, Math.floor(left)) }),
    requested: Math.ceil(weight),
    // What a run's other jobs hold may come back; nobody knows when
    reset_ms: waitMs === null || window === 'run' ? null : wholeMs(waitMs),
  }
}

/** What is left of a limit. */
export interface WireRoom extends Pick<WireLimit, 'level' | 'unit'> {
  readonly limit: number
  /** Never below 0. */
  readonly remaining: number
  /** Until all of it is free again, if nothing more comes; of a budget, until its window ends. */
  readonly reset_ms: number
}

export const wireRoom = ({ level, unit, limit, left, resetMs, windowMs }: Room): WireRoom => ({
  level,
  unit,
  limit: Math.floor(limit),
  remaining: Math.max(0, Math.floor(left)),
  reset_ms: wholeMs(unit === 'nano_dollars' ? windowMs : resetMs),
})

/** One limit, for operators. */
export interface WireLimitUse extends Pick<WireLimit, 'level' | 'unit' | 'window'> {
  /** Whose. */
  readonly name: string
  readonly limit: number
  /** More than the limit: debt. */
  readonly used: number
  readonly held: number
  /** Never below 0. */
  readonly remaining: number
  /** As of WireRoom. */
  readonly reset_ms: number
}

/** What is used is rounded up, so that nothing seems to be left that is not. */
export const wireLimitUse = ({ level, name, unit, window, limit, used, held, resetMs }: LimitUse): WireLimitUse => ({
  level,
  name,
  unit,
  ...(window !== undefined && { window }),
  limit: Math.floor(limit),
  used: Math.ceil(used),
  held: Math.ceil(held),
  remaining: Math.max(0, Math.floor(limit - used - held)),
  reset_ms: wholeMs(resetMs),
})
