/**
 * What was used, and what it cost: a record for each attempt at a provider, stored in the commit that ends the attempt,
 * and sums that outlive the records and the jobs.
 */
import type { TenantId } from '../job.ts'
import type { UsageRecord } from '../usage-record.ts'

export interface StoredUsage extends UsageRecord {
  /** When it was stored, wall clock of the store. */
  readonly atMs: number
}

/** Of one day (UTC), tenant, user, key and model. */
export interface UsageSum {
  /** "2026-11-26" */
  readonly day: string
  readonly tenant: TenantId
  readonly keyId: string
  readonly user: string | null
  /** As clients asked for it. */
  readonly model: string
  /** Attempts at a provider. */
  readonly attempts: number
  /** Those whose provider did not report what was used. */
  readonly estimated: number
  /** Those without a price: nothing of them is in `nanoDollars`. */
  readonly unpriced: number
  readonly promptTokens: number
  /** Part of `promptTokens`. */
  readonly cachedTokens: number
  readonly completionTokens: number
  /** Part of `completionTokens`. */
  readonly reasoningTokens: number
  readonly nanoDollars: number
}

/** All given members must match. */
export interface UsageFilter {
  readonly tenant?: TenantId
  readonly keyId?: string
  readonly user?: string
  readonly model?: string
  /** The first and the last day, "2026-11-26". */
  readonly fromDay?: string
  readonly toDay?: string
}

/** `next`: for the page after this one; null: there is none. */
export interface LedgerPage<T> {
  readonly items: readonly T[]
  readonly next: string | null
}

export interface Ledger {
  /** By day, then by tenant, key, user and model. `after`: `next` of the page before. Throws cursor_invalid. */
  sums(filter: UsageFilter, after: string | null, most: number): Promise<LedgerPage<UsageSum>>
  /** In the order of their commits, oldest first. Kept as long as `retention.usage` says. */
  records(filter: UsageFilter, after: string | null, most: number): Promise<LedgerPage<StoredUsage>>
}
