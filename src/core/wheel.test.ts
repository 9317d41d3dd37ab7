import { beforeEach, expect, it } from 'vitest'
import { type ManualClock, manualClock } from '../../test/manual-clock.ts'
import { Wheel } from './clock.ts'

let clock: ManualClock
let wheel: Wheel
/** What happened, with the time. */
let seen: string[]

beforeEach(() => {
  clock = manualClock()
  clock.advance(1_003)
  wheel = new Wheel(clock)
  seen = []
  wheel.onBeat(() => note('beat'))
})

const note = (what: string): void => void seen.push(`${what} ${clock.monoMs() - 1_003}`)

it('keeps the beats on which something is due, and no others', () => {
  clock.advance(500)
  expect(seen).toEqual([])
  wheel.in(15, () => note('a'))
  wheel.in(60, () => note('b'))
  clock.advance(1_000)
  expect(seen).toEqual(['a 515', 'beat 515', 'b 560', 'beat 560'])
})

it('what is due sooner does not wait for what was due before', () => {
  wheel.in(300, () => note('far'))
  clock.advance(101)
  wheel.in(5, () => note('near'))
  clock.advance(1_000)
  expect(seen).toEqual(['near 106', 'beat 106', 'far 301', 'beat 301'])
})

it('all that is due together is due on one beat, at most so much later', () => {
  wheel.together(15, () => note('a'))
  clock.advance(6)
  wheel.together(15, () => note('b'))
  clock.advance(5)
  wheel.together(15, () => note('c'))
  clock.advance(1_000)
  const times = seen.map((text) => text.split(' ')[1])
  expect(seen.map((text) => text.split(' ')[0])).toEqual(['a', 'b', 'c', 'beat'])
  expect(new Set(times).size).toBe(1)
  expect(Number(times[0])).toBeLessThanOrEqual(15)
})

it('what is asked for on a beat is due on a later one', () => {
  let left = 3
  const again = (): void => {
    note('read')
    if (--left > 0) wheel.together(15, again)
  }
  wheel.together(15, again)
  clock.advance(1_000)
  const reads = seen.filter((text) => text.startsWith('read')).map((text) => Number(text.split(' ')[1]))
  expect([reads[1] - reads[0], reads[2] - reads[1], seen.length]).toEqual([15, 15, 6])
})

it('ends a turn when sockets were read: first who looks what came, then who stores it', () => {
  wheel.in(5, () => {
    note('resume')
    wheel.afterReads(() => note('look'))
  })
  clock.soon(() => note('earlier'))
  clock.advance(5)
  expect(seen).toEqual(['earlier 0', 'resume 5', 'look 5', 'beat 5'])
})

it('a beat that is late comes before those that follow it', () => {
  const late = { ...clock, after: (ms: number, fn: () => void) => clock.after(ms + 100, fn) }
  wheel = new Wheel(late)
  wheel.in(5, () => note('a'))
  clock.advance(90)
  wheel.in(5, () => note('b'))
  wheel.in(10, () => note('c'))
  clock.advance(1_000)
  expect(seen.map((text) => text[0])).toEqual(['a', 'b', 'c'])
})

it('goes round as often as it must', () => {
  let turns = 0
  const again = (): void => void (++turns < 1_000 && wheel.in(315, again))
  wheel.in(315, again)
  wheel.in(5, () => note('one'))
  clock.advance(1_000 * 315)
  expect([turns, seen.length]).toEqual([1_000, 1_002])
})

it('tells whether a beat is near, which ends with its turn', () => {
  expect(wheel.isDueIn(63)).toBe(false)
  wheel.in(15, () => {})
  expect([wheel.isDueIn(2), wheel.isDueIn(3)]).toEqual([false, true])
  clock.advance(11)
  expect([wheel.isDueIn(0), wheel.isDueIn(1)]).toEqual([false, true])
  const inTurn: boolean[] = []
  wheel.in(5, () => {
    inTurn.push(wheel.isDueIn(0))
    clock.soon(() => inTurn.push(wheel.isDueIn(0)))
  })
  clock.advance(100)
  expect([inTurn, wheel.isDueIn(63)]).toEqual([[true, true], false])
})
