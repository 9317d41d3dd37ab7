import { expect, it } from 'vitest'
import { manualClock } from '../../../../test/manual-clock.ts'
import { Sweep, type Swept } from './sweep.ts'

const ROUND_MS = 250

function arranged() {
  const clock = manualClock()
  const timers = { open: 0 }
  const sweep = new Sweep({
    ...clock,
    every(ms, fn) {
      timers.open++
      const cancel = clock.every(ms, fn)
      return () => {
        timers.open--
        cancel()
      }
    },
  })
  const seen: string[] = []
  const item = (name: string, also: () => void = () => {}): Swept => ({
    sweepPlace: -1,
    sweep() {
      seen.push(name)
      also()
    },
  })
  return { clock, sweep, timers, seen, item }
}

it('looks at each that is in it, once a round, until it leaves', () => {
  const { clock, sweep, seen, item } = arranged()
  const [a, b] = [item('a'), item('b')]
  for (const each of [a, b, a]) sweep.add(each)
  clock.advance(ROUND_MS)
  expect(seen.splice(0)).toEqual(['a', 'b'])
  sweep.delete(a)
  sweep.delete(a)
  clock.advance(ROUND_MS)
  expect(seen.splice(0)).toEqual(['b'])
})

it('one that left does not take the place of another', () => {
  const { clock, sweep, seen, item } = arranged()
  const [a, b] = [item('a'), item('b')]
  sweep.add(a)
  sweep.delete(a)
  sweep.add(b)
  sweep.delete(a)
  clock.advance(ROUND_MS)
  expect(seen.splice(0)).toEqual(['b'])
  sweep.add(a)
  clock.advance(ROUND_MS)
  expect(seen.splice(0).sort()).toEqual(['a', 'b'])
})

it('what ends in a round ends others, and itself', () => {
  const { clock, sweep, seen, item } = arranged()
  const c = item('c')
  const a: Swept = item('a', () => {
    sweep.delete(a)
    sweep.delete(c)
    sweep.add(item('new'))
  })
  for (const each of [a, item('b'), c]) sweep.add(each)
  clock.advance(ROUND_MS)
  expect(seen.splice(0)).not.toContain('c')
  clock.advance(ROUND_MS)
  expect(seen.splice(0).sort()).toEqual(['b', 'new'])
})

it('forgives a round that comes late: what came meanwhile is read first', () => {
  const { seen, item } = arranged()
  let now = 0
  let round = (): void => {}
  const held = new Sweep({
    ...manualClock(),
    monoMs: () => now,
    every(_ms, fn) {
      round = fn
      return () => {}
    },
  })
  held.add(item('a'))
  now += 60_000
  round()
  expect(seen).toEqual([])
  now += ROUND_MS
  round()
  expect(seen).toEqual(['a'])
})

it('has a timer while there is something to look at, and a round longer', () => {
  const { clock, sweep, timers, item } = arranged()
  const a = item('a')
  for (let call = 0; call < 10; call++) {
    sweep.add(a)
    sweep.delete(a)
  }
  expect(timers.open).toBe(1)
  clock.advance(ROUND_MS)
  expect(timers.open).toBe(0)
  sweep.add(a)
  expect(timers.open).toBe(1)
  sweep.close()
  expect(timers.open).toBe(0)
  sweep.add(item('b'))
  expect(timers.open).toBe(0)
})
