/** Where the time to first token went, by the marks of the attempt that gave it. */
import type { TtftParts } from '../core/measure.ts'
import type { Lease } from '../core/ports/work.ts'

export interface FirstTokenMarks {
  /** When this attempt's lease came here. */
  readonly leasedMono: number
  readonly calledMono: number
  /** When its request was on its way; null: nobody knows, so there was no connecting. */
  readonly sentMono: number | null
  readonly firstTokenMono: number
}

/**
 * All but `admission` and `delivery` add up to the time since acceptance, in whole microseconds. What is not in line
 * before this lease was spent by earlier attempts.
 */
export function ttftPartsOf(
  { job, sinceAcceptedMs, queuedMs }: Pick<Lease, 'sinceAcceptedMs' | 'queuedMs'> & { readonly job: Admitted },
  { leasedMono, calledMono, sentMono, firstTokenMono }: FirstTokenMarks,
): TtftParts {
  const queue = micros(Math.min(queuedMs, sinceAcceptedMs))
  const retries = micros(sinceAcceptedMs) - queue
  const routing = micros(calledMono - leasedMono)
  const connect = micros((sentMono ?? calledMono) - leasedMono) - routing
  const upstream = micros(firstTokenMono - leasedMono) - routing - connect
  return {
    admission: job.admissionMs ?? 0,
    queue: queue / 1_000,
    retries: retries / 1_000,
    routing: routing / 1_000,
    connect: connect / 1_000,
    upstream: upstream / 1_000,
    delivery: 0,
  }
}

interface Admitted {
  readonly admissionMs?: number
}

const micros = (ms: number): number => Math.round(ms * 1_000)
