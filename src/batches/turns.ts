/** Whose batch begins next: no tenant's long ones keep those of another waiting. Pure. */
import type { TenantId } from '../core/job.ts'

/** Batches that a process works on, and how many of them one tenant may have. */
export const MOST = 8
export const MOST_OF_TENANT = 2

/** Beside them, those that only end: they were cancelled, or their time is over. */
export const MOST_ENDING = 4

/**
 * That of the tenant with the fewest running, of several the first; null: there is no place for any. `due`: the longest
 * due first. `running`: the tenant of each batch that runs.
 */
export function nextTurn<T extends { readonly tenant: TenantId }>(
  due: readonly T[],
  running: readonly TenantId[],
): T | null {
  if (running.length >= MOST) return null
  const of = new Map<TenantId, number>()
  for (const tenant of running) of.set(tenant, (of.get(tenant) ?? 0) + 1)
  let next: T | null = null
  let fewest = MOST_OF_TENANT
  for (const one of due) {
    const count = of.get(one.tenant) ?? 0
    if (count >= fewest) continue
    next = one
    fewest = count
  }
  return next
}
