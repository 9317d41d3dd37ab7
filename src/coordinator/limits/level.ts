/** One level's accounts: a key's, a user's, a tenant's … Made when first asked, forgotten once nothing is used. */
import type { Account } from './account.ts'
import { Budget, type BudgetLimit, type Calendar } from './budget.ts'
import { Rate, type RateLimit } from './rate.ts'
import { Running } from './running.ts'

export type LevelKind = 'run' | 'key' | 'user' | 'tenant' | 'tenant_model' | 'model' | 'global'

export interface LevelLimits {
  readonly rates: readonly RateLimit[]
  readonly budgets: readonly BudgetLimit[]
  /** Jobs at once; Infinity: any number. */
  readonly concurrent: number
}

/** A level's accounts as they are now; others after a reload. */
export interface Accounts {
  readonly level: Level
  /** Of tokens, requests and money. */
  readonly amounts: readonly Account[]
  /** Null: any number may run. */
  readonly running: Running | null
  /** The smallest burst that the tokens of an answer count against. */
  readonly outputBurst: number
}

export class Level {
  readonly kind: LevelKind
  /** Of a user, a run and a tenant's model: the tenant. Else empty. */
  readonly owner: string
  readonly name: string
  #limits: LevelLimits
  #accounts: Accounts
  /** Jobs that hold something here. */
  holders = 0

  constructor(kind: LevelKind, owner: string, name: string, limits: LevelLimits, calendar: Calendar) {
    this.kind = kind
    this.owner = owner
    this.name = name
    this.#limits = limits
    this.#accounts = accountsOf(this, limits, null, calendar, 0)
  }

  get accounts(): Accounts {
    return this.#accounts
  }

  /** What was used of an amount that is still limited stays used. */
  change(limits: LevelLimits, calendar: Calendar, now: number): void {
    if (limits === this.#limits) return
    this.#limits = limits
    this.#accounts = accountsOf(this, limits, this.#accounts, calendar, now)
  }

  isUnused(now: number): boolean {
    if (this.holders > 0) return false
    for (const account of this.#accounts.amounts) if (!account.isUnused(now)) return false
    return true
  }
}

function accountsOf(
  level: Level,
  { rates, budgets, concurrent }: LevelLimits,
  before: Accounts | null,
  calendar: Calendar,
  now: number,
): Accounts {
  const known = before?.amounts ?? []
  const amounts: Account[] = []
  let outputBurst = Infinity
  for (const limit of rates) {
    const rate = known.find((one): one is Rate => one instanceof Rate && one.unit === limit.unit)
    rate?.change(limit, now)
    amounts.push(rate ?? new Rate(limit))
    if (limit.unit === 'tokens' || limit.unit === 'output_tokens') outputBurst = Math.min(outputBurst, limit.burst)
  }
  for (const limit of budgets) {
    const budget = known.find((one): one is Budget => one instanceof Budget && one.window === limit.window)
    budget?.change(limit)
    amounts.push(budget ?? new Budget(limit, calendar))
  }
  const running = concurrent === Infinity ? null : (before?.running ?? new Running(concurrent))
  if (running !== null) running.limit = concurrent
  return { level, amounts, running, outputBurst }
}
