/** Limits that the admin API sets are checked as those of the file; and what the file has set stands. */
import { levelSettings, tenantLimitSettings } from '../coordinator/limits/settings.ts'
import { SluiceError } from '../core/errors.ts'
import type { JsonRecord } from '../core/json.ts'
import { modelLevel } from '../core/limits.ts'
import type { LimitRules } from '../gateway/deps.ts'
import type { Settings } from './in-force.ts'

const SCHEMAS = { tenant: tenantLimitSettings, key: levelSettings } as const

export const limitRules = (settings: Pick<Settings, 'config' | 'limits' | 'tenant'>): LimitRules => ({
  check(of, given) {
    const { data, error } = SCHEMAS[of].safeParse(given)
    if (data !== undefined) return asGiven(given, data) as JsonRecord
    const [{ path, message }] = error.issues
    const param = ['limits', ...path.map(String)].join('.')
    throw new SluiceError('invalid_request', { param, message: `"${param}": ${message}` })
  },
  configured: () =>
    new Map(settings.config.tenants.map(({ name, limits }) => [name, limits === null ? null : spelled(limits)])),
  weight: (tenant) => settings.tenant(tenant)?.weight ?? 1,
  eachTenant() {
    const { eachTenant } = settings.config.limits
    return eachTenant === null ? null : spelled(eachTenant)
  },
  model(model) {
    const level = modelLevel(settings.limits(), null, model)
    const found = settings.config.limits.models.find(({ name }) => name === level)
    if (found === undefined) return null
    const { name: _, ...own } = spelled(found)
    return own
  },
})

/** What was given, as it was read ("60" is 60), without what says nothing. */
function asGiven(given: unknown, read: unknown): unknown {
  if (Array.isArray(given)) return given.map((one, i) => asGiven(one, (read as readonly unknown[])[i]))
  if (typeof given !== 'object' || given === null) return read
  const members = Object.entries(given).map(([name, one]) => [name, asGiven(one, (read as JsonRecord)[name])] as const)
  return Object.fromEntries(members.filter(([, one]) => one !== null && one !== undefined))
}

/** By the names of the file, without what says nothing. */
function spelled(limits: object): JsonRecord {
  const entries = Object.entries(limits).flatMap(([name, value]): ReadonlyArray<readonly [string, unknown]> => {
    if (value === null || (Array.isArray(value) && value.length === 0)) return []
    const key = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
    const one = (each: unknown): unknown => (typeof each === 'object' && each !== null ? spelled(each) : each)
    return [[key, Array.isArray(value) ? value.map(one) : one(value)]]
  })
  return Object.fromEntries(entries)
}
