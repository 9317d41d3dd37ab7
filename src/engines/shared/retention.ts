/** What an engine keeps of jobs that have ended and of what they used, and for how long. */
import type { TenantId } from '../../core/job.ts'

export interface JobRetention {
  /** How long a job and its log are kept after its end, ms. */
  readonly logsMs: number
  /** Bytes that ended jobs may take; above, the oldest of the tenant that takes most go first. */
  readonly bytes: number
  /**
   * How long an ended job is kept whatever `bytes` says, ms: its result can be fetched, its idempotency key holds. So
   * long, too, is one of a tenant that keeps nothing whose end nobody read as it came.
   */
  readonly atLeastMs: number
  /** How long usage records are kept, ms, and how many bytes of them; sums of them stay. */
  readonly usageMs: number
  readonly usageBytes: number
  /** Of each tenant and day; absent: SUMS_A_DAY. */
  readonly usageSums?: number
  /** A tenant's own; null = as for all. */
  readonly tenant: (tenant: TenantId) => { readonly logsMs: number } | null
}
