/** Each attempt is recorded once, by the commit that ends it; sums and levels tell what the records tell. */
import type { LimitSettings } from '../../../src/core/limits.ts'
import type { UsageRecord } from '../../../src/core/usage-record.ts'
import { readLevel, WINDOWS } from '../../../src/engines/redis/protocol/levels.ts'
import { addedBy, readRecords } from '../../../src/engines/redis/protocol/usage.ts'
import { must } from '../ledger.ts'
import type { Database } from './database.ts'

/** Of one tenant at once. */
export const CONCURRENT = 2
const PLENTY = 1e12

/** No job is refused for good, and many wait. */
export const LIMITS: LimitSettings = {
  global: null,
  models: {},
  tenants: {},
  eachTenant: {
    all: {
      rates: [{ unit: 'tokens', burst: 2_000, perSecond: 400, whenOut: 'debt', oversize: 'refuse' }],
      budgets: [{ window: 'month', nanoDollars: PLENTY, whenOut: 'cut' }],
      concurrent: CONCURRENT,
    },
    eachUser: { rates: [], budgets: [{ window: 'month', nanoDollars: PLENTY, whenOut: 'cut' }], concurrent: null },
    eachRun: null,
    eachKey: null,
    models: {},
  },
  keys: {},
}

type Recorded = Pick<UsageRecord, 'tenant' | 'user' | 'nanoDollars'>

export class JudgedUsage {
  readonly #recorded = new Map<string, Recorded>()
  /** Entries of the stream that are read. */
  #read = 0
  #sums: readonly number[] = []

  /** After each commit, before its jobs are judged. `tenantOf`: of a job. */
  stored(db: Database, shard: string, tenantOf: (job: string) => string): void {
    const { entries } = db.stream(`${shard}:use:log`)
    for (; this.#read < entries.length; this.#read++)
      for (const record of readRecords('', entries[this.#read][1][0])) {
        must(record !== null, 'a record can not be read')
        const { job, attempt, user, nanoDollars } = record
        must(!this.#recorded.has(`${job} ${attempt}`), `attempt ${attempt} of ${job} is recorded twice`)
        this.#recorded.set(`${job} ${attempt}`, { tenant: tenantOf(job), user, nanoDollars })
        const added = addedBy(record)
        this.#sums = this.#sums.length === 0 ? added : this.#sums.map((sum, i) => sum + added[i])
      }
  }

  /** Once its jobs are judged. */
  judge(db: Database, shard: string): void {
    this.#judgeSums(db, shard)
    this.#judgeLevels(db, shard)
  }

  /** An attempt ended in this commit, or before. */
  ended(job: string, attempt: number): void {
    must(this.#recorded.has(`${job} ${attempt}`), `attempt ${attempt} of ${job} has ended, and is not recorded`)
  }

  /** The store has lost its end. */
  lost(db: Database, shard: string, tenantOf: (job: string) => string): void {
    this.#recorded.clear()
    this.#read = 0
    this.#sums = []
    this.stored(db, shard, tenantOf)
    this.judge(db, shard)
  }

  #judgeSums(db: Database, shard: string): void {
    const days = [...db.scores(`${shard}:use:days`).keys()]
    const stored = days.flatMap((day) => [...db.hash(`${shard}:use:${day}`).values()])
    const sums = stored.map((each) => each.split(' ').map(Number))
    const total = this.#sums.map((_, i) => sums.reduce((sum, each) => sum + each[i], 0))
    must(`${total}` === `${this.#sums}`, `the sums are ${total}, of records ${this.#sums}`)
  }

  #judgeLevels(db: Database, shard: string): void {
    const spent = new Map<string, number>()
    for (const { tenant, user, nanoDollars } of this.#recorded.values())
      for (const level of [`tenant ${tenant}`, ...(user === null ? [] : [`user ${tenant} ${user}`])])
        spent.set(level, (spent.get(level) ?? 0) + (nanoDollars ?? 0))
    const stored = new Map<string, number>()
    for (const [name, row] of db.hash(`${shard}:lim`)) {
      if (name === WINDOWS) continue
      const level = readLevel(name, row, (atMs) => atMs)
      must(level !== null, `the level ${name} can not be read`)
      const of = level.kind === 'tenant' ? `tenant ${level.name}` : `${level.kind} ${level.owner} ${level.name}`
      stored.set(of, level.used?.spent.month?.nanoDollars ?? 0)
    }
    for (const level of new Set([...spent.keys(), ...stored.keys()]))
      must(
        (spent.get(level) ?? 0) === (stored.get(level) ?? 0),
        `${level} has spent ${spent.get(level) ?? 0}, and ${stored.get(level) ?? 0} is stored`,
      )
  }
}

/** What a tenant's jobs run at once. */
export function judgeConcurrency(tenants: Iterable<string>): void {
  const running = new Map<string, number>()
  for (const tenant of tenants) running.set(tenant, (running.get(tenant) ?? 0) + 1)
  for (const [tenant, count] of running) must(count <= CONCURRENT, `${count} of tenant ${tenant} run at once`)
}
