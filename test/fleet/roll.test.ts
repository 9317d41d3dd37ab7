/** Rolling restarts in small, with a broker in front and from an earlier version: in full with npm run test:fleet. */
import { expect, it } from 'vitest'
import { INTAKES, missing } from '../chaos/fleet/broker.ts'
import { isHere } from '../deploy/proxy.ts'
import { DEEP } from '../depth.ts'
import { NO_REDIS } from '../redis/server.ts'
import { EarlierVersion, earlierCommit } from './earlier.ts'
import { type RollOptions, runRoll } from './roll.ts'

const CAN_RUN = !NO_REDIS && isHere('nginx') && DEEP
const MOST_MS = 240_000
const LOAD = { streams: 56, tokens: 20, tokenMs: 100, isPatient: true, log: () => {} } as const
const earlier = earlierCommit()
if (CAN_RUN && earlier === null)
  console.log('From an earlier version: skipped, the history of this repository is not here.')

async function rolls(options: Partial<RollOptions>): Promise<void> {
  const { served, faults } = await runRoll({ ...LOAD, ...options })
  expect(faults).toEqual([])
  const { published, ...others } = served
  for (const [kind, count] of Object.entries(others)) expect(count, kind).toBeGreaterThan(15)
  if (options.intake !== undefined) expect(published).toBeGreaterThan(40)
}

it.skipIf(!CAN_RUN)(
  'Redis: to the next version, behind nginx: each answer is exact, no request fails',
  () => rolls({ to: { isNext: true } }),
  MOST_MS,
)

for (const intake of INTAKES)
  it.skipIf(!CAN_RUN || missing(intake) !== null)(
    `Redis, ${intake} in front: ${earlier === null ? 'to the same version' : 'from an earlier version'}: the same`,
    async () => {
      const before = earlier === null ? null : new EarlierVersion(earlier)
      try {
        await rolls({ intake, ...(before !== null && { from: { root: before.root }, to: {} }) })
      } finally {
        before?.remove()
      }
    },
    MOST_MS,
  )
