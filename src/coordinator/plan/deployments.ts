/** The deployments that there are, by their names and by the models that they answer, over reloads. */
import type { CheckReport } from '../../core/engine-check.ts'
import { JOB_KINDS } from '../../core/job.ts'
import type { LevelState } from '../../core/limits.ts'
import { ModelIndex } from '../../core/model-index.ts'
import type { PlanModel, ScheduledJob } from '../../core/ports/coordinator.ts'
import type { DeploymentStatus } from '../../core/ports/operations.ts'
import { renamed } from '../../core/renamed.ts'
import { DeploymentState } from './deployment.ts'
import { fitFor, insteadFor, type Route, routeOf } from './route.ts'
import type { Cooling } from './waiting.ts'

export class Deployments {
  readonly isDrained: (deployment: string) => boolean
  readonly #cooling: Cooling
  readonly #opened: () => void
  #index = new ModelIndex<Route>([])
  #states = new Map<string, DeploymentState>()
  #models = 0
  #made = 0

  /** `opened`: one that was left alone may be called again. */
  constructor(cooling: Cooling, opened: () => void, isDrained: (deployment: string) => boolean) {
    this.#cooling = cooling
    this.#opened = opened
    this.isDrained = isDrained
  }

  /**
   * A deployment of the same name, or that has only been renamed, keeps its count of calls, what it has used of its
   * quota and, unless its revision has changed, what is known of it.
   */
  configure(models: readonly PlanModel[]): void {
    const before = this.#renamed(models)
    this.#states = new Map()
    const routes = models.map((model): Route => {
      const states = model.deployments.map((settings) => {
        const state = before.get(settings.name) ?? this.#make(settings.name)
        state.change(settings)
        this.#states.set(settings.name, state)
        return state
      })
      return routeOf(model, states)
    })
    for (const [name, state] of before) {
      if (this.#states.has(name)) continue
      state.health.clear()
      this.#cooling.clear(state.quota)
      state.settings = null
      if (state.active > 0) this.#states.set(name, state)
    }
    this.#index = new ModelIndex(routes)
    this.#models = routes.length
  }

  /** What is known now, by the names that it has in `models`. */
  #renamed(models: readonly PlanModel[]): Map<string, DeploymentState> {
    const inForce = [...this.#states.values()].flatMap(({ settings }) => settings ?? [])
    const after = models.flatMap(({ deployments }) => deployments)
    const states = new Map(this.#states)
    for (const [from, to] of renamed(inForce, after)) {
      const [state, there] = [states.get(from)!, states.get(to)]
      // A coordinator that knew the new name already has begun calls there: they are not lost for what has ended
      if (there !== undefined && !there.wasConfigured) continue
      states.delete(from)
      states.set(to, state)
      state.name = to
      // What was used is stored by name
      state.quota.isChanged = true
    }
    return states
  }

  /** Of a call that runs already, of one that is not configured, too. */
  adopt(name: string): DeploymentState {
    const state = this.#states.get(name) ?? this.#make(name)
    this.#states.set(name, state)
    return state
  }

  /** One of its calls has ended: gone from the configuration, it is known as long as one runs. */
  letGo(state: DeploymentState): void {
    if (state.active > 0 || state.settings !== null) return
    // Its name may be another one's by now
    if (this.#states.get(state.name) === state) this.#states.delete(state.name)
  }

  #make(name: string): DeploymentState {
    return new DeploymentState(name, ++this.#made, this.#cooling, this.#opened)
  }

  /** Null: there is no such model. */
  find(model: string): Route | null {
    return this.#index.find(model)
  }

  /** What a check found, of one that is configured. Returns whether that is news: it is down, or works again. */
  checked({ deployment, ...check }: CheckReport, now: number): 'down' | 'up' | null {
    const state = this.#states.get(deployment)
    return state === undefined || state.settings === null ? null : state.health.check(check, state.active, now)
  }

  // ------------------------------------------------------------ the store

  /** What deployments with limits have used, where that is not what was told last. */
  take(now: number): readonly LevelState[] {
    const levels: LevelState[] = []
    for (const { name, quota } of this.#states.values()) {
      const used = quota.isChanged ? quota.changed(now) : undefined
      if (used !== undefined) levels.push({ kind: 'deployment', owner: '', name, used })
    }
    return levels
  }

  restore(levels: readonly LevelState[], now: number): void {
    for (const { name, used } of levels) if (used !== null) this.#states.get(name)?.quota.restore(used, now)
  }

  /** Of a call whose process died, and with it what it held. */
  spend(deployment: string, promptTokens: number, outputTokens: number, now: number): void {
    const state = this.#states.get(deployment)
    if (state?.quota.isLimited === true) state.quota.spend(promptTokens, outputTokens, now)
  }

  // ------------------------------------------------------------ queries

  /** How long all that could answer it are left alone; 0: not all are. */
  coolsAllForMs(job: ScheduledJob, now: number): number {
    const route = this.#index.find(job.model)
    if (route === null || insteadFor(Object.values(route.fallbacks).flat(), job).length > 0) return 0
    let least = Infinity
    for (const one of fitFor(route[job.kind], job)) {
      if (one.health.isWell) return 0
      least = Math.min(least, one.health.coolUntilMono(one.upstreamName(job.model)) - now)
    }
    return least === Infinity ? 0 : Math.max(0, least)
  }

  /** All names, those of models included that are patterns. */
  get size(): { readonly models: number; readonly deployments: number } {
    return { models: this.#models, deployments: this.#states.size }
  }

  /** Calls like this job's that could start now. */
  free({ kind, model, promptTokens }: ScheduledJob, now: number): number {
    let free = 0
    for (const state of this.#index.find(model)?.[kind].all ?? [])
      if (
        !this.isDrained(state.name) &&
        state.health.coolUntilMono(state.upstreamName(model)) <= now &&
        state.quota.waitMs(promptTokens, 0, now) <= 0
      )
        free += Math.max(0, state.settings!.concurrent - state.active)
    return free
  }

  /** The only deployment that answers this model; null: there is none, or a choice. */
  only(model: string): string | null {
    const route = this.#index.find(model)
    if (route === null) return null
    const names = new Set(JOB_KINDS.flatMap((kind) => route[kind].all.map(({ name }) => name)))
    return names.size === 1 ? [...names][0] : null
  }

  /** Slots of this model's deployments, where all of them are taken; null: there is room, or no limit. */
  fullSlots(model: string): number | null {
    const route = this.#index.find(model)
    if (route === null) return null
    const states = new Set(JOB_KINDS.flatMap((kind) => route[kind].all))
    let slots = 0
    for (const { active, settings } of states) {
      if (active < (settings?.concurrent ?? 0)) return null
      slots += settings?.concurrent ?? 0
    }
    return slots > 0 ? slots : null
  }

  status(now: number): readonly DeploymentStatus[] {
    return [...this.#states.values()].map(({ name, settings, active, health, quota }) => ({
      deployment: name,
      active,
      concurrent: settings?.concurrent ?? 0,
      isDrained: this.isDrained(name),
      unwell: health.status(now),
      ...(quota.isLimited && { used: quota.used(now) }),
      check: health.checked.status(now),
    }))
  }
}
