/** A run in five lines: validity first, then what it found. */
import { figure, milliseconds, percent, whole } from './format.ts'
import type { BenchRecord } from './record.ts'
import type { BenchRun, Load, ValidityCheck } from './run.ts'
import { isMet, isOk, type Spread, type Summary, spreadOf, summarize, termValue, tpot, ttft } from './summary.ts'
import { throughputOf } from './throughput.ts'

export interface Findings {
  readonly run: BenchRun
  readonly rounds: readonly BenchRecord[]
  readonly idle: readonly BenchRecord[]
  readonly summary: Summary
}

export function findingsOf(run: BenchRun, records: readonly BenchRecord[]): Findings {
  const rounds = records.filter(({ phase }) => phase === 'round')
  const tookMs = run.rounds.reduce((sum, round) => sum + round.tookMs, 0)
  return {
    run,
    rounds,
    idle: records.filter(({ phase }) => phase === 'idle'),
    summary: { ...summarize(rounds, tookMs, run.options.slo), ...throughputOf(rounds, isOpenIn(run)) },
  }
}

/** Was the round of this number sent at a rate? A sweep has steps of both kinds. */
export const isOpenIn =
  (run: BenchRun) =>
  (round: number): boolean =>
    run.rounds.find((each) => each.round === round)?.concurrency === null && run.options.load.kind !== 'closed'

export function loadText(load: Load): string {
  if (load.kind === 'sweep') return 'sweep'
  if (load.kind === 'closed') return `${load.concurrency} at once`
  const { arrivals, rate } = load
  if (arrivals.kind === 'trace') return `as the trace${arrivals.speed === 1 ? '' : `, ${arrivals.speed} times as fast`}`
  return `${figure(rate)} req/s ${arrivals.kind}${arrivals.kind === 'gamma' ? ` ${arrivals.shape}` : ''}`
}

/** "valid (client lag p99 2 ms, floor 0.8 ms)", "INVALID: client lag …" */
export function verdictOf(run: BenchRun): string {
  const failed = run.validity.checks.filter(({ isMet, decides }) => !isMet && decides)
  if (run.brokenOff !== null) return `BROKEN OFF: ${run.brokenOff}`
  if (failed.length > 0) return `INVALID: ${failed.map(({ text }) => text).join('; ')}`
  const lag = run.rounds.reduce((most, round) => Math.max(most, round.lagP99Ms), 0)
  const floor = run.client === null ? '' : `, floor ${milliseconds(run.client.ttftP50Ms)}`
  return run.importedFrom === null
    ? `valid (client lag p99 ${milliseconds(lag)}${floor})`
    : `imported from ${run.importedFrom}: its validity is not known`
}

/** What a list tells of a run: whether it counts, what it missed, its TTFT. */
export function sentenceOf({ run, rounds, summary }: Findings): string {
  const doesCount = run.validity.isValid && run.brokenOff === null
  const missed = run.options.slo.filter((term) => isMet(term, rounds, summary) === false).map(({ text }) => text)
  const { p50, p95 } = summary.ttft
  return [
    ...(doesCount ? [] : [`${verdictOf(run)}.`]),
    ...(missed.length === 0 ? [] : [`Missed: ${missed.join(', ')}.`]),
    ...(p50 === null ? [] : [`TTFT p50 ${milliseconds(p50)}, p95 ${milliseconds(p95)}.`]),
  ].join(' ')
}

/** What spoils a run from the client's side has one remedy; null: it was something else, or nothing. */
export function adviceOf({ validity }: BenchRun): string | null {
  const isClient = validity.checks.some(({ name, isMet, decides }) => decides && !isMet && CLIENTS.includes(name))
  return isClient
    ? 'what to do: run the client on another machine, stop what else runs on this one, or ask for a lower rate'
    : null
}
const CLIENTS = ['lag', 'cpu', 'rate']

export const remarksOf = (run: BenchRun): ValidityCheck[] =>
  run.validity.checks.filter(({ isMet, decides }) => !isMet && !decides)

/** What the mean TTFT was made of; null: the server does not tell. */
export function makeupText({ makeup }: Summary): string | null {
  if (makeup === null) return null
  const name = { queue: 'queue', connect: 'connect', gateway: 'gateway', prefill: 'prefill', network: 'net' } as const
  return Object.entries(makeup)
    .map(([part, ms]) => `${name[part as keyof typeof name]} ${milliseconds(ms)}`)
    .join(' | ')
}

const CELL = 9

