/** One level's accounts: a key's, a user's, a tenant's … Made when first asked, forgotten once nothing is used. */
import type { Calendar, LevelKind, LevelLimits, LevelUse, Unit, Window } from '../../core/limits.ts'
import type { Account } from './account.ts'
import { Budget } from './budget.ts'
import { Rate } from './rate.ts'
import { Running } from './running.ts'

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
  /** Of a user, a key, a run and a tenant's model: the tenant. Else empty. */
  readonly owner: string
  readonly name: string
  readonly #calendar: () => Calendar
  #limits: LevelLimits
  #accounts: Accounts
  /** Jobs that hold something here. */
  holders = 0
  /** What it has used is not what the store has. */
  isChanged = false
  /** The store has something of it. */
  isStored = false
  /** A job waits for it: who gives something back tells. */
  isAwaited = false

  constructor(kind: LevelKind, owner: string, name: string, limits: LevelLimits, calendar: () => Calendar) {
    this.kind = kind
    this.owner = owner
    this.name = name
    this.#calendar = calendar
    this.#limits = limits
    this.#accounts = accountsOf(this, limits, null, calendar, 0)
  }

  get accounts(): Accounts {
    return this.#accounts
  }

  /** Among all levels. */
  get id(): string {
    return `${this.kind}\n${this.owner}\n${this.name}`
  }

  /** What was used of an amount that is still limited stays used. */
  change(limits: LevelLimits, now: number): void {
    if (limits === this.#limits) return
    this.#limits = limits
    this.#accounts = accountsOf(this, limits, this.#accounts, this.#calendar, now)
  }

  isUnused(now: number): boolean {
    const { amounts, running } = this.#accounts
    if (this.holders > 0 || running?.isUnused() === false) return false
    for (const account of amounts) if (!account.isUnused(now)) return false
    return true
  }

  // ------------------------------------------------------------ for the store

  /** Without what is held. Null: nothing. */
  used(now: number): LevelUse | null {
    const rates: Partial<Record<Unit, number>> = {}
    const spent: Partial<Record<Window, { readonly index: number; readonly nanoDollars: number }>> = {}
    let isUsed = false
    for (const account of this.#accounts.amounts)
      if (account instanceof Rate) {
        const used = account.usedBy(now)
        if (used !== null) rates[account.unit] = used
        isUsed ||= used !== null
      } else if (account instanceof Budget) {
        const sum = account.spent(now)
        if (sum !== null) spent[account.window] = sum
        isUsed ||= sum !== null
      }
    return isUsed ? { atMono: now, rates, spent } : null
  }

  restore({ atMono, rates, spent }: LevelUse, now: number): void {
    this.isStored = true
    for (const account of this.#accounts.amounts)
      if (account instanceof Rate) {
        const used = rates[account.unit]
        if (used !== undefined) account.restore(used, atMono, now)
      } else if (account instanceof Budget) {
        const sum = spent[account.window]
        if (sum !== undefined) account.restore(sum)
      }
  }
}

function accountsOf(
  level: Level,
  { rates, budgets, concurrent }: LevelLimits,
  before: Accounts | null,
  calendar: () => Calendar,
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
  const running = concurrent === null ? null : (before?.running ?? new Running(concurrent))
  if (running !== null) running.limit = concurrent!
  return { level, amounts, running, outputBurst }
}
