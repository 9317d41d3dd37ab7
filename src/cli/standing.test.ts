import { expect, it } from 'vitest'
import { standingLines } from './standing.ts'

const use = { level: 'tenant', name: 'acme', used: 600, held: 100, remaining: 1_300, reset_ms: 42_000 } as const

it('prints each limit: what is used and held of it, money in dollars, and when all is free', () => {
  const lines = standingLines({
    data: [
      { ...use, unit: 'tokens', limit: 2_000 },
      { ...use, unit: 'nano_dollars', window: 'day', limit: 20e9, used: 12.5e9, held: 1e8, reset_ms: 3_600_000 },
    ],
    near: [{ ...use, level: 'user', name: 'ann', unit: 'running', limit: 1, used: 1, held: 0, reset_ms: 0 }],
    more: 3,
    partial: true,
  })
  expect(lines.map((line) => line.replace(/ {2,}/g, ' | '))).toEqual([
    'LIMIT OF | UNIT | USED | HELD | LIMIT | ALL FREE',
    'tenant acme | tokens | 600 | 100 | 2000 | in 42s',
    'tenant acme | money a day | $12.5000 | $0.1000 | $20.0000 | in 1h0m0s',
    'user ann | running | 1 | 0 | 1 | -',
    '3 more keys, users and runs have used half of a limit.',
    'It has more keys, users and runs than are looked at for this.',
  ])
  expect(standingLines({ data: [], near: [], more: 0, partial: false })).toEqual(['No limits.'])
})
