/** So much money in an hour, a day or a month of the calendar. What is held counts as if it were spent. */
import type { BudgetLimit, Calendar, WhenOut, Window } from '../../core/limits.ts'
import type { Account } from './account.ts'

export class Budget implements Account {
  readonly unit = 'nano_dollars'
  #limit: BudgetLimit
  readonly #calendar: () => Calendar
  #index = -Infinity
  #endsMono = -Infinity
  #spent = 0
  #held = 0

  constructor(limit: BudgetLimit, calendar: () => Calendar) {
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

  held(): number {
    return this.#held
  }

  resetMs(now: number): number {
    this.#turn(now)
    return this.#spent + this.#held > 0 ? this.#endsMono - now : 0
  }

  windowMs(now: number): number {
    this.#turn(now)
    return this.#endsMono - now
  }

  hold(amount: number, now: number): number {
    this.#turn(now)
    this.#held += amount
    return 0
  }

  adopt(amount: number, now: number): number {
    return this.hold(amount, now)
  }

  /** Spent by what has ended, for the store; null: nothing. */
  spent(now: number): { readonly index: number; readonly nanoDollars: number } | null {
    this.#turn(now)
    return this.#spent === 0 ? null : { index: this.#index, nanoDollars: this.#spent }
  }

  /** As `spent` told. */
  restore({ index, nanoDollars }: { readonly index: number; readonly nanoDollars: number }): void {
    this.#index = index
    this.#spent = nanoDollars
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
    const { index, endsMono } = this.#calendar()(this.#limit.window, now)
    this.#endsMono = endsMono
    if (index <= this.#index) return
    this.#index = index
    this.#spent = 0
  }
}
