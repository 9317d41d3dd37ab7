/**
 * What jobs hold of the limits, and what their attempts come to: the one place where a hold is taken, given back and
 * settled, and where usage is recorded.
 */
import type { SluiceError } from '../core/errors.ts'
import type { Awaited, Instead, TenantId, Usage } from '../core/job.ts'
import type {
  Amounts,
  Calendar,
  LevelState,
  LimitSettings,
  LimitUse,
  RunUse,
  Shortfall,
  Standing,
  TenantStanding,
} from '../core/limits.ts'
import type { ScheduledJob } from '../core/ports/coordinator.ts'
import type { Claim } from '../core/ports/work.ts'
import type { AttemptEnd, Cost, UsageRecord } from '../core/usage-record.ts'
import { blockOf, placesOf, roomAt } from './blocked.ts'
import { type Ending, ofRepeat, seenOf } from './ending.ts'
import { costOf, type Hold, type LimitedJob, Limits } from './limits/limits.ts'
import { lateOf, refusalOf } from './limits/refusal.ts'
import type { Results } from './results.ts'
import type { HeadroomRefusal, Notes } from './scheduler/port.ts'

export interface SpendingOptions {
  readonly settings: () => LimitSettings
  /** Uniform [0,1). */
  readonly jitter: () => number
  readonly results: Results
  /** Something was given back; who waits for one of these accounts may try again. */
  readonly gaveBack: (accounts: readonly string[]) => void
}

/** `claim`: of one that runs; null: it waits. `isStep`: see Notes. */
export interface Adopted {
  readonly isStep: boolean
  readonly reservation: Amounts | null
  readonly claim: Claim | null
}

/** See 0045. */
const OUTPUT_QUANTILE = 0.5
const UNKNOWN_OUTPUT_TOKENS = 1_024
const ONE_REQUEST: Amounts = { inputTokens: 0, outputTokens: 0, requests: 1, nanoDollars: 0 }
const NOBODY: readonly string[] = []

export class Spending {
  readonly #limits: Limits
  readonly #jitter: () => number
  readonly #results: Results
  readonly #gaveBack: (accounts: readonly string[]) => void
  /** When what all tenants share may have room again. */
  #roomAt = Infinity

