/** A system compared with itself: what it finds is noise. */
import type { Comparison, Effect } from '../core/comparison.ts'
import { consoleLines } from './compare-text.ts'
import { ALPHA, type MeasuredRun } from './effects.ts'
import { canPair, deviationOf, findableShift } from './statistics.ts'
import { percentText, valueText } from './words.ts'

/** The even rounds of a run and its odd ones, as two runs: other prompts, so they are no pairs. */
export function splitRounds(measured: MeasuredRun): readonly [MeasuredRun, MeasuredRun] {
  const half = (rest: 0 | 1, label: string): MeasuredRun => ({
    run: {
      ...measured.run,
      label,
      // Rounds of one seed are pairs, and these are none
      options: { ...measured.run.options, seed: measured.run.options.seed + rest },
      rounds: measured.run.rounds.filter(({ round }) => round % 2 === rest),
    },
    records: measured.records.filter(({ phase, round }) => phase === 'idle' || round % 2 === rest),
  })
  return [half(0, 'even rounds'), half(1, 'odd rounds')]
}

export function noiseLines(comparison: Comparison): string[] {
  if (comparison.verdict === 'not-comparable') return consoleLines(comparison)
  const deciding = comparison.effects.filter(({ adjustedP }) => adjustedP !== null)
  const alarms = deciding.filter(({ outcome }) => outcome === 'worse' || outcome === 'better')
  const { test, rounds, requestsPerRound } = comparison.method
  const found =
    alarms.length === 0
      ? 'The system is the same as itself: no figure was called changed.'
      : `FALSE ALARM: ${alarms.map(({ name }) => name).join('; ')} was called changed, though nothing was.`
  return [
    found,
    `${rounds} ${test} rounds of ${requestsPerRound} requests. Between two such runs a difference is found from:`,
    '',
    ...deciding.map((effect) => {
      const { name, unit, before } = effect
      const detectable = test === 'paired' ? effect.detectable : byAllRounds(effect, ALPHA / deciding.length)
      if (detectable === null) return `  ${name}: none, there are too few rounds`
      const share = before === 0 || unit === 'share' ? '' : ` (${percentText(detectable / before)})`
      return `  ${name}: ${valueText(detectable, unit)}${share}`
    }),
    ...(alarms.length === 0
      ? []
      : ['', 'Something else changed between the rounds: another load, a cache, a neighbor.']),
  ]
}

/** Of a run whose rounds were dealt to two: what two such runs would show, had they no prompts in common. */
function byAllRounds({ rounds }: Effect, lone: number): number | null {
  const all = [...rounds.before, ...rounds.after]
  return canPair(all.length, lone) ? findableShift(all.length, lone) * Math.SQRT2 * deviationOf(all) : null
}
