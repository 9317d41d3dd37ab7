import { expect, it } from 'vitest'
import { manualClock } from '../../test/manual-clock.ts'
import { LASTING_MS, lasting } from './lasting.ts'

it('tells an outage that lasts, once, with its last reason, and its end', () => {
  const clock = manualClock()
  const told: Array<string | null> = []
  const turn = lasting<string>(clock, (error) => void told.push(error))
  turn(null)
  turn('short')
  clock.advance(LASTING_MS - 1)
  turn(null)
  clock.advance(LASTING_MS)
  expect(told).toEqual([])
  turn('first')
  clock.advance(LASTING_MS / 2)
  turn('forbidden')
  clock.advance(LASTING_MS / 2)
  turn('forbidden')
  clock.advance(LASTING_MS)
  expect(told).toEqual(['forbidden'])
  turn(null)
  turn(null)
  expect(told).toEqual(['forbidden', null])
})
