/** The health of deployments: which are left alone for a while (cooling), and which keep failing. */
import { FAILS_FROM } from '../../core/deployment-state.ts'
import type { ErrorCode } from '../../core/errors.ts'
import type { JobId } from '../../core/job.ts'
import type { Timed, Timers } from '../scheduler/timers.ts'

/** How long a busy deployment is left alone: doubled each time it still is busy. Its retry-after may be longer. */
const MIN_COOL_MS = 1_000
/** At most, after a 429. Other refusals may be one request's fault, so they close a deployment to all for less long. */
const MAX_COOL_MS = 60_000
const MAX_COOL_FAILED_MS = 15_000
/** Models of one deployment whose waits and failures are remembered. */
const MAX_UNWELL = 1_000

/** Of one deployment, for one of its models. */
class Health implements Timed {
  readonly seq: number
  /** No call starts before this. */
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

/** Of one deployment. Models without trouble have no entry. */
export class HealthOf {
  readonly #cooling: Cooling
  /** By the upstream's name of the model: one deployment may serve many. */
  readonly #unwell = new Map<string, Health>()
  #made = 0

  readonly #opened: () => void

  /** Ends of waits go into `cooling`; one that ends sooner is told to `opened`. */
  constructor(cooling: Cooling, opened: () => void) {
    this.#cooling = cooling
    this.#opened = opened
  }

  coolUntilMono(model: string): number {
    return this.#unwell.get(model)?.coolUntilMono ?? 0
  }

  /** One that keeps failing is used only where there is no other. */
  isSick(model: string): boolean {
    return (this.#unwell.get(model)?.failures ?? 0) >= FAILS_FROM
  }

  isWell(): boolean {
    return this.#unwell.size === 0
  }

  /** A call that began before the deployment was found busy does not end the wait. */
  answered(model: string, now: number): void {
    const health = this.#unwell.get(model)
    if (health === undefined) return
    if (health.coolUntilMono > now) health.failures = 0
    else this.#forget(model)
  }

  failed(model: string): void {
    this.#of(model).failures++
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
    if (health.heapAt < 0) return
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
