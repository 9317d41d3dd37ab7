/**
 * Is there a difference between two runs, and how large? By rounds: requests of one run are not independent of each
 * other (one queue serves them all), so tests on single requests see differences between a system and itself
 * (docs/decisions/0059). All exact where it can be counted; pure.
 */

export interface Shift {
  /** After minus before: the Hodges-Lehmann estimate. */
  readonly shift: number
  /** Null: too few rounds for an interval of this confidence. */
  readonly low: number | null
  readonly high: number | null
  /** Two-sided. */
  readonly p: number
  /** The smallest shift that would have been found in rounds that vary like these; null: none, however large. */
  readonly detectable: number | null
}

/** Signs of up to so many rounds are all tried: 65,536; of more a fixed sample of that size is. */
const EXACT_ROUNDS = 16
const SAMPLES = 1 << EXACT_ROUNDS
/** Ways to deal rounds to two runs: beyond, a fixed sample. */
const EXACT_DEALS = 50_000
/** Sums that differ by rounding alone are equal. */
const EPSILON = 1e-9

// ---------------------------------------------------------------- paired

/** How sure a finding has to be. */
export interface Levels {
  /** 0.05: a 95 % interval. */
  readonly alpha: number
  /** A lone effect is found where its p is at most this: alpha over the size of the family, by Holm. */
  readonly lone: number
}

/** Can so many pairs show anything? The least p of n rounds is 2 of 2^n. */
export const canPair = (rounds: number, lone: number): boolean => 2 / 2 ** rounds <= lone

/** Rounds of two runs, pair by pair; finite numbers. */
export function pairedShift(before: readonly number[], after: readonly number[], { alpha, lone }: Levels): Shift {
  const differences = after.map((value, i) => value - before[i])
  const means = walshMeans(differences)
  const interval = meanInterval(differences, alpha)
  return { shift: medianOf(means), ...interval, p: signFlipP(differences), detectable: detectable(differences, lone) }
}

/**
 * The share of all ways to flip the signs of these differences whose sum is at least as far from 0: exact, whatever
 * their distribution, if a difference is as likely as its opposite where nothing was changed.
 */
export function signFlipP(differences: readonly number[]): number {
  const n = differences.length
  if (n === 0) return 1
  const seen = Math.abs(sumOf(differences))
  const slack = EPSILON * sumOf(differences.map(Math.abs))
  let extreme = 0
  const sums = flippedSums(differences)
  for (const sum of sums) if (Math.abs(sum) >= seen - slack) extreme++
  return extreme / sums.length
}

/** Sums under all flips of signs but the first one's: the others are their opposites. */
function flippedSums(differences: readonly number[]): Float64Array {
  const [first, ...rest] = differences
  if (rest.length < EXACT_ROUNDS) {
    const sums = new Float64Array(1 << rest.length)
    sums[0] = first
    let filled = 1
    for (const difference of rest) {
      for (let i = 0; i < filled; i++) {
        sums[filled + i] = sums[i] - difference
        sums[i] += difference
      }
      filled *= 2
    }
    return sums
  }
  const next = seeded(rest.length)
  return Float64Array.from({ length: SAMPLES }, (_, sample) =>
    // What was seen is one of them
    sumOf(differences.map((difference) => (sample === 0 || next() < 0.5 ? difference : -difference))),
  )
}

/**
 * All shifts that the test does not refuse: the sign-flip test is inverted. For the sum it refuses a shift when that
 * lies outside the means of all subsets of the differences, counted from both ends.
 */
function meanInterval(differences: readonly number[], alpha: number): Pick<Shift, 'low' | 'high'> {
  const n = differences.length
  const total = n <= EXACT_ROUNDS ? (1 << n) - 1 : SAMPLES
  // Of the 2^n - 1 means that many at each end are left out
  const out = Math.floor((alpha / 2) * (total + 1))
  if (n === 0 || out < 1) return { low: null, high: null }
  const means = subsetMeans(differences).sort()
  return { low: means[out - 1], high: means[means.length - out] }
}

function subsetMeans(differences: readonly number[]): Float64Array {
  const n = differences.length
  if (n <= EXACT_ROUNDS) {
    const means = new Float64Array((1 << n) - 1)
    const sums = new Float64Array(1 << n)
    const counts = new Uint8Array(1 << n)
    for (let set = 1; set < 1 << n; set++) {
      const lowest = 31 - Math.clz32(set & -set)
      const rest = set & (set - 1)
      sums[set] = sums[rest] + differences[lowest]
      counts[set] = counts[rest] + 1
      means[set - 1] = sums[set] / counts[set]
    }
    return means
  }
  const next = seeded(n)
  return Float64Array.from({ length: SAMPLES }, () => {
    const taken = differences.filter(() => next() < 0.5)
    return taken.length === 0 ? sumOf(differences) / n : sumOf(taken) / taken.length
  })
}

