/** Tenants' own provider keys: PROTOCOL.md section 8. A key comes in, and is never shown again. */
import { SluiceError } from '../../core/errors.ts'
import { bad, checkNames } from '../../core/fields.ts'
import type { JsonRecord } from '../../core/json.ts'
import { didYouMean } from '../../core/nearest.ts'
import type { ProviderKey, TenantRecord } from '../../core/ports/tenants.ts'
import type { GatewayDeps } from '../deps.ts'
import { type Answer, empty, json } from '../http/answer.ts'
import { readJson } from '../http/body.ts'
import type { Call } from '../http/call.ts'
import type { Route } from '../http/route.ts'
import { MAX_NAME_CHARS, tellChange, tenantId } from './changes.ts'

const PATH = '/admin/tenants/:id/provider-keys'
const MAX_BODY_BYTES = 4_096
const NONE: Readonly<Record<string, ProviderKey>> = {}

export function providerKeyRoutes(deps: GatewayDeps): readonly Route[] {
  const { tenants, ownKeys, clock, options } = deps

  const keysOf = (id: string): Readonly<Record<string, ProviderKey>> => tenants.get('tenant', id)?.providerKeys ?? NONE

  async function list(call: Call): Promise<Answer> {
    const keys = Object.entries(keysOf(tenantId(call.params['id'])))
    return json(200, { object: 'list', data: keys.map(([provider, key]) => view(provider, key)) })
  }

  async function set(call: Call): Promise<Answer> {
    const [id, provider] = [tenantId(call.params['id']), call.params['provider']]
    const { value } = await readJson(call, MAX_BODY_BYTES, options)
    checkNames(value, ['key', 'origin'])
    const { key, origin = null } = value
    if (typeof key !== 'string') throw bad('key', '"key" must be the provider\'s API key.')
    if (origin !== null && typeof origin !== 'string') throw bad('origin', '"origin" must be an address.')
    const sealed = ownKeys.sealed(id, provider, key, origin)
    await change(call, id, provider, 'tenant-provider-key-set', sealed)
    return json(200, view(provider, sealed))
  }

  async function remove(call: Call): Promise<Answer> {
    const [id, provider] = [tenantId(call.params['id']), call.params['provider']]
    const known = Object.keys(keysOf(id))
    if (!known.includes(provider)) {
      const shown = provider.slice(0, MAX_NAME_CHARS)
      const message = `This tenant has no key of its own for "${shown}".${didYouMean(shown, known)}`
      throw new SluiceError('invalid_request', { status: 404, param: 'provider', message })
    }
    await change(call, id, provider, 'tenant-provider-key-removed', null)
    return empty(204)
  }

  async function reseal(call: Call): Promise<Answer> {
    const told = await ownKeys.reseal()
    const hooks = await deps.webhooks.reseal()
    const after = { resealed: told.resealed + hooks.resealed }
    await tellChange(deps, call, {
      ...{ action: 'tenant-provider-keys-resealed', target: 'provider keys', tenant: null },
      ...{ before: {}, after },
    })
    const isAny = hooks.resealed + hooks.unchanged + hooks.unreadable.length > 0
    return json(200, { object: 'provider_keys_resealed', ...told, ...(isAny && { webhooks: hooks }) })
  }

  async function change(call: Call, id: string, provider: string, action: string, key: ProviderKey | null) {
    let before: ProviderKey | null = null
    await tenants.change('tenant', id, (known) => {
      const record = known ?? fresh(id)
      const { [provider]: own, ...others } = record.providerKeys ?? NONE
      before = own ?? null
      const all = key === null ? others : { ...others, [provider]: key }
      const { providerKeys: _, ...rest } = record
      const has = Object.keys(all).length > 0
      return { ...rest, ...(has && { providerKeys: all }), changedAtMs: clock.wallMs() }
    })
    // Viewers read it, too
    const told = (one: ProviderKey | null): JsonRecord => {
      if (one === null) return {}
      const { last4: _, ...rest } = view(provider, one)
      return rest
    }
    const target = `tenant ${id}, provider ${provider}`
    await tellChange(deps, call, { action, target, tenant: id, before: told(before), after: told(key) })
  }

  const fresh = (id: string): TenantRecord => {
    const now = clock.wallMs()
    return {
      kind: 'tenant',
      id,
      label: '',
      models: null,
      limits: null,
      disabled: null,
      createdAtMs: now,
      changedAtMs: now,
    }
  }

  return [
    { method: 'GET', path: PATH, auth: 'operator', run: list },
    { method: 'POST', path: `${PATH}/:provider`, auth: 'operator', run: set },
    { method: 'DELETE', path: `${PATH}/:provider`, auth: 'operator', run: remove },
    { method: 'POST', path: '/admin/provider-keys/reseal', auth: 'operator', run: reseal },
  ]
}

const view = (provider: string, { origin, last4, setAtMs }: ProviderKey): JsonRecord => ({
  object: 'provider_key',
  provider,
  origin,
  last4,
  set_at: Math.floor(setAtMs / 1_000),
})
