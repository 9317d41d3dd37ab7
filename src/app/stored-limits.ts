/** Limits and switches of the admin API, read for the coordinator, and put over those of the configuration. */
import { levelLimits, levelSettings, tenantLimitSettings, tenantLimits } from '../coordinator/limits/settings.ts'
import { camelised } from '../core/camel.ts'
import type { JsonRecord } from '../core/json.ts'
import type { LevelLimits, LimitSettings, TenantLimits } from '../core/limits.ts'
import { isWithin } from '../core/model-index.ts'
import type { Engine } from '../core/ports/engine.ts'
import type { Keys } from '../core/ports/keys.ts'
import type { Tenants } from '../core/ports/tenants.ts'

/** Plain data: a group of the coordinator's settings. */
export interface StoredLimits {
  readonly tenants: Readonly<Record<string, TenantLimits>>
  /** By id. */
  readonly keys: Readonly<Record<string, LevelLimits>>
  readonly disabled: {
    readonly tenants: readonly string[]
    readonly models: readonly string[]
    /** They are drained. Absent: an older version has sent it. */
    readonly deployments?: readonly string[]
    /** Tenants by the key's id. */
    readonly keys: Readonly<Record<string, string>>
  }
}

/**
 * Limits as they were given are never changed, but replaced: each is read once. What an older version has stored may be
 * read no more: then it limits nothing.
 */
function reading<S extends object, T>(schema: { safeParse(value: unknown): { data?: S } }, make: (settings: S) => T) {
  const known = new WeakMap<JsonRecord, { readonly is: T | null }>()
  return (given: JsonRecord): T | null => {
    const before = known.get(given)
    if (before !== undefined) return before.is
    const settings = schema.safeParse(given).data
    const is = settings === undefined ? null : make(settings)
    known.set(given, { is })
    return is
  }
}

const ofTenant = reading(tenantLimitSettings, (settings) => tenantLimits(camelised(settings)))
const ofKey = reading(levelSettings, (settings) => levelLimits(camelised(settings)))

export function storedLimits(keys: Pick<Keys, 'all'>, tenants: Pick<Tenants, 'all'>): StoredLimits {
  const ofTenants: Array<readonly [string, TenantLimits]> = []
  const ofKeys: Array<readonly [string, LevelLimits]> = []
  const disabled = {
    tenants: [] as string[],
    models: [] as string[],
    deployments: [] as string[],
    keys: [] as Array<readonly [string, string]>,
  }
  for (const { kind, id, limits, disabled: off } of tenants.all()) {
    if (off !== null) disabled[`${kind}s`].push(id)
    const own = limits === null ? null : ofTenant(limits)
    if (kind === 'tenant' && own !== null) ofTenants.push([id, own])
  }
  // Those of a revoked key hold for the jobs that it has
  for (const { id, tenant, limits, disabled: off, replacedAtMs } of keys.all()) {
    if (replacedAtMs !== undefined) continue
    if (off !== undefined) disabled.keys.push([id, tenant])
    const own = limits === undefined ? null : ofKey(limits)
    if (own !== null) ofKeys.push([id, own])
  }
  return {
    tenants: Object.fromEntries(ofTenants),
    keys: Object.fromEntries(ofKeys),
    disabled: { ...disabled, keys: Object.fromEntries(disabled.keys) },
  }
}

/** What the configuration says of a tenant stands. */
export function inForce(limits: LimitSettings, stored: StoredLimits | undefined): LimitSettings {
  if (stored === undefined || isEmpty(stored)) return limits
  const tenants = { ...stored.tenants, ...limits.tenants }
  const keys = { ...stored.keys, ...limits.keys }
  const models = { ...limits.models }
  const tenant = (id: string): TenantLimits => own(tenants, id) ?? limits.eachTenant ?? UNLIMITED
  const { disabled } = stored
  for (const [id, of] of Object.entries(disabled.keys)) keys[id] = off(own(keys, id) ?? tenant(of).eachKey)
  for (const name of disabled.models) {
    models[name] = off(own(models, name))
    // A model has the level of the longest beginning of its name
    for (const one of Object.keys(models)) if (isWithin(one, name)) models[one] = off(models[one])
  }
  for (const id of disabled.tenants) tenants[id] = { ...tenant(id), all: off(tenant(id).all) }
  return { ...limits, tenants, keys, models }
}

/** The same object for as long as nothing changes. */
export function withStored(
  settings: () => { readonly limits: LimitSettings; readonly stored?: StoredLimits },
): () => LimitSettings {
  let { limits, stored } = settings()
  let both = inForce(limits, stored)
  return () => {
    const now = settings()
    if (now.limits !== limits || now.stored !== stored) {
      limits = now.limits
      stored = now.stored
      both = inForce(limits, stored)
    }
    return both
  }
}

const UNLIMITED: TenantLimits = { all: null, eachUser: null, eachRun: null, eachKey: null, models: {} }

const own = <T>(record: Readonly<Record<string, T>>, name: string): T | null =>
  Object.hasOwn(record, name) ? record[name] : null

/** Nothing of it starts. */
const off = (limits: LevelLimits | null): LevelLimits => ({
  ...(limits ?? { rates: [], budgets: [] }),
  concurrent: 0,
})

const isEmpty = ({ tenants, keys, disabled }: StoredLimits): boolean =>
  [tenants, keys, disabled.tenants, disabled.models, disabled.keys].every((one) => Object.keys(one).length === 0)

export const NOTHING_STORED: StoredLimits = {
  tenants: {},
  keys: {},
  disabled: { tenants: [], models: [], deployments: [], keys: {} },
}

/** By identity: limits are read once. */
const isSame = (a: StoredLimits, b: StoredLimits): boolean =>
  areSame(a.tenants, b.tenants) &&
  areSame(a.keys, b.keys) &&
  areSame(a.disabled.tenants, b.disabled.tenants) &&
  areSame(a.disabled.models, b.disabled.models) &&
  areSame(a.disabled.deployments ?? [], b.disabled.deployments ?? []) &&
  areSame(a.disabled.keys, b.disabled.keys)

/** Records, or arrays, of the same values. */
function areSame(a: object, b: object): boolean {
  const of = Object.entries(a)
  return (
    of.length === Object.keys(b).length &&
    of.every(([name, value]) => Object.hasOwn(b, name) && (b as Record<string, unknown>)[name] === value)
  )
}

/** Puts what is stored in force, now and with each change, wherever it is made. */
export function followStored(
  settings: { stored: StoredLimits },
  engine: Pick<Engine, 'keys' | 'tenants' | 'adjust'>,
  also: () => void = () => {},
): void {
  const look = (): void => {
    const stored = storedLimits(engine.keys, engine.tenants)
    if (isSame(stored, settings.stored)) return
    settings.stored = stored
    engine.adjust({ stored })
  }
  engine.keys.onChange(look)
  engine.tenants.onChange(() => {
    look()
    also()
  })
  look()
}
