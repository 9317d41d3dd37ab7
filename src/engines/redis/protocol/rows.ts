/** What Redis keeps of a job: plain JSON, written by the coordinator's commit alone. */
import type { WireError } from '../../../core/errors.ts'
import type { Job, JobDraft, Timing, Usage } from '../../../core/job.ts'
import type { EndState, FailedAt, Tally } from '../../../core/ports/coordinator.ts'
import type { Claim } from '../../../core/ports/work.ts'
import type { End } from '../../../core/record.ts'
import { count, fits, object, parse, text } from './shape.ts'

/** A draft without its body. */
export type Facts = Omit<JobDraft, 'body' | 'isRetry'>

/** `live`: a job that has not ended. */
export interface LiveRow {
  readonly id: string
  /** Its order of acceptance; ids do not sort over gateways. */
  readonly seq: number
  /** By Redis's clock. */
  readonly acceptedAtMs: number
  /** Of its log, when it was accepted. */
  readonly epoch: number
  /** The process that submitted it. */
  readonly from: string
  readonly bodyBytes: number
  readonly facts: Facts
}

/** `run`: where its attempts stand. Written as "<attempt> <worker> <JSON>"; no attempt runs: "0 - <JSON>". */
export interface RunRow {
  readonly attempt: number
  readonly worker: string | null
  readonly tally: Tally
  readonly failedAt: FailedAt
  /** Of the attempt that runs. */
  readonly claim: Claim | null
  /** By Redis's clock; not leased before. 0: now. */
  readonly notBeforeAtMs: number
  /** It is canceled, and ends when its worker has stopped. */
  readonly canceling: boolean
  /** Log epoch of the attempt. */
  readonly epoch: number
}

/** `r:<id>`: a job that ended. `head` comes first: the commit script puts it there. */
export interface EndedRow extends Omit<LiveRow, 'from'> {
  /** Last seq of its log before the `end` record, which is head + 1. */
  readonly head: number
  readonly attempts: number
  readonly end: End
  readonly endedAtMs: number
  /** The last attempt; 0: it ended in line. */
  readonly attempt: number
}

const LIVE = { id: text, seq: count, epoch: count, bodyBytes: count, facts: object }
const ENDED = { ...LIVE, head: count, attempts: count, end: object }

/** Null: damaged. */
export function readLive(json: string): LiveRow | null {
  const row = parse(json)
  return fits(row, LIVE) ? (row as LiveRow) : null
}

export function readEnded(json: string): EndedRow | null {
  const row = parse(json)
  return fits(row, ENDED) ? (row as EndedRow) : null
}

export const writeRun = ({ attempt, worker, ...rest }: RunRow): string =>
  `${fenceOf(attempt, worker)}${JSON.stringify(rest)}`

/** How a RunRow begins while this attempt may write. */
export const fenceOf = (attempt: number, worker: string | null): string => `${attempt} ${worker ?? '-'} `

export function readRun(stored: string): RunRow | null {
  const [, attempt, worker] = /^(\d{1,15}) (\S+) /.exec(stored) ?? []
  if (attempt === undefined) return null
  const rest = parse(stored.slice(attempt.length + worker.length + 2))
  if (!fits(rest, { tally: object, failedAt: Array.isArray })) return null
  return { ...(rest as RunRow), attempt: Number(attempt), worker: worker === '-' ? null : worker }
}

const NO_BODY = new Uint8Array(0)

/** As clients see a job that has not ended; the coordinator knows its state. */
export const liveJob = (row: LiveRow, state: Job['state'], attempts: number): Job => ({
  ...row.facts,
  body: NO_BODY,
  id: row.id,
  state,
  epoch: row.epoch,
  attempts,
  acceptedAtMs: row.acceptedAtMs,
})

export function endedJob(row: EndedRow): Job {
  const { error, usage, timing, state }: { error?: WireError; usage?: Usage; timing?: Timing; state: EndState } =
    row.end
  return {
    ...liveJob({ ...row, from: '' }, state, row.attempts),
    endedAtMs: row.endedAtMs,
    ...(error && { error }),
    ...(usage && { usage }),
    ...(timing && { timing }),
  }
}
