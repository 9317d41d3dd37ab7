/** So many jobs at once. */
import type { Account } from './account.ts'

export class Running implements Account {
  readonly unit = 'running'
  readonly whenOut = 'debt'
  readonly window = null
  limit: number
  #count = 0

  constructor(limit: number) {
    this.limit = limit
  }

  /** Nobody knows when one of them ends: the least time. */
  waitMs(amount: number): number {
    return this.#count + amount <= this.limit ? 0 : this.limit <= 0 ? Infinity : 1
  }

  left(): number {
    return this.limit - this.#count
  }

  held(): number {
    return 0
  }

  resetMs(): number {
    return 0
  }

  windowMs(): number {
    return 0
  }

  hold(amount: number): number {
    this.#count += amount
    return 0
  }

  adopt(amount: number): number {
    return this.hold(amount)
  }

  settle(held: number): void {
    this.#count -= held
  }

  isUnused(): boolean {
    return this.#count === 0
  }
}
