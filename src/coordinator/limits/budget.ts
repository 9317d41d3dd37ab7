/** So much money in an hour, a day or a month of the calendar. What is held counts as if it were spent. */
import type { Account, WhenOut } from './account.ts'

export type Window = 'hour' | 'day' | 'month'

export interface BudgetLimit {
  readonly window: Window
  readonly nanoDollars: number
  readonly whenOut: WhenOut
}

/**
 * The calendar, as far as budgets need it. It must not follow the jumps of the wall clock: a clock that is set must not
 * open a new month.
 */
export type Calendar = (
  window: Window,
  now: number,
) => {
  /** Grows from window to window. */
  readonly index: number
  readonly endsMono: number
}

export class Budget implements Account {
  readonly unit = 'nano_dollars'
  #limit: BudgetLimit
  readonly #calendar: Calendar
  #index = -Infinity
  #endsMono = -Infinity
  #spent = 0
  #held = 0

  constructor(limit: BudgetLimit, calendar: Calendar) {
    this.#limit = limit
    this.#calendar = calendar
  }

  get window(): Window {
    return this.#limit.window
  }

  get whenOut(): WhenOut {
    return this.#limit.whenOut
  }

  get limit(): number {
    return this.#limit.nanoDollars
  }

  change(limit: BudgetLimit): void {
    this.#limit = limit
  }

  waitMs(amount: number, now: number): number {
    if (amount <= this.left(now)) return 0
    return amount > this.#limit.nanoDollars ? Infinity : Math.max(1, this.#endsMono - now)
  }

  left(now: number): number {
    this.#turn(now)
    return this.#limit.nanoDollars - this.#spent - this.#held
  }

  resetMs(now: number): number {
    this.#turn(now)
    return this.#spent + this.#held > 0 ? this.#endsMono - now : 0
  }

  hold(amount: number, now: number): void {
    this.#turn(now)
    this.#held += amount
  }

  /** It counts in the window in which it is settled. */
  settle(held: number, used: number, now: number): void {
    this.#turn(now)
    this.#held -= held
    this.#spent += used
  }

  isUnused(now: number): boolean {
    this.#turn(now)
    return this.#held === 0 && this.#spent === 0
  }

  #turn(now: number): void {
    if (now < this.#endsMono) return
    const { index, endsMono } = this.#calendar(this.#limit.window, now)
    this.#endsMono = endsMono
    if (index <= this.#index) return
    this.#index = index
    this.#spent = 0
  }
}
