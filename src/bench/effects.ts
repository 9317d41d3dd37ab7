/** The headline figures of two runs, round by round, and what became of each. Quantiles come from the records. */
import type { Effect, EffectMetric, EffectUnit, Method } from '../core/comparison.ts'
import { e2eOf, msPerCharOf, tpotOf, ttftOf } from '../core/measure.ts'
import { ascending, mean, quantile } from './quantile.ts'
import { type BenchRecord, marksOf } from './record.ts'
import type { BenchRun } from './run.ts'
import { canPair, holm, type Levels, pairedShift, type Shift, unpairedShift } from './statistics.ts'
import { carriedOf } from './throughput.ts'

export interface MeasuredRun {
  readonly run: BenchRun
  readonly records: readonly BenchRecord[]
}

export const ALPHA = 0.05
/** A change of the share of errors counts from half a point on: a share near 0 has no 5 %. */
const ERRORS_BAND = 0.005

interface Figure {
  readonly metric: EffectMetric
  readonly name: string
  readonly unit: EffectUnit
  readonly better: 'less' | 'more'
  /** Of a round's records; null: there is none. */
  readonly of: (records: readonly BenchRecord[]) => number | null
}

const good = (records: readonly BenchRecord[]): readonly BenchRecord[] =>
  records.filter(({ outcome }) => outcome === 'ok')

const valuesOf = (records: readonly BenchRecord[], value: (record: BenchRecord) => number | null): number[] =>
  good(records)
    .map(value)
    .filter((found) => found !== null)

const quantileBy =
  (value: (record: BenchRecord) => number | null, q: number) =>
  (records: readonly BenchRecord[]): number | null =>
    quantile(ascending(valuesOf(records, value)), q)

export const ttftOfRecord = (record: BenchRecord): number | null => ttftOf(marksOf(record))
export const tpotOfRecord = (record: BenchRecord): number | null => tpotOf(marksOf(record))
const perCharOf = (record: BenchRecord): number | null =>
  msPerCharOf(marksOf(record), record.chars, record.firstChunkChars)
const e2eOfRecord = (record: BenchRecord): number | null => e2eOf(marksOf(record))

const ms = { unit: 'ms', better: 'less' } as const
const TPOT: Figure = {
  metric: 'tpot-p50',
  name: 'TPOT, p50',
  unit: 'ms/token',
  better: 'less',
  of: quantileBy(tpotOfRecord, 0.5),
}
const PER_CHAR: Figure = {
  metric: 'ms-per-char',
  name: 'Per character, p50',
  unit: 'ms/char',
  better: 'less',
  of: quantileBy(perCharOf, 0.5),
}

/** A rate that is sent is no finding: only what is asked again as soon as it is answered shows what is carried. */
const throughput = (isOpen: boolean): Figure => ({
  metric: 'tokens-per-second',
  name: isOpen ? 'Tokens a second, as offered' : 'Tokens a second',
  unit: 'tokens/s',
  better: 'more',
  of: (records) => {
    const { tokens, ms } = carriedOf(records, isOpen)
    return ms > 0 ? (tokens * 1_000) / ms : null
  },
})

/** Those that decide; the more there are, the harder it is for each. */
const headline = (pace: Figure, isOpen: boolean): readonly Figure[] => [
  { metric: 'ttft-mean', name: 'TTFT, mean', ...ms, of: (records) => mean(valuesOf(records, ttftOfRecord)) },
  { metric: 'ttft-p95', name: 'TTFT, p95', ...ms, of: quantileBy(ttftOfRecord, 0.95) },
  pace,
  { metric: 'e2e-p95', name: 'End to end, p95', ...ms, of: quantileBy(e2eOfRecord, 0.95) },
  {
    metric: 'errors',
    name: 'Errors',
    unit: 'share',
    better: 'less',
    of: (records) => (records.length === 0 ? null : 1 - good(records).length / records.length),
  },
  ...(isOpen ? [] : [throughput(isOpen)]),
]

/** Shown beside them. */
const further = (pace: Figure, isOpen: boolean): readonly Figure[] => [
  { metric: 'ttft-p50', name: 'TTFT, p50', ...ms, of: quantileBy(ttftOfRecord, 0.5) },
  { metric: 'ttft-p99', name: 'TTFT, p99', ...ms, of: quantileBy(ttftOfRecord, 0.99) },
  pace,
  ...(isOpen ? [throughput(isOpen)] : []),
]

export interface EffectOptions {
  /** 0.05: within 5 % of before is no change. */
  readonly margin: number
  /** Their tokens are not the same: paces are compared by characters. */
  readonly acrossTokenizers: boolean
}

