/** Webhooks of all tenants: the port, made of the endpoints, the events and who delivers them. */
import { createHash } from 'node:crypto'
import { SluiceError } from '../core/errors.ts'
import type { TenantId } from '../core/job.ts'
import type { Announcement, Delivery, DeliveryPage, DeliveryRange, Webhooks } from '../core/ports/webhooks.ts'
import { Deliverer, type DelivererParts } from './deliverer.ts'
import { type EndpointParts, Endpoints } from './endpoints.ts'
import { documentOf, type EventBody, KIND, readEvent, untried } from './event.ts'
import { deliveriesOf, listed } from './listing.ts'

export type WebhookParts = EndpointParts & Omit<DelivererParts, 'endpoints'>

export interface OpenWebhooks extends Webhooks {
  readonly endpoints: Endpoints
  readonly deliverer: Deliverer
}

const KEY = /^[A-Za-z0-9_-]{1,100}$/
const MOST_TRIES = 10

export function createWebhooks(parts: WebhookParts): OpenWebhooks {
  const { documents, clock } = parts
  const endpoints = new Endpoints(parts)
  const deliverer = new Deliverer({ ...parts, endpoints })

  async function announce({ tenant, key, type, data }: Announcement): Promise<string | null> {
    if (!KEY.test(key)) throw new SluiceError('internal', { message: `"${key}" is no key of an event.` })
    const wanting = (await endpoints.of(tenant)).filter(({ enabled, events }) => enabled && events.includes(type))
    if (wanting.length === 0) return null
    const id = `evt_${createHash('sha256').update(`${tenant}\n${key}`).digest('hex').slice(0, 32)}`
    const now = Math.floor(clock.wallMs())
    const happened = { type, atMs: now, data }
    const event: EventBody = { looks: 0, createdAtMs: now, happened, to: wanting.map((one) => untried(one.id, false)) }
    await documents.put(documentOf(id, tenant, event, now, parts.rules().keepMs), 0)
    deliverer.hasten(id)
    return id
  }

  async function deliveries(tenant: TenantId, endpoint: string, range: DeliveryRange): Promise<DeliveryPage | null> {
    if ((await endpoints.get(tenant, endpoint)) === null) return null
    return listed({ documents, pause: () => new Promise((next) => clock.soon(next)) }, tenant, endpoint, range)
  }

  async function redeliver(tenant: TenantId, id: string, endpoint: string | null): Promise<readonly Delivery[] | null> {
    for (let n = 0; n < MOST_TRIES; n++) {
      const document = await documents.get(KIND, id)
      const event = document?.tenant === tenant ? readEvent(document) : null
      if (document === null || event === null || event.happened === null) return null
      const isMeant = (each: string): boolean => endpoint === null || each === endpoint
      if (!event.to.some((each) => isMeant(each.endpoint))) return null
      const now = Math.floor(clock.wallMs())
      const to = event.to.map((each) =>
        isMeant(each.endpoint) ? { ...each, state: 'pending' as const, tries: 0, nextAtMs: now } : each,
      )
      const next = documentOf(id, tenant, { ...event, to }, now, parts.rules().keepMs)
      const put = await documents.put(next, document.version)
      if (put === null) continue
      deliverer.hasten(id)
      return deliveriesOf(put).filter((each) => isMeant(each.endpoint))
    }
    throw new SluiceError('storage_unavailable', { message: 'This event is being delivered: retry.' })
  }

  return {
    endpoints,
    deliverer,
    add: (tenant, fields, once) => endpoints.add(tenant, fields, once),
    list: (tenant) => endpoints.list(tenant),
    get: (tenant, id) => endpoints.get(tenant, id),
    change: (tenant, id, fields) => endpoints.change(tenant, id, fields),
    rotate: (tenant, id, keepMs) => endpoints.rotate(tenant, id, keepMs),
    reseal: () => endpoints.reseal(),
    remove: (tenant, id) => endpoints.remove(tenant, id),
    deliveries,
    redeliver,
    announce,
    announceRun(tenant, run, type) {
      const name = createHash('sha256').update(run).digest('hex').slice(0, 32)
      return announce({ tenant, key: `run-${name}-${type.slice('run.'.length)}`, type, data: { id: run, run } })
    },
  }
}
