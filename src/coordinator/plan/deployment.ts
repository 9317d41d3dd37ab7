/** What is known of one deployment. */
import type { PlanDeployment } from '../../core/ports/coordinator.ts'
import { FirstTexts } from './first-texts.ts'
import { HealthOf } from './health.ts'
import { Quota } from './quota.ts'
import { Speed } from './speed.ts'
import type { Cooling } from './waiting.ts'

/** Sooner nobody calls a second time, whatever was learned: what is that quick is noise. */
const LEAST_HEDGE_MS = 100

export interface Running {
  readonly fromMono: number
  readonly work: number
}

/** Who waits for a deployment, in one pass through the line: it is the same again in the next one. */
class AwaitedBy {
  #jobs = 0
  #mono = -Infinity

  before(now: number): number {
    return this.#mono === now ? this.#jobs : 0
  }

  add(now: number): void {
    this.#jobs = this.before(now) + 1
    this.#mono = now
  }
}

export class DeploymentState {
  /** A reload may give it another one. */
  name: string
  /** Null: it is no longer configured, but some of its calls still run. */
  settings: PlanDeployment | null = null
  /** Once: what its calls are made to is known. */
  wasConfigured = false
  /** Calls now. */
  active = 0
  /** Units of work of those calls (speed.ts). */
  work = 0
  /** Those calls, the oldest first. */
  readonly calls = new Set<Running>()
  readonly health: HealthOf
  readonly speed = new Speed()
  readonly firstTexts = new FirstTexts()
  readonly quota: Quota
  /** When it answered last. */
  answeredMono = -Infinity
  readonly awaited = new AwaitedBy()
  /** Number of the last call, among those of its route. */
  turn = 0

  /** `made`: a number of its own. */
  constructor(name: string, made: number, cooling: Cooling, opened: () => void) {
    this.name = name
    this.quota = new Quota(made)
    this.health = new HealthOf(made, cooling, opened)
  }

  change(settings: PlanDeployment): void {
    if (this.settings?.revision !== settings.revision) {
      this.health.clear()
      this.speed.forget()
      this.firstTexts.forget()
      this.quota.forgetRatio()
    }
    this.settings = settings
    this.wasConfigured = true
    this.quota.change(settings.requestsPerMinute, settings.tokensPerMinute)
  }

  /**
   * Units of work there, with what others have sent, as far as checks tell. Of their calls nothing more is known: they
   * are taken to be as ours there, or as the one that is to come, `own`.
   */
  load(own: number): number {
    const { others } = this.health.checked
    if (others === 0) return this.work
    return this.work + others * (this.active > 0 && this.work > 0 ? this.work / this.active : own)
  }

  /** Calls there, with those of others. */
  get busy(): number {
    return this.active + this.health.checked.others
  }

  /** How long its oldest call takes for a unit of work, so far, ms: what is slow is known before it has ended. */
  longestMs(now: number): number {
    for (const { fromMono, work } of this.calls) return (now - fromMono) / work
    return 0
  }

  /** When a call of it that has shown nothing gets a second one, ms; null: never, or not known yet. */
  get hedgeAfterMs(): number | null {
    const hedge = this.settings?.hedge
    if (hedge == null) return null
    if (hedge.afterMs !== null) return hedge.afterMs
    const afterMs = this.firstTexts.quantile(hedge.quantile)
    return afterMs === null ? null : Math.max(LEAST_HEDGE_MS, Math.round(afterMs))
  }

  /** So long took a first text, or more. Kept where it is asked for. */
  texts(ms: number): void {
    if (this.settings?.hedge != null) this.firstTexts.add(ms)
  }

  /** By the upstream's name of a model: one deployment may serve many. */
  upstreamName(model: string): string {
    return this.settings?.upstreamModel ?? model
  }
}
