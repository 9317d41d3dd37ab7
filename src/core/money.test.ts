import { expect, it } from 'vitest'
import { moneyText } from './money.ts'

it.each([
  [0, '$0'],
  [40_000, '<$0.0001'],
  [99_000, '$0.0001'],
  [1_386_000, '$0.0014'],
  [18_420_000_000, '$18.42'],
])('%d nano-dollars are %s', (nanoUsd, text) => expect(moneyText(nanoUsd)).toBe(text))
