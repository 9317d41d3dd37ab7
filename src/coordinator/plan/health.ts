/**
 * The health of deployments: which are left alone because they are busy (cooling), and which because they fail (a
 * breaker: open for a while, then one call at a time tries whether they work again), or as checks found them failing.
 */
import { FAILS_FROM } from '../../core/deployment-state.ts'
import type { EngineCheck } from '../../core/engine-check.ts'
import type { ErrorCode } from '../../core/errors.ts'
import type { JobId } from '../../core/job.ts'
import { Checked } from './checked.ts'
import type { Cooling, Waiting } from './waiting.ts'

/** How long a busy deployment is left alone: doubled each time it still is busy. Its retry-after may be longer. */
const MIN_COOL_MS = 1_000
/** At most, where nobody asked for more: it may be back, and nothing else tries. */
const MAX_COOL_MS = 15_000
/** A breaker is open for so long, and twice as long each time the call that tries it fails. */
const MIN_OPEN_MS = 5_000
const MAX_OPEN_MS = 60_000
/** It opens where this share of calls fails, of so many at least. */
const OPENS_AT = 0.5
const ENOUGH = 10
/** A call so long ago counts half. */
const HALF_LIFE_MS = 10_000
/** What is left of failures that are forgotten. */
const FEW = 0.1
/** Models of one deployment whose waits and failures are remembered. */
const MAX_UNWELL = 1_000

/** Of one deployment, for one of its models. */
class Health implements Waiting {
  readonly seq: number
  /** No call starts before this. */
  coolUntilMono = 0
  /** Times in a row that it was found too busy. */
  refusals = 0
  /** The job that found it so last. */
  refusedTo: JobId | null = null
  /** Failures in a row. */
  failures = 0
  /** Since it failed first, fading. */
  calls = 0
  errors = 0
  fadedMono = 0
  /** Times that the breaker opened, since it was closed last; 0: it is closed. */
  opens = 0
  openedMono = 0
  openUntilMono = 0
  /** What opened it; null: it never was. */
  openedBy: ErrorCode | null = null
  /** The job that tries whether it works again. */
  probe: JobId | null = null
  // Timed: when it may be called again
  due = Infinity
  heapAt = -1

  constructor(seq: number) {
    this.seq = seq
  }

  count(failed: 0 | 1, now: number): void {
    const left = 2 ** ((this.fadedMono - now) / HALF_LIFE_MS)
    this.fadedMono = now
    this.calls = this.calls * left + 1
    this.errors = this.errors * left + failed
    this.failures = failed === 0 ? 0 : this.failures + 1
  }

  nextMono(now: number): number {
    const cool = this.coolUntilMono > now ? this.coolUntilMono : Infinity
    return this.openUntilMono > now ? Math.min(cool, this.openUntilMono) : cool
  }

  get isBroken(): boolean {
    return this.failures >= FAILS_FROM || (this.calls >= ENOUGH && this.errors >= OPENS_AT * this.calls)
  }
}

/** Of one deployment. Models without trouble have no entry. */
export class HealthOf {
  readonly #cooling: Cooling
  /** By the upstream's name of the model: one deployment may serve many. */
  readonly #unwell = new Map<string, Health>()
  #made = 0
  readonly checked: Checked
  readonly #opened: () => void

  /** Ends of waits go into `cooling`; one that ends sooner is told to `opened`. `made`: a number of its own. */
  constructor(made: number, cooling: Cooling, opened: () => void) {
    this.#cooling = cooling
    this.#opened = opened
    this.checked = new Checked(made)
  }

  get isWell(): boolean {
    return this.#unwell.size === 0 && this.checked.downMono === null
  }

  coolUntilMono(model: string): number {
    return this.#unwell.get(model)?.coolUntilMono ?? 0
  }

