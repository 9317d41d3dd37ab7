/**
 * What became of the last 2,000 jobs, from facts: marks and curves, never text. They cost some 4 KB and 17 µs a job, so
 * they are made only while somebody looks, and for an hour after. The last 256 facts are kept always, as they are, so
 * that who comes after an incident sees the marks of the last jobs; of others what is stored with them is known.
 */
import { isOfLine } from '../../core/batch.ts'
import type { Fact } from '../../core/facts.ts'
import { type Goals, ttftOfParts } from '../../core/goals.ts'
import { isTerminal, type JobId, type JobState } from '../../core/job.ts'
import type { TtftParts } from '../../core/measure.ts'
import { Table } from '../../core/table.ts'
import { traceIdOf } from '../../core/trace.ts'
import type { Observe } from '../emit.ts'
import { type Edited, Edits } from '../history/edits.ts'
import { Curve } from './curve.ts'

export const MAX_TRACES = 2_000
const LOOKED_AT_MS = 3_600_000
/**
 * A power of two: of some 30 jobs. With 512 and more, facts of a busy server came to old space, 2 KB a job, and stayed
 * there until the next major collection (0062).
 */
const LATELY = 256
/** Of one job: later ones take the place of the last. */
const MAX_ATTEMPTS = 16
const MAX_READERS = 32
const MAX_STALLS = 16

export interface AttemptMarks {
  readonly attempt: number
  deployment: string
  mode: 'first' | 'continue' | 'restart'
  readonly leasedAtMs: number
  calledAtMs: number | null
  firstTokenAtMs: number | null
  /** As far as is known while it runs: to half a second. */
  lastTokenAtMs: number | null
  /** Of its call, until its first token. */
  connectMs: number
  endedAtMs: number | null
  /** Of the whole answer, when it began and when it ended. */
  fromTokens: number
  tokens: number
  error: string | null
  /** `ms`: null while it lasts. */
  readonly stalls: Array<{ readonly atMs: number; ms: number | null }>
}

export interface ReaderMarks {
  readonly reader: number
  readonly dialect: string
  readonly openedAtMs: number
  closedAtMs: number | null
  complete: boolean
  /** Records that it had when it came, and those it has; null: nothing was told yet. */
  from: number | null
  seq: number
}

export class Trace {
  readonly job: JobId
  readonly tenant: string
  readonly model: string
  readonly keyId: string
  readonly requestId: string | null
  readonly traceId: string | null
  readonly acceptedAtMs: number
  /** Was it there from its acceptance on? */
  isWhole: boolean
  /** False: of a fleet's job, this process has only run it, or read it to somebody. */
  isCore: boolean
  state: JobState = 'queued'
  /** When it came to be so, as far as this process decided it. */
  stateAtMs = 0
  /** Grows with each change, over all jobs. */
  version = 0
  edit = 0
  parts: TtftParts | null = null
  ttftMs: number | null = null
  tpotMs: number | null = null
  totalMs: number | null = null
  queuedMs: number | null = null
  /** Of that, until it was its own turn. */
  turnMs: number | null = null
  endedAtMs: number | null = null
  tokens = 0
  promptTokens: number | null = null
  cachedTokens: number | null = null
  nanoUsd: number | null = null
  isEstimated = false
  error: { readonly code: string; readonly message: string } | null = null
  good: boolean | null = null
  /** A reader left before the end. */
  isCut = false
  readonly attempts: AttemptMarks[] = []
  readonly readers: ReaderMarks[] = []
  readonly stored = new Curve()
  /** Records, not tokens: of the reader that is furthest. */
  readonly shown = new Curve()

  constructor(
    fact: Extract<Fact, { job: JobId }> & { tenant: string; model: string; keyId: string },
    isWhole: boolean,
  ) {
    this.job = fact.job
    this.tenant = fact.tenant
    this.model = fact.model
    this.keyId = fact.keyId
    this.requestId = fact.requestId
    this.traceId = fact.trace === null ? null : traceIdOf(fact.trace)
    this.acceptedAtMs = Math.round(fact.atMs - sinceAccepted(fact))
    this.isWhole = isWhole
    this.isCore = fact.type === 'job-submitted' || fact.type === 'job-leased' || fact.type === 'job-ended'
  }
}

/** As far as the first fact of a job tells it. */
function sinceAccepted(fact: Fact): number {
  if (fact.type === 'job-leased') return fact.sinceAcceptedMs ?? fact.queuedMs
  return fact.type === 'job-ended' ? (fact.timing?.totalMs ?? 0) : 0
}

