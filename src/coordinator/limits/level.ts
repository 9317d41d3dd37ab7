/** One level's accounts: a key's, a user's, a tenant's … Made when first asked, forgotten once nothing is used. */
import type {
  BudgetLimit,
  Calendar,
  LevelKind,
  LevelLimits,
  LevelUse,
  RateLimit,
  RunUse,
  TotalLimit,
  Unit,
  Window,
} from '../../core/limits.ts'
import type { Account } from './account.ts'
import { Budget } from './budget.ts'
import { Rate } from './rate.ts'
import { Running } from './running.ts'
import { Total } from './total.ts'
import { Velocity } from './velocity.ts'

/** A level's accounts that are limited now; others after a reload. */
export interface Accounts {
  readonly level: Level
  /** Of tokens, requests and money. */
  readonly amounts: readonly Account[]
  /** Among them; null: its budgets may be spent at any speed. */
  readonly velocity: Velocity | null
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
  /** All that it ever had: one that is left out of the limits, and put back, has used what it had. */
  readonly #rates: Rate[] = []
  readonly #budgets: Budget[] = []
  readonly #totals: Total[] = []
  #running: Running | null = null
  #velocity: Velocity | null = null
  /** Jobs that hold something here. */
  holders = 0
  /** What it has used is not what the store has. */
  isChanged = false
  /** The store has something of it. */
  isStored = false
  /** A job of its asked for it since the last look at what is unused. */
  isAsked = false
  /** A job waits for it: who gives something back tells. */
  isAwaited = false

  constructor(kind: LevelKind, owner: string, name: string, limits: LevelLimits, calendar: () => Calendar) {
    this.kind = kind
    this.owner = owner
    this.name = name
    this.#calendar = calendar
    this.#limits = limits
    this.#accounts = this.#inForce(limits, 0)
  }

  get accounts(): Accounts {
    return this.#accounts
  }

  /** Among all levels. */
  get id(): string {
    return `${this.kind}\n${this.owner}\n${this.name}`
  }

  /** What was used stays used. */
  change(limits: LevelLimits, now: number): void {
    if (limits === this.#limits) return
    this.#limits = limits
    this.#accounts = this.#inForce(limits, now)
  }

  #inForce({ rates, budgets, totals = [], concurrent, velocity: limit }: LevelLimits, now: number): Accounts {
    const amounts: Account[] = []
    let outputBurst = Infinity
    for (const limit of rates) {
      amounts.push(this.#rate(limit, now))
      if (limit.unit === 'tokens' || limit.unit === 'output_tokens') outputBurst = Math.min(outputBurst, limit.burst)
    }
    for (const limit of budgets) amounts.push(this.#budget(limit))
    for (const limit of totals) amounts.push(this.#total(limit))
    if (concurrent !== null) {
      this.#running ??= new Running(concurrent)
      this.#running.limit = concurrent
    }
    // Unlike what was used, a breaker that is left out begins anew: an operator resets it so
    if (limit === undefined) this.#velocity = null
    else {
      this.#velocity ??= new Velocity(limit)
      this.#velocity.change(limit)
      amounts.push(this.#velocity)
    }
    const running = concurrent === null ? null : this.#running
    return { level: this, amounts, velocity: this.#velocity, running, outputBurst }
  }

  #rate(limit: RateLimit, now: number): Rate {
    const known = this.#rates.find(({ unit }) => unit === limit.unit)
    known?.change(limit, now)
    if (known !== undefined) return known
    const rate = new Rate(limit)
    this.#rates.push(rate)
    return rate
  }

  #budget(limit: BudgetLimit): Budget {
    const known = this.#budgets.find(({ window }) => window === limit.window)
    known?.change(limit)
    if (known !== undefined) return known
    const budget = new Budget(limit, this.#calendar)
    this.#budgets.push(budget)
    return budget
  }

  #total(limit: TotalLimit): Total {
    const known = this.#totals.find(({ unit }) => unit === limit.unit)
    known?.change(limit)
    if (known !== undefined) return known
    const total = new Total(limit)
    this.#totals.push(total)
    return total
  }

  /** In all, whenever. */
  totalUse(): RunUse {
    const useOf = (unit: TotalLimit['unit']): RunUse[TotalLimit['unit']] => {
      const total = this.#totals.find((one) => one.unit === unit)
      return { used: total?.used() ?? 0, held: total?.held() ?? 0 }
    }
    return { tokens: useOf('tokens'), requests: useOf('requests'), nano_dollars: useOf('nano_dollars') }
  }

  isUnused(now: number): boolean {
    if (this.holders > 0 || this.#running?.isUnused() === false || this.#velocity?.isUnused(now) === false) return false
    return [this.#rates, this.#budgets, this.#totals].every((all) => all.every((account) => account.isUnused(now)))
  }

  // ------------------------------------------------------------ for the store

  /** Without what is held. Null: nothing. */
  used(now: number): LevelUse | null {
    const rates: Partial<Record<Unit, number>> = {}
    const spent: Partial<Record<Window, { readonly index: number; readonly nanoDollars: number }>> = {}
    const velocity = this.#velocity?.state(now) ?? null
    let isUsed = velocity !== null
    for (const rate of this.#rates) {
      const used = rate.usedBy(now)
      if (used !== null) rates[rate.unit] = used
      isUsed ||= used !== null
    }
    for (const budget of this.#budgets) {
      const sum = budget.spent(now)
      if (sum !== null) spent[budget.window] = sum
      isUsed ||= sum !== null
    }
    const totals: Partial<Record<TotalLimit['unit'], number>> = {}
    let isAny = false
    for (const total of this.#totals) {
      const used = total.used()
      if (used !== null) totals[total.unit] = used
      isAny ||= used !== null
    }
    return isUsed || isAny
      ? { atMono: now, rates, spent, ...(velocity !== null && { velocity }), ...(isAny && { totals }) }
      : null
  }

  /** What is not limited now may be again. */
  restore({ atMono, rates, spent, velocity, totals }: LevelUse, now: number): void {
    this.isStored = true
    if (velocity !== undefined) this.#velocity?.restore(velocity, Math.min(atMono, now))
    for (const unit of UNITS) {
      const used = rates[unit]
      if (used === undefined) continue
      const known = this.#rates.find((one) => one.unit === unit)
      const rate = known ?? Rate.unlimited(unit, used)
      if (known === undefined) this.#rates.push(rate)
      rate.restore(used, atMono, now)
    }
    for (const window of WINDOWS) {
      const sum = spent[window]
      if (sum === undefined) continue
      const known = this.#budgets.find((one) => one.window === window)
      const budget = known ?? this.#budget({ window, nanoDollars: 0, whenOut: 'debt' })
      budget.restore(sum)
    }
    for (const unit of TOTALS) {
      const used = totals?.[unit]
      if (used === undefined) continue
      // What it may use its next job brings
      const known = this.#totals.find((one) => one.unit === unit)
      const total = known ?? this.#total({ unit, most: 0 })
      total.restore(used, Math.min(atMono, now))
    }
  }
}

const UNITS: ReadonlyArray<RateLimit['unit']> = ['input_tokens', 'output_tokens', 'tokens', 'requests']
const WINDOWS: readonly Window[] = ['hour', 'day', 'month']
const TOTALS: ReadonlyArray<TotalLimit['unit']> = ['tokens', 'requests', 'nano_dollars']