/** Means of all pairs, each with itself too: their median is the Hodges-Lehmann estimate. */
function walshMeans(differences: readonly number[]): number[] {
  return differences.flatMap((a, i) => differences.slice(i).map((b) => (a + b) / 2))
}

// ---------------------------------------------------------------- unpaired

/** Rounds of runs that have no pairs: other seeds, or another number of them. */
export function unpairedShift(before: readonly number[], after: readonly number[], { alpha, lone }: Levels): Shift {
  const all = [...before, ...after]
  const differences = after.flatMap((a) => before.map((b) => a - b))
  const shift = medianOf(differences)
  const deals = waysToDeal(all.length, after.length)
  const p = dealP(before, after, deals)
  const interval = unpairedInterval(before, after, deals, alpha)
  const spread = unpairedSpread(before, after)
  // About: what a test of this many rounds on a normal spread finds four times out of five
  const canFind = before.length > 1 && after.length > 1 && 2 / deals.length <= lone
  return { shift, ...interval, p, detectable: canFind ? (normal(1 - lone / 2) + normal(0.8)) * spread : null }
}

/** Which of all rounds go to `after`: all ways, or a fixed sample of them. The first is as it was. */
function waysToDeal(all: number, size: number): ReadonlyArray<readonly number[]> {
  const asSeen = Array.from({ length: size }, (_, i) => all - size + i)
  if (binomial(all, size) > EXACT_DEALS) {
    const next = seeded(all)
    const places = Array.from({ length: all }, (_, i) => i)
    return [asSeen, ...Array.from({ length: 20_000 }, () => dealt(places, size, next))]
  }
  const ways: number[][] = []
  const take = (from: number, taken: readonly number[]): void => {
    if (taken.length === size) return void ways.push([...taken])
    for (let i = from; i <= all - (size - taken.length); i++) take(i + 1, [...taken, i])
  }
  take(0, [])
  return ways
}

function dealt(places: readonly number[], size: number, next: () => number): number[] {
  const left = [...places]
  return Array.from({ length: size }, () => left.splice(Math.floor(next() * left.length), 1)[0])
}

/** Share of the ways to deal whose means differ at least as much. */
function dealP(before: readonly number[], after: readonly number[], deals: ReadonlyArray<readonly number[]>): number {
  if (before.length === 0 || after.length === 0) return 1
  const all = [...before, ...after]
  const total = sumOf(all)
  const scale = Math.max(...all.map(Math.abs), 1e-300)
  const differenceOf = (sum: number): number => sum / after.length - (total - sum) / before.length
  const seen = Math.abs(differenceOf(sumOf(after)))
  let extreme = 0
  for (const deal of deals) {
    let sum = 0
    for (const place of deal) sum += all[place]
    if (Math.abs(differenceOf(sum)) >= seen - EPSILON * scale) extreme++
  }
  return extreme / deals.length
}

/** The test inverted: the furthest shifts on both sides that it does not refuse, by bisection. */
function unpairedInterval(
  before: readonly number[],
  after: readonly number[],
  deals: ReadonlyArray<readonly number[]>,
  alpha: number,
): Pick<Shift, 'low' | 'high'> {
  if (before.length === 0 || after.length === 0 || 2 / deals.length > alpha) return { low: null, high: null }
  const refuses = (shift: number): boolean =>
    dealP(
      before,
      after.map((value) => value - shift),
      deals,
    ) <= alpha
  const center = sumOf(after) / after.length - sumOf(before) / before.length
  const reach = Math.max(...before, ...after) - Math.min(...before, ...after)
  if (reach === 0) return { low: center, high: center }
  const edge = (sign: 1 | -1): number | null => {
    let inside = 0
    let outside = 4 * reach
    if (!refuses(center + sign * outside)) return null
    for (let i = 0; i < 24; i++) {
      const middle = (inside + outside) / 2
      if (refuses(center + sign * middle)) outside = middle
      else inside = middle
    }
    return center + sign * outside
  }
  const low = edge(-1)
  const high = edge(1)
  return low === null || high === null ? { low: null, high: null } : { low, high }
}

function unpairedSpread(before: readonly number[], after: readonly number[]): number {
  const error = (values: readonly number[]): number => deviationOf(values) ** 2 / values.length
  return Math.sqrt(error(before) + error(after))
}

// ---------------------------------------------------------------- several tests, power

