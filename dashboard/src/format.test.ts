import { expect, it } from 'vitest'
import { age, bytes, clock, count, counted, duration, money, percent, short } from './format.ts'

it.each([
  [null, '–'],
  [0, '0 ms'],
  [0.4, '0.4 ms'],
  [6, '6 ms'],
  [304.4, '304 ms'],
  [999.6, '1.0 s'],
  [4_100, '4.1 s'],
  [21_400, '21.4 s'],
  [89_000, '89.0 s'],
  [90_000, '1.5 min'],
  [8 * 60_000, '8.0 min'],
  [25 * 60_000, '25 min'],
  [3.2 * 3_600_000, '3.2 h'],
  [9.5 * 86_400_000, '9.5 d'],
  [-480, '−480 ms'],
  [Number.NaN, '–'],
])('duration %s: %s', (ms, text) => expect(duration(ms)).toBe(text))

it.each([
  [0, '0', '0'],
  [7, '7', '7'],
  [1_182, '1,182', '1.2k'],
  [4_600, '4,600', '4.6k'],
  [9_999.6, '10k', '10k'],
  [12_400, '12.4k', '12.4k'],
  [286_000, '286k', '286k'],
  [999_600, '1.00 M', '1.00 M'],
  [1_924_000, '1.92 M', '1.92 M'],
  [24_100_000, '24.1 M', '24.1 M'],
  [null, '–', '–'],
])('count %s: %s, %s', (value, whole, thousands) => {
  expect(count(value)).toBe(whole)
  expect(short(value)).toBe(thousands)
})

it.each([
  [0, '$0'],
  [18.42e9, '$18.42'],
  [4.1e6, '$0.0041'],
  [10, '<$0.0001'],
  [1_204e9, '$1,204'],
  [null, '–'],
])('money %s: %s', (nano, text) => expect(money(nano)).toBe(text))

it('what is not all is not printed as all, and what is not none not as none', () => {
  expect([0, 0.000_1, 0.714, 0.9999, 1].map(percent)).toEqual(['0%', '<0.1%', '71.4%', '99.9%', '100%'])
})

it('bytes, ages and counted words', () => {
  expect([0, 950, 2.1e9, 40e9].map(bytes)).toEqual(['0 bytes', '950 bytes', '2.1 GB', '40 GB'])
  expect([200, 12_000, 240_000, 10_800_000].map((ms) => age(0, ms))).toEqual(['now', '12 s', '4 min', '3 h'])
  expect(age(0, 3 * 86_400_000)).toMatch(/^(?:Jan|Dec) \d+$/)
  expect([1, 2, 1_204].map((jobs) => counted(jobs, 'job'))).toEqual(['1 job', '2 jobs', '1,204 jobs'])
})

it('a time of another day has its date', () => {
  expect(clock(0, 1_000)).toMatch(/^\d\d:\d\d:\d\d$/)
  expect(clock(0, 9 * 86_400_000)).toMatch(/^[A-Z][a-z]{2} \d+, \d\d:\d\d$/)
})
