import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { errorRates } from '../../test/bench/statistics.ts'
import { canPair, holm, mannWhitneyP, pairedShift, seeded, signFlipP, unpairedShift } from './statistics.ts'

const LEVELS = { alpha: 0.05, lone: 0.05 / 6 }
const zero = (values: readonly number[]): number[] => values.map(() => 0)

/** Darwin's fifteen pairs of maize, cross- and self-fertilized, in eighths of an inch. */
const MAIZE = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]

describe('pairs', () => {
  it('gives the p that Fisher counted for Darwin’s maize', () => {
    expect(signFlipP(MAIZE)).toBe(1_726 / 32_768)
  })

  it.each([
    [1, 1],
    [5, 2 / 32],
    [6, 2 / 64],
    [8, 2 / 256],
    [16, 2 / 65_536],
  ])('of %i rounds that all rose the p is %f', (rounds, p) => {
    expect(signFlipP(Array.from({ length: rounds }, (_, i) => i + 1))).toBe(p)
  })

  it('is the share of all sign flips that are as far from 0', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: -9, max: 9 }), { minLength: 1, maxLength: 8 }), (differences) => {
        const seen = Math.abs(differences.reduce((sum, d) => sum + d, 0))
        let extreme = 0
        for (let flips = 0; flips < 1 << differences.length; flips++) {
          const sum = differences.reduce((all, d, i) => all + (flips & (1 << i) ? -d : d), 0)
          if (Math.abs(sum) >= seen) extreme++
        }
        expect(signFlipP(differences)).toBe(extreme / (1 << differences.length))
      }),
    )
  })

  it('estimates the shift by Hodges and Lehmann: one wild round moves it little', () => {
    expect(pairedShift(zero([1, 2, 3]), [1, 2, 3], LEVELS).shift).toBe(2)
    expect(pairedShift(zero(MAIZE), [3, 4, 5, 4, 3, 5, 4, 1_000], LEVELS).shift).toBe(4)
  })

  it('has the shifts in its interval that the test does not refuse, and no others', () => {
    const next = seeded(4)
    for (let trial = 0; trial < 50; trial++) {
      const differences = Array.from({ length: 8 }, () => next() * 10 - 3)
      const { low, high } = pairedShift(zero(differences), differences, LEVELS)
      const p = (shift: number): number => signFlipP(differences.map((d) => d - shift))
      expect(p(low! + 1e-6)).toBeGreaterThan(0.05)
      expect(p(low! - 1e-6)).toBeLessThanOrEqual(0.05)
      expect(p(high! - 1e-6)).toBeGreaterThan(0.05)
      expect(p(high! + 1e-6)).toBeLessThanOrEqual(0.05)
    }
  })

  it('has no interval, and finds nothing, where the rounds are too few', () => {
    expect(pairedShift([1, 1, 1, 1, 1], [9, 9, 9, 9, 9], LEVELS)).toMatchObject({
      low: null,
      high: null,
      detectable: null,
    })
    expect([5, 6, 7, 8].map((rounds) => canPair(rounds, 0.05 / 6))).toEqual([false, false, false, true])
  })

  it('tells the smallest shift that it finds four times out of five', () => {
    const next = seeded(9)
    const noise = (): number => next() + next() + next() - 1.5
    let found = 0
    for (let trial = 0; trial < 200; trial++) {
      const spread = Array.from({ length: 8 }, noise)
      const { detectable } = pairedShift(zero(spread), spread, LEVELS)
      if (signFlipP(Array.from({ length: 8 }, () => noise() + detectable!)) <= LEVELS.lone) found++
    }
    expect(found / 200).toBeGreaterThan(0.65)
    expect(found / 200).toBeLessThan(0.95)
  })

  it('of rounds without any difference nothing is shown', () => {
    expect(pairedShift([5, 5, 5, 5, 5, 5, 5, 5], [5, 5, 5, 5, 5, 5, 5, 5], LEVELS)).toEqual({
      shift: 0,
      low: 0,
      high: 0,
      p: 1,
      detectable: 0,
    })
  })

  it('of more rounds than can be counted takes a fixed sample', () => {
    const next = seeded(2)
    const differences = Array.from({ length: 30 }, () => next() - 0.4)
    const shift = pairedShift(zero(differences), differences, LEVELS)
    expect(shift).toEqual(pairedShift(zero(differences), differences, LEVELS))
    const z = differences.reduce((sum, d) => sum + d, 0) / Math.hypot(...differences)
    // A normal's tail beyond 1.545 on both sides
    expect([z.toFixed(2), shift.p.toFixed(2)]).toEqual(['1.55', '0.12'])
    expect(shift.low).toBeLessThan(shift.shift)
    expect(shift.high).toBeGreaterThan(shift.shift)
  })
})

describe('without pairs', () => {
  it.each([
    [3, 2 / 20],
    [4, 2 / 70],
    [5, 2 / 252],
    [8, 2 / 12_870],
  ])('of %i and as many that lie apart the p is %f', (rounds, p) => {
    const before = Array.from({ length: rounds }, (_, i) => i)
    expect(
      unpairedShift(
        before,
        before.map((value) => value + 100),
        LEVELS,
      ).p,
    ).toBe(p)
  })

  it('has an interval around the shift, at whose ends the test turns', () => {
    const before = [10, 12, 11, 13, 9, 10]
    const after = [14, 15, 13, 16, 14, 17]
    const { shift, low, high } = unpairedShift(before, after, LEVELS)
    expect(shift).toBe(4)
    const p = (by: number): number =>
      unpairedShift(
        before,
        after.map((value) => value - by),
        LEVELS,
      ).p
    expect(p(low! + 0.01)).toBeGreaterThan(0.05)
    expect(p(low! - 0.01)).toBeLessThanOrEqual(0.05)
    expect(p(high! - 0.01)).toBeGreaterThan(0.05)
    expect(p(high! + 0.01)).toBeLessThanOrEqual(0.05)
  })

  it('can have fewer rounds on one side', () => {
    expect(unpairedShift([1, 2, 3, 4], [11, 12, 13, 14, 15, 16], LEVELS).p).toBeCloseTo(1 / 210, 3)
  })

  it('samples where there are too many ways to deal', () => {
    const before = Array.from({ length: 20 }, (_, i) => i)
    const far = unpairedShift(
      before,
      before.map((value) => value + 15),
      LEVELS,
    )
    expect(far.p).toBeLessThan(0.001)
    expect(far).toEqual(
      unpairedShift(
        before,
        before.map((value) => value + 15),
        LEVELS,
      ),
    )
  })
})

it('adjusts p as Holm did', () => {
  expect(holm([0.01, 0.04, 0.03, 0.005]).map((p) => Number(p.toFixed(4)))).toEqual([0.03, 0.06, 0.06, 0.02])
  expect(holm([0.9, 0.9])).toEqual([1, 1])
})

it('knows Mann-Whitney’s p, ties too', () => {
  expect(mannWhitneyP([1, 2, 3, 4, 5], [6, 7, 8, 9, 10])).toBeCloseTo(0.01219, 4)
  expect(mannWhitneyP([1, 1, 1], [1, 1, 1])).toBe(1)
})

describe('verdicts of a simulated system at 70 % load', () => {
  const rates = errorRates(0.7, 200)

  it('raise a false alarm in at most 8 % of 200 trials', () => expect(rates.falseAlarms).toBeLessThanOrEqual(0.08))
  it('find 20 % more prefill in at least 95 %', () => expect(rates.found).toBeGreaterThanOrEqual(0.95))
  it('are better than those by single requests', () => expect(rates.naiveFalseAlarms).toBeGreaterThan(0.2))
})
