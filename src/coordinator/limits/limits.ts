/**
 * Who may use what. The weight of a job is held before it runs, on all of its levels or on none, corrected while its
 * answer streams, and settled once, by what it came to. A refusal takes nothing anywhere.
 */
import {
  type Amounts,
  type Calendar,
  isShared,
  type LevelKind,
  type LevelState,
  type LimitSettings,
  type LimitUse,
  type Room,
  type RunUse,
  type Shortfall,
  type Standing,
  type TenantStanding,
  type TokenPrice,
} from '../../core/limits.ts'
import type { Account } from './account.ts'
import type { Accounts, Level } from './level.ts'
import { Levels, type Whose } from './levels.ts'
import { OutputLengths } from './output-lengths.ts'
import type { Running } from './running.ts'
import { fullestOf, tenantStanding } from './standing.ts'

/** What limits need to know of a job. */
export interface LimitedJob extends Whose {
  /** Tells kinds of requests apart by how long their answers are. */
  readonly route: string
  /** The estimate of its prompt. */
  readonly promptTokens: number
  /** As its client asked; null: as long as it gets. */
  readonly maxOutputTokens: number | null
  /** Null: nobody knows what it costs. */
  readonly price: TokenPrice | null
  /** Of a page; null or absent: none. */
  readonly session?: string | null
  /** `reject`: it is not to be submitted where it could not run. */
  readonly policy?: 'reject' | 'wait'
  /** Its run has counted it as a step: further attempts are none. */
  readonly isStep?: boolean
}

export interface LimitsOptions {
  readonly settings: () => LimitSettings
  /** The share of answers for which what is held from the start suffices: 0.5 (0045). */
  readonly outputQuantile: number
  /** Held for an answer of which nothing is known, tokens. */
  readonly unknownOutputTokens: number
}

/** What a job holds, on accounts that a reload may have replaced since. */
export interface Hold {
  readonly job: LimitedJob
  readonly on: readonly Accounts[]
  /** On each account, in the order of `on`. Whatever changes meanwhile, so much is given back. */
  readonly held: number[]
  /** Of each account's hold, as `held` (account.ts). */
  readonly marks: number[]
  /** What there was room for; null: settled. */
  amounts: Amounts | null
  /** Tokens that were streamed beyond that: taken all the same, where debt may be made. */
  debt: number
  /** As they were when it started: a reload may have brought other levels since its submit. */
  ranOn: readonly Accounts[]
  /** Where it is counted among those that run; null: it does not run. */
  places: readonly Running[] | null
}

/** The breaker of a level has tripped, for `ms`. */
export interface Trip {
  readonly level: LevelKind
  readonly owner: string
  readonly name: string
  readonly ms: number
}

/** Until an engine tells of another one. */
const NO_CALENDAR: Calendar = () => ({ index: 0, endsMono: Infinity })

/** Held tokens of which so large a share was streamed are topped up … */
const TOP_UP_AT = 0.8
/** … by as much again, within these bounds. */
const LEAST_TOP_UP = 64
const MOST_TOP_UP = 1_024
/** Of what a level has, while nobody knows how long answers are. */
const UNKNOWN_SHARE = 0.25

export const NOTHING: Amounts = { inputTokens: 0, outputTokens: 0, requests: 0, nanoDollars: 0 }

export class Limits {
  readonly #options: LimitsOptions
  readonly #lengths = new OutputLengths()
  readonly #levels: Levels
  #trips: Trip[] = []
  #calendar = NO_CALENDAR

  constructor(options: LimitsOptions) {
    this.#options = options
    this.#levels = new Levels(options.settings, () => this.#calendar)
  }

  /** Levels in memory. */
  get size(): number {
    return this.#levels.size
  }

  // ------------------------------------------------------------ the store

  /** First of all: what had been used, and the calendar for budgets. */
  open(levels: readonly LevelState[], calendar: Calendar, now: number): void {
    this.#calendar = calendar
    this.#levels.restore(levels, now)
  }

