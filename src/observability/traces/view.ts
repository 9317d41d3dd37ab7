/** A job as the dashboard shows it: a row of a list, and its waterfall. Pure. */
import { ttftOfParts } from '../../core/goals.ts'
import { isTerminal, type Job, type Place, type Timing } from '../../core/job.ts'
import type { AttemptSpan, JobRow, JobTrace, ReaderSpan, Span } from '../../core/live.ts'
import { STALL_MS, type TtftParts } from '../../core/measure.ts'
import { moneyText } from '../../core/money.ts'
import { traceIdOf } from '../../core/trace.ts'
import { coverageOf } from './coverage.ts'
import type { AttemptMarks, ReaderMarks, Trace } from './traces.ts'

/** What no fact tells. */
export interface Beside {
  readonly nowMs: number
  /** Null: it is not in line, or nobody asked. */
  readonly place: Place | null
  /** The last words of its text; null: they may not be shown. */
  readonly words: string | null
  /** Of its error, without the provider's words where they may not be shown; null: it has none. */
  readonly error: JobRow['error']
}

export function rowOf(trace: Trace, { nowMs, place, words, error }: Beside): JobRow {
  const { state, parts, acceptedAtMs } = trace
  return {
    job: trace.job,
    state,
    tenant: trace.tenant,
    model: trace.model,
    acceptedAtMs,
    ttft: parts ?? soFar(trace, nowMs),
    ttftMs: firstTokenMs(trace),
    totalMs: trace.totalMs ?? (trace.endedAtMs === null ? null : trace.endedAtMs - acceptedAtMs),
    attempts: trace.attempts.at(-1)?.attempt ?? 0,
    tokens: trace.tokens,
    nanoUsd: trace.nanoUsd,
    isEstimated: trace.isEstimated,
    error,
    words,
    waitsFor: place === null ? null : waitsFor(place),
    isCut: trace.isCut,
    ids: known(trace.requestId, trace.traceId, trace.keyId),
  }
}

const known = (...ids: ReadonlyArray<string | null | undefined>): string[] => ids.filter((id) => id != null)

/** Where its time went until now, while it has no first token. */
function soFar({ state, acceptedAtMs, attempts, turnMs }: Trace, nowMs: number): Partial<TtftParts> | null {
  if (isTerminal(state)) return null
  const attempt = attempts.at(-1)
  if (attempt === undefined || state !== 'leased') return { queue: Math.max(0, nowMs - acceptedAtMs) }
  const queue = Math.max(0, attempt.leasedAtMs - acceptedAtMs - (turnMs ?? 0))
  if (attempt.calledAtMs === null) return { queue, routing: Math.max(0, nowMs - attempt.leasedAtMs) }
  return { queue, upstream: Math.max(0, nowMs - attempt.calledAtMs) }
}

const ORDINALS: Readonly<Record<string, string>> = { one: 'st', two: 'nd', few: 'rd', other: 'th' }
const rules = new Intl.PluralRules('en', { type: 'ordinal' })
const nth = (n: number): string => `${n}${ORDINALS[rules.select(n)]}`

const UNITS: Readonly<Record<string, string>> = {
  tokens: 'tokens',
  input_tokens: 'input tokens',
  output_tokens: 'output tokens',
  requests: 'requests',
  nano_dollars: 'money',
  running: 'jobs at once',
  spend_velocity: 'money',
}

/** Null: it runs or has ended. */
export function waitsFor({ position, waitingFor, waitsForJobs }: Place): string | null {
  if (waitsForJobs !== undefined) return `${waitsForJobs} ${waitsForJobs === 1 ? 'job' : 'jobs'} that it comes after`
  if (position === 0) return null
  if (waitingFor === undefined) return position === 1 ? 'next in line' : `${nth(position)} in line`
  const { level, unit } = waitingFor
  return `room for ${UNITS[unit] ?? unit} (limit of its ${level.replaceAll('_', ' ')})`
}

