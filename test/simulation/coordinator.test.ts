/**
 * The coordinator keeps its promises, whatever happens (test/simulation/world.ts). A failure prints its seed and
 * trace: `SEED=<seed> npx vitest run test/simulation` runs that one alone.
 */
import { expect, it } from 'vitest'
import { depth } from '../depth.ts'
import { LIMIT_PLANTS, PLANTS } from './plants.ts'
import { simulate } from './run.ts'

const SEEDS = depth(2_000, 250)
const only = process.env['SEED']

it(`keeps its promises over ${SEEDS} seeds`, () => {
  if (only !== undefined) return simulate(Number(only))
  for (let seed = 1; seed <= SEEDS; seed++) simulate(seed)
})

it.each([...PLANTS, ...LIMIT_PLANTS])('finds a planted bug: $name', ({ faults, breaks }) => {
  const repair = breaks?.()
  try {
    expect(() => {
      for (let seed = 1; seed <= 300; seed++) simulate(seed, faults)
    }).toThrow(/^seed \d+: /)
  } finally {
    repair?.()
  }
})