  /** Levels whose use has changed since the last call. */
  take(now: number): readonly LevelState[] {
    return this.#levels.take(now)
  }

  forgetTenant(tenant: string): void {
    this.#levels.forgetTenant(tenant)
  }

  /** What a job held before a restart, and holds still. */
  adopt(job: LimitedJob, amounts: Amounts, isRunning: boolean, now: number): Hold {
    const hold = this.#hold(job, this.#levels.of(job, now), amounts)
    for (const { amounts: accounts } of hold.on)
      for (const account of accounts) {
        const amount = amountOf(amounts, account, job)
        hold.held.push(amount)
        hold.marks.push(account.adopt(amount, now))
      }
    if (isRunning) run(hold, hold.on)
    return hold
  }

  // ------------------------------------------------------------ before the answer

  /**
   * Holds what the job weighs, and, where it is to run now, a place among those that run. All or nothing: a shortfall
   * is returned and nothing was taken. Null: nothing limits it.
   */
  reserve(job: LimitedJob, toRun: boolean, now: number): Hold | Shortfall | null {
    const on = this.#levels.of(job, now)
    if (on.length === 0) return null
    const amounts = this.#weigh(job, on, now)
    const short = shortfall(job, on, amounts, toRun ? 'start' : 'submit', now)
    if (short !== null) return short
    const hold = this.#hold(job, on, amounts)
    take(hold, amounts, now)
    if (toRun) run(hold, on)
    return hold
  }

  /**
   * What stands in its way, if it were to be held now, and where it is to run, started; nothing is taken. `held`: what
   * it would give back for that.
   */
  lacks(job: LimitedJob, toRun: boolean, now: number, held: Hold | null = null): Shortfall | null {
    const on = this.#levels.of(job, now)
    if (on.length === 0) return null
    return shortfall(job, on, this.#weigh(job, on, now), toRun ? 'start' : 'submit', now, { held })
  }

  /** What stands in the way of a start, by the limits as they are now; nothing is taken. */
  lacksPlace({ job, places }: Hold, now: number): Shortfall | null {
    return places !== null ? null : shortfall(job, this.#levels.of(job, now), NOTHING, 'start', now)
  }

  /** Takes a place among those that run, for a job that holds its weight already. */
  start(hold: Hold, now: number): Shortfall | null {
    const { job, places } = hold
    if (places !== null) return null
    // By the limits as they are now: a reload may have changed them since it was submitted
    const on = this.#levels.of(job, now)
    const short = shortfall(job, on, NOTHING, 'start', now)
    if (short === null) run(hold, on)
    return short
  }

  /** Gives that place back: it could not start after all. */
  unstart(hold: Hold): void {
    if (hold.places === null) return
    for (const running of hold.places) running.settle(1)
    hold.places = null
  }

  #hold(job: LimitedJob, on: readonly Accounts[], amounts: Amounts): Hold {
    for (const { level } of on) {
      level.holders++
      this.#levels.changed(level)
    }
    return { job, on, held: [], marks: [], amounts, debt: 0, ranOn: on, places: null }
  }

  /** Its prompt and its answer, as far as one can tell. */
  #weigh(job: LimitedJob, on: readonly Accounts[], now: number): Amounts {
    const { promptTokens, maxOutputTokens, price } = job
    const known = this.#lengths.quantile(job, this.#options.outputQuantile)
    const expected = possible(known ?? this.#unknown(job, on, now), job, on)
    const outputTokens = Math.ceil(Math.min(maxOutputTokens ?? Infinity, expected))
    const nanoDollars = costOf(price, promptTokens, outputTokens)
    return { inputTokens: promptTokens, outputTokens, requests: 1, nanoDollars }
  }

  #unknown(job: LimitedJob, on: readonly Accounts[], now: number): number {
    let least = this.#options.unknownOutputTokens
    for (const { outputBurst, amounts } of on) {
      least = Math.min(least, Math.max(1, outputBurst * UNKNOWN_SHARE))
      for (const account of amounts) {
        if (account.window !== 'run') continue
        // Of what time gives nothing back of, what is used is gone
        const most = mostOutput({ unit: account.unit, limit: account.left(now) + account.held(now) }, job)
        least = Math.min(least, Math.max(1, Math.floor(most * UNKNOWN_SHARE)))
      }
    }
    return least
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
    const ahead = output(job.price, Math.min(wanted, (job.maxOutputTokens ?? Infinity) - amounts.outputTokens))
    if (ahead.outputTokens > 0 && shortfall(job, on, ahead, 'stream', now) === null) {
      take(hold, ahead, now)
      hold.amounts = sum(amounts, ahead)
      return null
    }
    const due = output(job.price, outputTokens - amounts.outputTokens - hold.debt)
    if (due.outputTokens <= 0) return null
    const short = shortfall(job, on, due, 'stream', now, { only: 'cut' })
    if (short !== null) return short
    // Others are to see the debt now, not when it is settled
    take(hold, due, now, 'deny_next')
    hold.debt += due.outputTokens
    return null
  }