/** Of a job that was here before the marks began. */
export const rowOfStored = (job: Job, { place, words, error }: Pick<Beside, 'place' | 'words' | 'error'>): JobRow => ({
  job: job.id,
  state: job.state,
  tenant: job.tenant,
  model: job.model,
  acceptedAtMs: job.acceptedAtMs,
  ttft: job.timing?.ttftMs === undefined ? null : (job.timing.parts ?? null),
  ttftMs: firstTokenMs(job.timing),
  totalMs: job.timing?.totalMs ?? null,
  attempts: job.attempts,
  tokens: job.usage?.completionTokens ?? 0,
  nanoUsd: null,
  isEstimated: job.usage?.estimated ?? false,
  error,
  words,
  waitsFor: place === null ? null : waitsFor(place),
  isCut: false,
  ids: known(job.requestId, job.trace == null ? null : traceIdOf(job.trace), job.keyId),
})

/** `stored`: the job as the store has it; null: nobody asked, or it is gone. */
export function traceOf(trace: Trace, beside: Beside & { readonly stored: Job | null }): JobTrace {
  const { acceptedAtMs } = trace
  const at = (ms: number): number => Math.max(0, Math.round(ms - acceptedAtMs))
  const seen = trace.shown.pairs(tokensPerRecord(trace))
  const stored = storedOf(trace, seen)
  return {
    row: rowOf(trace, beside),
    spans: trace.isWhole ? spansOf(trace, at) : null,
    attempts: [...untold(trace, at), ...trace.attempts.map((attempt) => attemptSpan(attempt, at, seen))],
    readers: trace.readers.map((reader) => readerSpan(reader, at)),
    stored,
    shown: shownOf(seen, stored),
    counts: countsOf(trace),
    place: placeOf(beside.place),
    facts: factsOf(trace, beside),
  }
}

/** What is stored of a job whose marks are gone. */
export function traceOfStored(job: Job, { place, error }: Pick<Beside, 'place' | 'error'>): JobTrace {
  return {
    row: rowOfStored(job, { place, words: null, error }),
    spans: storedSpans(job.timing?.parts ?? null),
    attempts: [],
    readers: [],
    stored: [],
    shown: [],
    counts: { stored: job.usage?.completionTokens ?? 0, shown: null, lost: null, shownTwice: null },
    place: placeOf(place),
    facts: [
      ...timingFacts(firstTokenMs(job.timing), job.timing?.tpotMs ?? null),
      ...turnFacts(job.timing?.turnMs ?? null),
      ...usedFacts(job),
      ...storedFacts(job),
      ...askedBy(job.keyId, job.requestId, job.trace == null ? null : traceIdOf(job.trace)),
    ],
  }
}

const placeOf = (place: Place | null): JobTrace['place'] =>
  place === null || place.position === 0
    ? null
    : { position: place.position, tokensAhead: place.tokensAhead, etaMs: place.etaMs ?? null }

/** One after the other, as the first token passed them. Its admission came before it was accepted. */
function storedSpans(parts: TtftParts | null): Span[] | null {
  if (parts === null) return null
  const spans: Span[] = [{ part: 'admission', fromMs: -parts.admission, toMs: 0 }]
  let fromMs = 0
  for (const part of ['turn', 'queue', 'routing', 'connect', 'upstream'] as const) {
    // Earlier attempts are a part of the wait here
    const toMs = fromMs + (parts[part] ?? 0) + (part === 'queue' ? parts.retries : 0)
    if (toMs > fromMs) spans.push({ part, fromMs, toMs })
    fromMs = toMs
  }
  return spans
}

/** What is no attempt's: its admission, and its waits. */
function spansOf({ parts, attempts, state, endedAtMs, turnMs }: Trace, at: (ms: number) => number): Span[] {
  const spans: Span[] = []
  if (parts !== null && parts.admission > 0) spans.push({ part: 'admission', fromMs: -parts.admission, toMs: 0 })
  let fromMs: number | null = 0
  const [begun] = attempts
  if (begun !== undefined && turnMs !== null && turnMs >= 1) {
    fromMs = Math.min(Math.round(turnMs), at(begun.leasedAtMs))
    spans.push({ part: 'turn', fromMs: 0, toMs: fromMs })
  }
  for (const { leasedAtMs, endedAtMs } of attempts) {
    if (fromMs !== null && at(leasedAtMs) > fromMs) spans.push({ part: 'queue', fromMs, toMs: at(leasedAtMs) })
    fromMs = endedAtMs === null ? null : at(endedAtMs)
  }
  if (fromMs === null || state === 'leased') return spans
  const toMs = endedAtMs === null ? null : at(endedAtMs)
  if (!isTerminal(state) || attempts.length === 0) spans.push({ part: 'queue', fromMs, toMs })
  return spans
}

