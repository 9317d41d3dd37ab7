/** Webhooks: PROTOCOL.md section 12. A tenant's own, by its keys; operators do the same for any tenant. */
import { SluiceError } from '../../core/errors.ts'
import { bad, checkNames } from '../../core/fields.ts'
import type { JsonRecord } from '../../core/json.ts'
import { didYouMean } from '../../core/nearest.ts'
import {
  type Delivery,
  type Endpoint,
  type EndpointFields,
  isWebhookEvent,
  WEBHOOK_EVENTS,
  type WebhookEvent,
} from '../../core/ports/webhooks.ts'
import type { GatewayDeps } from '../deps.ts'
import { type Answer, empty, json } from '../http/answer.ts'
import { hasBody, readJson } from '../http/body.ts'
import type { Call, KeyCall } from '../http/call.ts'
import type { Route } from '../http/route.ts'
import { tellChange, tenantId } from './changes.ts'
import { onceOf } from './once.ts'

const PATH = '/v1/webhooks'
const OF_TENANT = '/admin/tenants/:id/webhooks'
const MAX_BODY_BYTES = 8_192
const MAX_NAME_CHARS = 128
const PAGE = 50
const MAX_PAGE = 200
const DAY_S = 86_400
const MAX_KEEP_S = 7 * DAY_S
const STATES: ReadonlyArray<Delivery['state']> = ['pending', 'delivered', 'failed']
const FIELDS = ['url', 'events', 'name', 'enabled'] as const

/** How it is called: whose, and which. */
interface Where {
  readonly tenant: string
  readonly id: string
}

export function webhookRoutes(deps: GatewayDeps): {
  readonly public: readonly Route[]
  readonly admin: readonly Route[]
} {
  const { webhooks, options } = deps

  const body = async (call: Call): Promise<JsonRecord> =>
    hasBody(call) ? (await readJson(call, MAX_BODY_BYTES, options)).value : {}

  async function add(call: Call, { tenant }: Where): Promise<Answer> {
    const value = await body(call)
    const fields = fieldsOf(value)
    if (fields.url === undefined) throw bad('url', '"url" must be given: where events are sent.')
    const once = await onceOf(deps, {
      ...{ what: 'webhook', tenant, keyId: call.caller?.key.id ?? null },
      ...{ headers: call.exchange.request.headers, body: Buffer.from(JSON.stringify(value)) },
    })
    const { endpoint, secret } = await webhooks.add(
      tenant,
      {
        url: fields.url,
        name: fields.name ?? '',
        events: fields.events ?? WEBHOOK_EVENTS,
        enabled: fields.enabled ?? true,
      },
      once,
    )
    await audited(call, endpoint, 'webhook-added')
    return json(200, { ...view(endpoint), secret })
  }

  async function list(_: Call, { tenant }: Where): Promise<Answer> {
    return json(200, { object: 'list', data: (await webhooks.list(tenant)).map(view) })
  }

  async function show(_: Call, { tenant, id }: Where): Promise<Answer> {
    return json(200, view(found(await webhooks.get(tenant, id))))
  }

  async function change(call: Call, { tenant, id }: Where): Promise<Answer> {
    const endpoint = found(await webhooks.change(tenant, id, fieldsOf(await body(call))))
    await audited(call, endpoint, 'webhook-changed')
    return json(200, view(endpoint))
  }

  async function rotate(call: Call, { tenant, id }: Where): Promise<Answer> {
    const value = await body(call)
    checkNames(value, ['keep_seconds'])
    const { keep_seconds: keep = DAY_S } = value
    if (typeof keep !== 'number' || !Number.isInteger(keep) || keep < 0 || keep > MAX_KEEP_S)
      throw bad('keep_seconds', `"keep_seconds" must be a whole number from 0 to ${MAX_KEEP_S}.`)
    const { endpoint, secret } = found(await webhooks.rotate(tenant, id, keep * 1_000))
    await audited(call, endpoint, 'webhook-rotated')
    return json(200, { ...view(endpoint), secret })
  }

  async function remove(call: Call, { tenant, id }: Where): Promise<Answer> {
    const endpoint = found(await webhooks.get(tenant, id))
    if (!(await webhooks.remove(tenant, id))) throw notFound()
    await audited(call, endpoint, 'webhook-removed')
    return empty(204)
  }

  async function deliveries(call: Call, { tenant, id }: Where): Promise<Answer> {
    const limit = call.integer('limit', 1, MAX_PAGE) ?? PAGE
    const [state, type] = [oneOf(call, 'state', STATES), oneOf(call, 'type', WEBHOOK_EVENTS)]
    const range = {
      ...{ before: call.parameter('after') ?? null, limit },
      ...(state !== undefined && { state }),
      ...(type !== undefined && { type }),
    }
    const { deliveries: data, next } = found(await webhooks.deliveries(tenant, id, range))
    return json(200, {
      object: 'list',
      data: data.map(deliveryView),
      has_more: next !== null,
      last_id: next ?? data.at(-1)?.id ?? null,
    })
  }

  async function redeliver(call: Call, { tenant, id }: Where): Promise<Answer> {
    const value = await body(call)
    checkNames(value, ['webhook'])
    const { webhook = null } = value
    if (webhook !== null && typeof webhook !== 'string') throw bad('webhook', '"webhook" must be the id of a webhook.')
    const again = await webhooks.redeliver(tenant, id, webhook)
    if (again === null)
      throw new SluiceError('invalid_request', {
        status: 404,
        message: 'There is no such event, it is no longer kept (webhooks.keep_ms), or it was not for this webhook.',
      })
    return json(200, { object: 'list', data: again.map(deliveryView) })
  }

  /** Operators' changes are recorded; a tenant's are its own affair. */
  async function audited(call: Call, { tenant, id, url }: Endpoint, action: string): Promise<void> {
    if (call.caller !== null) return
    const target = `tenant ${tenant}, webhook ${id}`
    await tellChange(deps, call, { action, target, tenant, before: {}, after: { url: originOf(url) } })
  }

  type Run = (call: Call, where: Where) => Promise<Answer>
  const own =
    (run: Run) =>
    (call: KeyCall): Promise<Answer> => {
      if (call.caller.session !== null) throw new SluiceError('forbidden', { message: NOT_PAGES })
      return run(call, { tenant: call.caller.key.tenant, id: call.params['id'] ?? '' })
    }
  const operators =
    (run: Run) =>
    (call: Call): Promise<Answer> =>
      run(call, { tenant: tenantId(call.params['id']), id: call.params['webhook'] ?? '' })
  const each: ReadonlyArray<readonly [Route['method'], string, Run, (readonly string[])?]> = [
    ['POST', '', add],
    ['GET', '', list],
    ['GET', '/:webhook', show],
    ['PATCH', '/:webhook', change],
    ['DELETE', '/:webhook', remove],
    ['POST', '/:webhook/rotate', rotate],
    ['GET', '/:webhook/deliveries', deliveries, ['limit', 'after', 'state', 'type']],
    ['POST', '/deliveries/:webhook/redeliver', redeliver],
  ]
  return {
    public: each.map(([method, path, run, query]) => ({
      method,
      path: `${PATH}${path.replace(':webhook', ':id')}`,
      auth: 'tenant',
      run: own(run),
      ...(query !== undefined && { query }),
    })),
    admin: each.map(([method, path, run, query]) => ({
      method,
      path: `${OF_TENANT}${path}`,
      auth: 'operator',
      run: operators(run),
      ...(query !== undefined && { query }),
    })),
  }
}