  // ------------------------------------------------------------ after it

  /**
   * Ends a hold, once: what was used is counted, the rest given back. Null: nothing was used. `isStep`: see LimitedJob.
   */
  settle(hold: Hold, used: Amounts | null, now: number, isStep = false): void {
    if (hold.amounts === null) return
    hold.amounts = null
    const { on, held, marks } = hold
    let at = 0
    for (const { level, amounts } of on) {
      for (const account of amounts) {
        account.settle(held[at], amountOf(used ?? NOTHING, account, { isStep }), now, marks[at])
        at++
      }
      this.#noteTrip(level)
      level.holders--
      this.#levels.changed(level)
    }
    this.unstart(hold)
  }

  /** Its answer ended by itself: its length tells of the next ones'. */
  answered(job: LimitedJob, outputTokens: number): void {
    this.#lengths.learn(job, outputTokens)
  }

  /** Of an attempt whose hold is gone: its worker died with this process. */
  spend(job: LimitedJob, used: Amounts | null, now: number): void {
    if (used === null) return
    for (const { level, amounts: accounts } of this.#levels.of(job, now)) {
      for (const account of accounts) account.settle(0, amountOf(used, account, job), now, 0)
      this.#noteTrip(level)
      this.#levels.changed(level)
    }
  }

  #noteTrip({ kind, owner, name, accounts }: Level): void {
    const ms = accounts.velocity?.takeTrip() ?? null
    if (ms !== null) this.#trips.push({ level: kind, owner, name, ms })
  }

  /** Breakers that have tripped since the last call. */
  trips(): readonly Trip[] {
    if (this.#trips.length === 0) return NO_TRIPS
    const trips = this.#trips
    this.#trips = []
    return trips
  }

  // ------------------------------------------------------------ who waits for what

  /** Ids of the levels of a job that are narrower than its tenant, or no wider. */
  narrow(job: LimitedJob, toTenant = false): readonly string[] {
    return this.#levels.narrow(job, toTenant)
  }

  /** A job waits for this one: when something is given back there, `freed` tells. Its id. */
  await(hold: Pick<Shortfall, 'level'>, job: LimitedJob, now: number): string {
    const { level } = this.#levels.of(job, now).find((one) => one.level.kind === hold.level)!
    level.isAwaited = true
    return level.id
  }

  /** Ids of the levels of a hold for which jobs wait; each is told once. */
  freed({ on, ranOn }: Hold): readonly string[] {
    const ids = awaited(on, NOBODY)
    return ranOn === on ? ids : awaited(ranOn, ids)
  }

  // ------------------------------------------------------------ what there is

  /** For each level of a job and each unit: how much there may be, how much is left, and when all is free again. */
  rooms(job: LimitedJob, now: number): readonly Room[] {
    return this.#levels
      .of(job, now)
      .flatMap(({ level, amounts, running }) =>
        [...amounts, ...(running === null ? [] : [running])].map((account) => roomOf(level, account, now)),
      )
  }

  /** Null: it has used nothing. */
  runUse(tenant: string, run: string): RunUse | null {
    return this.#levels.find('run', tenant, run)?.totalUse() ?? null
  }

  /** For operators. */
  tenantStanding(tenant: string, now: number): TenantStanding {
    return tenantStanding(this.#levels, tenant, now)
  }

  fullestOf(tenant: string, now: number): LimitUse | null {
    return fullestOf(this.#levels, tenant, now)
  }

  /** Of its client's own, for each unit the one with the smallest share left; concurrency and velocity are no such. */
  standing(job: LimitedJob, now: number): Standing {
    const on = this.#levels.of(job, now)
    if (on.length === 0) return NO_ROOMS
    const ofSession = job.session != null
    const tightest: Array<{ readonly level: Level; readonly account: Account; readonly share: number }> = []
    for (const { level, amounts } of on) {
      if (isShared(level.kind, ofSession)) continue
      for (const account of amounts) {
        // What a run may use in all is no rate, and its own view tells it
        if (account.unit === 'spend_velocity' || account.window === 'run') continue
        const share = account.limit > 0 ? account.left(now) / account.limit : 0
        const at = tightest.findIndex((one) => one.account.unit === account.unit)
        if (at < 0) tightest.push({ level, account, share })
        else if (share < tightest[at].share) tightest[at] = { level, account, share }
      }
    }
    return tightest.map(({ level, account }) => roomOf(level, account, now))
  }
}

const NOBODY: readonly string[] = []

/** With the ids of those that were awaited, and are told now. */
function awaited(on: readonly Accounts[], before: readonly string[]): readonly string[] {
  let ids = before
  for (const { level } of on) {
    if (!level.isAwaited) continue
    level.isAwaited = false
    ids = [...ids, level.id]
  }
  return ids
}
const NO_ROOMS: Standing = []
const NO_TRIPS: readonly Trip[] = []

const roomOf = ({ kind }: Level, account: Account, now: number): Room => ({
  level: kind,
  unit: account.unit,
  limit: account.limit,
  left: account.left(now),
  resetMs: account.resetMs(now),
  windowMs: account.windowMs(now),
})

/** Beyond what two divisions, two products and their sum may be off by; a part of the cost. */
const FLOAT_ERROR = 2 ** -50

/** Nano-dollars, rounded up; 0 where nobody knows the price. */
export function costOf(price: TokenPrice | null, inputTokens: number, outputTokens: number): number {
  if (price === null) return 0
  const cost = price.input * inputTokens + price.output * outputTokens
  return Math.ceil(cost - cost * FLOAT_ERROR)
}

/** A guess alone makes no request heavier than a limit can hold. */
function possible(outputTokens: number, job: LimitedJob, on: readonly Accounts[]): number {
  let least = outputTokens
  for (const { amounts } of on)
    for (const account of amounts) {
      const most = mostOutput(account, job)
      if (most < least && most >= 1) least = most
    }
  return least
}

/** What an account can ever hold beside this prompt, tokens. */
function mostOutput({ unit, limit }: Pick<Account, 'unit' | 'limit'>, { promptTokens, price }: LimitedJob): number {
  switch (unit) {
    case 'tokens':
      return Math.floor(limit - promptTokens)
    case 'output_tokens':
      return Math.floor(limit)
    case 'nano_dollars':
      return price === null || price.output === 0
        ? Infinity
        : Math.floor((limit - price.input * promptTokens) / price.output)
    default:
      return Infinity
  }
}

const output = (price: TokenPrice | null, outputTokens: number): Amounts => ({
  inputTokens: 0,
  outputTokens,
  requests: 0,
  nanoDollars: costOf(price, 0, outputTokens),
})

function amountOf(of: Amounts, { unit, window }: Account, { isStep }: Pick<LimitedJob, 'isStep'>): number {
  switch (unit) {
    case 'input_tokens':
      return of.inputTokens
    case 'output_tokens':
      return of.outputTokens
    case 'tokens':
      return of.inputTokens + of.outputTokens
    case 'requests':
      return isStep && window === 'run' ? 0 : of.requests
    case 'nano_dollars':
      return of.nanoDollars
    // Of requests as a whole: one that runs is not asked again
    case 'spend_velocity':
      return of.requests === 0 ? 0 : of.nanoDollars
    case 'running':
      return 0
  }
}

type Writable<T> = { -readonly [K in keyof T]: T[K] }

/** The account with the longest wait; null: all have room. `only`: among those that cut a stream. */
function shortfall(
  job: LimitedJob,
  on: readonly Accounts[],
  weight: Amounts,
  to: 'submit' | 'start' | 'stream',
  now: number,
  { only, held = null }: { readonly only?: 'cut'; readonly held?: Hold | null } = {},
): Shortfall | null {
  const { session, policy } = job
  let worst: { level: Level; account: Account; weight: number; waitMs: number } | null = null
  for (const { level, amounts, running } of on) {
    for (const account of amounts) {
      if (only !== undefined && account.whenOut !== only) continue
      const amount = Math.max(0, amountOf(weight, account, job) - (held === null ? 0 : heldOn(held, account)))
      if (amount === 0) continue
      const waitMs = account.waitMs(amount, now)
      if (waitMs > 0 && (worst === null || waitMs > worst.waitMs)) worst = { level, account, weight: amount, waitMs }
    }
    if (running === null || to === 'stream') continue
    // A place can be waited for, unless there is none at all
    if (to === 'submit' && !(policy === 'reject' && running.limit <= 0)) continue
    const waitMs = running.waitMs(1)
    if (waitMs > 0 && (worst === null || waitMs > worst.waitMs)) worst = { level, account: running, weight: 1, waitMs }
  }
  if (worst === null) return null
  const { level, account, weight: amount, waitMs } = worst
  const { unit, limit, window } = account
  const short: Writable<Shortfall> = {
    level: level.kind,
    name: level.name,
    unit,
    limit,
    weight: amount,
    left: account.left(now),
    waitMs: waitMs === Infinity ? null : waitMs,
  }
  if (window !== null) short.window = window
  else if (unit !== 'running') short.windowMs = account.windowMs(now)
  if (isShared(level.kind, session != null)) short.shared = true
  return short
}

function heldOn({ on, held }: Hold, account: Account): number {
  let at = 0
  for (const { amounts } of on)
    for (const one of amounts) {
      if (one === account) return held[at]
      at++
    }
  return 0
}

function take({ job, on, held, marks }: Hold, more: Amounts, now: number, except?: 'deny_next'): void {
  let at = 0
  for (const { amounts } of on)
    for (const account of amounts) {
      if (account.whenOut !== except) {
        const amount = amountOf(more, account, job)
        const before = held[at] ?? 0
        marks[at] = account.hold(amount, now, before, marks[at])
        held[at] = before + amount
      }
      at++
    }
}

function run(hold: Hold, on: readonly Accounts[]): void {
  const places: Running[] = []
  for (const { running } of on) {
    if (running === null) continue
    running.hold(1)
    places.push(running)
  }
  hold.ranOn = on
  hold.places = places
}

const sum = (a: Amounts, b: Amounts): Amounts => ({
  inputTokens: a.inputTokens + b.inputTokens,
  outputTokens: a.outputTokens + b.outputTokens,
  requests: a.requests + b.requests,
  nanoDollars: a.nanoDollars + b.nanoDollars,
})
