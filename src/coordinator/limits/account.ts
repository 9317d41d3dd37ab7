/**
 * One amount that one level may use. Three kinds, one shape: a rate (GCRA), a budget of money in a window of the
 * calendar, and a number of jobs at once. What may come is asked of all accounts of a job first (`waitMs`), and taken
 * from all or none. Pure: `now` is monotonic ms.
 */

/** What is counted. Money is in nano-dollars: an integer, exact up to 9 million dollars. */
export type Unit = 'input_tokens' | 'output_tokens' | 'tokens' | 'requests' | 'nano_dollars' | 'running'

/**
 * What a stream does that needs more than there is. `debt`: it goes on, and what it took is paid back before the next
 * request. `deny_next`: it goes on, and the next request waits for room, but no longer than if the account had only
 * just run out. `cut`: it ends.
 */
export type WhenOut = 'debt' | 'deny_next' | 'cut'

export interface Account {
  readonly unit: Unit
  readonly whenOut: WhenOut
  /** What it may use at most: a rate's burst, a budget's sum, a number of jobs. */
  readonly limit: number
  /** How long until `amount` fits; 0: it does now. Infinity: never, it exceeds all that there can be. */
  waitMs(amount: number, now: number): number
  /** How much is left. Below zero: debt. */
  left(now: number): number
  /** How long until nothing of it is used, if nothing more comes. */
  resetMs(now: number): number
  /** Takes it, whether it fits or not. */
  hold(amount: number, now: number): void
  /** Ends a hold of `held`: what was used is counted, the rest given back. */
  settle(held: number, used: number, now: number): void
  /** Nothing is used: it can be forgotten, and made anew. */
  isUnused(now: number): boolean
}
