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
  /** Null: none was named. '': any that came beyond SUMS_A_DAY. */
  readonly user: string | null
  /** As clients asked for it. '': any, beyond a tenth more. */
  readonly model: string
  /** At a provider, and repeats. */
  readonly attempts: number
  /** Those that called nobody: each repeated another job's answer. */
  readonly repeats: number
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

/**
 * Sums that a tenant begins in a day, as users and models are clients' own words. Those who come later are summed under
 * the user '', by key and model, of which a tenth as many are begun; then by key alone.
 */
export const SUMS_A_DAY = 10_000

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

// ---------------------------------------------------------------- reports

/** What a report tells apart. */
export type UsageGrouping = 'day' | 'tenant' | 'user' | 'key' | 'model'

/** As in UsageSum. */
export interface UsageCounts extends Omit<UsageSum, 'day' | 'tenant' | 'keyId' | 'user' | 'model' | 'nanoDollars'> {
  /** A sum over many days may exceed what a number holds. */
  readonly nanoDollars: bigint
}

/** A null name: no user was named. */
export interface UsageGroup extends UsageCounts {
  /** In the order of the report's grouping. */
  readonly names: ReadonlyArray<string | null>
}

export interface UsageReport {
  readonly total: UsageCounts
  /** By name, in the order of the grouping; one without names where nothing is told apart. */
  readonly groups: readonly UsageGroup[]
}

export interface UsageReports {
  /** Throws invalid_request where there is too much to add up, or there are too many groups; overloaded. */
  sums(filter: UsageFilter, by: readonly UsageGrouping[]): Promise<UsageReport>
  records: Ledger['records']
}
