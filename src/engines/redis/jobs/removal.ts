/** Ended jobs are taken out with all that is stored of them: at an erase, and at the end of their retention. */
import type { JobId, TenantId } from '../../../core/job.ts'
import { storageError } from '../client/errors.ts'
import type { Names } from '../client/names.ts'
import type { Scripts } from '../client/scripts.ts'
import type { EndedRow } from '../protocol/rows.ts'

/** What must be known of a job to take it out. */
export interface Removable {
  readonly id: JobId
  readonly tenant: TenantId
  /** As it was counted. */
  readonly bytes: number
  /** The name of its idempotency key; '': none. */
  readonly key: string
  readonly conversation: string | null
  /** The index of its run; '': it has none. */
  readonly run: string
}

const JOBS_AT_ONCE = 100

export function removableOf(names: Names, { id, bytes, facts }: EndedRow): Removable {
  const { tenant, options, run } = facts
  const { idempotencyKey, conversation = null } = options
  return {
    id,
    tenant,
    bytes,
    key: idempotencyKey === undefined ? '' : names.key(tenant, idempotencyKey),
    conversation,
    run: run === undefined ? '' : names.runJobs(tenant, run),
  }
}

/** Resolves with how many there were. Rejects with storage_unavailable. */
export async function removeJobs(scripts: Scripts, jobs: readonly Removable[]): Promise<number> {
  let removed = 0
  try {
    for (let from = 0; from < jobs.length; from += JOBS_AT_ONCE) {
      const some = jobs.slice(from, from + JOBS_AT_ONCE)
      const args = some.flatMap(({ id, tenant, bytes, key, run }) => [id, tenant, bytes, key, run])
      removed += (await scripts.run('jobs-remove', args)) as number
    }
  } catch (error) {
    throw storageError(error)
  }
  return removed
}
