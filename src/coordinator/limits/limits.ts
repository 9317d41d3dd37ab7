/**
 * Who may use what. The weight of a job is held before it runs, on all of its levels or on none, corrected while its
 * answer streams, and settled once, by what it came to. A refusal takes nothing anywhere.
 */
import type { Account, Unit } from './account.ts'
import type { Calendar } from './budget.ts'
import type { Accounts, Level, LevelKind } from './level.ts'
import { Levels, type Rules, type Whose } from './levels.ts'
import { type Lengths, OutputLengths } from './output-lengths.ts'

/** What limits need to know of a job. */
export interface LimitedJob extends Whose {
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
  /** An integer: exact up to 9 million dollars. */
  readonly nanoDollars: number
}

/** Nano-dollars a token. */
export interface TokenPrice {
  readonly input: number
  readonly output: number
}

export interface LimitsOptions {
  readonly rules: () => Rules
  readonly calendar: Calendar
  /** Null: nobody knows what it costs. */
  readonly priceOf: (model: string) => TokenPrice | null
  /** The share of answers for which what is held from the start suffices: 0.5 (0045). */
  readonly outputQuantile: number
  /** Held for an answer of which nothing is known, tokens. */
  readonly unknownOutputTokens: number
}

/** What stands in the way of a job: the account with the longest wait. */
export interface Shortfall {
  readonly level: LevelKind
  /** Whose: of a user, the user. */
  readonly name: string
  readonly unit: Unit
  readonly limit: number
  /** What the job weighs there. */
  readonly weight: number
  readonly left: number
  /** Until it fits, if nothing else comes; Infinity: never. */
  readonly waitMs: number
}

/** What a job holds, on accounts that a reload may have replaced since. */
export interface Hold {
  readonly job: LimitedJob
  readonly on: readonly Accounts[]
  readonly lengths: Lengths
  /** What there was room for; null: settled. */
  amounts: Amounts | null
  /** What was streamed beyond that: taken all the same, where debt may be made. */
  debt: Amounts
  /** Is it counted among those that run? */
  isRunning: boolean
}

/** Held tokens of which so large a share was streamed are topped up … */
const TOP_UP_AT = 0.8
/** … by as much again, within these bounds. */
const LEAST_TOP_UP = 64
const MOST_TOP_UP = 1_024
/** Of what a level has, while nobody knows how long answers are. */
const UNKNOWN_SHARE = 0.25

const NOTHING: Amounts = { inputTokens: 0, outputTokens: 0, requests: 0, nanoDollars: 0 }

export class Limits {
  readonly #options: LimitsOptions
  readonly #lengths = new OutputLengths()
  readonly #levels: Levels

  constructor(options: LimitsOptions) {
    this.#options = options
    this.#levels = new Levels(options.rules, options.calendar)
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
    const on = this.#levels.of(job, now)
    const lengths = this.#lengths.of(job.tenant, job.model, job.route)
    const amounts = this.#weigh(job, on, lengths)
    const short = shortfall(on, amounts, toRun, now)
    if (short !== null) return short
    const hold: Hold = { job, on, lengths, amounts, debt: NOTHING, isRunning: false }
    take(on, amounts, now)
    if (toRun) run(hold)
    for (const { level } of on) level.holders++
    return hold
  }

  /** Takes a place among those that run, for a job that holds its weight already. */
  start(hold: Hold, now: number): Shortfall | null {
    if (hold.isRunning) return null
    const short = shortfall(hold.on, NOTHING, true, now)
    if (short === null) run(hold)
    return short
  }

  /** Its prompt and its answer, as far as one can tell. */
  #weigh({ model, promptTokens, maxOutputTokens }: LimitedJob, on: readonly Accounts[], lengths: Lengths): Amounts {
    const expected = lengths.quantile(this.#options.outputQuantile) ?? this.#unknown(on)
    const outputTokens = Math.ceil(Math.min(maxOutputTokens ?? Infinity, expected))
    const nanoDollars = this.#costOf(model, promptTokens, outputTokens)
    return { inputTokens: promptTokens, outputTokens, requests: 1, nanoDollars }
  }

