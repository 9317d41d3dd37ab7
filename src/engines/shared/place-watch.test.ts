import { expect, it } from 'vitest'
import { manualClock } from '../../../test/manual-clock.ts'
import type { JobId, Place } from '../../core/job.ts'
import { PlaceWatch } from './place-watch.ts'

function setUp() {
  const clock = manualClock()
  const positions = new Map<JobId, number>()
  const asked: number[] = []
  const watch = new PlaceWatch(clock, (jobs) => {
    asked.push(jobs.length)
    return new Map(
      jobs.flatMap((job) => {
        const position = positions.get(job)
        return position === undefined ? [] : [[job, { position, tokensAhead: 0 } satisfies Place]]
      }),
    )
  })
  return { clock, positions, asked, watch }
}

it('tells a place when it has changed, at most once a second', () => {
  const { clock, positions, watch } = setUp()
  const told: number[] = []
  positions.set('1', 3)
  const stop = watch.watch('1', ({ position }) => told.push(position))
  clock.advance(900)
  expect(told).toEqual([])
  clock.advance(2_000)
  expect(told).toEqual([3])
  for (const position of [2, 1]) {
    positions.set('1', position)
    clock.advance(500)
  }
  expect(told.length).toBeLessThanOrEqual(2)
  clock.advance(1_000)
  expect(told.at(-1)).toBe(1)
  // It runs, and comes back
  positions.delete('1')
  clock.advance(5_000)
  positions.set('1', 7)
  clock.advance(1_250)
  expect(told.at(-1)).toBe(7)
  stop()
  positions.set('1', 9)
  clock.advance(5_000)
  expect(told.at(-1)).toBe(7)
})

it('looks up few at a time, each in its turn, and none where nobody watches', () => {
  const { clock, positions, asked, watch } = setUp()
  const told = new Set<JobId>()
  const stops = Array.from({ length: 200 }, (_, i) => {
    positions.set(`${i}`, i)
    return watch.watch(`${i}`, () => void told.add(`${i}`))
  })
  clock.advance(2_000)
  expect(Math.max(...asked)).toBe(64)
  expect(told.size).toBe(200)
  for (const stop of stops) stop()
  asked.length = 0
  clock.advance(10_000)
  expect(asked).toEqual([])
})

it('one that is stopped by another that is told is not told any more', () => {
  const { clock, positions, watch } = setUp()
  const told: string[] = []
  for (const id of ['a', 'b']) positions.set(id, 1)
  watch.watch('a', () => {
    told.push('a')
    stopB()
  })
  const stopB = watch.watch('b', () => told.push('b'))
  clock.advance(1_250)
  expect(told).toEqual(['a'])
})

it('tells when a job waits for another limit, or for none, at the same position; not that time passes', () => {
  const clock = manualClock()
  let place: Place = { position: 1, tokensAhead: 0 }
  const watch = new PlaceWatch(clock, (jobs) => new Map(jobs.map((job) => [job, place])))
  const told: Array<string | undefined> = []
  watch.watch('a', ({ waitingFor }) => void told.push(waitingFor?.unit))
  const look = (waitingFor?: Place['waitingFor']): void => {
    place = { position: 1, tokensAhead: 0, ...(waitingFor && { waitingFor }) }
    clock.advance(1_500)
  }
  look()
  look({ level: 'user', unit: 'tokens', inMs: 900 })
  look({ level: 'user', unit: 'tokens', inMs: 400 })
  look({ level: 'user', unit: 'running', inMs: null })
  look()
  expect(told).toEqual([undefined, 'tokens', 'running', undefined])
  watch.stop()
})
