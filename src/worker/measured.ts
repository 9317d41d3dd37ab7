/** Where the time of an answer went, by the marks of the attempt that gave it. */
import type { Usage } from '../core/job.ts'
import { openingOf, type TtftParts, tpotOf } from '../core/measure.ts'
import type { Lease } from '../core/ports/work.ts'
import type { FirstChunk } from './meter.ts'

export interface FirstTokenMarks {
  /** When this attempt's lease came here, committed. */
  readonly leasedMono: number
  readonly calledMono: number
  /** When its request was on its way; null: nobody knows, so there was no connecting. */
  readonly sentMono: number | null
  readonly firstTokenMono: number
}

/**
 * All but `admission` and `delivery` add up to the time since acceptance, in whole microseconds. What was not in
 * line before this lease was decided was spent by earlier attempts; its commit is a part of `routing`.
 */
export function ttftPartsOf(
  {
    job,
    sinceAcceptedMs,
    queuedMs,
    turnMs = 0,
    leasingMs = 0,
  }: Pick<Lease, 'sinceAcceptedMs' | 'queuedMs' | 'turnMs' | 'leasingMs'> & { readonly job: Admitted },
  { leasedMono, calledMono, sentMono, firstTokenMono }: FirstTokenMarks,
): TtftParts {
  const decidedMono = leasedMono - leasingMs
  const decidedMs = Math.max(0, sinceAcceptedMs - leasingMs)
  const inLine = micros(Math.min(queuedMs, decidedMs))
  const turn = Math.min(micros(turnMs), inLine)
  const retries = micros(decidedMs) - inLine
  const routing = micros(calledMono - decidedMono)
  const connect = micros((sentMono ?? calledMono) - decidedMono) - routing
  const upstream = micros(firstTokenMono - decidedMono) - routing - connect
  return {
    admission: job.admissionMs ?? 0,
    ...(turn > 0 && { turn: turn / 1_000 }),
    queue: (inLine - turn) / 1_000,
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

/** What an answer's pace is measured from. */
export interface Pace {
  /** Its first text, or the first of this attempt where nobody knows when that came. */
  readonly fromMono: number
  /** Chunks with text that came before that. */
  readonly chunksBefore: number
  /** Chunks with text that came with it, in one read. */
  readonly chunks: number
  readonly first: FirstChunk
}

/** Of a first text that an earlier attempt gave; when it came follows. */
export const UNKNOWN: Omit<Pace, 'fromMono'> = {
  chunksBefore: 0,
  chunks: 1,
  first: { reported: null, isOutput: false },
}

/**
 * Time per output token; null where that is no number. `usage`: of the job; `allChunks`: with text, of it. No chunk is
 * parsed for its text here: bundles are taken to be of one size.
 */
export function msPerToken(
  { fromMono, chunksBefore, chunks: firstChunks, first: { reported, isOutput } }: Pace,
  lastTokenMono: number,
  { completionTokens, reasoningTokens = 0 }: Pick<Usage, 'completionTokens' | 'reasoningTokens'>,
  allChunks: number,
): number | null {
  // Of a document, too: it came all at once
  if (lastTokenMono <= fromMono) return null
  const tokens = completionTokens - chunksBefore
  const chunks = Math.max(firstChunks, allChunks - chunksBefore)
  const hidden = isOutput ? reasoningTokens : 0
  const { firstTokens } = openingOf({ tokens, reported, hidden, chunks, firstChunks, share: firstChunks / chunks })
  return tpotOf({ firstTokenMono: fromMono, lastTokenMono, tokens, firstTokens })
}

/** Times are stored with each job: to the microsecond, as more digits would only be longer. */
export const thousandths = (ms: number): number => Math.round(ms * 1_000) / 1_000