  /** Did the last call that ended there fail, or its checks? */
  isFailing(model: string): boolean {
    return this.checked.downMono !== null || (this.#unwell.get(model)?.failures ?? 0) > 0
  }

  /** When the breaker opened, where it lets no call through, or checks began to fail; null: neither. */
  brokenSince(model: string, now: number): number | null {
    if (this.checked.downMono !== null) return this.checked.downMono
    const health = this.#unwell.get(model)
    if (health === undefined || health.opens === 0) return null
    return now < health.openUntilMono || health.probe !== null ? health.openedMono : null
  }

  /** It has failed a lot, and nobody knows yet whether it works again. */
  isBroken(model: string): boolean {
    return (this.#unwell.get(model)?.opens ?? 0) > 0
  }

  /** A call of this job begins: where the breaker lets one through, it is this one. */
  begins(model: string, job: JobId, now: number): void {
    const health = this.#unwell.get(model)
    if (health !== undefined && health.opens > 0 && health.probe === null && now >= health.openUntilMono)
      health.probe = job
  }

  /** It is over, however it ended. */
  ends(model: string, job: JobId): void {
    const health = this.#unwell.get(model)
    if (health?.probe !== job) return
    health.probe = null
    this.#opened()
  }

  /** A call that began before the deployment was found busy, or broken, does not end that. */
  answered(model: string, fromMono: number, now: number): void {
    const health = this.#unwell.get(model)
    if (health === undefined) return
    health.count(0, now)
    if (health.opens > 0 && fromMono < health.openedMono) return
    if (health.opens > 0) health.opens = health.calls = health.errors = 0
    if (health.coolUntilMono <= now && health.errors <= FEW) this.#forget(model)
    else this.#opened()
  }

  failed(model: string, code: ErrorCode, fromMono: number, now: number): void {
    const health = this.#of(model)
    health.count(1, now)
    const isNews = health.opens === 0 || (now >= health.openUntilMono && fromMono >= health.openedMono)
    if (!isNews || (health.opens === 0 && !health.isBroken)) return
    const ms = Math.min(MAX_OPEN_MS, MIN_OPEN_MS * 2 ** Math.min(health.opens, 10))
    health.opens++
    health.openedBy = code
    health.openedMono = now
    health.openUntilMono = now + ms
    this.#cooling.set(health, health.nextMono(now))
  }

  /**
   * Of calls that were in flight together, only the first refusal makes the wait longer. A job that is refused again
   * makes it longer only by a 429: another failure may be its own fault. Returns for how long the deployment is left
   * alone; null if that is no longer than before.
   */
  cool(model: string, job: JobId, code: ErrorCode, askedMs: number, now: number): number | null {
    const health = this.#of(model)
    const isLimit = code === 'provider_rate_limited'
    if (health.coolUntilMono <= now && (isLimit || health.refusedTo !== job)) health.refusals++
    health.refusedTo = job
    const guessMs = MIN_COOL_MS * 2 ** Math.min(Math.max(health.refusals - 1, 0), 30)
    const ms = Math.max(askedMs, Math.min(MAX_COOL_MS, guessMs))
    if (now + ms <= health.coolUntilMono) return null
    health.coolUntilMono = now + ms
    this.#cooling.set(health, health.nextMono(now))
    return ms
  }

  /** `active`: our calls there now. Returns whether that is news: it is down, or works again. */
  check(check: EngineCheck, active: number, now: number): 'down' | 'up' | null {
    const { checked } = this
    const before = checked.others
    const change = checked.told(check, active, now)
    this.#cooling.set(checked, checked.untilMono)
    if (change === 'up') this.#tryAgain(now)
    // Who waits for one that is down may go elsewhere
    if (change !== null || checked.others < before) this.#opened()
    return change
  }

  /** Text of a call there came, or its end. */
  answers(now: number): void {
    if (this.checked.answers(now)) this.#opened()
  }

  /** It is back: breakers that its calls have opened let one through. */
  #tryAgain(now: number): void {
    for (const health of this.#unwell.values()) {
      if (health.opens === 0 || health.openUntilMono <= now) continue
      health.openUntilMono = now
      this.#cooling.set(health, health.nextMono(now))
    }
  }

  clear(): void {
    this.checked.forget()
    this.#cooling.clear(this.checked)
    for (const model of [...this.#unwell.keys()]) this.#forget(model)
  }

  status(now: number): ReadonlyArray<{
    model: string
    coolsForMs: number
    failuresInRow: number
    brokenForMs: number
    brokenBy?: ErrorCode
  }> {
    return [...this.#unwell]
      .map(([model, { coolUntilMono, failures, opens, openUntilMono, openedBy }]) => ({
        model,
        coolsForMs: Math.max(0, coolUntilMono - now),
        failuresInRow: failures,
        brokenForMs: opens === 0 ? 0 : Math.max(1, openUntilMono - now),
        ...(opens > 0 && openedBy !== null && { brokenBy: openedBy }),
      }))
      .filter(({ coolsForMs, failuresInRow, brokenForMs }) => coolsForMs + failuresInRow + brokenForMs > 0)
  }

  #forget(model: string): void {
    const health = this.#unwell.get(model)
    if (health === undefined) return
    this.#unwell.delete(model)
    this.#cooling.clear(health)
    this.#opened()
  }

  /** The entry, made if need be. Clients choose the names that match a pattern, so the oldest are forgotten. */
  #of(model: string): Health {
    const own = this.#unwell.get(model) ?? new Health(++this.#made)
    this.#unwell.delete(model)
    this.#unwell.set(model, own)
    if (this.#unwell.size > MAX_UNWELL) this.#forget(this.#unwell.keys().next().value!)
    return own
  }
}
