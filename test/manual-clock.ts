/** A clock that moves only by `advance`, which runs what is due, in order. */
import type { Clock } from '../src/core/clock.ts'

export interface ManualClock extends Clock {
  advance(ms: number): void
  /** Moves the wall clock alone: a jump. */
  jumpWall(ms: number): void
}

export function manualClock(wallMs = 1_750_000_000_000): ManualClock {
  let mono = 0
  let wall = wallMs
  let order = 0
  const timers = new Set<{ at: number; order: number; fn: () => void; every: number }>()
  const add = (ms: number, fn: () => void, every: number): (() => void) => {
    const timer = { at: mono + ms, order: order++, fn, every }
    timers.add(timer)
    return () => void timers.delete(timer)
  }
  return {
    wallMs: () => wall,
    monoMs: () => mono,
    after: (ms, fn) => add(ms, fn, 0),
    every: (ms, fn) => add(ms, fn, Math.max(ms, 1)),
    soon: (fn) => void add(0, fn, 0),
    jumpWall(ms) {
      wall += ms
    },
    advance(ms) {
      const until = mono + ms
      for (;;) {
        const due = [...timers].filter((t) => t.at <= until).sort((a, b) => a.at - b.at || a.order - b.order)[0]
        if (!due) break
        const step = Math.max(0, due.at - mono)
        mono += step
        wall += step
        if (due.every > 0) due.at += due.every
        else timers.delete(due)
        due.fn()
      }
      wall += until - mono
      mono = until
    },
  }
}
