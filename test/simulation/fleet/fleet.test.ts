/**
 * A whole fleet keeps its promises, whatever happens to its processes, its connections and its Redis (run.ts). A
 * failure prints its seed and trace: `SEED=<seed> npx vitest run test/simulation/fleet` runs that one alone.
 */
import { expect, it } from 'vitest'
import { depth } from '../../depth.ts'
import { PLANTS } from './plants.ts'
import { simulateFleet } from './run.ts'

const SEEDS = depth(2_000, 25)
const PLANTED_SEEDS = 150
const only = process.env['SEED']

it(`keeps its promises over ${SEEDS} seeds`, { timeout: 600_000 }, async () => {
  if (only !== undefined) return void (await simulateFleet(Number(only)))
  for (let seed = 1; seed <= SEEDS; seed++) await simulateFleet(seed)
})

/** A bug may show in more ways than one: the verdict that is its own must be among them. */
it.each(PLANTS)('finds a planted bug: $name', async ({ faults, breaks, seen, from = 1 }) => {
  const repair = breaks?.()
  const verdicts: string[] = []
  try {
    for (let seed = from; seed < from + PLANTED_SEEDS && !verdicts.some((each) => seen.test(each)); seed++)
      await simulateFleet(seed, faults).catch((error: Error) => void verdicts.push(error.message.split('\n')[0]))
  } finally {
    repair?.()
  }
  expect(verdicts).toContainEqual(expect.stringMatching(seen))
})