/** The attempt before the first one that is known here: of before a restart, or of before anybody looked. */
function untold({ attempts: [first] }: Trace, at: (ms: number) => number): AttemptSpan[] {
  if (first === undefined || first.attempt < 2) return []
  const spans: Span[] = [{ part: 'unknown', fromMs: 0, toMs: at(first.leasedAtMs) }]
  const tokens = first.mode === 'continue' ? first.fromTokens : 0
  return [{ attempt: first.attempt - 1, deployment: '', mode: 'first', spans, tokens, error: null }]
}

type Points = ReadonlyArray<readonly [ms: number, tokens: number]>

/** Its worker is gone, and with it the marks: what a reader has got meanwhile, it has made. */
function seenOf(marks: AttemptMarks, at: (ms: number) => number, seen: Points): AttemptMarks {
  const { error, endedAtMs, leasedAtMs, lastTokenAtMs } = marks
  if (error !== 'worker_lost' || endedAtMs === null) return marks
  const from = seen.findIndex(([ms]) => ms >= at(leasedAtMs))
  // Flat: it came to nothing more
  const grew = seen.filter(([ms, tokens], i) => i >= from && ms <= at(endedAtMs) && tokens > (seen[i - 1]?.[1] ?? 0))
  if (from === -1 || grew.length === 0) return marks
  const wall = (ms: number): number => leasedAtMs + ms - at(leasedAtMs)
  return {
    ...marks,
    firstTokenAtMs: marks.firstTokenAtMs ?? wall(grew[0][0]),
    lastTokenAtMs: Math.max(lastTokenAtMs ?? 0, wall(grew.at(-1)![0])),
  }
}

function attemptSpan(known: AttemptMarks, at: (ms: number) => number, seen: Points): AttemptSpan {
  const marks = seenOf(known, at, seen)
  const { leasedAtMs, calledAtMs, firstTokenAtMs, lastTokenAtMs, connectMs, endedAtMs, stalls } = marks
  const end = endedAtMs === null ? null : at(endedAtMs)
  const leased = at(leasedAtMs)
  const isLost = marks.error === 'worker_lost'
  /** It made some, or may have: where nobody knows when, that is no wait for a provider, nor routing. */
  const isUntold = firstTokenAtMs === null && end !== null && (isLost || marks.tokens > 0)
  const spans: Span[] = []
  const add = (part: Span['part'], fromMs: number, toMs: number | null): void => {
    if (toMs === null || toMs > fromMs) spans.push({ part, fromMs, toMs })
  }
  const first = firstTokenAtMs === null ? end : at(firstTokenAtMs)
  if (calledAtMs === null) add(isUntold || firstTokenAtMs !== null ? 'unknown' : 'routing', leased, first)
  else {
    const connected = at(calledAtMs) + connectMs
    add('routing', leased, at(calledAtMs))
    if (connectMs > 0) add('connect', at(calledAtMs), connected)
    add(isUntold ? 'unknown' : 'upstream', connected, first)
  }
  if (firstTokenAtMs !== null) {
    const last = end === null || lastTokenAtMs == null ? end : Math.min(end, at(lastTokenAtMs))
    let fromMs: number | null = at(firstTokenAtMs)
    for (const stall of stalls) {
      if (fromMs === null) break
      const stallFrom = Math.max(fromMs, at(stall.atMs))
      add('tokens', fromMs, stallFrom)
      const stallTo = stall.ms === null ? end : at(stall.atMs + Math.max(stall.ms, STALL_MS))
      add('pause', stallFrom, stallTo)
      fromMs = stallTo
    }
    if (fromMs !== null) {
      add('tokens', fromMs, last)
      // When its worker died is not known: only when that was noticed
      if (isLost && last !== null) add('unknown', Math.max(fromMs, last), end)
    }
  }
  const { attempt, deployment, mode, tokens, error } = marks
  return { attempt, deployment, mode, spans, tokens, error }
}

