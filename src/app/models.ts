/** The configured models as providers and routes. */
import { hash } from 'node:crypto'
import { Secret } from '../config/fields.ts'
import { readRegularFile } from '../config/regular-file.ts'
import type { Config, ModelConfig } from '../config/schema.ts'
import { type Clock, systemClock as clock, Wheel } from '../core/clock.ts'
import { SluiceError } from '../core/errors.ts'
import { type Ids, systemIds } from '../core/ids.ts'
import type { Deployment, Provider } from '../core/ports/provider.ts'
import { createDemoProvider } from '../routing/providers/demo/provider.ts'
import { createOpenAiProvider } from '../routing/providers/openai/provider.ts'
import type { ModelRoute } from '../routing/router.ts'

export interface NamedProvider {
  /** "chat@api.openai.com"; a second one of the same model and host is "chat@api.openai.com#2". */
  readonly name: string
  readonly model: ModelConfig
  readonly provider: Provider
  /** Digest of everything the provider was made of: two with the same digest are interchangeable. */
  readonly madeOf: string
}

/** What providers need of the process. */
export interface ProviderDeps {
  readonly clock: Clock
  readonly ids: Ids
  readonly wheel: Wheel
  readonly gatherMs: () => number
}

/**
 * One a configured model, in their order; those of `before` that are made of the same are taken over. Throws
 * config_invalid, and leaves none open.
 */
export function createProviders(
  config: Config,
  deps: ProviderDeps,
  before: readonly NamedProvider[] = [],
): readonly NamedProvider[] {
  const made: Provider[] = []
  const names = new Map<string, number>()
  const nameOf = (model: ModelConfig): string => {
    const name = `${model.name}@${model.baseUrl === null ? model.provider : new URL(model.baseUrl).host}`
    const nth = (names.get(name) ?? 0) + 1
    names.set(name, nth)
    return nth === 1 ? name : `${name}#${nth}`
  }
  try {
    return config.models.map((model) => {
      const name = nameOf(model)
      const madeOf = digestOf(name, model, config)
      const same = before.find((each) => each.name === name && each.madeOf === madeOf)
      const provider = same?.provider ?? createProvider(config, model, name, deps)
      if (same === undefined) made.push(provider)
      return { name, model, provider, madeOf }
    })
  } catch (error) {
    for (const provider of made) provider.close()
    throw error
  }
}

/** For `sluice doctor`: the providers, or why there can't be any. */
export function openForCheck(config: Config): {
  readonly providers: readonly NamedProvider[]
  readonly problem: string | null
} {
  try {
    const deps = { clock, ids: systemIds(), wheel: new Wheel(clock), gatherMs: () => 0 }
    return { providers: createProviders(config, deps), problem: null }
  } catch (error) {
    return { providers: [], problem: (error as Error).message }
  }
}

function digestOf(name: string, model: ModelConfig, { proxy, http }: Config): string {
  // JSON.stringify would ask a secret for its reference
  const plain = (value: unknown): unknown =>
    value instanceof Secret
      ? value.reveal()
      : Array.isArray(value)
        ? value.map(plain)
        : typeof value === 'object' && value !== null
          ? Object.fromEntries(Object.entries(value).map(([key, member]) => [key, plain(member)]))
          : value
  const certificate = model.caFile === null ? null : readCertificate(model.caFile)
  return hash('sha256', JSON.stringify([name, plain(model), certificate, plain(proxy), http.maxAnswerBytes]))
}

function readCertificate(path: string): string {
  try {
    return readRegularFile(path)
  } catch (cause) {
    const { code = 'error' } = cause as NodeJS.ErrnoException
    throw new SluiceError('config_invalid', { message: `ca_file: ${path} can't be read (${code}).`, cause })
  }
}

function createProvider(config: Config, model: ModelConfig, name: string, deps: ProviderDeps): Provider {
  if (model.provider === 'demo')
    return createDemoProvider({
      clock: deps.clock,
      ids: deps.ids,
      ttftMs: model.demo.ttftMs,
      tokenMs: model.demo.tokenMs,
    })
  const { url, noProxy } = config.proxy
  const baseUrl =
    model.apiVersion === null ? model.baseUrl! : `${model.baseUrl}?api-version=${encodeURIComponent(model.apiVersion)}`
  return createOpenAiProvider({
    name,
    baseUrl,
    apiKey: model.apiKey?.reveal() ?? null,
    auth: model.provider === 'azure' ? 'api-key' : 'bearer',
    headers: Object.fromEntries(
      Object.entries(model.headers).map(([header, value]) => [
        header,
        typeof value === 'string' ? value : value.reveal(),
      ]),
    ),
    upstreamModel: model.model,
    continuation: model.continuation,
    streamUsage: model.streamUsage,
    ca: model.caFile === null ? null : readCertificate(model.caFile),
    proxy: url === null || typeof url === 'string' ? url : url.reveal(),
    noProxy,
    clock: deps.clock,
    wheel: deps.wheel,
    gatherMs: deps.gatherMs,
    maxAnswerBytes: config.http.maxAnswerBytes,
  })
}

/** Models of the same name are one group. */
export function toRoutes(config: Config, providers: readonly NamedProvider[]): ModelRoute[] {
  const groups = Map.groupBy(providers, (p) => p.model.name)
  return [...groups].map(([name, members]) => ({
    name,
    pool: members[0].model.pool,
    kinds: [...new Set(members.flatMap((m) => m.model.kinds))],
    deployments: members.map(
      ({ name, model, provider }): Deployment => ({
        name,
        provider,
        upstreamModel: model.model,
        concurrent: model.limits.concurrent ?? Infinity,
        order: model.order,
        contextTokens: model.contextTokens,
        stream: model.stream,
        conversationMembers: model.conversationMembers,
        timeouts: {
          ttftMs: model.timeouts.ttftMs ?? config.timeouts.ttftMs,
          interTokenMs: model.timeouts.interTokenMs ?? config.timeouts.interTokenMs,
          totalMs: model.timeouts.totalMs ?? config.timeouts.totalMs,
        },
      }),
    ),
  }))
}
