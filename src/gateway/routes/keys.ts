/** API keys, for the operator: PROTOCOL.md section 8. */
import { crashpoint } from '../../core/crashpoint.ts'
import { SluiceError } from '../../core/errors.ts'
import { bad, checkNames } from '../../core/fields.ts'
import type { JsonRecord } from '../../core/json.ts'
import { type ApiKey, SCOPES, type Scope } from '../../core/ports/keys.ts'
import type { Disabled } from '../../core/ports/tenants.ts'
import type { Admitted } from '../caller/admitted.ts'
import { mintKey } from '../caller/api-key.ts'
import type { KeyUses } from '../caller/uses.ts'
import type { GatewayDeps } from '../deps.ts'
import { type Answer, empty, json } from '../http/answer.ts'
import { readJson } from '../http/body.ts'
import type { Call } from '../http/call.ts'
import type { Route } from '../http/route.ts'
import { keyView } from '../read/views.ts'
import { checkChange, modelList, oneOf, outcomeOf, shortText, tellChange, tenantId } from './changes.ts'
import { stopRevoked, withSwitch } from './stopping.ts'

const MAX_KEY_MS = 100 * 365 * 86_400_000
const MAX_OVERLAP_MS = 90 * 86_400_000
const CHANGEABLE = ['name', 'scopes', 'models', 'limits', 'expires_in_ms'] as const

const MINUTE_S = 60