  constructor({ settings, jitter, results, gaveBack }: SpendingOptions) {
    this.#limits = new Limits({
      settings,
      outputQuantile: OUTPUT_QUANTILE,
      unknownOutputTokens: UNKNOWN_OUTPUT_TOKENS,
    })
    this.#jitter = jitter
    this.#results = results
    this.#gaveBack = gaveBack
  }

  open(levels: readonly LevelState[], calendar: Calendar, now: number): void {
    this.#limits.open(levels, calendar, now)
  }

  take(now: number): readonly LevelState[] {
    return this.#limits.take(now)
  }

  forgetTenant(tenant: TenantId): void {
    this.#limits.forgetTenant(tenant)
  }

  /** May what all tenants share have room again? */
  tick(now: number): boolean {
    if (now < this.#roomAt) return false
    this.#roomAt = Infinity
    return true
  }

  nextAt(): number {
    return this.#roomAt
  }

  // ------------------------------------------------------------ in line

  /** See Admit. `isFirst`: who is before it in its lane must not wait for what it holds. */
  admit(job: ScheduledJob, repeats: boolean, isFirst: boolean, now: number): Hold | SluiceError | null {
    const asked = repeats ? asRepeat(job) : job
    // A delay would be a way to hold what others could use
    const holds = job.policy === 'reject' && isFirst && job.notBeforeMono <= now
    const held = holds ? this.#limits.reserve(asked, false, now) : this.#limits.lacks(asked, false, now)
    if (held === null || 'amounts' in held) return held
    // What other steps of its own run hold is waited for by whoever asks: they fan out, and would be refused by it
    const waits = job.policy === 'wait' || held.window === 'run'
    // Unless there will be no room for it in time, or only more money helps
    return waits && !isHopeless(held, job, now) ? null : refusalOf(held, job.model, this.#jitter())
  }

  /** What it held before a restart. */
  adopt(asked: ScheduledJob, repeats: boolean, found: Adopted, now: number): Hold | null {
    const { reservation: amounts, claim, isStep } = found
    const job = { ...(claim === null ? asked : asClaimed(asked, claim)), isStep }
    // It was to repeat an answer that is not there any more: it weighs more now, and holds that when it is leased
    const isTooLittle = !repeats && job.share !== undefined && amounts?.inputTokens === 0
    return amounts === null || isTooLittle
      ? null
      : this.#limits.adopt(repeats ? asRepeat(job) : job, amounts, claim !== null, now)
  }

  /** The accounts that may block it alone. */
  narrow(job: ScheduledJob, { hold }: Notes): readonly string[] {
    return hold === null ? this.#limits.narrow(job) : this.#limits.narrow(job, true).map(placesOf)
  }

  /** As a name: who has the same waits for the same. */
  accountsOf(job: ScheduledJob): string {
    return this.#limits.narrow(job).join('\n')
  }

  /** It expired in line. */
  late(notes: Notes, now: number): SluiceError | null {
    const short = this.#lacksToRun(notes, now)
    return short && lateOf(short)
  }

  /** What it would wait for if it were its turn. */
  awaited(notes: Notes, now: number): Awaited | null {
    const short = this.#lacksToRun(notes, now)
    return short && awaitedOf(short)
  }

  #lacksToRun(notes: Notes, now: number): Shortfall | null {
    const { hold } = notes
    return hold === null ? this.#limits.lacks(weighed(notes), true, now) : this.#limits.lacksPlace(hold, now)
  }

  /** It does not run, or not as what it was weighed as: what it held since its submit is given back. */
  letGo(notes: Notes, now: number): void {
    const { hold } = notes
    if (hold === null) return
    notes.hold = null
    this.#limits.settle(hold, null, now)
    this.#free(hold)
  }

  standing(job: ScheduledJob, now: number): Standing {
    return this.#limits.standing(job, now)
  }

  runUse(tenant: TenantId, run: string): RunUse | null {
    return this.#limits.runUse(tenant, run)
  }

  tenantStanding(tenant: TenantId, now: number): TenantStanding {
    return this.#limits.tenantStanding(tenant, now)
  }

  fullestOf(tenant: TenantId, now: number): LimitUse | null {
    return this.#limits.fullestOf(tenant, now)
  }

  // ------------------------------------------------------------ while it runs

  /** Takes what it needs to run, beyond what it holds already. */
  start(notes: Notes, now: number): HeadroomRefusal | null {
    const job = weighed(notes)
    const held = notes.hold === null ? this.#limits.reserve(job, true, now) : this.#limits.start(notes.hold, now)
    if (held === null) return null
    if ('amounts' in held) {
      notes.hold = held
      return null
    }
    const block = blockOf(held, this.#limits.await(held, job, now), notes.hold !== null, now)
    if (block.scope === 'model' || block.scope === 'weight') this.#roomAt = Math.min(this.#roomAt, roomAt(held, now))
    return block
  }

  /** Is there no room for another model's answer in its place, and will there be none that is worth waiting for? */
  isHopeless(notes: Notes, instead: Instead, now: number): boolean {
    const short = this.#limits.lacks(replaced(stepOf(notes), instead), false, now, notes.hold)
    return short !== null && isHopeless(short, notes.job, now)
  }

  /**
   * Another model is to answer in its place: what it holds is held by that one's limits and price. Where there is no
   * room for that, it holds what it held.
   */
  replace(notes: Notes, instead: Instead, now: number): HeadroomRefusal | null {
    const { hold: before } = notes
    const job = stepOf(notes)
    const amounts = amountsOf(before)
    if (before !== null) this.#limits.settle(before, null, now)
    const as = replaced(job, instead)
    const held = this.#limits.reserve(as, true, now)
    if (held === null || 'amounts' in held) {
      notes.hold = held
      if (before !== null) this.#free(before)
      return null
    }
    notes.hold = amounts && this.#limits.adopt(job, amounts, true, now)
    // Alone: others of its model don't need that one's room
    const account = this.#limits.await(held, as, now)
    return { scope: 'job', blocked: { account, untilMono: roomAt(held, now), alone: true } }
  }

  /** It could not start after all: `wasHeld`, it goes on holding what it weighs. */
  unstart(notes: Notes, wasHeld: boolean, now: number): void {
    const { hold } = notes
    if (hold === null) return
    if (wasHeld) return this.#limits.unstart(hold)
    this.#limits.settle(hold, null, now)
    notes.hold = null
  }

  /** Output tokens as they stream. What ran out, where that is to end the answer. */
  streamed(notes: Notes, tokens: number, now: number): Shortfall | null {
    notes.streamed += tokens
    return notes.hold === null ? null : this.#limits.streamed(notes.hold, notes.streamed, now)
  }

  /** Its lease is over. */
  settle(notes: Notes, ended: Ending, now: number): void {
    const { hold } = notes
    notes.hold = null
    this.settleCall(notes, notes.claim!, hold, ended, now, false)
  }

  /** What a second call of a running job may cost; 'lacking': there is no room for it. Null: nothing limits it. */
  holdSecond(job: ScheduledJob, now: number): Hold | null | 'lacking' {
    const held = this.#limits.reserve({ ...job, isStep: true }, false, now)
    return held === null || 'amounts' in held ? held : 'lacking'
  }

  /** As a restart found it. */
  adoptSecond(job: ScheduledJob, amounts: Amounts | null, now: number): Hold | null {
    return amounts === null ? null : this.#limits.adopt({ ...job, isStep: true }, amounts, false, now)
  }

  /** That call was not made after all. */
  giveUpSecond(hold: Hold | null, now: number): void {
    if (hold === null) return
    this.#limits.settle(hold, null, now)
    this.#free(hold)
  }

  /** One of its calls is over, for which this was held. */
  settleCall(notes: Notes, claim: Claim, hold: Hold | null, ended: Ending, now: number, isBeside: boolean): void {
    const { attempt } = notes
    const { deployment, source, isHedge } = claim
    const isRepeat = source !== undefined
    const job = asClaimed(notes.job, claim)
    const { end, usage, cost = guessOf(job, usage) } = isRepeat ? ofRepeat(ended) : ended
    if (hold !== null) {
      const used = usage === undefined ? null : isRepeat ? ONE_REQUEST : amountsUsed(job, end, usage, cost)
      this.#limits.settle(hold, used, now, notes.isStep)
      notes.isStep ||= used !== null
      this.#tellTrips()
      this.#free(hold)
    }
    if (usage === undefined) return
    if (end === 'done' && !isRepeat) this.#limits.answered(job, usage.completionTokens)
    const where = isRepeat ? { deployment: null, source } : { deployment, ...(isHedge && { hedge: isHedge }) }
    this.#record(notes.job, attempt, where, end, usage, cost, isBeside)
  }

  /** Its worker's process died, and with it what it held. */
  died(
    notes: Notes,
    where: Pick<UsageRecord, 'deployment' | 'hedge'>,
    model: string | undefined,
    outputTokens: number,
    now: number,
    isBeside: boolean,
  ): void {
    const job = asClaimed(stepOf(notes), model === undefined ? {} : { model })
    const usage = seenOf(job, outputTokens)
    const cost = guessOf(job, usage)
    const used = amountsUsed(job, 'lost', usage, cost)
    this.#limits.spend(job, used, now)
    notes.isStep ||= used !== null
    this.#tellTrips()
    this.#record(notes.job, notes.attempt, where, 'lost', usage, cost, isBeside)
  }

  #tellTrips(): void {
    for (const { level, owner, name, ms } of this.#limits.trips()) {
      const tenant = level === 'tenant' ? name : owner === '' ? null : owner
      const isNamed = level === 'key' || level === 'tenant_model' || level === 'model'
      this.#results.notice({ type: 'tripped', level, tenant, name: isNamed ? name : null, ms })
    }
  }

  #free(hold: Hold): void {
    const freed = this.#limits.freed(hold)
    this.#gaveBack(freed.length === 0 ? NOBODY : [...freed, ...freed.map(placesOf)])
  }

  #record(
    { id, tenant, keyId, user, run, kind, model }: ScheduledJob,
    attempt: number,
    where: Pick<UsageRecord, 'deployment' | 'source' | 'hedge'>,
    end: AttemptEnd,
    usage: Usage,
    { nanoDollars, priceVersion }: Cost,
    isBeside: boolean,
  ): void {
    const record = { job: id, attempt, tenant, keyId, user, run, kind, model, ...where, end, usage }
    this.#results.change({ type: 'used', id, record: { ...record, nanoDollars, priceVersion }, isBeside })
  }
}

