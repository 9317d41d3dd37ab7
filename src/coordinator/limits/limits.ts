/**
 * Who may use what. The weight of a job is held before it runs, on all of its levels or on none, corrected while its
 * answer streams, and settled once, by what it came to. A refusal takes nothing anywhere.
 */
import { Slots, Table } from '../../core/table.ts'
import type { Account, Unit } from './account.ts'
import type { Calendar } from './budget.ts'
import { Level, type LevelKind, type LevelLimits } from './level.ts'
import { OutputLengths } from './output-lengths.ts'

/** What limits need to know of a job. */
export interface LimitedJob {
  readonly tenant: string
  readonly model: string
  readonly keyId: string
  readonly user: string | null
  /** An agent's run; null: it belongs to none. */
  readonly run: string | null
  /** Tells kinds of requests apart by how long their answers are. */
  readonly route: string
  /** The estimate of its prompt. */
  readonly promptTokens: number
  /** As its client asked; null: as long as it gets. */
  readonly maxOutputTokens: number | null
}

/** Tokens that were used, or are held, and what they cost. */
export interface Amounts {
  readonly inputTokens: number
  readonly outputTokens: number
  readonly requests: number
  readonly nanoDollars: number
}

/** Nano-dollars a token. */
export interface TokenPrice {
  readonly input: number
  readonly output: number
}

export interface LimitsOptions {
  /** The limits of a level that this job is subject to; null: there are none. `name` tells whose they are. */
  readonly levelsOf: (job: LimitedJob) => ReadonlyArray<{
    readonly kind: LevelKind
    readonly name: string
    readonly limits: LevelLimits
  }>
  readonly calendar: Calendar
  /** Null: nobody knows what it costs. */
  readonly priceOf: (model: string) => TokenPrice | null
  /** The share of answers for which what is held from the start suffices (0.8), and tokens where none is known. */
  readonly outputQuantile: number
  readonly unknownOutputTokens: number
}

/** What stands in the way of a job: the account with the longest wait. */
export interface Shortfall {
  readonly level: LevelKind
  readonly name: string
  readonly unit: Unit
  readonly limit: number
  /** What the job weighs there. */
  readonly weight: number
  readonly left: number
  /** Until it fits, if nothing else comes; Infinity: never. */
  readonly waitMs: number
}

/** What a job holds. */
export interface Hold {
  readonly job: LimitedJob
  /** What there was room for; null: nothing any more, or not yet. */
  amounts: Amounts | null
  /** What was streamed beyond that: taken all the same, where debt may be made. */
  debt: Amounts
  /** Is it counted among those that run? */
  isRunning: boolean
  readonly levels: readonly Level[]
  /** Accounts at the time of the hold: a reload may change what its levels have. */
  readonly accounts: readonly Account[]
  readonly slots: readonly Account[]
}

/** Held tokens of which so large a share was streamed are topped up … */
const TOP_UP_AT = 0.8
/** … by as much again, within these bounds. */
const LEAST_TOP_UP = 64
const MOST_TOP_UP = 1_024
/** A quarter of what a level has, while nobody knows how long answers are. */
const UNKNOWN_SHARE = 0.25
/** Levels looked at for each job, to forget those that are unused. */
const SWEPT = 2

const NOTHING: Amounts = { inputTokens: 0, outputTokens: 0, requests: 0, nanoDollars: 0 }

export class Limits {
  readonly #options: LimitsOptions
  readonly #lengths: OutputLengths
  readonly #levels = new Table<string, Level>()
  readonly #swept = new Slots<Level>()
  #sweepAt = 0

  constructor(options: LimitsOptions) {
    this.#options = options
    this.#lengths = new OutputLengths(options.outputQuantile, options.unknownOutputTokens)
  }

  /** Levels in memory. */
  get size(): number {
    return this.#levels.size
  }

  // ------------------------------------------------------------ before the answer

