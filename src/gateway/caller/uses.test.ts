import { expect, it } from 'vitest'
import { manualClock } from '../../../test/manual-clock.ts'
import { KeyUses } from './uses.ts'

function setUp() {
  const clock = manualClock()
  const stored: Array<ReadonlyArray<readonly [string, number]>> = []
  let isAway = false
  const keys = {
    async noteUses(uses: ReadonlyArray<readonly [string, number]>) {
      if (isAway) throw new Error('away')
      stored.push(uses)
    },
    lastUses: async () => new Map(stored.flat()),
  }
  const turn = (): Promise<void> => new Promise((done) => setImmediate(done))
  return { clock, stored, uses: new KeyUses(keys, clock), turn, away: (is: boolean) => (isAway = is) }
}

it('stores what is new once a minute, and nothing where nothing is', async () => {
  const { clock, stored, uses, turn } = setUp()
  for (let i = 0; i < 1_000; i++) uses.used('a')
  clock.advance(30_000)
  uses.used('a')
  uses.used('b')
  expect(stored).toEqual([])
  clock.advance(30_000)
  await turn()
  expect(stored.map((uses) => uses.map(([id]) => id))).toEqual([['a', 'b']])
  clock.advance(600_000)
  await turn()
  expect(stored).toHaveLength(1)
  uses.used('b')
  clock.advance(60_000)
  await turn()
  expect(stored[1].map(([id]) => id)).toEqual(['b'])
})

it('tells the last use before it is stored, and tries again where it could not be', async () => {
  const { clock, stored, uses, turn, away } = setUp()
  uses.used('a')
  const [[, first]] = [...(await uses.last())]
  away(true)
  clock.advance(60_000)
  await turn()
  expect(stored).toEqual([])
  away(false)
  clock.advance(60_000)
  await turn()
  expect(stored).toEqual([[['a', first]]])
  uses.used('a')
  await uses.store()
  expect(stored[1][0][1]).toBe(first + 120_000)
})