const TRANSPORTS: Readonly<Record<string, string>> = { frames: 'WebSocket', socket: 'WebSocket' }

const readerSpan = (reader: ReaderMarks, at: (ms: number) => number): ReaderSpan => ({
  by: TRANSPORTS[reader.dialect] ?? 'SSE',
  fromMs: at(reader.openedAtMs),
  toMs: reader.closedAtMs === null ? null : at(reader.closedAtMs),
  complete: reader.complete,
})

/**
 * Readers' cursors count records, of which nearly each is a token. How many there are is known where somebody has all
 * of them; who was cut has some of them, not all of the tokens.
 */
function tokensPerRecord({ tokens, shown, readers }: Trace): number {
  const records = readers.reduce((most, { seq }) => Math.max(most, seq), shown.last)
  if (records === 0 || tokens === 0) return 0
  return readers.some(({ complete }) => complete) ? tokens / records : Math.min(1, tokens / records)
}

/** Of what a worker made that is gone, the least that is known: what readers had got. */
function storedOf(trace: Trace, seen: Points): Points {
  const stored = trace.stored.pairs()
  if (stored.length === 0 || stored[0][1] < 2) return stored
  const [[fromMs, most]] = stored
  return [...seen.filter(([ms, tokens]) => ms < fromMs && tokens <= most), ...stored]
}

/** No more than what was stored by then: the records of a beginning are no tokens. */
function shownOf(seen: Points, stored: Points): Points {
  let [at, most] = [0, 0]
  return seen.flatMap(([ms, tokens]) => {
    // What is stored between two marks is not known: the later one bounds it
    while (at < stored.length && stored[at][0] <= ms) most = stored[at++][1]
    const bound = at < stored.length && at > 0 ? stored[at][1] : most
    return at === 0 ? [] : [[ms, Math.min(tokens, bound)] as const]
  })
}

/** By readers' cursors. Whoever has everything has all tokens; what is not certain is null. */
function countsOf(trace: Trace): JobTrace['counts'] {
  const { tokens, readers, state } = trace
  const known = readers.flatMap(({ from, seq, complete }) => (from === null ? [] : [{ from, to: seq, complete }]))
  if (readers.length === 0 || known.length < readers.length || !trace.isWhole)
    return { stored: tokens, shown: null, lost: null, shownTwice: null }
  const { shown, lost, twice } = coverageOf(known)
  const scale = tokensPerRecord(trace)
  const hasAll = lost === 0 && readers.some(({ complete }) => complete)
  const inTokens = (records: number): number => Math.round(records * scale)
  return {
    stored: tokens,
    shown: hasAll ? tokens : Math.min(tokens, inTokens(shown)),
    // What somebody may still get is not lost
    lost: isTerminal(state) ? (lost === 0 ? 0 : Math.max(1, inTokens(lost))) : null,
    shownTwice: twice === 0 ? 0 : Math.max(1, inTokens(twice)),
  }
}

type JobFact = JobTrace['facts'][number]

