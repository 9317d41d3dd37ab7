/** Tenants, switches, and what operators have changed: PROTOCOL.md section 8. */
import { isDeepStrictEqual } from 'node:util'
import { ERRORS, SluiceError } from '../../core/errors.ts'
import { checkNames } from '../../core/fields.ts'
import type { JsonRecord } from '../../core/json.ts'
import { wireLimitUse } from '../../core/limits.ts'
import type { AuditEntry } from '../../core/ports/audit.ts'
import type { RefusalKind } from '../../core/ports/observed.ts'
import { MOST_STANDING } from '../../core/ports/operations.ts'
import type { Disabled, TenantKind, TenantRecord } from '../../core/ports/tenants.ts'
import type { Admitted } from '../caller/admitted.ts'
import { shortHint } from '../caller/api-key.ts'
import type { GatewayDeps } from '../deps.ts'
import { type Answer, empty, json } from '../http/answer.ts'
import { readJson } from '../http/body.ts'
import type { Call } from '../http/call.ts'
import type { Route } from '../http/route.ts'
import { disabledView } from '../read/views.ts'
import { checkChange, modelList, oneOf, outcomeOf, shortText, tellChange, tenantId } from './changes.ts'
import { checkKnown, knownTenants, noTenant } from './known.ts'
import { type Selected, selectedOf, stopJobs } from './stopping.ts'

const AUDIT_LIST = 100
const MAX_AUDIT_LIST = 1_000