export interface Effects {
  readonly method: Method
  readonly effects: readonly Effect[]
}

/** `unpaired`: why rounds are no pairs; null: they are. */
export function effectsOf(
  before: MeasuredRun,
  after: MeasuredRun,
  unpaired: string | null,
  options: EffectOptions,
): Effects {
  const [pace, otherPace] = options.acrossTokenizers ? [PER_CHAR, TPOT] : [TPOT, PER_CHAR]
  const rounds = { before: roundsOf(before.records), after: roundsOf(after.records) }
  const measure = (figure: Figure): Measured | null => measured(figure, rounds)
  const isOpen = before.run.options.load.kind === 'open'
  const deciding = headline(pace, isOpen).flatMap((figure) => measure(figure) ?? [])
  const beside = further(otherPace, isOpen).flatMap((figure) => measure(figure) ?? [])

  const levels: Levels = { alpha: ALPHA, lone: ALPHA / Math.max(1, deciding.length) }
  const pairs = Math.min(rounds.before.length, rounds.after.length)
  const note = unpaired ?? whyUnpaired(rounds.before.length, rounds.after.length, levels.lone)
  const shiftOf = ({ values }: Measured): Shift =>
    (note === null ? pairedShift : unpairedShift)(values.before, values.after, levels)

  const shifts = deciding.map(shiftOf)
  const adjusted = holm(shifts.map(({ p }) => p))
  return {
    method: {
      test: note === null ? 'paired' : 'unpaired',
      rounds: pairs,
      requestsPerRound: Math.round(Math.min(...[before, after].map(({ records }) => inRounds(records).length)) / pairs),
      note,
      margin: options.margin,
      confidence: 1 - ALPHA,
    },
    effects: [
      ...deciding.map((found, i) => effect(found, shifts[i], adjusted[i], options.margin)),
      ...beside.map((found) => effect(found, shiftOf(found), null, options.margin)),
    ],
  }
}

const whyUnpaired = (before: number, after: number, lone: number): string | null => {
  if (before !== after) return `${before} and ${after} rounds`
  if (canPair(before, lone)) return null
  return `${before} rounds are too few for pairs: none of the figures could be called changed`
}

const inRounds = (records: readonly BenchRecord[]): readonly BenchRecord[] =>
  records.filter(({ phase }) => phase === 'round')

/** In the order of the rounds. */
function roundsOf(records: readonly BenchRecord[]): ReadonlyArray<readonly BenchRecord[]> {
  const rounds = new Map<number, BenchRecord[]>()
  for (const record of inRounds(records)) {
    const round = rounds.get(record.round)
    if (round === undefined) rounds.set(record.round, [record])
    else round.push(record)
  }
  return [...rounds].sort(([a], [b]) => a - b).map(([, round]) => round)
}

interface Sides<T> {
  readonly before: T
  readonly after: T
}

interface Measured {
  readonly figure: Figure
  readonly values: Sides<readonly number[]>
}

/** Null where a round of either has no such figure: answers that do not stream have no TTFT. */
function measured(figure: Figure, rounds: Sides<ReadonlyArray<readonly BenchRecord[]>>): Measured | null {
  const before = rounds.before.map(figure.of)
  const after = rounds.after.map(figure.of)
  const all = [...before, ...after]
  if (before.length === 0 || after.length === 0 || all.some((value) => value === null)) return null
  return { figure, values: { before: before as number[], after: after as number[] } }
}

function effect({ figure, values }: Measured, found: Shift, adjustedP: number | null, margin: number): Effect {
  const { metric, name, unit, better } = figure
  const before = centerOf(values.before)
  const band = unit === 'share' ? ERRORS_BAND : Math.abs(before) * margin
  return {
    metric,
    name,
    unit,
    better,
    before,
    after: centerOf(values.after),
    ...found,
    band,
    adjustedP,
    outcome: outcomeOf(found, adjustedP ?? found.p, band, better),
    rounds: values,
  }
}

/** A shift that is sure to be small is no change, however sure it is that there is one. */
function outcomeOf({ shift, low, high }: Shift, p: number, band: number, better: 'less' | 'more'): Effect['outcome'] {
  if (low !== null && high !== null && low >= -band && high <= band) return 'no-change'
  if (p > ALPHA) return 'cant-tell'
  return shift > 0 === (better === 'more') ? 'better' : 'worse'
}

const centerOf = (values: readonly number[]): number => quantile(ascending(values), 0.5)!
