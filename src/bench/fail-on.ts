/** What a comparison means for a build: its exit code. */
import type { Comparison } from '../core/comparison.ts'
import { e2eOf } from '../core/measure.ts'
import { type MeasuredRun, tpotOfRecord, ttftOfRecord } from './effects.ts'
import { ascending, quantile } from './quantile.ts'
import { type BenchRecord, marksOf } from './record.ts'
import type { SloTerm } from './slo.ts'

/** `regress`: a headline figure is worse. `any`: one changed. Else these conditions hold of the second run. */
export type FailOn = 'regress' | 'any' | readonly SloTerm[]

export const COMPARE_EXIT = { fine: 0, regressed: 1, notComparable: 3, inconclusive: 4 } as const

export interface Judged {
  readonly code: (typeof COMPARE_EXIT)[keyof typeof COMPARE_EXIT]
  /** Conditions that the second run broke, with what it had. */
  readonly broken: readonly string[]
}

/** `isStrict`: what can't be told is no pass. */
export function judge(comparison: Comparison, after: MeasuredRun, failOn: FailOn, isStrict: boolean): Judged {
  const { verdict, effects } = comparison
  if (verdict === 'not-comparable') return { code: COMPARE_EXIT.notComparable, broken: [] }
  const deciding = effects.filter(({ adjustedP }) => adjustedP !== null)
  const has = (outcome: string): boolean => deciding.some((effect) => effect.outcome === outcome)
  const broken = typeof failOn === 'string' ? [] : failOn.flatMap((term) => brokenBy(term, after) ?? [])
  const fails =
    failOn === 'regress' ? has('worse') : failOn === 'any' ? has('worse') || has('better') : broken.length > 0
  if (fails) return { code: COMPARE_EXIT.regressed, broken }
  return { code: isStrict && (has('cant-tell') || deciding.length === 0) ? COMPARE_EXIT.inconclusive : 0, broken }
}

const VALUES: Readonly<Partial<Record<SloTerm['metric'], (record: BenchRecord) => number | null>>> = {
  ttft: ttftOfRecord,
  tpot: tpotOfRecord,
  e2e: (record) => e2eOf(marksOf(record)),
}

/** Null: it holds. A condition without a quantile is of each request. A value that there is not does not hold. */
function brokenBy(term: SloTerm, { records }: MeasuredRun): string | null {
  const value = measuredBy(
    term,
    records.filter(({ phase }) => phase === 'round'),
  )
  if (value !== null && (term.is === '<' ? value < term.limit : value > term.limit)) return null
  return `${term.text} (${value === null ? 'not measured' : Number(value.toPrecision(3))})`
}

function measuredBy({ metric, quantile: q, is }: SloTerm, records: readonly BenchRecord[]): number | null {
  if (records.length === 0) return null
  const ok = records.filter(({ outcome }) => outcome === 'ok')
  const of = VALUES[metric]
  if (of === undefined) {
    const share = ok.length / records.length
    return metric === 'error' ? 1 - share : share
  }
  return quantile(ascending(ok.map(of)), q ?? (is === '<' ? 1 : 0))
}
