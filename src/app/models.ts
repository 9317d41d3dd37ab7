/** The configured models as providers and routes. */
import { hash } from 'node:crypto'
import { readRegularFile } from '../config/regular-file.ts'
import type { Config, ModelConfig } from '../config/schema.ts'
import { camelCase } from '../core/camel.ts'
import { systemClock as clock, Wheel } from '../core/clock.ts'
import { SluiceError } from '../core/errors.ts'
import { systemIds } from '../core/ids.ts'
import type { Abilities } from '../core/job.ts'
import type { TokenPrice } from '../core/limits.ts'
import type { Hedging } from '../core/ports/coordinator.ts'
import type { Seller } from '../core/ports/prices.ts'
import type { CreateProvider, Deployment, Provider, ProviderDeps } from '../core/ports/provider.ts'
import type { ModelRoute } from '../routing/catalogue.ts'
import { deploymentNames } from '../routing/names.ts'
import { PROVIDERS } from '../routing/providers/index.ts'
import { Secret } from '../settings/fields.ts'
import type { EngineChecks } from '../settings/provider.ts'

export interface NamedProvider {
  /** Of the deployment. */
  readonly name: string
  readonly model: ModelConfig
  readonly provider: Provider
  /** Digest of everything the provider was made of: two with the same digest are interchangeable. */
  readonly madeOf: string
  /** What its provider counts by, whatever it is called: kind, address, key and model. It has no secret in it. */
  readonly identity: string
}

/** Of each provider in use, by its name. */
export type Adapters = ReadonlyMap<string, CreateProvider<ModelConfig>>

/** What providers need of the process. */
export type ProcessDeps = Pick<ProviderDeps, 'clock' | 'ids' | 'wheel' | 'gatherMs'>

/** A provider's kind, typed for any model that names it: the configuration has checked the model with its schema. */
interface Kind {
  readonly shape: Readonly<Record<string, unknown>>
  place(model: ModelConfig): string
  takesOwnKey?(model: ModelConfig): boolean
  seller(model: ModelConfig): Seller
  identity?(model: ModelConfig): ReadonlyArray<string | null>
  checks?(model: ModelConfig): EngineChecks | null
  load(): Promise<{ readonly create: CreateProvider<ModelConfig> }>
}
const kindOf = (name: string): Kind => PROVIDERS.find((kind) => kind.name === name) as unknown as Kind

export async function loadAdapters({ models }: Pick<Config, 'models'>): Promise<Adapters> {
  const names = [...new Set(models.map(({ provider }) => provider))]
  const load = async (name: string) => [name, (await kindOf(name).load()).create] as const
  return new Map(await Promise.all(names.map(load)))
}

/**
 * One for each configured model, in order; those of `before` that are made of the same settings are kept. Throws
 * config_invalid, and then leaves none open.
 */
export function createProviders(
  config: Config,
  adapters: Adapters,
  deps: ProcessDeps,
  before: readonly NamedProvider[] = [],
): readonly NamedProvider[] {
  const { http, proxy } = config
  const models = config.models.flatMap(byKey)
  const made: Provider[] = []
  const names = namesOf(models)
  const all = providerDeps(config, deps)
  try {
    return models.map(({ model }, i) => {
      const name = names[i]
      const madeOf = digestOf([ownSettings(model), filesOf(model), proxy, http.maxAnswerBytes])
      const same = before.find((each) => each.name === name && each.madeOf === madeOf)
      if (same !== undefined) return { ...same, model, identity: identityOf(model) }
      const provider = adapters.get(model.provider)!(name, model, all)
      made.push(provider)
      return { name, model, provider, madeOf, identity: identityOf(model) }
    })
  } catch (error) {
    for (const provider of made) provider.close()
    throw error
  }
}

export const providerDeps = ({ http, proxy }: Pick<Config, 'http' | 'proxy'>, deps: ProcessDeps): ProviderDeps => ({
  ...deps,
  proxy: proxy.url === null || typeof proxy.url === 'string' ? proxy.url : proxy.url.reveal(),
  noProxy: proxy.noProxy,
  maxAnswerBytes: http.maxAnswerBytes,
  readFile,
})

