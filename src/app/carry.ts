/** What operators have set of a deployment goes along when a reload gives it another name. */
import type { TenantRecord, Tenants } from '../core/ports/tenants.ts'
import type { Log } from '../observability/report.ts'

/** By old name: the new one. Rejects where the store can't keep it; to be asked again then. */
export type Carry = (renamed: ReadonlyMap<string, string>) => Promise<void>

export const carryOf =
  (tenants: Pick<Tenants, 'get' | 'change'>, log: Pick<Log, 'warn'>): Carry =>
  async (renamed) => {
    const moved = [...renamed].flatMap(([from, to]) => {
      const old = tenants.get('deployment', from)
      return old === null ? [] : [{ to, from, old }]
    })
    for (const { from, to, old } of moved) {
      if (!isNewer(old, tenants.get('deployment', to))) continue
      await tenants.change('deployment', to, (known) => (isNewer(old, known) ? withSet(to, old, known) : known!))
      const drained = old.disabled !== null
      log.warn({ from, to, drained }, 'a deployment goes by another name: what was set of it goes along')
    }
  }

/** The old name keeps its own: a node that has not reloaded yet goes by it. What was set last holds. */
const isNewer = (old: TenantRecord, known: TenantRecord | null): boolean =>
  known === null || known.changedAtMs < old.changedAtMs

function withSet(id: string, old: TenantRecord, known: TenantRecord | null): TenantRecord {
  const { deployment, ...rest } = known ?? old
  const added = known?.deployment?.added
  const weight = old.deployment?.weight
  const is = { ...(added !== undefined && { added }), ...(weight !== undefined && { weight }) }
  const record = { ...rest, id, disabled: old.disabled, changedAtMs: old.changedAtMs }
  return Object.keys(is).length === 0 ? record : { ...record, deployment: is }
}
