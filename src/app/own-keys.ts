/**
 * Tenants' own provider keys: sealed in the store, used for that tenant's jobs alone, and sent to one origin. A call
 * with such a key is made by a provider of its own, with connections of its own, that differs from the configured one
 * by nothing but its key.
 */
import type { ModelConfig } from '../config/schema.ts'
import type { Clock } from '../core/clock.ts'
import { type ErrorCode, SluiceError } from '../core/errors.ts'
import type { TenantId } from '../core/job.ts'
import { didYouMean } from '../core/nearest.ts'
import type { Deployment, Provider, ProviderEnd } from '../core/ports/provider.ts'
import type { ProviderKey, Tenants } from '../core/ports/tenants.ts'
import type { OwnKeys, Resealed } from '../gateway/deps.ts'
import type { Catalogue } from '../routing/catalogue.ts'
import { Secret } from '../settings/fields.ts'
import type { Settings } from './in-force.ts'
import { ownKeyOrigin } from './models.ts'
import type { Sealer } from './sealing.ts'

interface Made {
  readonly provider: Provider
  /** What it was made of: another one is made where this differs. */
  readonly of: string
}

/** Providers that are kept: a tenant's calls of a minute ago made one for each of its deployments. */
const MOST_KEPT = 1_000
const CLOSE_CHECK_MS = 1_000
const MAX_KEY_CHARS = 512

export interface OwnKeyParts {
  readonly settings: Settings
  readonly catalogue: Catalogue
  readonly tenants: Tenants
  readonly sealer: Sealer
  readonly clock: Clock
  /** Told what can't be opened, once for each key. */
  readonly onUnreadable: (tenant: TenantId, provider: string, reason: string) => void
}

export class TenantKeys implements OwnKeys {
  readonly #parts: OwnKeyParts
  readonly #made = new Map<string, Made>()
  #retired: Provider[] = []
  #isUsing: (provider: Provider) => boolean = () => false
  #cancelCheck: (() => void) | null = null

  constructor(parts: OwnKeyParts) {
    this.#parts = parts
  }

  /** `isUsing`: does a job run on it? */
  attach(isUsing: (provider: Provider) => boolean): void {
    this.#isUsing = isUsing
  }

  // ------------------------------------------------------------ for operators

  providers(): ReadonlyMap<string, readonly string[]> {
    const found = new Map<string, Set<string>>()
    for (const { model } of this.#parts.settings.providers) {
      const origin = ownKeyOrigin(model)
      if (origin === null) continue
      found.set(model.provider, (found.get(model.provider) ?? new Set()).add(origin))
    }
    return new Map([...found].map(([name, origins]) => [name, [...origins]]))
  }

  sealed(tenant: TenantId, provider: string, key: string, origin: string | null): ProviderKey {
    const { sealer, clock } = this.#parts
    if (key.length > MAX_KEY_CHARS || !/^[\x21-\x7e]+$/.test(key))
      throw refused('key', `"key" must be 1 to ${MAX_KEY_CHARS} visible ASCII characters.`)
    const to = this.#originFor(provider, origin)
    const last4 = key.length < 12 ? '' : key.slice(-4)
    return { sealed: sealer.seal(key, about(tenant, provider, to)), origin: to, last4, setAtMs: clock.wallMs() }
  }

  async reseal(): Promise<Resealed> {
    const { tenants, sealer } = this.#parts
    const told = { resealed: 0, unchanged: 0, unreadable: [] as Array<{ tenant: TenantId; provider: string }> }
    for (const { kind, id, providerKeys } of await tenants.list()) {
      if (kind !== 'tenant' || providerKeys === undefined) continue
      const made = new Map<string, string>()
      for (const [provider, { sealed, origin }] of Object.entries(providerKeys)) {
        const text = sealer.resealed(sealed, about(id, provider, origin))
        if (text === null) told.unreadable.push({ tenant: id, provider })
        else if (text === sealed) told.unchanged++
        else made.set(sealed, text)
      }
      if (made.size === 0) continue
      // Of what is there by then: a key that was set, or a tenant that was erased meanwhile, stays so
      const isThere = await tenants
        .change('tenant', id, (known) => {
          if (known === null) throw GONE
          const keys = Object.entries(known.providerKeys ?? {}).map(([provider, key]) => {
            const text = made.get(key.sealed)
            return [provider, text === undefined ? key : { ...key, sealed: text }] as const
          })
          return { ...known, ...(keys.length > 0 && { providerKeys: Object.fromEntries(keys) }) }
        })
        .catch((error: unknown) => {
          if (error !== GONE) throw error
          return null
        })
      if (isThere === null) continue
      told.resealed += made.size
    }
    return told
  }