/** Those of one model that a tenant's key of its own is used for have the same; null: none is. */
function ownKeyAt(model: ModelConfig): string | null {
  const origin = ownKeyOrigin(model)
  return origin === null ? null : `${model.provider} ${origin}`
}

/** Where a tenant's own key for it would be sent; null: it takes none. */
export const ownKeyOrigin = (model: ModelConfig): string | null =>
  'apiKey' in model && kindOf(model.provider).takesOwnKey?.(model) !== false ? originOf(model) : null

/** Scheme, host and port of what its key is sent to; null: it calls nobody. */
export function originOf(model: ModelConfig): string | null {
  if ('baseUrl' in model && typeof model.baseUrl === 'string') return new URL(model.baseUrl).origin
  const place = kindOf(model.provider).place(model)
  return 'apiKey' in model && URL.canParse(`https://${place}`) ? new URL(`https://${place}`).origin : null
}

/** How its engine is asked whether it works; null: it is not. */
export const checksOf = (model: ModelConfig): EngineChecks | null => kindOf(model.provider).checks?.(model) ?? null

/** Their names, in the order of the entries and their keys. */
export const deploymentsOf = (models: readonly ModelConfig[]): readonly string[] => namesOf(models.flatMap(byKey))

/** For `sluice doctor`: the providers, or why there can't be any. */
export async function openForCheck(config: Config): Promise<{
  readonly providers: readonly NamedProvider[]
  readonly problem: string | null
}> {
  try {
    const deps = { clock, ids: systemIds(), wheel: new Wheel(clock), gatherMs: () => 0 }
    return { providers: createProviders(config, await loadAdapters(config), deps), problem: null }
  } catch (error) {
    return { providers: [], problem: (error as Error).message }
  }
}

/** One for each of its keys: several keys of one provider are several deployments. */
const byKey = (model: ModelConfig): readonly Keyed[] => [
  { model, key: 1 },
  ...model.apiKeys.map((apiKey, i) => ({ model: { ...model, apiKey } as ModelConfig, key: i + 2 })),
]
interface Keyed {
  readonly model: ModelConfig
  /** Of its entry's, from 1. */
  readonly key: number
}

/** Those of further keys are called as that of the first, and "#2", "#3" … */
function namesOf(models: readonly Keyed[]): readonly string[] {
  const own = deploymentNames(
    models
      .filter(({ key }) => key === 1)
      .map(({ model }) => ({
        name: model.name,
        deployment: model.deployment,
        place: kindOf(model.provider).place(model),
        upstreamModel: upstreamOf(model),
        identity: digestOf([model.provider, ...(kindOf(model.provider).identity?.(model) ?? [])]),
      })),
  )
  const taken = new Set(own)
  let at = -1
  return models.map(({ key }) => {
    if (key === 1) return own[++at]
    let n = key
    while (taken.has(`${own[at]}#${n}`)) n++
    taken.add(`${own[at]}#${n}`)
    return `${own[at]}#${n}`
  })
}

/** The settings of its provider alone: a deployment's order and limits may change while its connections stay. */
function ownSettings(model: ModelConfig): readonly unknown[] {
  const settings = model as Readonly<Record<string, unknown>>
  const { shape } = kindOf(model.provider)
  return [model.provider, ...Object.keys(shape).map((name) => settings[camelCase(name)])]
}

/** By the key's reference: it may be rotated. */
function identityOf(model: ModelConfig): string {
  const { place, identity } = kindOf(model.provider)
  return digestOf([model.provider, place(model), identity?.(model) ?? [], upstreamOf(model) ?? model.name])
}

export const sellerOf = (model: ModelConfig): Seller => kindOf(model.provider).seller(model)

export const upstreamOf = (model: ModelConfig): string | null => ('model' in model ? model.model : null)