export function tenantRoutes(deps: GatewayDeps, admitted: Admitted): readonly Route[] {
  const { tenants, keys, audit, clock, options, limitRules, operations, observed } = deps

  const bodyOf = async (call: Call): Promise<JsonRecord> => (await readJson(call, options.maxBodyBytes, options)).value

  /** One truth of both sources, and which is whose. */
  function viewOf(id: string, record: TenantRecord | null): JsonRecord {
    const configured = limitRules.configured()
    const ofFile = configured.get(id) ?? null
    const own = ofFile ?? record?.limits ?? null
    const limits = own ?? limitRules.eachTenant()
    return {
      id,
      object: 'tenant',
      label: record?.label ?? '',
      weight: limitRules.weight(id),
      models: record?.models ?? null,
      limits,
      limits_source: limits === null ? null : own === null ? 'each_tenant' : ofFile === null ? 'api' : 'config',
      source: configured.has(id) ? 'config' : record !== null ? 'api' : 'key',
      disabled: disabledView(record?.disabled ?? null),
      created_at: record === null ? null : Math.floor(record.createdAtMs / 1000),
      changed_at: record === null ? null : Math.floor(record.changedAtMs / 1000),
    }
  }

  /** None where it can't be asked: a coordinator that is away, or older, leaves all else of the list as it is. */
  const fullest = (ids: readonly string[]) => operations.fullest(ids).catch(() => [])

  /** `recent`: with what each has used of its fullest limit, and how often it was refused. */
  async function list(call: Call): Promise<Answer> {
    const withRecent = oneOf('recent', call.parameter('recent') ?? 'false', ['true', 'false']) === 'true'
    const all = [...(await knownTenants(deps))].sort(([a], [b]) => (a < b ? -1 : 1))
    const uses = withRecent ? await fullest(all.slice(0, MOST_STANDING).map(([id]) => id)) : []
    const refused = withRecent ? observed.refused() : null
    const data = all.map(([id, record], at) => ({
      ...viewOf(id, record),
      ...(refused !== null && { use: uses[at] ? wireLimitUse(uses[at]) : null, refused: refused.get(id) ?? 0 }),
    }))
    return json(200, { object: 'list', data })
  }

  async function show(call: Call): Promise<Answer> {
    const id = call.params['id']
    const all = await knownTenants(deps)
    const record = all.get(id)
    if (record === undefined) throw noTenant(id, all.keys())
    return json(200, viewOf(id, record))
  }

  async function standing(call: Call): Promise<Answer> {
    const id = call.params['id']
    const all = await knownTenants(deps)
    if (!all.has(id)) throw noTenant(id, all.keys())
    const { own, near, more, isPartial } = await operations.standing(id)
    return json(200, {
      object: 'standing',
      tenant: id,
      data: own.map(wireLimitUse),
      near: near.map(wireLimitUse),
      more,
      partial: isPartial,
    })
  }

  async function refusals(call: Call): Promise<Answer> {
    const id = call.params['id']
    const all = await knownTenants(deps)
    if (!all.has(id)) throw noTenant(id, all.keys())
    const { sinceMs, kinds } = observed.refusals(id)
    return json(200, { object: 'list', since_ms: Math.floor(sinceMs), data: kinds.map(refusalView) })
  }

  async function change(call: Call): Promise<Answer> {
    const id = tenantId(call.params['id'])
    const body = await bodyOf(call)
    checkChange(body, ['label', 'models', 'limits'])
    const { label, models, limits } = body
    if (limits !== undefined && (limitRules.configured().get(id) ?? null) !== null)
      throw new SluiceError('managed_by_config', {
        param: 'limits',
        message: `The configuration sets this tenant's limits (tenants, name: ${id}): change them there, and reload.`,
      })
    const members = {
      ...(label !== undefined && { label: shortText('label', label) }),
      ...(models !== undefined && { models: modelList(models) }),
      ...(limits !== undefined && { limits: limits === null ? null : limitRules.check('tenant', limits) }),
    }
    let before: TenantRecord | null = null
    const record = await tenants.change('tenant', id, (known) => {
      before = known
      return { ...(known ?? fresh('tenant', id)), ...members, changedAtMs: clock.wallMs() }
    })
    await tellChange(deps, call, {
      action: 'tenant-changed',
      target: `tenant ${id}`,
      tenant: id,
      before: before === null ? {} : viewOf(id, before),
      after: viewOf(id, record),
    })
    const { limits: limitsBefore, limits_source: sourceBefore } = viewOf(id, before)
    const told = limits === undefined ? {} : { before: { limits: limitsBefore, limits_source: sourceBefore } }
    return json(200, { ...viewOf(id, record), ...told })
  }

  const fresh = (kind: TenantKind, id: string): TenantRecord => {
    const now = clock.wallMs()
    return { kind, id, label: '', models: null, limits: null, disabled: null, createdAtMs: now, changedAtMs: now }
  }

  // ---------------------------------------------------------------- switches

  /** Stores it; `was` is told what it was before. Throws key_not_found, invalid_request. */
  async function put(
    { tenant, key: id, model }: Selected,
    disabled: Disabled | null,
    was: (before: Disabled | null) => void,
  ): Promise<void> {
    if (id !== undefined) {
      const changed = await keys.change(id, ({ disabled: known, ...key }) => {
        was(known ?? null)
        return disabled === null ? key : { ...key, disabled }
      })
      if (changed === null) throw new SluiceError('key_not_found')
    } else {
      const [kind, name]: [TenantKind, string] =
        tenant !== undefined ? ['tenant', tenantId(tenant)] : ['model', model ?? '']
      if (disabled === null && tenants.get(kind, name) === null) return
      await tenants.change(kind, name, (known) => {
        was(known?.disabled ?? null)
        return { ...(known ?? fresh(kind, name)), disabled, changedAtMs: clock.wallMs() }
      })
    }
  }

  function isInForce({ tenant, key: id, model = '' }: Selected, disabled: Disabled | null): boolean {
    const record =
      id !== undefined ? keys.get(id) : tenants.get(tenant !== undefined ? 'tenant' : 'model', tenant ?? model)
    return record !== null && isDeepStrictEqual(record.disabled ?? null, disabled)
  }

  /** Resolves with why it can't be stored now, where it is in force all the same; null: it is stored. */
  async function turn(call: Call, selected: Selected, disabled: Disabled | null): Promise<unknown> {
    await checkKnown(deps, selected)
    const tenant = selected.tenant ?? (selected.key === undefined ? null : (keys.get(selected.key)?.tenant ?? null))
    let before: Disabled | null = null
    const unstored = await outcomeOf(put(selected, disabled, (known) => (before = known)))
    if (unstored !== null && !isInForce(selected, disabled)) throw unstored
    const [kind, id] = Object.entries(selected)[0]
    await tellChange(deps, call, {
      action: `${kind}-${disabled === null ? 'enabled' : 'disabled'}`,
      target: `${kind} ${id}`,
      tenant,
      before: { disabled: disabledView(before) },
      after: { disabled: disabledView(disabled) },
    })
    return unstored
  }

  async function disable(call: Call): Promise<Answer> {
    const body = await bodyOf(call)
    checkNames(body, ['tenant', 'key', 'model', 'running', 'queued', 'reason'])
    const selected = selectedOf(body)
    const disabled: Disabled = {
      running: oneOf('running', body['running'] ?? 'finish', ['finish', 'cut']),
      queued: oneOf('queued', body['queued'] ?? 'keep', ['keep', 'cancel']),
      reason: shortText('reason', body['reason'] ?? ''),
      atMs: clock.wallMs(),
    }
    const unstored = await turn(call, selected, disabled)
    const { running, queued } = disabled
    const canceled = await stopJobs(deps, selected, { running: running === 'cut', queued: queued === 'cancel' })
    if (unstored !== null) throw unstored
    return json(200, { object: 'switch', ...selected, disabled: disabledView(disabled), canceled })
  }

  async function enable(call: Call): Promise<Answer> {
    const body = await bodyOf(call)
    checkNames(body, ['tenant', 'key', 'model'])
    const selected = selectedOf(body)
    const unstored = await turn(call, selected, null)
    if (unstored !== null) throw unstored
    return json(200, { object: 'switch', ...selected, disabled: null })
  }

  /** What is disabled now. */
  async function switches(): Promise<Answer> {
    const records = await tenants.list()
    const data = [
      ...records.map(({ kind, id, disabled }) => ({ [kind]: id, disabled })),
      ...(await keys.list())
        .filter(({ replacedAtMs }) => replacedAtMs === undefined)
        .map(({ id, disabled = null }) => ({ key: id, disabled })),
    ]
    return json(200, {
      object: 'list',
      data: data.flatMap(({ disabled, ...selected }) =>
        disabled === null ? [] : { object: 'switch', ...selected, disabled: disabledView(disabled) },
      ),
    })
  }

  async function erase(call: Call): Promise<Answer> {
    const id = call.params['id']
    const erased = deps.eraseTenant(id)
    admitted.check()
    await erased
    await tellChange(deps, call, { action: 'tenant-erased', target: `tenant ${id}`, tenant: id, before: {}, after: {} })
    return empty(204)
  }

  return [
    { method: 'GET', path: '/admin/tenants', query: ['recent'], auth: 'operator', run: list },
    { method: 'GET', path: '/admin/tenants/:id', auth: 'operator', run: show },
    { method: 'GET', path: '/admin/tenants/:id/standing', auth: 'operator', run: standing },
    { method: 'GET', path: '/admin/tenants/:id/refusals', auth: 'operator', run: refusals },
    { method: 'PATCH', path: '/admin/tenants/:id', auth: 'operator', run: change },
    { method: 'DELETE', path: '/admin/tenants/:id', auth: 'operator', run: erase },
    { method: 'GET', path: '/admin/disable', auth: 'operator', run: switches },
    { method: 'POST', path: '/admin/disable', auth: 'operator', run: disable },
    { method: 'POST', path: '/admin/enable', auth: 'operator', run: enable },
    {
      method: 'GET',
      path: '/admin/audit',
      query: ['limit'],
      auth: 'operator',
      async run(call) {
        const entries = await audit.list(call.integer('limit', 1, MAX_AUDIT_LIST) ?? AUDIT_LIST)
        return json(200, { object: 'list', data: entries.map(auditView) })
      },
    },
  ]
}

const refusalView = ({ code, limit, lastHour, lastDay, lastAtMs, lastKeyId }: RefusalKind): JsonRecord => ({
  object: 'refusal',
  code,
  status: ERRORS[code].status,
  message: ERRORS[code].message,
  limit,
  last_hour: lastHour,
  last_day: lastDay,
  last_at_ms: Math.floor(lastAtMs),
  last_key: lastKeyId,
})

const auditView = ({ atMs, from, requestId, action, target, tenant, before, after }: AuditEntry): JsonRecord => ({
  object: 'audit_entry',
  at_ms: atMs,
  action,
  target,
  tenant,
  from,
  request_id: requestId,
  before: withShortHint(before),
  after: withShortHint(after),
})

/** Older versions kept more of a key than may be shown. */
const withShortHint = (members: JsonRecord): JsonRecord =>
  typeof members['hint'] === 'string' ? { ...members, hint: shortHint(members['hint']) } : members
