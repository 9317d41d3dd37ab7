/** The settings in force, and what a running server can take over of new ones. */
import { isDeepStrictEqual } from 'node:util'
import { LEAVES } from '../config/leaves.ts'
import type { Config, ModelConfig } from '../config/schema.ts'
import { SluiceError } from '../core/errors.ts'
import type { JsonRecord } from '../core/json.ts'
import type { LimitSettings } from '../core/limits.ts'
import type { PlanModel } from '../core/ports/coordinator.ts'
import type { Engine } from '../core/ports/engine.ts'
import type { Provider } from '../core/ports/provider.ts'
import type { TenantRecord } from '../core/ports/tenants.ts'
import { renamed } from '../core/renamed.ts'
import type { Catalogue, ModelRoute } from '../routing/catalogue.ts'
import { type GatherGauge, gatherGauge } from '../routing/gather.ts'
import type { WorkerPool } from '../worker/pool.ts'
import { addedModel, mustKnowFallbacks, type WithAdded, withAdded } from './added.ts'
import type { Carry } from './carry.ts'
import { changedSettings, isSame } from './changed-settings.ts'
import type { EngineChecker } from './checks.ts'
import { limitsOf } from './limits.ts'
import {
  type Adapters,
  createProviders,
  loadAdapters,
  type NamedProvider,
  type ProcessDeps,
  providerDeps,
  toRoutes,
} from './models.ts'
import { planPrices } from './plan-price.ts'
import type { Runtime } from './runtime.ts'
import { NOTHING_STORED, type StoredLimits } from './stored-limits.ts'

export interface Reloaded {
  /** Names of the models that clients can use now. */
  readonly models: readonly string[]
  readonly tenants: readonly string[]
  /** Names of settings that differ from before, and of their items where they are lists. */
  readonly changed: readonly string[]
  /** Settings of the file that differ from what the process started with, and come into force after a restart. */
  readonly needsRestart: readonly string[]
}

/** What a running server can change: whole groups, or single settings. */
const TAKEN_OVER = [
  'models',
  'routing',
  'tenants',
  'limits',
  'timeouts',
  'goals',
  'dashboard',
  'proxy',
  'log',
  'retention.logs',
  'queue.max_queued_jobs',
  'queue.max_queued_per_tenant',
  'queue.max_queued_per_lane',
  'queue.max_queued_bytes_per_tenant',
  'sessions.max_queued_jobs',
  'sessions.max_queued_bytes',
]

const RETIRED_CHECK_MS = 1_000

/** The parts that know the models. */
export interface ServedBy {
  readonly catalogue: Catalogue
  readonly engine: Pick<Engine, 'configure' | 'jobs'>
  readonly worker: Pick<WorkerPool, 'isUsing'>
  readonly checks: Pick<EngineChecker, 'follow'>
  readonly carry: Carry
}

/** The settings in force, those that may change included, and the providers made of them. */
export class Settings {
  config: Config
  providers: readonly NamedProvider[]
  /** Limits and switches that the store has. */
  stored: StoredLimits = NOTHING_STORED
  /** Of deployments, by their names. */
  #added: WithAdded
  #file: Config
  /** What is in force of that which needs a restart. */
  readonly #started: Config
  #records: readonly TenantRecord[] = []
  /** One change after the other. */
  #last: Promise<unknown> = Promise.resolve()
  readonly #gather: GatherGauge
  readonly #deps: ProcessDeps
  #adapters: Adapters
  #tenants: ReadonlyMap<string, Config['tenants'][number]>
  #limits: LimitSettings
  #retired: Provider[] = []
  #cancelCheck: (() => void) | null = null

  /** Rejects with config_invalid. */
  static async open(config: Config, runtime: Pick<Runtime, 'clock' | 'ids' | 'wheel'>): Promise<Settings> {
    return new Settings(config, await loadAdapters(config), runtime)
  }