function digestOf(value: unknown): string {
  // JSON.stringify would take a secret's reference instead of its value
  const plain = (value: unknown): unknown =>
    value instanceof Secret
      ? value.reveal()
      : Array.isArray(value)
        ? value.map(plain)
        : typeof value === 'object' && value !== null
          ? Object.fromEntries(Object.entries(value).map(([key, member]) => [key, plain(member)]))
          : value
  return hash('sha256', JSON.stringify(plain(value)))
}

/** The text of the files that its settings name. */
const filesOf = (model: ModelConfig): readonly string[] =>
  'caFile' in model && model.caFile !== null ? [readFile('ca_file', model.caFile)] : []

function readFile(setting: string, path: string): string {
  try {
    return readRegularFile(path)
  } catch (cause) {
    const { code = 'error' } = cause as NodeJS.ErrnoException
    throw new SluiceError('config_invalid', { message: `${setting}: ${path} can't be read (${code}).`, cause })
  }
}

const namesAny = (fallbacks: ModelConfig['fallbacks']): boolean =>
  Object.values(fallbacks).some((names) => names.length > 0)

/** What a token costs there; null: nobody knows. */
export type PriceOf = (model: ModelConfig) => TokenPrice | null

/** Models of the same name are one group. */
export function toRoutes(
  config: Config,
  providers: readonly NamedProvider[],
  price?: PriceOf,
  weights?: ReadonlyMap<string, number>,
): ModelRoute[] {
  const groups = Map.groupBy(providers, (p) => p.model.name)
  return [...groups].map(([name, members]) => ({
    name,
    pool: members[0].model.pool,
    upstreamModel: upstreamOf(members.toSorted((a, b) => a.model.order - b.model.order)[0].model),
    kinds: [...new Set(members.flatMap((m) => m.model.kinds))],
    completes: members.every(({ model }) => 'completions' in model && model.completions),
    goals: {
      ttftMs: members.find(({ model }) => model.goals.ttftMs !== null)?.model.goals.ttftMs ?? config.goals.ttftMs,
      tpotMs: members.find(({ model }) => model.goals.tpotMs !== null)?.model.goals.tpotMs ?? config.goals.tpotMs,
    },
    policy: members.find(({ model }) => model.policy !== null)?.model.policy ?? config.routing.policy,
    fallbacks: members.find(({ model }) => namesAny(model.fallbacks))?.model.fallbacks ?? members[0].model.fallbacks,
    deployments: members.map(
      ({ name, model, provider, madeOf, identity }): Deployment => ({
        name,
        revision: madeOf,
        identity,
        ownKeyAt: ownKeyAt(model),
        provider,
        kinds: model.kinds,
        order: model.order,
        weight: model.weight ?? weights?.get(name) ?? 1,
        requestsPerMinute: model.limits.requestsPerMinute,
        tokensPerMinute: model.limits.tokensPerMinute,
        contextTokens: model.contextTokens,
        can: abilitiesOf(model.can, provider),
        tags: model.tags,
        region: model.region,
        price: price?.(model) ?? null,
        stream: model.stream,
        conversationMembers: model.conversationMembers,
        upstreamModel: upstreamOf(model),
        concurrent: model.limits.concurrent ?? Infinity,
        minSpeed: model.minSpeed,
        hedge: model.hedge && hedgingOf(model.hedge.after),
        timeouts: {
          ttftMs: model.timeouts.ttftMs ?? config.timeouts.ttftMs,
          interTokenMs: model.timeouts.interTokenMs ?? config.timeouts.interTokenMs,
          totalMs: model.timeouts.totalMs ?? config.timeouts.totalMs,
        },
      }),
    ),
  }))
}

/** By the names that requests' needs have. */
const abilitiesOf = ({ jsonSchema, ...can }: ModelConfig['can'], { continues }: Provider) =>
  ({
    ...can,
    json_schema: jsonSchema,
    continue: can.continue ?? (continues ? true : null),
  }) satisfies Required<Abilities>

/** "p95": what nine and a half in ten of its first texts stay below. */
const hedgingOf = (after: number | `p${number}`): Hedging =>
  typeof after === 'number'
    ? { quantile: 1, afterMs: after }
    : { quantile: Number(after.slice(1)) / 100, afterMs: null }