  #originFor(provider: string, origin: string | null): string {
    const all = this.providers()
    const origins = all.get(provider)
    if (origins === undefined) {
      const known = all.size === 0 ? 'None is configured that takes keys.' : `There are ${[...all.keys()].join(', ')}.`
      const near = didYouMean(provider, all.keys())
      throw refused('provider', `No model is served by a provider "${provider.slice(0, 64)}".${near} ${known}`)
    }
    if (origin === null && origins.length === 1) return origins[0]
    if (origin !== null && origins.includes(origin)) return origin
    throw refused('origin', `"origin" must be one of ${origins.join(', ')}: a key is sent to one of them alone.`)
  }

  // ------------------------------------------------------------ at submit

  refusal(tenant: TenantId, model: string): SluiceError | null {
    if (!this.#isRequired(tenant)) return null
    const route = this.#parts.catalogue.resolve(model)
    const has = route?.deployments.some(({ name }) => this.#keyFor(name, tenant) !== null || !this.#needsKey(name))
    return has === false ? new SluiceError('own_key_required', { param: 'model' }) : null
  }

  covers(tenant: TenantId, model: string): boolean {
    if (this.#parts.tenants.get('tenant', tenant)?.providerKeys === undefined) return false
    const route = this.#parts.catalogue.resolve(model)
    return route?.deployments.every(({ name }) => this.#keyFor(name, tenant) !== null) ?? false
  }

  // ------------------------------------------------------------ at a call

  /** The deployment as this tenant's jobs are to call it. */
  of(deployment: Deployment, tenant: TenantId): Deployment {
    const key = this.#keyFor(deployment.name, tenant)
    if (key !== null) return { ...deployment, provider: this.#providerFor(deployment, tenant, key), isOwnKey: true }
    if (!this.#isRequired(tenant) || !this.#needsKey(deployment.name)) return deployment
    return { ...deployment, provider: failing(this.#keyless(deployment.name, tenant)), isOwnKey: true }
  }

  /** That it has none is the whole reason only where it has none for the rest of the group. */
  #keyless(deployment: string, tenant: TenantId): SluiceError {
    const route = this.#parts.catalogue.resolve(this.#model(deployment)!.name)
    const has = route?.deployments.some(({ name }) => this.#keyFor(name, tenant) !== null)
    return has === true
      ? new SluiceError('own_key_failed', { message: ONE_FAILED })
      : new SluiceError('own_key_required')
  }

  close(): void {
    this.#cancelCheck?.()
    for (const { provider } of this.#made.values()) provider.close()
    for (const provider of this.#retired) provider.close()
  }

  #isRequired(tenant: TenantId): boolean {
    return this.#parts.settings.tenant(tenant)?.ownKeys === 'require'
  }

  #model(deployment: string): ModelConfig | null {
    return this.#parts.settings.providers.find(({ name }) => name === deployment)?.model ?? null
  }

  /** It is called with somebody's: ours, or that of a tenant. */
  #needsKey(deployment: string): boolean {
    const model = this.#model(deployment)
    return model !== null && 'apiKey' in model
  }

  /** Null: it has none for this provider, or none that may be sent there. */
  #keyFor(deployment: string, tenant: TenantId): ProviderKey | null {
    const keys = this.#parts.tenants.get('tenant', tenant)?.providerKeys
    if (keys === undefined) return null
    const model = this.#model(deployment)
    if (model === null || !Object.hasOwn(keys, model.provider)) return null
    const key = keys[model.provider]
    return key.origin === ownKeyOrigin(model) ? key : null
  }

  #providerFor(deployment: Deployment, tenant: TenantId, key: ProviderKey): Provider {
    const name = `${tenant}\n${deployment.name}`
    const of = `${deployment.revision}\n${key.sealed}`
    const known = this.#made.get(name)
    if (known?.of === of) return known.provider
    const provider = this.#make(deployment.name, tenant, key)
    this.#made.delete(name)
    this.#made.set(name, { provider, of })
    const spare = known ?? (this.#made.size > MOST_KEPT ? this.#oldest() : undefined)
    if (spare !== undefined) this.#retire(spare.provider)
    return provider
  }

  #make(deployment: string, tenant: TenantId, { sealed, origin }: ProviderKey): Provider {
    const { settings, sealer, onUnreadable } = this.#parts
    const model = this.#model(deployment)!
    try {
      const text = sealer.open(sealed, about(tenant, model.provider, origin))
      if (text === null) throw new Error('it was sealed with another key, or is damaged')
      return told(settings.create(deployment, withKey(model, text)))
    } catch (thrown) {
      onUnreadable(tenant, model.provider, (thrown as Error).message)
      return failing(new SluiceError('own_key_failed', { message: UNREADABLE }))
    }
  }

  #oldest(): Made | undefined {
    const [name, made] = this.#made.entries().next().value!
    this.#made.delete(name)
    return made
  }

  #retire(provider: Provider): void {
    this.#retired.push(provider)
    this.#cancelCheck ??= this.#parts.clock.after(CLOSE_CHECK_MS, this.#closeRetired)
  }

  /** Each when its last job has ended. */
  readonly #closeRetired = (): void => {
    this.#retired = this.#retired.filter((provider) => {
      if (this.#isUsing(provider)) return true
      provider.close()
      return false
    })
    const isDone = this.#retired.length === 0
    this.#cancelCheck = isDone ? null : this.#parts.clock.after(CLOSE_CHECK_MS, this.#closeRetired)
  }
}

