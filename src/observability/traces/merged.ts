/**
 * A fleet's job has marks at several processes: where it was submitted and read, where it was decided on, where it ran.
 * Here they become one trace. Pure.
 */
import { isTerminal } from '../../core/job.ts'
import type { Curve } from './curve.ts'
import { type AttemptMarks, type ReaderMarks, Trace } from './traces.ts'

/** A trace as it crosses: plain JSON, without text. */
export interface PackedTrace extends Omit<Trace, 'version' | 'edit' | 'stored' | 'shown'> {
  /** Curves and readers are there only where the whole trace was asked for. */
  readonly stored: readonly number[]
  readonly shown: readonly number[]
}

export function packTrace(trace: Trace, isWhole: boolean): PackedTrace {
  const { version: _, edit: __, stored, shown, readers, ...marks } = trace
  return {
    ...marks,
    readers: isWhole ? readers : [],
    stored: isWhole ? stored.points() : [],
    shown: isWhole ? shown.points() : [],
  }
}

/** By another machine's wall clock, which is so far behind ours. */
export function shifted(trace: PackedTrace, ms: number): PackedTrace {
  if (ms === 0) return trace
  const at = <T extends number | null>(atMs: T): T => (atMs === null ? atMs : ((atMs + ms) as T))
  return {
    ...trace,
    acceptedAtMs: at(trace.acceptedAtMs),
    stateAtMs: trace.stateAtMs === 0 ? 0 : at(trace.stateAtMs),
    endedAtMs: at(trace.endedAtMs),
    attempts: trace.attempts.map((each) => ({
      ...each,
      leasedAtMs: at(each.leasedAtMs),
      calledAtMs: at(each.calledAtMs),
      firstTokenAtMs: at(each.firstTokenAtMs),
      lastTokenAtMs: at(each.lastTokenAtMs ?? null),
      endedAtMs: at(each.endedAtMs),
      stalls: each.stalls.map((stall) => ({ ...stall, atMs: at(stall.atMs) })),
    })),
    readers: trace.readers.map((each) => ({
      ...each,
      openedAtMs: at(each.openedAtMs),
      closedAtMs: at(each.closedAtMs),
    })),
  }
}

/** Of one job. Null: nobody who submitted or decided it tells of it. */
export function mergeTraces(parts: readonly PackedTrace[]): Trace | null {
  const cores = parts.filter(({ isCore }) => isCore)
  if (cores.length === 0) return null
  const main = cores.find(({ isWhole }) => isWhole) ?? cores.reduce((a, b) => (b.acceptedAtMs < a.acceptedAtMs ? b : a))
  const decided = parts.reduce((a, b) => (rank(b) > rank(a) ? b : a))
  const first = <T>(of: (part: PackedTrace) => T | null): T | null =>
    of(decided) ?? parts.map(of).find((value) => value !== null) ?? null
  const { attempts, tokens } = attemptsOf(parts)
  const about = { ...main, type: 'job-submitted', kind: 'chat', joined: false, trace: null } as const
  const trace = new Trace({ ...about, atMs: main.acceptedAtMs }, main.isWhole)
  Object.assign(trace, {
    traceId: main.traceId,
    state: decided.state,
    stateAtMs: decided.stateAtMs,
    parts: parts.find((part) => (part.parts?.delivery ?? 0) > 0)?.parts ?? first((part) => part.parts),
    ttftMs: first((part) => part.ttftMs),
    tpotMs: first((part) => part.tpotMs),
    totalMs: first((part) => part.totalMs),
    queuedMs: first((part) => part.queuedMs),
    // An older version tells none
    turnMs: first((part) => part.turnMs ?? null),
    endedAtMs: first((part) => part.endedAtMs),
    // What its provider has counted stands
    tokens: decided.promptTokens === null ? Math.max(tokens, ...parts.map((part) => part.tokens)) : decided.tokens,
    promptTokens: first((part) => part.promptTokens),
    cachedTokens: first((part) => part.cachedTokens),
    nanoUsd: first((part) => part.nanoUsd),
    isEstimated: parts.some((part) => part.isEstimated),
    error: first((part) => part.error),
    good: first((part) => part.good),
    isCut: parts.some((part) => part.isCut),
  })
  trace.attempts.push(...attempts)
  trace.readers.push(...readersOf(parts))
  draw(trace.stored, storedOf(parts, attempts, main.acceptedAtMs))
  // Where it ran, its end may not be known
  const { endedAtMs, totalMs, stored } = trace
  if (endedAtMs !== null && stored.size > 0) stored.add(totalMs ?? endedAtMs - main.acceptedAtMs, trace.tokens)
  draw(
    trace.shown,
    parts.flatMap((part) => pairsOf(part.shown, part.acceptedAtMs - main.acceptedAtMs, 0)),
  )
  return trace
}

