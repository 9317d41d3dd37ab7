/** Where effects stand on their common axis: as parts of what was before, by the band that counts as no change. */
import type { Effect, Part } from '../../../../src/core/comparison.ts'
import { count, duration, percent } from '../../format.ts'

export interface Scale {
  readonly min: number
  readonly max: number
  readonly ticks: readonly number[]
}

/** A shift in units of what was before: 0.05 is where the band of 5 % ends. */
export const relative = ({ band }: Pick<Effect, 'band'>, shift: number, margin: number): number =>
  band > 0 ? (shift / band) * margin : 0

const STEPS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100]
const MOST_TICKS = 4

export function scaleOf(effects: readonly Effect[], margin: number): Scale {
  const ends = effects.flatMap((effect) =>
    [effect.shift, effect.low, effect.high].flatMap((at) => (at === null ? [] : [relative(effect, at, margin)])),
  )
  const min = Math.min(-2 * margin, ...ends)
  const max = Math.max(2 * margin, ...ends)
  const step = STEPS.find((one) => (max - min) / one <= MOST_TICKS + 1) ?? (max - min) / MOST_TICKS
  const ticks = []
  for (let at = Math.ceil(min / step); at * step <= max; at++) if (at !== 0) ticks.push(at * step)
  const air = (max - min) * 0.04
  return { min: min - air, max: max + air, ticks }
}

/** 0 to 1, from the left end. */
export const placeOf = (at: number, { min, max }: Scale): number => Math.min(1, Math.max(0, (at - min) / (max - min)))

export function amountOf(value: number, unit: Effect['unit']): string {
  if (unit === 'share') return percent(value)
  if (unit === 'tokens/s') return count(value)
  return duration(value)
}

export const signed = (value: number, words: (size: number) => string): string =>
  value === 0 ? words(0) : `${value > 0 ? '+' : '−'}${words(Math.abs(value))}`

/** The colour of a part is the phase's, as everywhere. */
export const PARTS: Readonly<Record<Part, readonly [tone: string, word: string]>> = {
  queue: ['sand', 'queue'],
  gateway: ['slate', 'Sluice'],
  retries: ['bad', 'failed attempts'],
  network: ['plum', 'network'],
  prefill: ['blue', 'prefill'],
  decode: ['water', 'decode'],
  delivery: ['slate', 'delivery'],
  contention: ['sand', 'waiting of any kind'],
  unexplained: ['none', 'unexplained'],
}

/** Of rounds, how many rose: "all 8 of 8 rose", "5 of 8 rose" */
export function rose({ before, after }: Effect['rounds'], isPaired: boolean): string | null {
  if (!isPaired || before.length !== after.length || before.length === 0) return null
  const up = before.filter((value, at) => (after[at] as number) > value).length
  const down = before.filter((value, at) => (after[at] as number) < value).length
  const all = before.length
  const [most, word] = up >= down ? [up, 'rose'] : [down, 'fell']
  return most === all ? `all ${all} of ${all} ${word}` : `${most} of ${all} ${word}`
}
