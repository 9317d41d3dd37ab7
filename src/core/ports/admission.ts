/** What a job must pass before the queue sees it, whichever door it came through. */
import type { SluiceError } from '../errors.ts'
import type { JobKind, TenantId } from '../job.ts'

/** A checked request, in no dialect. */
export interface Asked {
  readonly tenant: TenantId
  readonly kind: JobKind
  /** The model's public name, as the client asked. */
  readonly model: string
  /** Estimate of what the request brings. */
  readonly promptTokens: number
  /** All text in it, and names that are the client's own; not of images, sounds and files. */
  readonly texts: () => readonly string[]
  /** When it is asked, wall clock: guards have no clock of their own. */
  readonly atMs: number
}

/**
 * Pure: it stores nothing, waits for nothing, and answers the same request at the same time alike until the settings
 * change.
 */
export interface Admission {
  /** The error of the first of the tenant's guards that blocks it; null if all let it pass. */
  check(asked: Asked): SluiceError | null
}
