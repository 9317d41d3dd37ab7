/** `npm run sim:limits`: rules of admission beside each other, on the same requests. */
import { rules } from './rules.ts'
import { arrivals, longBurst, type Result, simulate } from './world.ts'

const SEEDS = [1, 2, 3, 4, 5]
const SETTINGS = [
  { perMinute: 200_000, load: 1.5 },
  { perMinute: 20_000, load: 1.5 },
  { perMinute: 200_000, load: 3 },
] as const

const mean = (results: readonly Result[]): Result => {
  const of = (key: keyof Result): number => results.reduce((sum, result) => sum + result[key], 0) / results.length
  return {
    utilisation: of('utilisation'),
    peak: Math.max(...results.map(({ peak }) => peak)),
    admitted: of('admitted'),
    falselyRefused: of('falselyRefused'),
    bigServed: of('bigServed'),
  }
}

/** By rule: of each setting, then of the burst of long answers. */
export function compare(hours = 2, seeds: readonly number[] = SEEDS) {
  return rules(1).map((_, at) => ({
    name: rules(1)[at]!.name,
    of: SETTINGS.map(({ perMinute, load }) =>
      mean(seeds.map((seed) => simulate(rules(perMinute)[at]!, arrivals(seed, perMinute, load, hours), perMinute))),
    ),
    burst: mean(seeds.map((seed) => simulate(rules(200_000)[at]!, longBurst(seed), 200_000))).peak,
  }))
}

const percent = (share: number): string => `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`

if (import.meta.main) {
  const titles = SETTINGS.map(({ perMinute, load }) => `${perMinute / 1_000}k tokens a minute, load ${load}`)
  console.log(`| rule | ${titles.join(' | ')} | 200 long answers at once: peak |`)
  console.log(`| --- | ${titles.map(() => '---').join(' | ')} | --- |`)
  console.log(`| | ${titles.map(() => 'used · peak · admitted · falsely refused · big served').join(' | ')} | |`)
  for (const { name, of, burst } of compare()) {
    const cells = of.map(({ utilisation, peak, admitted, falselyRefused, bigServed }) =>
      [utilisation.toFixed(2), peak.toFixed(2), ...[admitted, falselyRefused, bigServed].map(percent)].join(' · '),
    )
    console.log(`| ${name} | ${cells.join(' | ')} | ${burst.toFixed(2)} |`)
  }
}