  /**
   * Holds what the job weighs, and, where it is to run now, a place among those that run. All or nothing: a shortfall
   * is returned and nothing was taken.
   */
  reserve(job: LimitedJob, toRun: boolean, now: number): Hold | Shortfall {
    const hold = this.#open(job, now)
    const weight = this.weigh(job, hold.levels)
    const short = shortfall(hold.levels, weight, toRun, now)
    if (short !== null) return short
    take(hold, weight, now)
    if (toRun) run(hold, now)
    for (const level of hold.levels) level.holders++
    return hold
  }

  /** Takes a place among those that run, for a job that holds its weight already. */
  start(hold: Hold, now: number): Shortfall | null {
    if (hold.isRunning) return null
    const short = shortfall(hold.levels, null, true, now)
    if (short === null) run(hold, now)
    return short
  }

  /** What is held for a job: its prompt and its answer, as far as one can tell. */
  weigh(job: LimitedJob, levels: readonly Level[]): Amounts {
    const { promptTokens: inputTokens } = job
    const known = this.#lengths.expected(job.tenant, job.model, job.route)
    const expected = known ?? Math.min(this.#lengths.unknown, Math.max(1, smallestBurst(levels) * UNKNOWN_SHARE))
    const outputTokens = Math.ceil(Math.min(job.maxOutputTokens ?? Infinity, expected))
    return { inputTokens, outputTokens, requests: 1, nanoDollars: this.costOf(job.model, inputTokens, outputTokens) }
  }

  /** Nano-dollars, rounded up; 0 where nobody knows the price. */
  costOf(model: string, inputTokens: number, outputTokens: number): number {
    const price = this.#options.priceOf(model)
    return price === null ? 0 : Math.ceil(price.input * inputTokens + price.output * outputTokens)
  }

  // ------------------------------------------------------------ while it streams

  /**
   * Output tokens so far. Holds more, ahead of what is needed. Returns what ran out where that is to end the answer;
   * otherwise the answer goes on.
   */
  streamed(hold: Hold, outputTokens: number, now: number): Shortfall | null {
    const { amounts } = hold
    if (amounts === null || outputTokens < amounts.outputTokens * TOP_UP_AT) return null
    const most = hold.job.maxOutputTokens ?? Infinity
    const wanted = Math.min(MOST_TOP_UP, Math.max(LEAST_TOP_UP, amounts.outputTokens))
    const more = Math.min(wanted, most - amounts.outputTokens)
    if (more > 0) {
      const ahead = { ...NOTHING, outputTokens: more, nanoDollars: this.costOf(hold.job.model, 0, more) }
      if (shortfall(hold.levels, ahead, false, now) === null) {
        take(hold, ahead, now)
        return null
      }
    }
    const beyond = outputTokens - amounts.outputTokens - hold.debt.outputTokens
    if (beyond <= 0) return null
    const due = { ...NOTHING, outputTokens: beyond, nanoDollars: this.costOf(hold.job.model, 0, beyond) }
    const cut = shortfall(hold.levels, due, false, now, 'cut')
    if (cut !== null) return cut
    for (const account of hold.accounts)
      if (account.whenOut !== 'deny_next') account.hold(amountOf(due, account.unit), now)
    hold.debt = sum(hold.debt, due)
    return null
  }

  // ------------------------------------------------------------ after it

  /** Ends a hold, once: what was used is counted, the rest given back. Null: nothing was used. */
  settle(hold: Hold, used: Amounts | null, now: number): void {
    if (hold.isRunning) {
      hold.isRunning = false
      for (const account of hold.slots) account.settle(1, 0, now)
    }
    if (hold.amounts === null) return
    const { amounts, debt, accounts } = hold
    hold.amounts = null
    const all = sum(amounts, debt)
    for (const account of accounts) {
      const held = account.whenOut === 'deny_next' ? amounts : all
      account.settle(amountOf(held, account.unit), amountOf(used ?? NOTHING, account.unit), now)
    }
    for (const level of hold.levels) level.holders--
  }

  /** An answer ended by itself: its length tells of the next ones'. */
  answered({ tenant, model, route }: LimitedJob, outputTokens: number): void {
    this.#lengths.learn(tenant, model, route, outputTokens)
  }

  // ------------------------------------------------------------ what there is

  /** For each level of a job and each unit: how much there may be, how much is left, and when all is free again. */
  standing(job: LimitedJob, now: number) {
    return this.#open(job, now).levels.flatMap((level) =>
      level.accounts.map((account) => ({
        level: level.kind,
        unit: account.unit,
        limit: account.limit,
        left: account.left(now),
        resetMs: account.resetMs(now),
      })),
    )
  }

