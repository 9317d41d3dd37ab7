/** The runs of main.ts, in small: whole with npm run test:fleet. */
import { expect, it } from 'vitest'
import { DEEP } from '../depth.ts'
import { NO_REDIS } from '../redis/server.ts'
import { quantile, runMass } from './mass.ts'

const log = (): void => {}

it.skipIf(NO_REDIS || !DEEP)(
  'Redis: 300 readers over two gateways: all cut, a gateway stopped for 12 s, a gateway killed; all have every token',
  async () => {
    const { cut, caughtUpMs, killed, faults } = await runMass({
      clients: 300,
      gateways: 2,
      perSecond: 100,
      tokens: 120,
      tokenMs: 400,
      frozenMs: 12_000,
      log,
    })
    expect(faults).toEqual([])
    expect([cut.missing, killed.missing]).toEqual([0, 0])
    expect(cut.resumedMs.length).toBe(300)
    expect(killed.resumedMs.length).toBeGreaterThan(50)
    expect(quantile(cut.resumedMs, 1)).toBeLessThan(30_000)
    expect(caughtUpMs).toBeGreaterThanOrEqual(0)
  },
  240_000,
)
