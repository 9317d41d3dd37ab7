import { expect, it } from 'vitest'
import { ShareOfMinute } from './lately.ts'

it('the share is of the last minute, and not known at once', () => {
  const share = new ShareOfMinute()
  expect(share.read(900, 0)).toBeNull()
  let sum = 900
  for (let s = 5; s <= 60; s += 5) {
    sum += 1_000
    expect(share.read(sum, s * 1_000)).toBeCloseTo(0.2)
  }
  for (let s = 65; s <= 120; s += 5) share.read(sum, s * 1_000)
  expect(share.read(sum, 125_000)).toBe(0)
})
