import { describe, expect, it } from 'vitest'
import { changed, changesOf, changeWords, goneAt, limitWords, onCourse, parsed } from './limits.ts'

const NOV_16 = Date.UTC(2026, 10, 16)

describe('limits as people write them', () => {
  it('reads numbers with k and M, and no others', () => {
    expect(['600k', '1.2 M', '600,000', '', ' none '].map((text) => parsed(text, false))).toEqual([
      600_000,
      1_200_000,
      600_000,
      null,
      null,
    ])
    expect(['-5', '1e9', '12x', '0.5', 'NaN'].map((text) => parsed(text, false))).toEqual(Array(5).fill(undefined))
    expect(parsed('$12.50', true)).toBe(12.5)
  })

  it('shows a change before it is made, and keeps what it does not touch', () => {
    const limits = { tokens_per_minute: 400_000, burst: 2, dollars_per_month: null }
    const changes = changesOf(limits, { tokens_per_minute: '600k', requests_per_minute: '' })!
    expect(changes.map(changeWords)).toEqual(['Tokens a minute 400k → 600k'])
    expect(changed(limits, changes)).toEqual({ tokens_per_minute: 600_000, burst: 2 })
    expect(
      changed({ tokens_per_minute: 1 }, changesOf({ tokens_per_minute: 1 }, { tokens_per_minute: '' })!),
    ).toBeNull()
    expect(changesOf(limits, { concurrent: 'many' })).toBeNull()
  })

  it('says all limits that a level has', () => {
    expect(limitWords({ requests_per_minute: 3, dollars_per_day: 1.5, concurrent: 0, burst: 2 })).toEqual([
      '3 requests a minute',
      '0 running at once',
      '$1.50 a day',
    ])
    expect([limitWords(null), limitWords({ tokens_per_minute: null })]).toEqual([[], []])
  })

  it('tells where a month is heading', () => {
    expect(onCourse(300e9, NOV_16)).toBe(600e9)
    expect(onCourse(300e9, Date.UTC(2026, 10, 1, 1))).toBeNull()
    expect(goneAt(300e9, 400e9, NOV_16)).toBe(Date.UTC(2026, 10, 21))
    expect(goneAt(300e9, 900e9, NOV_16)).toBeNull()
  })
})
