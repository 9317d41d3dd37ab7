/** Two runs of the benchmark, compared: first whether they may be, then whether there is a difference, then why. */
import type { ComparedRun, Comparison, Effect, Verdict } from '../core/comparison.ts'
import { attributionsOf } from './attribution.ts'
import { causeOf, isPace } from './cause.ts'
import { effectsOf, type MeasuredRun } from './effects.ts'
import { describeLoad, gateOf, type MayDiffer } from './gate.ts'
import { percentText, shiftText, valueText } from './words.ts'

export interface CompareOptions {
  /** 0.05 */
  readonly margin: number
  readonly across: ReadonlySet<MayDiffer>
  /** Wall clock. */
  readonly atMs: number
}

export function compareRuns(before: MeasuredRun, after: MeasuredRun, options: CompareOptions): Comparison {
  const gate = gateOf(before, after, options.across)
  const { method, effects } = effectsOf(before, after, gate.unpaired, {
    margin: options.margin,
    acrossTokenizers: gate.acrossTokenizers,
  })
  const base = {
    kind: 'comparison',
    v: 1,
    atMs: options.atMs,
    before: comparedRun(before),
    after: comparedRun(after),
    method,
    checks: gate.checks,
  } as const
  if (!gate.isComparable) {
    const reasons = gate.checks.filter(({ state }) => state === 'differs')
    return {
      ...base,
      verdict: 'not-comparable',
      sentence: `These runs can’t be compared. ${reasons.map(({ title, text }) => `${title}: ${text}`).join('; ')}.`,
      details: [],
      effects: [],
      attributions: [],
      cause: null,
      next: null,
    }
  }
  const deciding = effects.filter(({ adjustedP }) => adjustedP !== null)
  const attributions = attributionsOf(before, after)
  const changed = byWeight(deciding.filter(isChanged))
  const { short, cause, next } = causeOf(changed, attributions, before, after)
  return {
    ...base,
    verdict: verdictOf(deciding),
    sentence: [headline(deciding, changed), short].filter((text) => text !== null).join(' '),
    details: detailsOf(deciding, method),
    effects,
    attributions,
    cause,
    next,
  }
}

const isChanged = ({ outcome }: Effect): boolean => outcome === 'worse' || outcome === 'better'

function comparedRun({ run, records }: MeasuredRun): ComparedRun {
  const inRounds = records.filter(({ phase }) => phase === 'round')
  return {
    label: run.label,
    startedAtMs: run.startedAtMs,
    target: run.options.target,
    model: run.options.model,
    load: describeLoad(run),
    rounds: new Set(inRounds.map(({ round }) => round)).size,
    requests: inRounds.length,
  }
}

export function verdictOf(deciding: readonly Effect[]): Verdict {
  const has = (outcome: Effect['outcome']): boolean => deciding.some((effect) => effect.outcome === outcome)
  if (has('worse')) return has('better') ? 'mixed' : 'worse'
  if (has('better')) return 'better'
  return has('cant-tell') || deciding.length === 0 ? 'cant-tell' : 'no-change'
}

/** What users feel first: errors, TTFT, pace; what follows from those, last. */
const ORDER: readonly Effect['metric'][] = ['errors', 'ttft-mean', 'ttft-p95', 'tpot-p50', 'ms-per-char']

const byWeight = (effects: readonly Effect[]): Effect[] => [...effects].sort((a, b) => weightOf(a) - weightOf(b))

function weightOf({ metric, outcome }: Effect): number {
  const place = ORDER.indexOf(metric)
  return (outcome === 'worse' ? 0 : ORDER.length + 1) + (place < 0 ? ORDER.length : place)
}

const SUBJECT: Readonly<Partial<Record<Effect['metric'], string>>> = {
  'ttft-mean': 'Time to first token',
  'ttft-p95': 'Time to first token at p95',
  'tpot-p50': 'Time per output token',
  'ms-per-char': 'Time per character',
  'e2e-p95': 'End to end at p95',
  'tokens-per-second': 'Throughput',
  errors: 'The share of errors',
}

function headline(deciding: readonly Effect[], changed: readonly Effect[]): string {
  const [first] = changed
  if (first !== undefined) {
    const size = valueText(Math.abs(first.shift), first.unit)
    const relative = isPace(first) && first.before > 0 ? ` (${shiftText(first.shift / first.before, 'share')})` : ''
    const contrary = changed.find(({ outcome }) => outcome !== first.outcome)
    const but = contrary === undefined ? '' : `, but ${lower(SUBJECT[contrary.metric]!)} is ${contrary.outcome}`
    return `${SUBJECT[first.metric]} is ${first.outcome} by ${size}${relative}${but}.`
  }
  if (deciding.length === 0) return 'There is nothing to compare: no figure is in both runs.'
  const unsure = deciding.filter(({ outcome }) => outcome === 'cant-tell')
  if (unsure.length === 0) return 'Nothing changed.'
  return `Can’t tell: ${unsure.map(({ name }) => name).join('; ')} ${unsure.length === 1 ? 'varies' : 'vary'} too much.`
}

const lower = (text: string): string => text[0].toLowerCase() + text.slice(1)

function detailsOf(deciding: readonly Effect[], method: Comparison['method']): string[] {
  const { test, rounds, requestsPerRound, note, margin } = method
  const how =
    test === 'paired'
      ? `${rounds} paired rounds of ${requestsPerRound} requests, same prompts and arrivals.`
      : `${rounds} unpaired rounds of ${requestsPerRound} requests (${note}): only larger differences can be seen.`
  const steady = deciding.filter(({ outcome }) => outcome === 'no-change')
  const seen = steady.map(({ name, unit, detectable }) =>
    detectable === null || detectable === 0 ? name : `${name} (${valueText(detectable, unit)} would have been seen)`,
  )
  return [how, ...(seen.length === 0 ? [] : [`Unchanged, within ${percentText(margin)}: ${seen.join(', ')}.`])]
}
