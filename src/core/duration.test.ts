import { expect, it } from 'vitest'
import { durationText } from './duration.ts'

it.each([
  [0, '0ms'],
  [-5, '0ms'],
  [0.2, '1ms'],
  [120, '120ms'],
  [999.000_000_1, '999ms'],
  [1_000, '1s'],
  [1_200, '1.2s'],
  [59_982, '59.982s'],
  [60_000, '1m0s'],
  [86_400, '1m26.4s'],
  [360_000, '6m0s'],
  [3_600_000, '1h0m0s'],
  [93_603_000, '26h0m3s'],
])('%s ms: %s', (ms, text) => {
  expect(durationText(ms)).toBe(text)
})
