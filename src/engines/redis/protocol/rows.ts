/** What Redis keeps of a job, written by the coordinator's commit alone. */
import type { Job } from '../../../core/job.ts'
import { isRecord } from '../../../core/json.ts'
import type { Amounts } from '../../../core/limits.ts'
import type { EndState, FailedAt, Tally } from '../../../core/ports/coordinator.ts'
import type { Claim } from '../../../core/ports/work.ts'
import type { End } from '../../../core/record.ts'
import { count, fits, number, object, parse, text } from '../../shared/shape.ts'
import { type Facts, packFacts, unpackFacts } from './facts.ts'

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
  /** What it holds until its first lease. */
  readonly reservation?: Amounts
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
  /** By Redis's clock; null: no attempt runs. */
  readonly leasedAtMs: number | null
  /** The last attempt that its own worker ended, or handed back, so that the job went on. */
  readonly ceded?: Ceded
}

export interface Ceded {
  readonly attempt: number
  readonly worker: string
}

/** `r:<id>`: a job that ended. */
export interface EndedRow extends LiveRow {
  /** What all that is stored of it takes in Redis. */
  readonly bytes: number
  /** Last seq of its log. */
  readonly head: number
  readonly attempts: number
  readonly end: End
  readonly endedAtMs: number
}

const LIVE = { i: text, s: count, a: number, e: count, f: text, b: count }

export function writeLive({ id, seq, acceptedAtMs, epoch, from, bodyBytes, facts, reservation }: LiveRow): string {
  const row = { i: id, s: seq, a: acceptedAtMs, e: epoch, f: from, b: bodyBytes, j: packFacts(facts) }
  return JSON.stringify(reservation === undefined ? row : { ...row, h: packAmounts(reservation) })
}

const packAmounts = ({ inputTokens, outputTokens, requests, nanoDollars }: Amounts) => [
  inputTokens,
  outputTokens,
  requests,
  nanoDollars,
]

/** What can't be read holds nothing: the job is weighed again at its lease. */
function unpackAmounts(packed: unknown): Amounts | undefined {
  if (!Array.isArray(packed) || packed.length !== 4 || !packed.every(count)) return undefined
  const [inputTokens, outputTokens, requests, nanoDollars] = packed as number[]
  return { inputTokens, outputTokens, requests, nanoDollars }
}

const AMOUNTS = { inputTokens: count, outputTokens: count, requests: count, nanoDollars: count }

/** Null: it is none. Of an older version, or damaged: nothing is held for it. */
function readClaim(stored: unknown): Claim | null {
  if (!isRecord(stored) || !text(stored['deployment'])) return null
  const { reservation, source, hedge, ...claim } = stored
  const second = hedge === undefined ? null : readClaim(hedge)
  const read = {
    ...claim,
    reservation: fits(reservation, AMOUNTS) ? reservation : null,
    ...(second !== null && { hedge: second }),
  }
  return (text(source) ? { ...read, source } : read) as Claim
}

/** Null: damaged. */
export function readLive(stored: string): LiveRow | null {
  const row = parse(stored)
  if (!fits(row, LIVE)) return null
  const { i: id, s: seq, a: acceptedAtMs, e: epoch, f: from, b: bodyBytes, j, h } = row as Record<string, unknown>
  const facts = unpackFacts(j)
  if (facts === null) return null
  const reservation = unpackAmounts(h)
  const read = { id, seq, acceptedAtMs, epoch, from, bodyBytes, facts }
  return (reservation === undefined ? read : { ...read, reservation }) as LiveRow
}

/** The last line of an EndedRow; before it the script puts "<bytes> <epoch> <head>", and what was in `live`. */
export const writeEnd = ({ attempts, end, endedAtMs }: Pick<EndedRow, 'attempts' | 'end' | 'endedAtMs'>): string =>
  JSON.stringify({ n: attempts, t: endedAtMs, ...end })

const END = { n: count, t: number, state: text }

export function readEnded(stored: string): EndedRow | null {
  const [, bytes, epoch, head] = /^(\d{1,15}) (\d{1,15}) (\d{1,15})\n/.exec(stored) ?? []
  const [, live, last] = stored.split('\n', 3)
  const row = head === undefined ? null : readLive(live)
  const told = row === null ? null : parse(last ?? '')
  if (row === null || !fits(told, END)) return null
  const { n: attempts, t: endedAtMs, ...end } = told as { n: number; t: number } & End
  return { ...row, bytes: Number(bytes), epoch: Number(epoch), head: Number(head), attempts, endedAtMs, end }
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
  const { claim } = rest as RunRow
  return {
    ...(rest as RunRow),
    attempt: Number(attempt),
    worker: worker === '-' ? null : worker,
    claim: readClaim(claim),
  }
}

export const NO_BODY = new Uint8Array(0)

/** As clients see a job that has not ended; the coordinator knows its state. */
export function liveJob(row: LiveRow, state: Job['state'], attempts: number): Job {
  const { turn: _turn, ...draft } = row.facts
  return { ...draft, body: NO_BODY, id: row.id, state, epoch: row.epoch, attempts, acceptedAtMs: row.acceptedAtMs }
}

export function endedJob(row: EndedRow): Job {
  const { error, usage, timing, cut, state }: End & { readonly state: EndState } = row.end
  return {
    ...liveJob(row, state, row.attempts),
    endedAtMs: row.endedAtMs,
    ...(error && { error }),
    ...(usage && { usage }),
    ...(timing && { timing }),
    ...(cut && { cut }),
  }
}
