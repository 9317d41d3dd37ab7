/** The limits that the configuration has, as the coordinator reads them. */
import type { Config } from '../config/schema.ts'
import { levelLimits, modelLimits, tenantLimits } from '../coordinator/limits/settings.ts'
import type { LimitSettings, TenantLimits } from '../core/limits.ts'

export function limitsOf({ limits, tenants }: Pick<Config, 'limits' | 'tenants'>): LimitSettings {
  const own = tenants.flatMap((tenant): ReadonlyArray<readonly [string, TenantLimits]> => {
    const read = tenantLimits(tenant.limits)
    return read === null ? [] : [[tenant.name, read]]
  })
  return {
    global: levelLimits(limits.global),
    models: modelLimits(limits.models),
    tenants: Object.fromEntries(own),
    eachTenant: tenantLimits(limits.eachTenant),
    keys: {},
  }
}
