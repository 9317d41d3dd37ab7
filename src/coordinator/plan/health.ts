/** How well deployments answer: which are left alone for a while, and which fail again and again. */
import type { ErrorCode } from '../../core/errors.ts'
import type { JobId } from '../../core/job.ts'
import type { Timed, Timers } from '../scheduler/timers.ts'

/** A deployment that is too busy is left alone for this, doubled while it still is; its retry-after may be longer. */
const MIN_COOL_MS = 1_000
/** By a 429. Of other refusals one request may be the cause, so they close a deployment to all others for less. */
const MAX_COOL_MS = 60_000
const MAX_COOL_FAILED_MS = 15_000
/** Models of one deployment whose waits and failures are remembered. */
const MAX_UNWELL = 1_000
const EJECT_AFTER_FAILURES = 5

/** Of one deployment, for one of its models. */
class Health implements Timed {
  readonly seq: number
  /** No call starts before. */
  coolUntilMono = 0
  /** Times in a row that it was found too busy. */
  refusals = 0
  /** The job that found it so last. */
  refusedTo: JobId | null = null
  /** Failures in a row. */
  failures = 0
  // Timed: when it is open again
  due = Infinity
  heapAt = -1

  constructor(seq: number) {
    this.seq = seq
  }
}

export type Cooling = Timers<Timed>

/** Of one deployment. What is well is not kept. */
export class HealthOf {
  readonly #cooling: Cooling
  /** By the upstream's name of the model: one deployment may serve many. */
  readonly #unwell = new Map<string, Health>()
  #made = 0

  /** Ends of waits go into `cooling`. */
  constructor(cooling: Cooling) {
    this.#cooling = cooling
  }

  coolUntilMono(model: string): number {
    return this.#unwell.get(model)?.coolUntilMono ?? 0
  }

  /** One that fails again and again is used only where there is no other. */
  isSick(model: string): boolean {
    return (this.#unwell.get(model)?.failures ?? 0) >= EJECT_AFTER_FAILURES
  }

  isWell(): boolean {
    return this.#unwell.size === 0
  }

  answered(model: string): void {
    this.#forget(model)
  }

  failed(model: string): void {
    this.#of(model).failures++
  }

  /**
   * Calls that were under way together find out together: only the first of them makes the wait longer. So does a job
   * that is refused again, but only by a 429: of another failure the job itself may be the cause. Returns for how long
   * the deployment is left alone, where that is longer than was known.
   */
  cool(model: string, job: JobId, code: ErrorCode, askedMs: number, now: number): number | null {
    const health = this.#of(model)
    const isLimit = code === 'provider_rate_limited'
    if (health.coolUntilMono <= now && (isLimit || health.refusedTo !== job)) health.refusals++
    health.refusedTo = job
    const guessMs = MIN_COOL_MS * 2 ** Math.min(Math.max(health.refusals - 1, 0), 30)
    const ms = Math.max(askedMs, Math.min(isLimit ? MAX_COOL_MS : MAX_COOL_FAILED_MS, guessMs))
    if (now + ms <= health.coolUntilMono) return null
    health.coolUntilMono = now + ms
    this.#cooling.set(health, health.coolUntilMono)
    return ms
  }

  clear(): void {
    for (const model of [...this.#unwell.keys()]) this.#forget(model)
  }

  status(now: number): ReadonlyArray<{ model: string; coolsForMs: number; failuresInRow: number }> {
    return [...this.#unwell].map(([model, { coolUntilMono, failures }]) => ({
      model,
      coolsForMs: Math.max(0, coolUntilMono - now),
      failuresInRow: failures,
    }))
  }

  #forget(model: string): void {
    const health = this.#unwell.get(model)
    if (health === undefined) return
    this.#unwell.delete(model)
    this.#cooling.clear(health)
  }

  /** To be changed. Clients choose the names behind a pattern, so the oldest is forgotten. */
  #of(model: string): Health {
    const own = this.#unwell.get(model) ?? new Health(++this.#made)
    this.#unwell.delete(model)
    this.#unwell.set(model, own)
    if (this.#unwell.size > MAX_UNWELL) this.#forget(this.#unwell.keys().next().value!)
    return own
  }
}
