/**
 * Hours, days and months (UTC) for budgets, which a clock that is set neither opens nor prolongs. The wall clock is
 * asked where a window ends, and only for how long the next one lasts: to the first boundary that is at least half a
 * window away. So no window is shorter than half of its length, or longer than one and a half, whatever clock they
 * began by; with a clock that is right they are the calendar's; one that was wrong (a first start before NTP, time that
 * nobody counted while the machine was off) is made good at the next boundary (0046).
 */
import type { Calendar, Window } from '../../core/limits.ts'

/** One that is open. */
export interface OpenWindow {
  readonly index: number
  /** In the store's time. */
  readonly ends: number
}
export type OpenWindows = Partial<Record<Window, OpenWindow>>

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
/** Half the length of each, and the most that a window can last. */
const HALF_MS: Readonly<Record<Window, number>> = { hour: HOUR_MS / 2, day: DAY_MS / 2, month: 14 * DAY_MS }
const MOST_MS: Readonly<Record<Window, number>> = { hour: 1.5 * HOUR_MS, day: 1.5 * DAY_MS, month: 46 * DAY_MS }
/** Dates end some 270,000 years from now. */
const LAST_MS = 8e15

export class BudgetWindows {
  readonly #timeAt: (mono: number) => number
  readonly #wallAt: (mono: number) => number
  readonly #open: OpenWindows
  /** How many windows have begun: `open` is to be stored when it has grown. */
  turns = 0

  /**
   * `timeAt`: the store's own time, ms, which goes on over restarts. `wallAt`: the wall clock as it is now, at a
   * monotonic time. `open`: as it was when it was stored.
   */
  constructor(timeAt: (mono: number) => number, wallAt: (mono: number) => number, open: OpenWindows = {}) {
    this.#timeAt = timeAt
    this.#wallAt = wallAt
    this.#open = { ...open }
  }

  /** Windows that have begun, also those that are over by now. */
  get open(): OpenWindows {
    return this.#open
  }

  readonly calendar: Calendar = (window, nowMono) => {
    const now = this.#timeAt(nowMono)
    let open = this.#open[window]
    if (open === undefined || now >= open.ends || open.ends - now > MOST_MS[window]) {
      open = this.#next(window, now, this.#wallAt(nowMono), open)
      this.#open[window] = open
      this.turns++
    }
    return { index: open.index, endsMono: nowMono + open.ends - now }
  }

  #next(window: Window, now: number, wallMs: number, before: OpenWindow | undefined): OpenWindow {
    const wall = Math.min(LAST_MS, Math.max(0, wallMs))
    let at = indexOf(window, wall)
    const endOf = (index: number): number => now + startOf(window, index) - wall
    // The store's own time was set back: what is open ends in time
    if (before !== undefined && now < before.ends) return { index: before.index, ends: endOf(at + 1) }
    const index = before === undefined ? at : Math.max(before.index + 1, at)
    const least = before === undefined ? -Infinity : before.ends + HALF_MS[window]
    while (endOf(at + 1) < least) at++
    return { index, ends: endOf(at + 1) }
  }
}

/** For an engine whose time is the wall clock of its store. */
export const calendarOf = (wallAt: (mono: number) => number): Calendar => new BudgetWindows(wallAt, wallAt).calendar

function indexOf(window: Window, wallMs: number): number {
  if (window !== 'month') return Math.floor(wallMs / (window === 'hour' ? HOUR_MS : DAY_MS))
  const date = new Date(wallMs)
  return date.getUTCFullYear() * 12 + date.getUTCMonth()
}

const startOf = (window: Window, index: number): number =>
  window === 'month' ? Date.UTC(Math.floor(index / 12), index % 12) : index * (window === 'hour' ? HOUR_MS : DAY_MS)

/** "2026-11-26", UTC. */
export const dayOf = (wallMs: number): string => new Date(Math.floor(wallMs)).toISOString().slice(0, 10)