export function keyRoutes(deps: GatewayDeps, admitted: Admitted, uses: Pick<KeyUses, 'last'>): readonly Route[] {
  const { keys, ids, clock, options, limitRules } = deps

  const bodyOf = async (call: Call): Promise<JsonRecord> => (await readJson(call, options.maxBodyBytes, options)).value

  /** The members that a body gives; null takes one away. */
  function changeOf(body: JsonRecord): (key: ApiKey) => ApiKey {
    const { name, scopes, models, limits, expires_in_ms: expires } = body
    const next: Record<string, unknown> = {}
    if (name !== undefined) next['name'] = shortText('name', name)
    if (scopes !== undefined) next['scopes'] = scopesOf(scopes)
    if (models !== undefined) next['models'] = modelList(models) ?? undefined
    if (limits !== undefined) next['limits'] = limits === null ? undefined : limitRules.check('key', limits)
    if (expires !== undefined) next['expiresAtMs'] = expires === null ? undefined : endOf(expires)
    return (key) => JSON.parse(JSON.stringify({ ...key, ...next })) as ApiKey
  }

  function endOf(expires: unknown): number {
    if (typeof expires === 'number' && expires > 0 && expires <= MAX_KEY_MS) return Math.ceil(clock.wallMs() + expires)
    throw bad('expires_in_ms', `"expires_in_ms" must be above 0, and ${MAX_KEY_MS} at most.`)
  }

  /** As it is stored; throws key_not_found. */
  async function found(id: string): Promise<ApiKey> {
    await keys.refresh()
    const key = keys.get(id)
    if (key === null) throw new SluiceError('key_not_found')
    return key
  }

  async function list(): Promise<Answer> {
    const [all, used] = await Promise.all([keys.list(), uses.last()])
    const lastOf = (id: string): number | null => {
      const atMs = used.get(id)
      return atMs === undefined ? null : Math.floor(atMs / 1_000 / MINUTE_S) * MINUTE_S
    }
    return json(200, { object: 'list', data: all.map((key) => ({ ...keyView(key), last_used_at: lastOf(key.id) })) })
  }

  async function add(call: Call): Promise<Answer> {
    const { tenant: given = 'default', ...body } = await bodyOf(call)
    checkNames({ tenant: given, ...body }, ['tenant', ...CHANGEABLE])
    const tenant = tenantId(given)
    const change = changeOf(body)
    const minted = mintKey(ids)
    const id = ids.name('key', 8)
    const key = change({ id, tenant, name: '', hint: minted.hint, createdAtMs: clock.wallMs() })
    await keys.add(key, minted.digest)
    await tell(call, 'key-created', null, key)
    return json(201, { ...keyView(key), key: minted.key })
  }

  async function change(call: Call): Promise<Answer> {
    const body = await bodyOf(call)
    checkChange(body, CHANGEABLE)
    const to = changeOf(body)
    const before = await found(call.params['id'])
    if (before.revokedAtMs !== undefined) throw revoked()
    const key = await keys.change(before.id, to)
    if (key === null) throw new SluiceError('key_not_found')
    admitted.check()
    await tell(call, 'key-changed', before, key)
    return json(200, keyView(key))
  }

  /** The id stays, and with it all that counts by it. */
  async function rotate(call: Call): Promise<Answer> {
    const body = await bodyOf(call)
    checkNames(body, ['overlap_ms'])
    const { overlap_ms: overlap = 0 } = body
    if (!(typeof overlap === 'number' && overlap >= 0 && overlap <= MAX_OVERLAP_MS))
      throw bad('overlap_ms', `"overlap_ms" must be a number from 0 to ${MAX_OVERLAP_MS}.`)
    const before = await found(call.params['id'])
    const { key: text, digest, hint } = mintKey(ids)
    const nowMs = clock.wallMs()
    const key = await keys.rotate(before.id, { digest, hint, nowMs, endsAtMs: Math.ceil(nowMs + overlap) })
    if (key === null) throw revoked()
    admitted.check()
    await tell(call, 'key-rotated', before, key)
    const endsAtMs = key.previousEndsAtMs ?? nowMs
    return json(201, { ...keyView(key), previous_expires_at: Math.floor(endsAtMs / 1000), key: text })
  }

  async function revoke(call: Call): Promise<Answer> {
    const id = call.params['id']
    const cut = oneOf('running', call.parameter('running') ?? 'finish', ['finish', 'cut']) === 'cut'
    const cancel = oneOf('queued', call.parameter('queued') ?? 'keep', ['keep', 'cancel']) === 'cancel'
    const before = keys.get(id)
    const atMs = clock.wallMs()
    const revoking = keys.revoke(id, atMs)
    // Nothing of it starts while it is stopped: room that one job leaves would be the next one's
    const held = stopping(cut, cancel, atMs)
    const holding = cut || cancel ? keys.change(id, (key) => withSwitch(key, key.disabled ?? held)) : null
    admitted.check()
    const [unstored, unheld] = await Promise.all([outcomeOf(revoking), holding === null ? null : outcomeOf(holding)])
    const after = keys.get(id)
    if (unstored !== null && after?.revokedAtMs === undefined) throw unstored
    if (unstored === null && !(await revoking)) throw new SluiceError('key_not_found')
    if (after !== null) await tell(call, 'key-revoked', before, withSwitch(after, before?.disabled))
    if (holding !== null) {
      crashpoint('revocation-held')
      await stopRevoked(deps, id, held)
    }
    if (unstored !== null || unheld !== null) throw unstored ?? unheld
    return empty(204)
  }

  const tell = (call: Call, action: string, before: ApiKey | null, after: ApiKey): Promise<void> =>
    tellChange(deps, call, {
      action,
      target: `key ${after.id}`,
      tenant: after.tenant,
      before: before === null ? {} : keyView(before),
      after: keyView(after),
    })

  return [
    {
      method: 'GET',
      path: '/admin/keys',
      auth: 'operator',
      run: list,
    },
    { method: 'POST', path: '/admin/keys', auth: 'operator', run: add },
    { method: 'PATCH', path: '/admin/keys/:id', auth: 'operator', run: change },
    { method: 'POST', path: '/admin/keys/:id/rotate', auth: 'operator', run: rotate },
    { method: 'DELETE', path: '/admin/keys/:id', query: ['running', 'queued'], auth: 'operator', run: revoke },
  ]
}

/** Until its jobs are stopped, if need be by the next start. */
const stopping = (cut: boolean, cancel: boolean, atMs: number): Disabled => ({
  running: cut ? 'cut' : 'finish',
  queued: cancel ? 'cancel' : 'keep',
  reason: 'revoked',
  atMs,
  isStopping: true,
})

const revoked = (): SluiceError =>
  new SluiceError('invalid_request', { message: 'This key is revoked, for good: make another one.' })

/** Absent: all. */
function scopesOf(value: unknown): readonly Scope[] | undefined {
  if (value === null) return undefined
  const isList = Array.isArray(value) && value.length > 0 && value.every((scope) => SCOPES.includes(scope))
  if (isList) return SCOPES.filter((scope) => value.includes(scope))
  throw bad('scopes', `"scopes" must be null (all), or a list of ${SCOPES.join(', ')}.`)
}