type Kept =
  | 'job-submitted'
  | 'job-leased'
  | 'job-returned'
  | 'job-ended'
  | 'attempt-started'
  | 'attempt-hedged'
  | 'first-token-received'
  | 'answer-stalled'
  | 'answer-resumed'
  | 'attempt-ended'
  | 'reader-opened'
  | 'reader-closed'
  | 'first-token-delivered'
type OfTrace = Extract<Fact, { type: Kept | 'attempt-progressed' | 'reader-progressed' }>
type OfJob = Extract<Fact, { job: JobId; keyId: string; tenant: string; model: string }>

/** Traces of one process, or of all of a fleet. */
export interface TraceBook {
  /** Grows with each change. */
  readonly version: number
  get(job: JobId): Trace | null
  /** Newest first. */
  newest(): Iterable<Trace>
  isLate(trace: Trace, nowMs: number): boolean
}

export interface TracesOptions {
  readonly edits?: Edits
  /** May a job be submitted, decided on, run and read in processes of its own? */
  readonly isOneOfMany?: boolean
}

export class Traces implements TraceBook {
  #traces = new Table<JobId, Trace>()
  /** Their ids, in the order in which they came; the next one takes the place of the oldest. */
  readonly #ring: Array<JobId | undefined> = new Array(MAX_TRACES).fill(undefined)
  #next = 0
  readonly #goals: (model: string) => Pick<Goals, 'ttftMs'>
  #version = 0
  /** By the monotonic clock: a wall clock that jumps drops nothing. */
  #untilMono = Number.NEGATIVE_INFINITY
  #isMarking = false
  /** Facts of jobs, those that come while an answer streams left out. */
  readonly #lately: Array<OfTrace | undefined> = new Array(LATELY).fill(undefined)
  #told = 0
  readonly #edits: Edits
  readonly #isOneOfMany: boolean

  constructor(
    goals: (model: string) => Pick<Goals, 'ttftMs'>,
    { edits = new Edits(), isOneOfMany = false }: TracesOptions = {},
  ) {
    this.#goals = goals
    this.#edits = edits
    this.#isOneOfMany = isOneOfMany
  }

  get version(): number {
    return this.#version
  }

  /** Somebody looks. */
  looked(nowMono: number): void {
    this.#untilMono = nowMono + LOOKED_AT_MS
    if (this.#isMarking) return
    this.#isMarking = true
    for (let i = Math.max(0, this.#told - LATELY); i < this.#told; i++) this.#take(this.#lately[i & (LATELY - 1)]!)
  }

  /** Called now and then: where nobody has looked for long, no marks are made any more. */
  rest(nowMono: number): void {
    if (!this.#isMarking || nowMono <= this.#untilMono) return
    this.#isMarking = false
    this.#traces = new Table()
    this.#ring.fill(undefined)
    this.#version++
  }

  get(job: JobId): Trace | null {
    return this.#traces.get(job) ?? null
  }

  /** Newest first. */
  *newest(): Iterable<Trace> {
    for (let i = 1; i <= MAX_TRACES; i++) {
      const job = this.#ring[(this.#next - i + MAX_TRACES) % MAX_TRACES]
      const trace = job === undefined ? undefined : this.#traces.get(job)
      if (trace === undefined) return
      yield trace
    }
  }

  /** Does its first token come later than its goal, or has it? */
  isLate({ parts, ttftMs, turnMs, model, state, acceptedAtMs, requestId }: Trace, nowMs: number): boolean {
    if (isOfLine(requestId)) return false
    const sinceMs = ttftMs ?? (isTerminal(state) ? 0 : nowMs - acceptedAtMs)
    const took = parts !== null ? ttftOfParts(parts) : sinceMs - (turnMs ?? 0)
    return took > this.#goals(model).ttftMs
  }

  readonly observe: Observe = (fact) => {
    switch (fact.type) {
      case 'attempt-progressed':
      case 'reader-progressed':
        return this.#isMarking ? this.#take(fact) : undefined
      case 'job-submitted':
      case 'job-leased':
      case 'job-returned':
      case 'job-ended':
      case 'attempt-started':
      case 'attempt-hedged':
      case 'first-token-received':
      case 'answer-stalled':
      case 'answer-resumed':
      case 'attempt-ended':
      case 'reader-opened':
      case 'reader-closed':
      case 'first-token-delivered':
        this.#lately[this.#told++ & (LATELY - 1)] = fact
        return this.#isMarking ? this.#take(fact) : undefined
      default:
    }
  }

  #take(fact: OfTrace): void {
    if (fact.type === 'job-submitted') this.#submitted(fact)
    else this.#mark(fact)
  }

  /** What comes to a worker at once may be leased before its submit is told. */
  #submitted(fact: Extract<Fact, { type: 'job-submitted' }>): void {
    const trace = this.#traces.get(fact.job)
    if (trace === undefined) this.#add(new Trace(fact, !fact.joined))
    else if (!fact.joined) {
      trace.isWhole = trace.isCore = true
      this.#touch(trace)
    }
  }

  /** Those that were changed after this edit. */
  editedAfter(edit: number): Array<Edited<Trace>> {
    const edited: Array<Edited<Trace>> = []
    for (const trace of this.newest()) if (trace.edit > edit) edited.push({ edit: trace.edit, pack: () => trace })
    return edited
  }

  #add(trace: Trace): void {
    this.#touch(trace)
    const oldest = this.#ring[this.#next]
    if (oldest !== undefined) this.#traces.delete(oldest)
    this.#ring[this.#next] = trace.job
    this.#next = (this.#next + 1) % MAX_TRACES
    this.#traces.set(trace.job, trace)
  }

  #touch(trace: Trace): void {
    trace.version = ++this.#version
    trace.edit = this.#edits.next()
  }