  // ------------------------------------------------------------ levels

  #open(job: LimitedJob, now: number): Hold {
    const levels = this.#options.levelsOf(job).map(({ kind, name, limits }) => {
      const level = this.#levels.get(name) ?? this.#make(kind, name, limits)
      level.change(limits, this.#options.calendar, now)
      return level
    })
    this.#sweep(levels, now)
    const accounts = levels.flatMap(({ accounts }) => accounts)
    return {
      job,
      amounts: null,
      debt: NOTHING,
      isRunning: false,
      levels,
      accounts: accounts.filter(({ unit }) => unit !== 'running'),
      slots: accounts.filter(({ unit }) => unit === 'running'),
    }
  }

  #make(kind: LevelKind, name: string, limits: LevelLimits): Level {
    const level = new Level(kind, name, limits, this.#options.calendar)
    this.#levels.set(name, level)
    this.#swept.add(level)
    return level
  }

  /** A user who was here once is not remembered for ever. */
  #sweep(except: readonly Level[], now: number): void {
    for (let i = 0; i < SWEPT; i++) {
      this.#sweepAt = this.#sweepAt >= this.#swept.extent ? 0 : this.#sweepAt + 1
      const level = this.#swept.get(this.#sweepAt)
      if (level === undefined || except.includes(level) || !level.isUnused(now)) continue
      this.#swept.delete(this.#sweepAt, level)
      this.#levels.delete(level.name)
    }
  }
}

/** Amounts an account counts. */
function amountOf(of: Amounts, unit: Unit): number {
  switch (unit) {
    case 'input_tokens':
      return of.inputTokens
    case 'output_tokens':
      return of.outputTokens
    case 'tokens':
      return of.inputTokens + of.outputTokens
    case 'requests':
      return of.requests
    case 'nano_dollars':
      return of.nanoDollars
    case 'running':
      return 0
  }
}

/** The account with the longest wait; null: all have room. `only`: among those that cut a stream. */
function shortfall(
  levels: readonly Level[],
  weight: Amounts | null,
  toRun: boolean,
  now: number,
  only?: 'cut',
): Shortfall | null {
  let worst: { level: Level; account: Account; waitMs: number; weight: number } | null = null
  for (const level of levels)
    for (const account of level.accounts) {
      if (only !== undefined && account.whenOut !== only) continue
      const amount = account.unit === 'running' ? (toRun ? 1 : 0) : weight === null ? 0 : amountOf(weight, account.unit)
      if (amount === 0) continue
      const waitMs = account.waitMs(amount, now)
      if (waitMs > 0 && (worst === null || waitMs > worst.waitMs)) worst = { level, account, waitMs, weight: amount }
    }
  if (worst === null) return null
  const { level, account, waitMs } = worst
  return {
    level: level.kind,
    name: level.name,
    unit: account.unit,
    limit: account.limit,
    weight: worst.weight,
    left: account.left(now),
    waitMs,
  }
}

function take(hold: Hold, more: Amounts, now: number): void {
  for (const account of hold.accounts) account.hold(amountOf(more, account.unit), now)
  hold.amounts = sum(hold.amounts ?? NOTHING, more)
}

const sum = (a: Amounts, b: Amounts): Amounts => ({
  inputTokens: a.inputTokens + b.inputTokens,
  outputTokens: a.outputTokens + b.outputTokens,
  requests: a.requests + b.requests,
  nanoDollars: a.nanoDollars + b.nanoDollars,
})

function run(hold: Hold, now: number): void {
  hold.isRunning = true
  for (const account of hold.slots) account.hold(1, now)
}

/** The smallest burst that the tokens of an answer count against. */
function smallestBurst(levels: readonly Level[]): number {
  let least = Infinity
  for (const { accounts } of levels)
    for (const { unit, limit } of accounts)
      if (unit === 'output_tokens' || unit === 'tokens') least = Math.min(least, limit)
  return least
}