  #unknown(on: readonly Accounts[]): number {
    let least = this.#options.unknownOutputTokens
    for (const { outputBurst } of on) least = Math.min(least, Math.max(1, outputBurst * UNKNOWN_SHARE))
    return least
  }

  /** Nano-dollars, rounded up; 0 where nobody knows the price. */
  #costOf(model: string, inputTokens: number, outputTokens: number): number {
    const price = this.#options.priceOf(model)
    return price === null ? 0 : Math.ceil(price.input * inputTokens + price.output * outputTokens)
  }

  // ------------------------------------------------------------ while it streams

  /**
   * Output tokens so far. Holds more, ahead of what is needed. Returns what ran out where that is to end the answer;
   * otherwise the answer goes on.
   */
  streamed(hold: Hold, outputTokens: number, now: number): Shortfall | null {
    const { amounts, on, job } = hold
    if (amounts === null || outputTokens < amounts.outputTokens * TOP_UP_AT) return null
    const wanted = Math.min(MOST_TOP_UP, Math.max(LEAST_TOP_UP, amounts.outputTokens))
    const ahead = this.#output(job.model, Math.min(wanted, (job.maxOutputTokens ?? Infinity) - amounts.outputTokens))
    if (ahead.outputTokens > 0 && shortfall(on, ahead, false, now) === null) {
      take(on, ahead, now)
      hold.amounts = sum(amounts, ahead)
      return null
    }
    const due = this.#output(job.model, outputTokens - amounts.outputTokens - hold.debt.outputTokens)
    if (due.outputTokens <= 0) return null
    const short = shortfall(on, due, false, now, 'cut')
    if (short !== null) return short
    // Others are to see the debt now, not when it is settled
    take(on, due, now, 'deny_next')
    hold.debt = sum(hold.debt, due)
    return null
  }

  #output(model: string, outputTokens: number): Amounts {
    return { inputTokens: 0, outputTokens, requests: 0, nanoDollars: this.#costOf(model, 0, outputTokens) }
  }

  // ------------------------------------------------------------ after it

  /** Ends a hold, once: what was used is counted, the rest given back. Null: nothing was used. */
  settle(hold: Hold, used: Amounts | null, now: number): void {
    const { amounts, debt, on } = hold
    if (amounts === null) return
    hold.amounts = null
    const all = debt === NOTHING ? amounts : sum(amounts, debt)
    for (const { level, amounts: accounts, running } of on) {
      for (const account of accounts) {
        const held = amountOf(account.whenOut === 'deny_next' ? amounts : all, account.unit)
        account.settle(held, amountOf(used ?? NOTHING, account.unit), now)
      }
      if (hold.isRunning) running?.settle(1)
      level.holders--
    }
    hold.isRunning = false
  }

  /** Its answer ended by itself: its length tells of the next ones'. */
  answered({ lengths }: Hold, outputTokens: number): void {
    lengths.learn(outputTokens)
  }

  // ------------------------------------------------------------ what there is

  /** For each level of a job and each unit: how much there may be, how much is left, and when all is free again. */
  standing(job: LimitedJob, now: number) {
    return this.#levels.of(job, now).flatMap(({ level, amounts, running }) =>
      [...amounts, ...(running === null ? [] : [running])].map((account) => ({
        level: level.kind,
        unit: account.unit,
        limit: account.limit,
        left: account.left(now),
        resetMs: account.resetMs(now),
      })),
    )
  }
}

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
  on: readonly Accounts[],
  weight: Amounts,
  toRun: boolean,
  now: number,
  only?: 'cut',
): Shortfall | null {
  let worst: { level: Level; account: Account; weight: number; waitMs: number } | null = null
  for (const { level, amounts, running } of on) {
    for (const account of amounts) {
      if (only !== undefined && account.whenOut !== only) continue
      const amount = amountOf(weight, account.unit)
      if (amount === 0) continue
      const waitMs = account.waitMs(amount, now)
      if (waitMs > 0 && (worst === null || waitMs > worst.waitMs)) worst = { level, account, weight: amount, waitMs }
    }
    const waitMs = toRun && running !== null ? running.waitMs(1) : 0
    if (waitMs > 0 && (worst === null || waitMs > worst.waitMs)) worst = { level, account: running!, weight: 1, waitMs }
  }
  if (worst === null) return null
  const { level, account, weight: amount, waitMs } = worst
  const { unit, limit } = account
  return { level: level.kind, name: level.name, unit, limit, weight: amount, left: account.left(now), waitMs }
}

function take(on: readonly Accounts[], amounts: Amounts, now: number, except?: 'deny_next'): void {
  for (const { amounts: accounts } of on)
    for (const account of accounts)
      if (except === undefined || account.whenOut !== except) account.hold(amountOf(amounts, account.unit), now)
}

function run(hold: Hold): void {
  hold.isRunning = true
  for (const { running } of hold.on) running?.hold(1)
}

const sum = (a: Amounts, b: Amounts): Amounts => ({
  inputTokens: a.inputTokens + b.inputTokens,
  outputTokens: a.outputTokens + b.outputTokens,
  requests: a.requests + b.requests,
  nanoDollars: a.nanoDollars + b.nanoDollars,
})