/** Holm's step-down: each p as it counts where all of them are looked at. In the order given. */
export function holm(ps: readonly number[]): number[] {
  const order = ps.map((_, i) => i).sort((a, b) => ps[a] - ps[b])
  const adjusted = Array<number>(ps.length)
  let largest = 0
  order.forEach((place, rank) => {
    largest = Math.max(largest, Math.min(1, ps[place] * (ps.length - rank)))
    adjusted[place] = largest
  })
  return adjusted
}

const TRIALS = 400
/** By number of rounds and level: the smallest shift, in standard deviations of the rounds' differences. */
const findable = new Map<string, number>()

/** The smallest shift that is found (p at most `level`) four times out of five, in rounds that vary like these. */
function detectable(differences: readonly number[], level: number): number | null {
  const n = differences.length
  if (n < 2 || !canPair(n, level)) return null
  return findableShift(n, level) * deviationOf(differences)
}

/** Tried: rounds that vary normally, and a spread that is itself known from as many other rounds only. */
export function findableShift(n: number, level: number): number {
  const known = findable.get(`${n} ${level}`)
  if (known !== undefined) return known
  const next = seeded(n)
  const trials = Array.from({ length: TRIALS }, () => {
    const drawn = Array.from({ length: n }, () => normalFrom(next))
    return { drawn, spread: deviationOf(Array.from({ length: n }, () => normalFrom(next))) }
  })
  const finds = (shift: number): boolean =>
    trials.filter(({ drawn, spread }) => quickSignFlipP(drawn.map((value) => value + shift * spread)) <= level)
      .length >=
    0.8 * TRIALS
  let misses = 0
  let hits = 8
  while (hits - misses > 0.01) {
    const middle = (misses + hits) / 2
    if (finds(middle)) hits = middle
    else misses = middle
  }
  findable.set(`${n} ${level}`, hits)
  return hits
}

export function deviationOf(values: readonly number[]): number {
  const mean = sumOf(values) / values.length
  return Math.sqrt(sumOf(values.map((value) => (value - mean) ** 2)) / (values.length - 1))
}

/** As `signFlipP`; from more than ten rounds on by their normal approximation. */
function quickSignFlipP(differences: readonly number[]): number {
  if (differences.length <= 10) return signFlipP(differences)
  const spread = Math.sqrt(sumOf(differences.map((difference) => difference ** 2)))
  return spread === 0 ? 1 : 2 * (1 - normalShare(Math.abs(sumOf(differences)) / spread))
}

// ---------------------------------------------------------------- for comparison

/** Mann-Whitney's U over single requests, normal approximation with ties: what this module is there to avoid. */
export function mannWhitneyP(before: readonly number[], after: readonly number[]): number {
  const all = [
    ...before.map((value) => ({ value, isAfter: false })),
    ...after.map((value) => ({ value, isAfter: true })),
  ]
  all.sort((a, b) => a.value - b.value)
  let rankSum = 0
  let ties = 0
  for (let i = 0; i < all.length; ) {
    let j = i
    while (j < all.length && all[j].value === all[i].value) j++
    const rank = (i + j + 1) / 2
    for (let k = i; k < j; k++) if (all[k].isAfter) rankSum += rank
    ties += (j - i) ** 3 - (j - i)
    i = j
  }
  const n = before.length
  const m = after.length
  const u = rankSum - (m * (m + 1)) / 2
  const variance = ((n * m) / 12) * (n + m + 1 - ties / ((n + m) * (n + m - 1)))
  return variance <= 0 ? 1 : 2 * (1 - normalShare((Math.abs(u - (n * m) / 2) - 0.5) / Math.sqrt(variance)))
}

// ---------------------------------------------------------------- small parts

export function medianOf(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  if (sorted.length === 0) return Number.NaN
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/** Uniform in [0, 1), the same for each seed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let x = Math.imul(state ^ (state >>> 15), 1 | state)
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Box-Muller. */
const normalFrom = (next: () => number): number => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next())

const sumOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0)

function binomial(n: number, k: number): number {
  let ways = 1
  for (let i = 1; i <= k; i++) ways = (ways * (n - k + i)) / i
  return ways
}

/** Of a standard normal, what lies below (Abramowitz & Stegun 26.2.17; wrong by 7.5e-8 at most). */
function normalShare(z: number): number {
  if (z < 0) return 1 - normalShare(-z)
  const t = 1 / (1 + 0.2316419 * z)
  const tail = t * (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))))
  return 1 - (Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI)) * tail
}

/** Its inverse, by bisection. */
function normal(share: number): number {
  let low = -8
  let high = 8
  for (let i = 0; i < 50; i++) {
    const middle = (low + high) / 2
    if (normalShare(middle) < share) low = middle
    else high = middle
  }
  return (low + high) / 2
}
