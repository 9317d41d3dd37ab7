/** What there is to be named: a switch, or a pause, of a name that was misspelled would stop nothing. */
import { ERRORS, SluiceError } from '../../core/errors.ts'
import { isWithin } from '../../core/model-index.ts'
import { didYouMean } from '../../core/nearest.ts'
import type { TenantRecord } from '../../core/ports/tenants.ts'
import type { GatewayDeps } from '../deps.ts'
import { noModel } from '../submit/model.ts'

type KnownDeps = Pick<GatewayDeps, 'keys' | 'tenants' | 'limitRules' | 'models'>

/** Tenants of the file, of the API, and those that have keys. */
export async function knownTenants({
  keys,
  tenants,
  limitRules,
}: KnownDeps): Promise<ReadonlyMap<string, TenantRecord | null>> {
  const all = new Map<string, TenantRecord | null>()
  for (const id of limitRules.configured().keys()) all.set(id, null)
  for (const key of await keys.list()) all.set(key.tenant, null)
  for (const record of await tenants.list()) if (record.kind === 'tenant') all.set(record.id, record)
  return all
}

export const noTenant = (id: string, known: Iterable<string>): SluiceError =>
  new SluiceError('tenant_not_found', { message: `${ERRORS.tenant_not_found.message}${didYouMean(id, known)}` })

/** Throws tenant_not_found, model_not_found. */
export async function checkKnown(
  deps: KnownDeps,
  { tenant, model }: { readonly tenant?: string; readonly model?: string },
): Promise<void> {
  const all = await knownTenants(deps)
  if (tenant !== undefined && !all.has(tenant)) throw noTenant(tenant, all.keys())
  if (model === undefined || deps.tenants.get('model', model) !== null) return
  const { models } = deps
  // One of the file, or several; its own names may be beginnings, too
  const isServed = model.endsWith('*')
    ? models.list().some(({ id }) => isWithin(id, model) || isWithin(model.slice(0, -1), id))
    : models.resolve(model) !== null
  if (!isServed) throw noModel(model, () => models.list())
}