export const amountsOf = (hold: Hold | null): Amounts | null => hold?.amounts ?? null

/** As limits weigh what repeats another's answer: a request, and no tokens. */
const asRepeat = (job: Weighed): Weighed => ({ ...job, promptTokens: 0, maxOutputTokens: 0, price: null })

type Weighed = ScheduledJob & Pick<LimitedJob, 'isStep'>

const stepOf = ({ job, isStep }: Notes): Weighed => (isStep ? { ...job, isStep } : job)

const weighed = (notes: Notes): Weighed => (notes.repeats ? asRepeat(stepOf(notes)) : stepOf(notes))

/** As limits weigh what another model answers. */
const replaced = (job: Weighed, { model, price }: Instead): Weighed => ({
  ...job,
  model,
  price: price ?? null,
})

/** The job as it runs: by the model that answers it. */
function asClaimed(job: Weighed, { model }: Pick<Claim, 'model'>): Weighed {
  if (model === undefined) return job
  return replaced(job, job.instead?.find((one) => one.model === model) ?? { model })
}

const isHopeless = ({ waitMs, unit, window }: Shortfall, { deadlineMono }: ScheduledJob, now: number): boolean =>
  waitMs === null || (unit === 'nano_dollars' && window !== 'run') || now + waitMs > deadlineMono

