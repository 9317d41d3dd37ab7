import { describe, expect, it } from 'vitest'
import type { Window } from '../../core/limits.ts'
import { BudgetWindows, calendarOf, type OpenWindows } from './calendar.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR
const at = (text: string): number => Date.parse(`${text}Z`)

/** A store that began when its wall clock showed `wall`. */
function world(wall: string, open?: OpenWindows) {
  const clock = { now: 1_000, wrong: 0 }
  const startMs = at(wall) - clock.now
  const wallAt = (mono: number): number => startMs + mono + clock.wrong
  const windows = new BudgetWindows((mono) => mono, wallAt, open)
  return {
    clock,
    windows,
    wall: (mono: number) => new Date(wallAt(mono)).toISOString(),
    ask: (window: Window) => windows.calendar(window, clock.now),
    /** How long the window that is open lasts from now, and passes that time. */
    pass(window: Window): number {
      const { endsMono } = windows.calendar(window, clock.now)
      const ms = endsMono - clock.now
      clock.now = endsMono
      return ms
    },
  }
}

describe('with a clock that is right', () => {
  it('windows are the calendar’s, in UTC', () => {
    const { ask, wall } = world('2028-02-28T22:30:10')
    expect(wall(ask('hour').endsMono)).toBe('2028-02-28T23:00:00.000Z')
    expect(wall(ask('day').endsMono)).toBe('2028-02-29T00:00:00.000Z')
    expect(wall(ask('month').endsMono)).toBe('2028-03-01T00:00:00.000Z')
  })

  it.each([
    ['hour', [HOUR, HOUR, HOUR]],
    ['day', [DAY, DAY, DAY]],
    ['month', [31 * DAY, 28 * DAY, 31 * DAY]],
  ] as const)('the next %s begins where the last one ends, and its index is the next', (window, lengths) => {
    const { ask, pass } = world('2026-12-31T23:59:00')
    const first = ask(window).index
    expect(pass(window)).toBe(60_000)
    expect(lengths.map(() => [ask(window).index - first, pass(window)])).toEqual(lengths.map((ms, i) => [i + 1, ms]))
  })

  it('nobody asks for days: the window is that of its day', () => {
    const { ask, clock, wall } = world('2026-11-26T12:00:00')
    const { index } = ask('day')
    clock.now += 3 * DAY + 6 * HOUR
    const then = ask('day')
    expect(then.index).toBe(index + 3)
    expect(wall(then.endsMono)).toBe('2026-11-30T00:00:00.000Z')
  })

  it('a clock that runs a little slow makes no window of a few milliseconds', () => {
    const { ask, clock, pass } = world('2026-11-26T12:00:00')
    const { index } = ask('day')
    pass('day')
    clock.wrong = -10
    expect(ask('day').index).toBe(index + 1)
    expect(pass('day')).toBe(DAY + 10)
  })
})

describe('with a clock that is set', () => {
  it.each([-HOUR, HOUR, -40 * DAY, 3653 * DAY, -60 * 365 * DAY])('an open window stays as it is (%d ms)', (jump) => {
    const { ask, clock } = world('2026-11-26T12:34:56')
    const windows = ['hour', 'day', 'month'] as const
    const before = windows.map(ask)
    clock.wrong = jump
    expect(windows.map(ask)).toEqual(before)
    clock.now += 1_000
    expect(windows.map(ask)).toEqual(before)
  })

  it('no window is shorter than half of it, or longer than one and a half, however often it is set', () => {
    let seed = 7
    const random = (): number => {
      seed = (seed * 48271) % 2147483647
      return seed / 2147483647
    }
    for (const [window, length] of [
      ['hour', HOUR],
      ['day', DAY],
      ['month', 31 * DAY],
    ] as const) {
      const { ask, clock, pass } = world('2026-11-26T12:34:56')
      pass(window)
      let { index } = ask(window)
      for (let i = 0; i < 300; i++) {
        const ms = pass(window)
        expect(ms).toBeGreaterThanOrEqual(window === 'month' ? 14 * DAY : length / 2)
        expect(ms).toBeLessThanOrEqual(1.5 * length)
        clock.wrong = (random() - 0.5) * 20 * 365 * DAY
        const next = ask(window).index
        expect(next).toBeGreaterThan(index)
        index = next
      }
    }
  })

  it('one that was wrong at the first start is right from the next boundary on', () => {
    const { ask, clock, pass, wall } = world('1970-01-01T00:00:07')
    ask('day')
    clock.wrong = at('2026-11-26T15:00:00') - at('1970-01-01T00:00:07')
    // Its first day ends with the store’s first 24 hours, the second at midnight
    expect(pass('day')).toBe(DAY - 7_000)
    expect(wall(ask('day').endsMono)).toBe('2026-11-29T00:00:00.000Z')
    pass('day')
    expect(pass('day')).toBe(DAY)
  })
})

describe('over a restart', () => {
  it('the window that was open is the one that is, and its successor has a new index', () => {
    const first = world('2026-11-26T12:00:00')
    const { index, endsMono } = first.ask('day')
    expect(first.windows.turns).toBe(1)
    const second = world('2036-01-01T12:00:00', JSON.parse(JSON.stringify(first.windows.open)))
    expect(second.ask('day')).toEqual({ index, endsMono })
    expect(second.windows.turns).toBe(0)
    second.clock.wrong = -20 * 365 * DAY
    second.pass('day')
    expect(second.ask('day').index).toBe(index + 1)
  })

  it('where the store’s own time is set back, what is open ends in time', () => {
    const { ask, clock, wall } = world('2036-11-26T12:00:00')
    const { index } = ask('month')
    clock.now -= 3653 * DAY
    const now = ask('month')
    expect(now.index).toBe(index)
    expect(wall(now.endsMono)).toBe('2026-12-01T00:00:00.000Z')
  })
})

it('calendarOf: by one clock', () => {
  const calendar = calendarOf((mono) => at('2026-11-26T12:00:00') + mono)
  expect(calendar('day', 0)).toEqual({ index: at('2026-11-26T00:00:00') / DAY, endsMono: 12 * HOUR })
  expect(calendar('month', 0).index).toBe(2026 * 12 + 10)
})
