/** What one attempt at a provider came to: the ledger's record. */
import type { JobId, JobKind, TenantId, Usage } from './job.ts'

/** What an attempt cost. */
export interface Cost {
  /** An integer. Null: nobody knows a price. */
  readonly nanoDollars: number | null
  /** The table that the price is from; null without a price. */
  readonly priceVersion: string | null
}

/**
 * `lost`: its worker died, or was not heard of; `released`: handed back by a worker that stops; `outrun`: the other
 * call of its attempt was quicker.
 */
export type AttemptEnd = 'done' | 'cut' | 'failed' | 'canceled' | 'released' | 'lost' | 'outrun'

export interface UsageRecord extends Cost {
  readonly job: JobId
  /** With `job` and `hedge`, its name: 1 for the first. */
  readonly attempt: number
  /** It is the second call of its attempt. Absent: the first, nearly always the only one. */
  readonly hedge?: true
  readonly tenant: TenantId
  readonly keyId: string
  /** The end user; null: none was named. */
  readonly user: string | null
  /** An agent's run; null: it belongs to none. */
  readonly run: string | null
  readonly kind: JobKind
  /** As the client asked for it. */
  readonly model: string
  /** Null: nobody knows, or none. */
  readonly deployment: string | null
  /** The job whose answer it repeated: no tokens, no money. Absent: it was generated. */
  readonly source?: JobId
  readonly end: AttemptEnd
  /** Of this attempt. `estimated`: the provider did not report it. */
  readonly usage: Usage
}