/** Nobody knows when one that runs will end. */
const awaitedOf = ({ level, unit, window, waitMs }: Shortfall): Awaited => ({
  level,
  unit,
  ...(window !== undefined && { window }),
  inMs: unit === 'running' || window === 'run' ? null : waitMs,
})

/** Where nobody computed what it cost: by the price that it was accepted at. */
const guessOf = ({ price }: ScheduledJob, usage: Usage | undefined): Cost => ({
  nanoDollars: price === null || usage === undefined ? null : costOf(price, usage.promptTokens, usage.completionTokens),
  priceVersion: null,
})

/**
 * Of the limits. An attempt without an answer that came to nothing and costs nothing (refused, unreachable) is no
 * request either.
 */
function amountsUsed(
  { price }: ScheduledJob,
  end: AttemptEnd,
  { promptTokens, completionTokens }: Usage,
  { nanoDollars }: Cost,
): Amounts | null {
  const isAnswer = end === 'done' || end === 'cut'
  if (!isAnswer && promptTokens === 0 && completionTokens === 0 && !nanoDollars) return null
  return {
    inputTokens: promptTokens,
    outputTokens: completionTokens,
    requests: 1,
    nanoDollars: nanoDollars ?? costOf(price, promptTokens, completionTokens),
  }
}
