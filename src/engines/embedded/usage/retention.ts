/** Usage records go by their age, and when they are too many; sums stay. */
import type { Clock } from '../../../core/clock.ts'
import type { TenantId } from '../../../core/job.ts'
import type { JobRetention } from '../../shared/retention.ts'
import type { Age } from '../disk/age.ts'
import type { Store } from '../disk/store.ts'
import type { UsageRows } from './ledger.ts'
import type { LevelRows } from './levels.ts'

export type UsageRetentionOptions = Pick<JobRetention, 'usageMs' | 'usageBytes'>

const STEP_PAUSE_MS = 10

export class UsageRetention {
  readonly #store: Store
  readonly #usage: UsageRows
  readonly #levels: LevelRows
  readonly #clock: Clock
  readonly #age: Age
  readonly #options: UsageRetentionOptions

  constructor(
    store: Store,
    usage: UsageRows,
    levels: LevelRows,
    clock: Clock,
    age: Age,
    options: UsageRetentionOptions,
  ) {
    this.#store = store
    this.#usage = usage
    this.#levels = levels
    this.#clock = clock
    this.#age = age
    this.#options = options
  }

  /** Rejects when the store is down; the next sweep continues. */
  async sweep(isClosed: () => boolean): Promise<void> {
    while (!isClosed()) {
      const { usageMs, usageBytes } = this.#options
      const until = this.#usage.expired(this.#age.now() - usageMs, usageBytes)
      if (until === null) return
      await this.#store.run(() => this.#usage.removeUntil(until), true)
      await new Promise<void>((done) => this.#clock.after(STEP_PAUSE_MS, done))
    }
  }

  /** Its records, its sums, and what it has used of limits; committed when resolved. */
  async removeTenant(tenant: TenantId): Promise<void> {
    let n: number | null = 0
    while (n !== null) {
      const from: number = n
      await this.#store.run(() => {
        n = this.#usage.removeSome(tenant, from)
      }, true)
    }
    let day: string | null = ''
    while (day !== null) {
      const from: string = day
      await this.#store.run(() => {
        day = this.#usage.removeSomeSums(tenant, from)
      }, true)
    }
    let isMore = true
    while (isMore)
      await this.#store.run(() => {
        isMore = this.#levels.removeSome(tenant)
      }, true)
  }
}