  #mark(fact: OfJob): void {
    let trace = this.#traces.get(fact.job)
    if (trace === undefined) {
      // Only one that runs, or ends, is worth it: a job of before the start, or of another node
      if (fact.type !== 'job-leased' && fact.type !== 'job-ended' && !this.#isOneOfMany) return
      trace = new Trace(fact, false)
      this.#add(trace)
    }
    this.#touch(trace)
    mark(trace, fact)
  }
}

function mark(trace: Trace, fact: OfJob): void {
  const { atMs } = fact
  const sinceMs = atMs - trace.acceptedAtMs
  switch (fact.type) {
    case 'job-leased':
      trace.state = 'leased'
      trace.stateAtMs = atMs
      trace.isCore = true
      trace.queuedMs = fact.queuedMs
      trace.turnMs = fact.turnMs ?? null
      return begin(trace, fact)
    case 'job-returned':
      trace.state = fact.delayMs > 0 ? 'delayed' : 'queued'
      trace.stateAtMs = atMs
      return
    case 'attempt-started':
      begin(trace, fact)
      change(trace, fact.attempt, (attempt) => {
        attempt.mode = fact.mode
        attempt.calledAtMs = atMs
        // Of earlier attempts, this process may know nothing
        if (fact.mode === 'continue') attempt.fromTokens = fact.fromTokens ?? attempt.fromTokens
        trace.tokens = Math.max(trace.tokens, attempt.fromTokens)
      })
      return
    case 'attempt-hedged':
      if (fact.won === 'second')
        change(trace, fact.attempt, (attempt) => {
          attempt.deployment = fact.other
          if (attempt.calledAtMs !== null) attempt.calledAtMs += fact.afterMs
        })
      return
    case 'first-token-received':
      if (!fact.isWhole) {
        trace.parts ??= fact.parts
        trace.ttftMs ??= fact.ttftMs
      }
      trace.stored.add(sinceMs, trace.tokens)
      change(trace, fact.attempt, (attempt) => {
        attempt.firstTokenAtMs = attempt.lastTokenAtMs = atMs
        attempt.connectMs = fact.parts.connect
      })
      return
    case 'attempt-progressed':
      change(trace, fact.attempt, (attempt) => {
        attempt.firstTokenAtMs ??= atMs
        if (fact.tokens > attempt.tokens) attempt.lastTokenAtMs = atMs
        attempt.tokens = fact.tokens
        trace.tokens = attempt.fromTokens + fact.tokens
      })
      trace.stored.add(sinceMs, trace.tokens)
      return
    case 'answer-stalled':
      change(trace, fact.attempt, ({ stalls }) => {
        if (stalls.length < MAX_STALLS) stalls.push({ atMs: atMs - fact.ms, ms: null })
      })
      return
    case 'answer-resumed':
      change(trace, fact.attempt, ({ stalls }) => {
        const last = stalls.at(-1)
        if (last?.ms === null) last.ms = fact.ms
      })
      return
    case 'attempt-ended':
      change(trace, fact.attempt, (attempt) => {
        attempt.endedAtMs = atMs
        attempt.error = fact.code
        const { firstTokenMs, lastTokenMs } = fact.marks ?? {}
        if (attempt.calledAtMs !== null && firstTokenMs !== undefined) {
          const isUntold = attempt.firstTokenAtMs === null
          // Both by the call's own clock: what another node tells is moved by a guess at the difference, which changes
          attempt.firstTokenAtMs = attempt.calledAtMs + firstTokenMs
          if (isUntold) trace.stored.add(attempt.firstTokenAtMs - trace.acceptedAtMs, attempt.fromTokens)
          attempt.lastTokenAtMs = Math.min(atMs, attempt.calledAtMs + (lastTokenMs ?? firstTokenMs))
        }
        if (fact.usage === undefined) return
        attempt.tokens = fact.usage.completionTokens
        trace.tokens = Math.max(trace.tokens, attempt.fromTokens + attempt.tokens)
        if (attempt.lastTokenAtMs !== null && trace.stored.size > 0)
          trace.stored.add(attempt.lastTokenAtMs - trace.acceptedAtMs, trace.tokens)
      })
      return
    case 'job-ended':
      return end(trace, fact)
    case 'reader-opened':
      if (trace.readers.length === MAX_READERS) return
      trace.readers.push({
        reader: fact.reader,
        dialect: fact.dialect,
        openedAtMs: atMs,
        closedAtMs: null,
        complete: false,
        from: null,
        seq: 0,
      })
      return
    case 'reader-progressed':
    case 'reader-closed': {
      const reader = trace.readers.find((each) => each.reader === fact.reader)
      if (reader === undefined) return
      reader.from = fact.from
      reader.seq = fact.seq
      if (fact.seq > (fact.from ?? 0) && fact.seq >= trace.shown.last) trace.shown.add(sinceMs, fact.seq)
      if (fact.type === 'reader-progressed') return
      reader.closedAtMs = atMs
      reader.complete = fact.complete
      if (!fact.complete) trace.isCut = true
      return
    }
    case 'first-token-delivered':
      trace.parts = fact.parts
      return
    default:
  }
}

