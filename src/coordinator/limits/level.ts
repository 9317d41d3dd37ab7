/** One level's accounts: a key's, a user's, a tenant's … Made when it is first asked, forgotten once nothing is used. */
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

export class Level {
  readonly kind: LevelKind
  /** Unique over all levels. */
  readonly name: string
  #limits: LevelLimits
  #accounts: readonly Account[]
  /** Jobs that hold something here. */
  holders = 0

  constructor(kind: LevelKind, name: string, limits: LevelLimits, calendar: Calendar) {
    this.kind = kind
    this.name = name
    this.#limits = limits
    this.#accounts = accountsOf(limits, [], calendar, 0)
  }

  get accounts(): readonly Account[] {
    return this.#accounts
  }

  /** What was used of an amount that is still limited stays used. */
  change(limits: LevelLimits, calendar: Calendar, now: number): void {
    if (limits === this.#limits) return
    this.#limits = limits
    this.#accounts = accountsOf(limits, this.#accounts, calendar, now)
  }

  isUnused(now: number): boolean {
    if (this.holders > 0) return false
    for (const account of this.#accounts) if (!account.isUnused(now)) return false
    return true
  }
}

function accountsOf(limits: LevelLimits, known: readonly Account[], calendar: Calendar, now: number): Account[] {
  const accounts: Account[] = []
  for (const limit of limits.rates) {
    const before = known.find((account): account is Rate => account instanceof Rate && account.unit === limit.unit)
    before?.change(limit, now)
    accounts.push(before ?? new Rate(limit))
  }
  for (const limit of limits.budgets) {
    const before = known.find((one): one is Budget => one instanceof Budget && one.window === limit.window)
    before?.change(limit)
    accounts.push(before ?? new Budget(limit, calendar))
  }
  const running = known.find((account): account is Running => account instanceof Running) ?? new Running(Infinity)
  running.limit = limits.concurrent
  if (limits.concurrent !== Infinity) accounts.push(running)
  return accounts
}
