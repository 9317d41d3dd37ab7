/** The configured models as providers and routes. */
import { hash } from 'node:crypto'
import { readRegularFile } from '../config/regular-file.ts'
import type { Config, ModelConfig } from '../config/schema.ts'
import { camelCase } from '../core/camel.ts'
import { systemClock as clock, Wheel } from '../core/clock.ts'
import { SluiceError } from '../core/errors.ts'
import { systemIds } from '../core/ids.ts'
import type { Seller } from '../core/ports/prices.ts'
import type { CreateProvider, Deployment, Provider, ProviderDeps } from '../core/ports/provider.ts'
import type { ModelRoute } from '../routing/catalogue.ts'
import { deploymentNames } from '../routing/names.ts'
import { PROVIDERS } from '../routing/providers/index.ts'
import { Secret } from '../settings/fields.ts'

export interface NamedProvider {
  /** Of the deployment. */
  readonly name: string
  readonly model: ModelConfig
  readonly provider: Provider
  /** Digest of everything the provider was made of: two with the same digest are interchangeable. */
  readonly madeOf: string
}

/** Of each provider in use, by its name. */
export type Adapters = ReadonlyMap<string, CreateProvider<ModelConfig>>

/** What providers need of the process. */
export type ProcessDeps = Pick<ProviderDeps, 'clock' | 'ids' | 'wheel' | 'gatherMs'>

/** A provider's kind, typed for any model that names it: the configuration has checked the model with its schema. */
interface Kind {
  readonly shape: Readonly<Record<string, unknown>>
  place(model: ModelConfig): string
  seller(model: ModelConfig): Seller
  identity?(model: ModelConfig): ReadonlyArray<string | null>
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
  const { models, http, proxy } = config
  const made: Provider[] = []
  const names = namesOf(models)
  const all = {
    ...deps,
    proxy: proxy.url === null || typeof proxy.url === 'string' ? proxy.url : proxy.url.reveal(),
    noProxy: proxy.noProxy,
    maxAnswerBytes: http.maxAnswerBytes,
    readFile,
  }
  try {
    return models.map((model, i) => {
      const name = names[i]
      const madeOf = digestOf([name, ownSettings(model), filesOf(model), proxy, http.maxAnswerBytes])
      const same = before.find((each) => each.name === name && each.madeOf === madeOf)
      if (same !== undefined) return { ...same, model }
      const provider = adapters.get(model.provider)!(name, model, all)
      made.push(provider)
      return { name, model, provider, madeOf }
    })
  } catch (error) {
    for (const provider of made) provider.close()
    throw error
  }
}

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

const namesOf = (models: readonly ModelConfig[]): readonly string[] =>
  deploymentNames(
    models.map((model) => ({
      name: model.name,
      deployment: model.deployment,
      place: kindOf(model.provider).place(model),
      upstreamModel: upstreamOf(model),
      identity: digestOf([model.provider, ...(kindOf(model.provider).identity?.(model) ?? [])]),
    })),
  )

/** The settings of its provider alone: a deployment's order and limits may change while its connections stay. */
function ownSettings(model: ModelConfig): readonly unknown[] {
  const settings = model as Readonly<Record<string, unknown>>
  const { shape } = kindOf(model.provider)
  return [model.provider, ...Object.keys(shape).map((name) => settings[camelCase(name)])]
}

export const sellerOf = (model: ModelConfig): Seller => kindOf(model.provider).seller(model)

const upstreamOf = (model: ModelConfig): string | null => ('model' in model ? model.model : null)

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

/** Models of the same name are one group. */
export function toRoutes(config: Config, providers: readonly NamedProvider[]): ModelRoute[] {
  const groups = Map.groupBy(providers, (p) => p.model.name)
  return [...groups].map(([name, members]) => ({
    name,
    pool: members[0].model.pool,
    upstreamModel: upstreamOf(members.toSorted((a, b) => a.model.order - b.model.order)[0].model),
    kinds: [...new Set(members.flatMap((m) => m.model.kinds))],
    goals: {
      ttftMs: members.find(({ model }) => model.goals.ttftMs !== null)?.model.goals.ttftMs ?? config.goals.ttftMs,
      tpotMs: members.find(({ model }) => model.goals.tpotMs !== null)?.model.goals.tpotMs ?? config.goals.tpotMs,
    },
    deployments: members.map(
      ({ name, model, provider, madeOf }): Deployment => ({
        name,
        revision: madeOf,
        provider,
        kinds: model.kinds,
        order: model.order,
        contextTokens: model.contextTokens,
        stream: model.stream,
        conversationMembers: model.conversationMembers,
        upstreamModel: upstreamOf(model),
        concurrent: model.limits.concurrent ?? Infinity,
        minSpeed: model.minSpeed,
        timeouts: {
          ttftMs: model.timeouts.ttftMs ?? config.timeouts.ttftMs,
          interTokenMs: model.timeouts.interTokenMs ?? config.timeouts.interTokenMs,
          totalMs: model.timeouts.totalMs ?? config.timeouts.totalMs,
        },
      }),
    ),
  }))
}