const NOT_PAGES = 'A session of a page can not set webhooks: use an API key, on a server of yours.'

const notFound = (): SluiceError =>
  new SluiceError('invalid_request', { status: 404, param: 'id', message: 'There is no webhook of this id.' })

function found<T>(one: T | null): T {
  if (one === null) throw notFound()
  return one
}

function oneOf<T extends string>(call: Call, name: string, all: readonly T[]): T | undefined {
  const given = call.parameter(name)
  if (given === undefined) return undefined
  const one = all.find((each) => each === given)
  if (one === undefined) throw bad(name, `"${name}" must be ${all.join(' or ')}.${didYouMean(given, all)}`)
  return one
}

function fieldsOf(value: JsonRecord): Partial<EndpointFields> {
  checkNames(value, FIELDS)
  const { url, events, name, enabled } = value
  if (url !== undefined && typeof url !== 'string') throw bad('url', '"url" must be an address.')
  if (name !== undefined && (typeof name !== 'string' || name.length > MAX_NAME_CHARS))
    throw bad('name', `"name" must be a string of at most ${MAX_NAME_CHARS} characters.`)
  if (enabled !== undefined && typeof enabled !== 'boolean') throw bad('enabled', '"enabled" must be true or false.')
  return {
    ...(url !== undefined && { url }),
    ...(name !== undefined && { name }),
    ...(enabled !== undefined && { enabled }),
    ...(events !== undefined && { events: eventsOf(events) }),
  }
}

function eventsOf(events: unknown): readonly WebhookEvent[] {
  if (!Array.isArray(events) || events.length === 0 || events.length > WEBHOOK_EVENTS.length)
    throw bad('events', `"events" must be a list of 1 to ${WEBHOOK_EVENTS.length} names of events.`)
  return events.map((name: unknown) => {
    if (isWebhookEvent(name)) return name
    const shown = String(name).slice(0, MAX_NAME_CHARS)
    throw bad('events', `"${shown}" is no event.${didYouMean(shown, WEBHOOK_EVENTS) || ` There are ${ALL}.`}`)
  })
}

const ALL = WEBHOOK_EVENTS.join(', ')
const seconds = (ms: number): number => Math.floor(ms / 1_000)
const maybeSeconds = (ms: number | null): number | null => (ms === null ? null : seconds(ms))
/** A path may hold a secret, and viewers read the audit. */
const originOf = (url: string): string => URL.parse(url)?.origin ?? ''

const view = ({
  id,
  url,
  name,
  events,
  enabled,
  disabledFor,
  createdAtMs,
  oldSecretsEndAtMs,
}: Endpoint): JsonRecord => ({
  id,
  object: 'webhook',
  created_at: seconds(createdAtMs),
  url,
  name,
  events,
  enabled,
  ...(disabledFor !== null && { disabled_for: disabledFor }),
  old_secrets_end_at: oldSecretsEndAtMs.map(seconds),
})

const deliveryView = (one: Delivery): JsonRecord => ({
  id: one.id,
  object: 'webhook.delivery',
  webhook: one.endpoint,
  type: one.type,
  state: one.state,
  tries: one.tries,
  status: one.status,
  error: one.error,
  created_at: seconds(one.createdAtMs),
  last_try_at: maybeSeconds(one.lastTryAtMs),
  next_try_at: maybeSeconds(one.nextTryAtMs),
})