function factsOf(trace: Trace, { stored, nowMs }: Pick<Beside, 'nowMs'> & { readonly stored: Job | null }): JobFact[] {
  const { parts, queuedMs, turnMs, tokens, promptTokens, cachedTokens, nanoUsd, isEstimated, attempts, traceId } = trace
  const facts: JobFact[] = [...timingFacts(firstTokenMs(trace), trace.tpotMs)]
  if (parts !== null) facts.push({ name: 'Upstream', value: msText(parts.upstream), of: 'First token' })
  facts.push(...turnFacts(turnMs))
  if (queuedMs !== null) facts.push({ name: 'In line', value: msText(queuedMs - (turnMs ?? 0)) })
  const pauses = attempts.flatMap(({ stalls }) => stalls.map(({ atMs, ms }) => ms ?? nowMs - atMs))
  if (pauses.length > 0) facts.push({ name: 'Longest pause', value: msText(Math.max(...pauses)) })
  if (promptTokens !== null) {
    const cached = cachedTokens === null ? '' : `, ${cachedTokens} cached`
    facts.push({ name: 'Tokens in', value: `${promptTokens}${cached}` })
  }
  facts.push({ name: 'Tokens out', value: `${tokens}${isEstimated ? ', estimated' : ''}` })
  if (nanoUsd !== null) facts.push({ name: 'Cost', value: moneyText(nanoUsd) })
  if (stored !== null) facts.push(...storedFacts(stored))
  facts.push(...askedBy(trace.keyId, trace.requestId, traceId))
  return facts
}

function askedBy(keyId: string, requestId: string | null | undefined, traceId: string | null): JobFact[] {
  const named = [
    ['Key', keyId],
    ['Request', requestId ?? null],
    ['Trace', traceId],
  ] as const
  return named.flatMap(([name, value]) => (value === null ? [] : [{ name, value }]))
}

function usedFacts({ attempts, usage }: Job): JobFact[] {
  const facts: JobFact[] = attempts === 0 ? [] : [{ name: 'Attempts', value: String(attempts) }]
  if (usage === undefined) return facts
  const { promptTokens, completionTokens, estimated } = usage
  return [
    ...facts,
    { name: 'Tokens in', value: String(promptTokens) },
    { name: 'Tokens out', value: `${completionTokens}${estimated ? ', estimated' : ''}` },
  ]
}

/** From the request's head, as everywhere but in a job's own timing; null: there was none, as of a document. */
function firstTokenMs(of: Partial<Pick<Trace, 'parts' | 'ttftMs' | 'turnMs'>> | Timing | undefined): number | null {
  const { parts = null, ttftMs = null, turnMs = null } = of ?? {}
  if (ttftMs === null) return null
  return parts === null ? ttftMs - (turnMs ?? 0) : ttftOfParts(parts)
}

const turnFacts = (turnMs: number | null): JobFact[] =>
  turnMs === null || turnMs < 1 ? [] : [{ name: 'Own turn after', value: msText(turnMs) }]

function timingFacts(ttftMs: number | null, tpotMs: number | null): JobFact[] {
  const facts: JobFact[] = []
  if (ttftMs !== null) facts.push({ name: 'First token', value: msText(ttftMs) })
  if (tpotMs !== null) facts.push({ name: 'Per token', value: msText(tpotMs) })
  return facts
}

function storedFacts({ options, user, run, cached, redriveOf, parent, after = [], metadata = {} }: Job): JobFact[] {
  const { lane, conversation, pool, priority } = options
  const named: ReadonlyArray<readonly [string, string | undefined]> = [
    ['Conversation', conversation],
    ['Lane', lane],
    ['User', user],
    ['Run', run],
    ['Parent', parent],
    ['After', after.length === 0 ? undefined : listed(after)],
    ['Pool', pool],
    ['Priority', priority === 'normal' ? undefined : priority],
    ['Shared answer', cached],
    ['Repeats', redriveOf],
    ...Object.entries(metadata).map(([name, value]) => [`Metadata ${name}`, value] as const),
  ]
  return named.flatMap(([name, value]) => (value === undefined ? [] : [{ name, value: value.slice(0, 200) }]))
}

const MOST_LISTED = 5
const listed = (ids: readonly string[]): string =>
  ids.slice(0, MOST_LISTED).join(', ') + (ids.length > MOST_LISTED ? ` and ${ids.length - MOST_LISTED} more` : '')

export function msText(ms: number): string {
  if (ms < 100) return `${Math.round(ms * 10) / 10} ms`
  if (ms < 1_000) return `${Math.round(ms)} ms`
  if (ms < 120_000) return `${(ms / 1_000).toFixed(ms < 10_000 ? 2 : 1)} s`
  return `${Math.round(ms / 60_000)} min`
}
