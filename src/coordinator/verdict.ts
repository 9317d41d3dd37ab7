/** What becomes of a job whose attempt failed: it goes back in line, is tried again, or is given up. Pure. */
import type { SluiceError } from '../core/errors.ts'
import type { Refused } from '../core/ports/coordinator.ts'
import type { Outcome } from '../core/ports/work.ts'

type Failed = Extract<Outcome, { kind: 'failed' }>

export interface Chances {
  /** How long until this deployment may be called again. */
  readonly hereInMs: number
  /** How long until another one may be; null: there is no other. */
  readonly elsewhereInMs: number | null
  /** Times in a row that the job was refused though others were answered meanwhile: it may be its own size. */
  readonly alone: number
  /** Time left until the job's deadline. */
  readonly roomMs: number
}

/** The upstream (or this machine) is too busy: no fault of the job. */
const BUSY: ReadonlySet<SluiceError['code']> = new Set(['provider_rate_limited', 'overloaded'])

/** Providers' own codes of refusals that another model may not have. */
const REFUSALS: Readonly<Record<string, Refused>> = {
  context_length_exceeded: 'contextWindow',
  content_filter: 'contentPolicy',
  content_policy_violation: 'contentPolicy',
}

/** What the model refused its request for; null: for nothing that concerns only it. */
export function refusedBy({ code, upstreamCode }: SluiceError): Refused | null {
  if (code !== 'provider_rejected' || upstreamCode === null) return null
  return Object.hasOwn(REFUSALS, upstreamCode) ? REFUSALS[upstreamCode] : null
}

export type Verdict =
  /** Back in line, without using up an attempt; `inMs`: after a while. */
  | { readonly kind: 'released'; readonly inMs?: number }
  /** `isUntried`: it is tried where it has not failed, so that it may be tried once more. */
  | (Omit<Failed, 'retry'> & { readonly retry: boolean; readonly isUntried?: boolean })

/** A job that is refused alone waits so long, twice as long each time … */
const ALONE_MS = 1_000
const MOST_ALONE_MS = 60_000
/** … and from then on it uses up attempts. */
const OFTEN_ALONE = 4

export function verdictOn(outcome: Failed, { hereInMs, elsewhereInMs, alone, roomMs }: Chances): Verdict {
  const { error, retry: asked, textShown } = outcome
  if (BUSY.has(error.code) && asked !== false && !textShown) {
    const aloneMs = alone === 0 ? 0 : Math.min(MOST_ALONE_MS, ALONE_MS * 2 ** alone)
    const waitMs = Math.max(aloneMs, Math.min(elsewhereInMs ?? Infinity, hereInMs))
    if (waitMs < roomMs) {
      if (alone >= OFTEN_ALONE) return { ...outcome, error: error.with({ retryAfterMs: waitMs }), retry: true }
      return aloneMs === 0 ? { kind: 'released' } : { kind: 'released', inMs: aloneMs }
    }
    const retryAfterMs = Math.max(error.retryAfterMs ?? 0, waitMs)
    return { ...outcome, error: error.with({ retryAfterMs }), retry: false }
  }
  const hasElsewhere = elsewhereInMs !== null
  const retry = asked === 'elsewhere' ? hasElsewhere : asked
  const neededMs = retry ? Math.max(error.retryAfterMs ?? 0, hereInMs) : 0
  const waitMs = Math.min(elsewhereInMs ?? Infinity, neededMs)
  // A wait past the deadline fails the job now, and the client learns when to retry
  if (waitMs > 0 && waitMs >= roomMs) return { ...outcome, error: error.with({ retryAfterMs: waitMs }), retry: false }
  // Another deployment need not wait until this one is free again
  return { ...outcome, error: retry && hasElsewhere ? error.with({ retryAfterMs: undefined }) : error, retry }
}