export function consoleText({ run, rounds, idle, summary }: Findings): string[] {
  const { options } = run
  const advice = adviceOf(run)
  const head = `${options.label}  ${options.workload}  ${loadText(options.load)}`
  const count = run.rounds.length
  const each = count === 0 ? 0 : Math.round(rounds.length / count)
  const alone = { ttft: spreadOf(idle.filter(isOk).map(ttft)), tpot: spreadOf(idle.filter(isOk).map(tpot)) }
  const row = (name: string, spread: Spread, floor: number | null, more: string): string => {
    const cells = [spread.p50, spread.p95, spread.p99, floor].map((ms) => milliseconds(ms).padStart(CELL))
    return ` ${name.padEnd(6)}${cells.join('')}    ${more}`.trimEnd()
  }
  const estimated = summary.estimatedShare > 0 ? '~' : ''
  const bundled = `${estimated}${figure(summary.tokensAChunk)} tok/chunk`
  const pace = `${estimated}${figure(summary.msPerChar.p50)} ms/char, ${bundled}`
  const shares = [
    ...(summary.goodput === null ? [] : [`goodput ${percent(summary.goodput)}`]),
    `errors ${percent(summary.errorShare)}`,
    `${figure(summary.requestsPerSecond)} req/s`,
    `${estimated}${whole(summary.tokensPerSecond)} tok/s`,
  ]
  return [
    ` ${head}  ${count} round${count === 1 ? '' : 's'} x ${each}   ${verdictOf(run)}`,
    ` ${' '.repeat(6)}${['p50', 'p95', 'p99', 'idle'].map((name) => name.padStart(CELL)).join('')}    made of (mean)`,
    row('TTFT', summary.ttft, alone.ttft.p50, makeupText(summary) ?? 'the server does not tell (no server-timing)'),
    row('TPOT', summary.tpot, alone.tpot.p50, pace),
    row('E2E', summary.e2e, null, shares.join('   ')),
    ...firstOutput(summary, row),
    ...fromSchedule(summary, row),
    ...sloLines(options.slo, rounds, summary),
    ...(run.saturation === null ? [] : [` saturated at ${figure(run.saturation.rate)} req/s: ${run.saturation.why}`]),
    ...sweepLines(run, rounds),
    ...(run.costUsd === null ? [] : [` cost $${run.costUsd.toFixed(run.costUsd < 1 ? 4 : 2)}`]),
    ...remarksOf(run).map(({ text }) => ` note: ${text}`),
    ...(advice === null ? [] : [` ${advice}`]),
  ]
}

type Row = (name: string, spread: Spread, floor: number | null, more: string) => string

/** Only where there is reasoning. */
const firstOutput = ({ ttfo, ttft: first }: Summary, row: Row): string[] =>
  ttfo.p50 === null || first.p50 === null || ttfo.p50 - first.p50 < 1
    ? []
    : [row('TTFO', ttfo, null, 'first visible output, after the reasoning')]

/** Only where the client was late: then it is what users would have seen. */
const fromSchedule = ({ ttftFromSchedule, ttft: first }: Summary, row: Row): string[] =>
  ttftFromSchedule.p99 === null || ttftFromSchedule.p99 - first.p99! < LATE_MS
    ? []
    : [row('TTFT*', ttftFromSchedule, null, '* from when it was due')]
const LATE_MS = 5

function sloLines(slo: BenchRun['options']['slo'], rounds: readonly BenchRecord[], summary: Summary): string[] {
  return slo.map((term) => {
    const value = termValue(term, rounds, summary)
    const isShare = term.metric === 'error' || term.metric === 'goodput'
    const met = isMet(term, rounds, summary)
    const verdict = met === null ? 'not known' : met ? 'met' : 'MISSED'
    return ` goal ${term.text}: ${verdict} (${isShare ? percent(value) : milliseconds(value)})`
  })
}

function sweepLines(run: BenchRun, records: readonly BenchRecord[]): string[] {
  if (run.options.load.kind !== 'sweep') return []
  return run.rounds.map((round) => {
    const ofRound = records.filter((record) => record.round === round.round)
    const own = { ...summarize(ofRound, round.tookMs, []), ...throughputOf(ofRound, isOpenIn(run)) }
    const load = round.rate === null ? `${round.concurrency} at once` : `${figure(round.rate)} req/s`
    return [
      `   ${load.padEnd(14)}`,
      `TTFT p50 ${milliseconds(own.ttft.p50)} p95 ${milliseconds(own.ttft.p95)}`.padEnd(36),
      `TPOT p50 ${milliseconds(own.tpot.p50)}`.padEnd(20),
      `${figure(own.requestsPerSecond)} req/s  ${whole(own.tokensPerSecond)} tok/s`,
    ].join('')
  })
}
