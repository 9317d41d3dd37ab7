/**
 * One amount that one level may use. Four kinds, one shape: a rate (GCRA), a budget of money in a window of the
 * calendar, how fast that may be spent, and a number of jobs at once. What may come is asked of all accounts of a job
 * first (`waitMs`), and taken from all or none. Pure: `now` is monotonic ms.
 */
import type { Unit, WhenOut, Window } from '../../core/limits.ts'

export interface Account {
  readonly unit: Unit
  readonly whenOut: WhenOut
  /** What it may use at most: a rate's burst, a budget's sum, a number of jobs. */
  readonly limit: number
  /** Of a budget; `run`: in all; else null. */
  readonly window: Window | 'run' | null
  /** How long until `amount` fits; 0: it does now. Infinity: never, it exceeds all that there can be. */
  waitMs(amount: number, now: number): number
  /** How much is left. Below zero: debt. */
  left(now: number): number
  /** What is held of it, and not used for good yet. Jobs at once hold nothing: they use. */
  held(now: number): number
  /** How long until nothing of it is used, if nothing more comes. */
  resetMs(now: number): number
  /** In which `limit` comes back; of a budget, until its window ends. */
  windowMs(now: number): number
  /**
   * Takes it, whether it fits or not. Returns a mark, to be kept with the hold: by it one can tell what time has paid
   * back of it since. `held` and `mark`: what the same job holds here already.
   */
  hold(amount: number, now: number, held?: number, mark?: number): number
  /** It was held when what was used was stored, and is held still. Returns its mark. */
  adopt(amount: number, now: number): number
  /** Ends a hold of `held`: what was used is counted, the rest given back. */
  settle(held: number, used: number, now: number, mark: number): void
  /** Nothing is used: it can be forgotten, and made anew. */
  isUnused(now: number): boolean
}
