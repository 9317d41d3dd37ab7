/**
 * How often the verdict is wrong, in virtual time: a system compared with itself, and with one whose prefill takes 20 %
 * longer, by `bench compare` and by the test on single requests that one would think of first.
 *
 *   node test/bench/statistics.ts [--trials 200]
 */
import { parseArgs } from 'node:util'
import { compareRuns } from '../../src/bench/compare.ts'
import { type MeasuredRun, ttftOfRecord } from '../../src/bench/effects.ts'
import { mannWhitneyP } from '../../src/bench/statistics.ts'
import { SYSTEM, type System, simulate } from './simulated.ts'

const SLOWER: System = { ...SYSTEM, prefillMs: SYSTEM.prefillMs * 1.2 }

export interface Rates {
  readonly load: number
  /** Same system: any headline figure was called changed; TTFT was, by single requests. */
  readonly falseAlarms: number
  readonly naiveFalseAlarms: number
  /** Prefill + 20 %: TTFT was called worse. */
  readonly found: number
  readonly naiveFound: number
}

const compared = (before: MeasuredRun, after: MeasuredRun): ReturnType<typeof compareRuns> =>
  compareRuns(before, after, { margin: 0.05, across: new Set(), atMs: 0 })

const ttfts = ({ records }: MeasuredRun): number[] =>
  records.filter(({ phase }) => phase === 'round').flatMap((record) => ttftOfRecord(record) ?? [])

export function errorRates(load: number, trials: number): Rates {
  let falseAlarms = 0
  let naiveFalseAlarms = 0
  let found = 0
  let naiveFound = 0
  for (let trial = 0; trial < trials; trial++) {
    const paired = { seed: trial + 1, load, rounds: 8, requests: 100, loadOf: SYSTEM }
    const before = simulate({ ...paired, noiseSeed: 3 * trial, system: SYSTEM })
    const same = simulate({ ...paired, noiseSeed: 3 * trial + 1, system: SYSTEM })
    const slower = simulate({ ...paired, noiseSeed: 3 * trial + 2, system: SLOWER })
    if (compared(before, same).effects.some((effect) => effect.adjustedP !== null && isChange(effect))) falseAlarms++
    if (compared(before, slower).effects.some(({ metric, outcome }) => metric === 'ttft-mean' && outcome === 'worse'))
      found++
    // One long round each, at other times: as two runs of a benchmark that has no rounds
    const long = { load, rounds: 1, requests: 500, loadOf: SYSTEM }
    const one = simulate({ ...long, seed: 10_000 + 3 * trial, noiseSeed: 3 * trial, system: SYSTEM })
    const two = simulate({ ...long, seed: 10_001 + 3 * trial, noiseSeed: 3 * trial + 1, system: SYSTEM })
    const three = simulate({ ...long, seed: 10_002 + 3 * trial, noiseSeed: 3 * trial + 2, system: SLOWER })
    if (mannWhitneyP(ttfts(one), ttfts(two)) <= 0.05) naiveFalseAlarms++
    if (mannWhitneyP(ttfts(one), ttfts(three)) <= 0.05) naiveFound++
  }
  const share = (count: number): number => count / trials
  return {
    load,
    falseAlarms: share(falseAlarms),
    naiveFalseAlarms: share(naiveFalseAlarms),
    found: share(found),
    naiveFound: share(naiveFound),
  }
}

const isChange = ({ outcome }: { readonly outcome: string }): boolean => outcome === 'worse' || outcome === 'better'

if (import.meta.main) {
  const { values } = parseArgs({ options: { trials: { type: 'string', default: '200' } } })
  const trials = Number(values.trials)
  const percent = (share: number): string => `${(share * 100).toFixed(1)} %`
  console.log(`${trials} trials; 8 rounds of 100 requests, 16 slots; by single requests: 500 of them, Mann-Whitney\n`)
  console.log(
    '| load | same system, called changed | by single requests | + 20 % prefill, found | by single requests |',
  )
  console.log('| --- | --- | --- | --- | --- |')
  for (const load of [0.3, 0.7, 0.9]) {
    const { falseAlarms, naiveFalseAlarms, found, naiveFound } = errorRates(load, trials)
    const cells = [load, falseAlarms, naiveFalseAlarms, found, naiveFound].map(percent)
    console.log(`| ${cells.join(' | ')} |`)
  }
}
