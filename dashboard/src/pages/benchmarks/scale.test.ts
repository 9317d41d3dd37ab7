import { expect, it } from 'vitest'
import type { Effect } from '../../../../src/core/comparison.ts'
import { placeOf, relative, rose, scaleOf, signed } from './scale.ts'

const effect = (shift: number, low: number | null, high: number | null, band: number): Effect =>
  ({ shift, low, high, band }) as Effect

it('places effects of any unit by their band, so that one grey band is right for all', () => {
  const ttft = effect(480, 440, 520, 15.6)
  expect(relative(ttft, ttft.shift, 0.05)).toBeCloseTo(480 / 312)
  const errors = effect(0.001, null, null, 0.01)
  expect(relative(errors, errors.shift, 0.05)).toBeCloseTo(0.005)
  const scale = scaleOf([ttft, errors], 0.05)
  expect(scale.ticks).toEqual([0.5, 1, 1.5])
  expect(placeOf(scale.min, scale)).toBe(0)
  expect(placeOf(1e9, scale)).toBe(1)
  expect(placeOf(0, scale)).toBeGreaterThan(0)
})

it('leaves room for the band where nothing changed', () => {
  const scale = scaleOf([effect(0, null, null, 1)], 0.05)
  expect(scale.min).toBeLessThan(-0.05)
  expect(scale.max).toBeGreaterThan(0.05)
})

it('counts rounds that rose, of paired ones alone', () => {
  expect(rose({ before: [1, 2], after: [2, 3] }, true)).toBe('all 2 of 2 rose')
  expect(rose({ before: [1, 2, 3], after: [2, 1, 1] }, true)).toBe('2 of 3 fell')
  expect(rose({ before: [1], after: [2] }, false)).toBeNull()
  expect(signed(-6, (ms) => `${ms} ms`)).toBe('−6 ms')
})
