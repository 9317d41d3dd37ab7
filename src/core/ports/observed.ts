/** What was seen of late, for operators: by this process, since its start. Asked for while somebody looks. */
import type { ErrorCode } from '../errors.ts'
import type { TenantId } from '../job.ts'
import type { LevelKind, Unit } from '../limits.ts'
import type { UpstreamLimits } from '../upstream-limits.ts'

export interface Observed {
  deployment(name: string): DeploymentFigures
  refusals(tenant: TenantId): Refusals
  /** Of each tenant that was refused in the last day: how often. */
  refused(): ReadonlyMap<TenantId, number>
}

/** Of calls to one deployment in the last `overMs`. Null: nothing was measured. */
export interface DeploymentFigures {
  readonly overMs: number
  readonly ttftP50Ms: number | null
  readonly ttftP95Ms: number | null
  readonly tpotP50Ms: number | null
  readonly tpotP95Ms: number | null
  readonly attempts: number
  readonly failed: number
  readonly nanoDollars: number
  /** The last one; null: none failed. */
  readonly lastError: string | null
  /** Over the last quarter of an hour, the newest last. */
  readonly recent: () => {
    readonly stepMs: number
    readonly ttftP95Ms: readonly (number | null)[]
    readonly tpotP50Ms: readonly (number | null)[]
  }
  /** As its provider's headers told, so long ago; null: it never did. */
  readonly quota: (UpstreamLimits & { readonly ageMs: number }) | null
}

export interface Refusals {
  /** Before this nothing is known. */
  readonly sinceMs: number
  /** The most frequent first. */
  readonly kinds: readonly RefusalKind[]
}

export interface RefusalKind {
  readonly code: ErrorCode
  /** The limit that had no room; null: it was no limit. */
  readonly limit: { readonly level: LevelKind; readonly unit: Unit } | null
  readonly lastHour: number
  readonly lastDay: number
  readonly lastAtMs: number
  /** Whose the last one was. */
  readonly lastKeyId: string | null
}