/** Whoever saw its end knows best, then whoever decided last. */
const rank = ({ state, stateAtMs }: PackedTrace): number => (isTerminal(state) ? 1e15 : 0) + stateAtMs

function attemptsOf(parts: readonly PackedTrace[]): { readonly attempts: AttemptMarks[]; readonly tokens: number } {
  const byNumber = new Map<number, AttemptMarks>()
  for (const mark of parts.flatMap((part) => part.attempts)) {
    const known = byNumber.get(mark.attempt)
    byNumber.set(mark.attempt, known === undefined ? { ...mark } : attemptOf(known, mark))
  }
  const attempts = [...byNumber.values()].sort((a, b) => a.attempt - b.attempt)
  let tokens = 0
  for (const attempt of attempts) {
    // Of the attempts before it, nobody may know any more
    tokens = attempt.fromTokens = Math.max(tokens, attempt.fromTokens)
    tokens += attempt.tokens
  }
  return { attempts, tokens }
}

const attemptOf = (a: AttemptMarks, b: AttemptMarks): AttemptMarks => ({
  ...a,
  mode: a.mode === 'first' ? b.mode : a.mode,
  leasedAtMs: Math.min(a.leasedAtMs, b.leasedAtMs),
  calledAtMs: a.calledAtMs ?? b.calledAtMs,
  firstTokenAtMs: a.firstTokenAtMs ?? b.firstTokenAtMs,
  lastTokenAtMs: later(a.lastTokenAtMs, b.lastTokenAtMs),
  connectMs: Math.max(a.connectMs, b.connectMs),
  endedAtMs: a.endedAtMs ?? b.endedAtMs,
  fromTokens: Math.max(a.fromTokens, b.fromTokens),
  tokens: Math.max(a.tokens, b.tokens),
  error: a.error ?? b.error,
  stalls: a.stalls.length > 0 ? a.stalls : b.stalls,
})

/** An older version tells none. */
const later = (a: number | null | undefined, b: number | null | undefined): number | null =>
  a == null || b == null ? (a ?? b ?? null) : Math.max(a, b)

/** Each process counts its own: numbered anew. */
const readersOf = (parts: readonly PackedTrace[]): ReaderMarks[] =>
  parts
    .flatMap((part) => part.readers)
    .sort((a, b) => a.openedAtMs - b.openedAtMs)
    .map((reader, n) => ({ ...reader, reader: n }))

/** A worker counts from where its first attempt began. */
const storedOf = (parts: readonly PackedTrace[], attempts: readonly AttemptMarks[], acceptedAtMs: number) =>
  parts.flatMap((part) => {
    const [begun] = part.attempts
    const fromTokens = attempts.find(({ attempt }) => attempt === begun?.attempt)?.fromTokens ?? 0
    return pairsOf(part.stored, part.acceptedAtMs - acceptedAtMs, fromTokens - (begun?.fromTokens ?? 0))
  })

function pairsOf(points: readonly number[], ms: number, more: number): Array<readonly [number, number]> {
  const pairs: Array<readonly [number, number]> = []
  for (let i = 0; i + 1 < points.length; i += 2) pairs.push([points[i] + ms, points[i + 1] + more])
  return pairs
}

function draw(curve: Curve, pairs: ReadonlyArray<readonly [number, number]>): void {
  for (const [ms, value] of pairs.toSorted(([a], [b]) => a - b)) if (value >= curve.last) curve.add(ms, value)
}