  private constructor(
    config: Config,
    adapters: Adapters,
    { clock, ids, wheel }: Pick<Runtime, 'clock' | 'ids' | 'wheel'>,
  ) {
    this.config = config
    this.#file = config
    this.#started = config
    this.#added = withAdded(config, [])
    this.#gather = gatherGauge(config.stream, clock)
    this.#deps = { clock, ids, wheel, gatherMs: this.#gather.gatherMs }
    this.#adapters = adapters
    this.#tenants = byName(config)
    this.#limits = limitsOf(config)
    this.providers = createProviders(config, adapters, this.#deps)
  }

  tenant(name: string): Config['tenants'][number] | undefined {
    return this.#tenants.get(name)
  }

  /** The same object for as long as nothing changes. */
  limits(): LimitSettings {
    return this.#limits
  }

  /** One more like a configured one, with settings of its own. Throws config_invalid. */
  create(name: string, model: ModelConfig): Provider {
    return this.#adapters.get(model.provider)!(name, model, providerDeps(this.config, this.#deps))
  }

  routes() {
    return toRoutes(
      this.config,
      this.providers,
      planPrices(this.config, this.#deps.clock.wallMs()),
      this.#added.weights,
    )
  }

  /** The models as the coordinator plans with them: plain data. */
  readonly plan = (): readonly PlanModel[] => this.routes().map(planned)

  /** Getters, as a reload may change some of it. */
  get retention() {
    const settings = this
    return {
      ...this.config.retention,
      get logsMs() {
        return settings.config.retention.logsMs
      },
      tenant(name: string) {
        const logsMs = settings.tenant(name)?.retention.logsMs ?? null
        return logsMs === null ? null : { logsMs }
      },
    }
  }

  get metrics() {
    return this.#gather.metrics
  }

  /** Does the file say what share this deployment has? */
  saysWeight(deployment: string): boolean {
    return (this.providers.find(({ name }) => name === deployment)?.model.weight ?? null) !== null
  }

  /** Deployments that are there although the file does not name them. */
  get added(): ReadonlySet<string> {
    return this.#added.added
  }

  /** Would it be accepted, and can it be made here? Rejects with invalid_request. */
  async checkAdded(entry: JsonRecord): Promise<void> {
    const model = addedModel(entry, this.config)
    mustKnowFallbacks(model, this.config.models)
    const message = await this.#problemOf(model)
    if (message !== null) throw new SluiceError('invalid_request', { param: 'provider', message })
  }

  /** Why no provider can be made of it, such as a package that is not there; null: one can. */
  async #problemOf(model: ModelConfig): Promise<string | null> {
    const alone = { ...this.config, models: [model] }
    try {
      for (const { provider } of createProviders(alone, await loadAdapters(alone), this.#deps)) provider.close()
      return null
    } catch (thrown) {
      return (thrown as Error).message
    }
  }

  /** One that can't be made is left out alone: the rest must not wait for it. */
  async #withAdded(file: Config): Promise<WithAdded> {
    const all = withAdded(file, this.#records)
    const broken = new Map<string, string>()
    for (const model of all.config.models.slice(file.models.length)) {
      const problem = await this.#problemOf(model)
      if (problem !== null) broken.set(model.deployment!, problem)
    }
    return broken.size === 0 ? all : withAdded(file, this.#records, broken)
  }

  /** Throws config_invalid; then nothing has changed. */
  reload(next: Config, parts: ServedBy): Promise<Reloaded> {
    return this.#inTurn(() => this.#put(next, parts))
  }

  /** What the store has of deployments is put in force. Resolves with those that can't be, and why. */
  async follow(records: readonly TenantRecord[], parts: ServedBy): Promise<ReadonlyMap<string, string>> {
    this.#records = records
    await this.#inTurn(() => this.#put(this.#file, parts))
    return this.#added.left
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const next = this.#last.then(work)
    this.#last = next.catch(() => {})
    return next
  }

  async #put(file: Config, { catalogue, engine, worker, checks, carry }: ServedBy): Promise<Reloaded> {
    const all = await this.#withAdded(file)
    const next = all.config
    const adapters = await loadAdapters(next)
    const before = { config: this.config, providers: this.providers }
    const providers = createProviders(next, adapters, this.#deps, this.providers)
    await this.#carry(providers, carry)
    const kept = new Set(providers.map(({ provider }) => provider))
    this.#retired.push(...this.providers.map(({ provider }) => provider).filter((provider) => !kept.has(provider)))
    this.#file = file
    this.#added = all
    this.config = next
    this.#adapters = adapters
    this.providers = providers
    this.#tenants = byName(next)
    // What has not changed keeps its object: nobody reads it anew
    const limits = limitsOf(next)
    if (!isDeepStrictEqual(limits, this.#limits)) this.#limits = limits
    const routes = this.routes()
    catalogue.replace(routes)
    engine.configure(routes.map(planned))
    checks.follow(providers)
    this.#closeRetired(worker)
    return {
      models: [...new Set(next.models.map(({ name }) => name))],
      tenants: [...this.#tenants.keys()],
      changed: changedSettings(before, this),
      needsRestart: restartSettings(this.#started, next),
    }
  }

  /** Before any call goes by a new name: one that is drained must not be called in between. */
  async #carry(providers: readonly NamedProvider[], carry: Carry): Promise<void> {
    const pairs = renamed(this.providers, providers)
    if (pairs.size === 0) return
    try {
      await carry(pairs)
    } catch (error) {
      for (const { provider } of providers)
        if (!this.providers.some((one) => one.provider === provider)) provider.close()
      throw error
    }
  }

  close(): void {
    this.#gather.stop()
    this.#cancelCheck?.()
    for (const { provider } of this.providers) provider.close()
    for (const provider of this.#retired) provider.close()
  }

  /** Each when its last job has ended. */
  #closeRetired(worker: Pick<WorkerPool, 'isUsing'>): void {
    this.#cancelCheck?.()
    this.#retired = this.#retired.filter((provider) => {
      if (worker.isUsing(provider)) return true
      provider.close()
      return false
    })
    this.#cancelCheck =
      this.#retired.length === 0 ? null : this.#deps.clock.after(RETIRED_CHECK_MS, () => this.#closeRetired(worker))
  }
}

const planned = ({ name, policy, fallbacks, deployments }: ModelRoute): PlanModel => ({
  name,
  policy,
  fallbacks,
  deployments: deployments.map((each) => ({
    name: each.name,
    kinds: each.kinds,
    upstreamModel: each.upstreamModel,
    concurrent: each.concurrent,
    order: each.order,
    weight: each.weight,
    requestsPerMinute: each.requestsPerMinute,
    tokensPerMinute: each.tokensPerMinute,
    contextTokens: each.contextTokens,
    can: each.can,
    tags: each.tags,
    region: each.region,
    price: each.price,
    hedge: each.hedge ?? null,
    revision: each.revision,
    ...(each.identity !== undefined && { identity: each.identity }),
    ownKeyAt: each.ownKeyAt,
  })),
})

const byName = (config: Config): ReadonlyMap<string, Config['tenants'][number]> =>
  new Map(config.tenants.map((tenant) => [tenant.name, tenant]))

/** The settings that differ and need a restart. */
const restartSettings = (started: Config, after: Config): readonly string[] =>
  LEAVES.filter(({ path }) => !TAKEN_OVER.includes(path[0]) && !TAKEN_OVER.includes(path.join('.')))
    .filter(({ path }) => !isSame(started, after, path))
    .map(({ path }) => path.join('.'))