const GONE = new Error('the tenant was erased')

const refused = (param: string, message: string) => new SluiceError('invalid_request', { param, message })

const UNREADABLE =
  "This tenant's own key for the model provider can't be read on this server: the operator sets it again."

const ONE_FAILED =
  "This tenant's own key did not work for this model, and it has none for the model's other providers: set it again."

/** A sealed key opens for this alone. */
const about = (tenant: TenantId, provider: string, origin: string): string =>
  JSON.stringify(['provider key', tenant, provider, origin])

/** The operator's other secrets are not sent with a tenant's key. */
function withKey(model: ModelConfig, key: string): ModelConfig {
  const apiKey = new Secret({ env: "a tenant's own key" })
  apiKey.resolve({ env: () => key, file: () => '' })
  const headers =
    'headers' in model ? Object.entries(model.headers).filter(([, value]) => typeof value === 'string') : []
  return { ...model, ...('headers' in model && { headers: Object.fromEntries(headers) }), apiKey } as ModelConfig
}

/** What a provider says of our key is about the tenant's here, and the deployment is not blamed for it. */
const OF_KEYS: Readonly<Partial<Record<ErrorCode, ErrorCode>>> = {
  provider_auth: 'own_key_failed',
  provider_rate_limited: 'own_key_rate_limited',
}

function told(provider: Provider): Provider {
  const about = (end: ProviderEnd): ProviderEnd => {
    if (end.kind === 'aborted') return end
    // What it allows is of this key
    const { limits: _, ...rest } = end
    const code = end.kind === 'failed' ? OF_KEYS[end.error.code] : undefined
    if (rest.kind !== 'failed' || code === undefined) return rest
    const { retryAfterMs } = rest.error
    return { ...rest, error: new SluiceError(code, retryAfterMs === undefined ? {} : { retryAfterMs }) }
  }
  return {
    continues: provider.continues,
    start: (call, sink) =>
      provider.start(call, {
        events: (payloads) => sink.events(payloads),
        document: (document, usage) => sink.document(document, usage),
        end: (end) => sink.end(about(end)),
      }),
    check: () => provider.check(),
    close: () => provider.close(),
  }
}

/** Calls nothing. */
const failing = (error: SluiceError): Provider => ({
  continues: false,
  start(_, sink) {
    let isOver = false
    const end = (end: ProviderEnd): void => {
      if (!isOver) sink.end(end)
      isOver = true
    }
    queueMicrotask(() => end({ kind: 'failed', error, retry: 'elsewhere' }))
    return {
      sentMono: null,
      abort: () => queueMicrotask(() => end({ kind: 'aborted' })),
      pause() {},
      resume() {},
    }
  },
  check: async () => ({ ok: false, detail: error.message }),
  close() {},
})