/** Where another process coordinates, its lease is not told here. */
/** Where one process decides and runs, its worker may tell of the attempt before the lease is told. */
function begin(trace: Trace, fact: Extract<OfJob, { type: 'job-leased' | 'attempt-started' }>): void {
  if (trace.attempts.some(({ attempt }) => attempt === fact.attempt)) return
  if (trace.attempts.length === MAX_ATTEMPTS) trace.attempts.pop()
  trace.attempts.push({
    attempt: fact.attempt,
    deployment: fact.deployment,
    mode: 'first',
    leasedAtMs: fact.atMs,
    calledAtMs: null,
    firstTokenAtMs: null,
    lastTokenAtMs: null,
    connectMs: 0,
    endedAtMs: null,
    fromTokens: trace.tokens,
    tokens: 0,
    error: null,
    stalls: [],
  })
}

function end(trace: Trace, fact: Extract<Fact, { type: 'job-ended' }>): void {
  const { state, usage, timing, atMs } = fact
  trace.state = state
  trace.stateAtMs = atMs
  trace.endedAtMs = atMs
  trace.good = fact.good ?? null
  trace.nanoUsd = fact.nanoDollars ?? null
  trace.error = fact.code === null ? null : { code: fact.code, message: '' }
  if (usage !== undefined) {
    trace.tokens = usage.completionTokens
    trace.promptTokens = usage.promptTokens
    trace.cachedTokens = usage.cachedTokens ?? null
    trace.isEstimated = usage.estimated
  }
  if (timing !== undefined) {
    trace.queuedMs = timing.queuedMs
    trace.turnMs = timing.turnMs ?? null
    trace.totalMs = timing.totalMs
    trace.tpotMs = timing.tpotMs ?? null
    trace.ttftMs ??= timing.ttftMs ?? null
    if (timing.ttftMs !== undefined) trace.parts ??= timing.parts ?? null
  }
  if (trace.stored.size > 0) trace.stored.add(trace.totalMs ?? atMs - trace.acceptedAtMs, trace.tokens)
}

function change(trace: Trace, attempt: number, fn: (marks: AttemptMarks) => void): void {
  const found = trace.attempts.findLast((each) => each.attempt === attempt)
  if (found !== undefined) fn(found)
}
