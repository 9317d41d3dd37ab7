/** Telling others of ends: their addresses, and what was delivered there (docs/decisions/0086). */
import type { TenantId } from '../job.ts'
import type { JsonRecord } from '../json.ts'
import type { MadeOnce } from '../made-once.ts'

export const WEBHOOK_EVENTS = [
  'response.completed',
  'response.failed',
  'response.cancelled',
  'response.incomplete',
  'batch.completed',
  'batch.failed',
  'batch.expired',
  'batch.cancelled',
  'job.done',
  'job.failed',
  'job.canceled',
  'job.expired',
  'run.canceled',
  'run.budget_exceeded',
  'run.loop_detected',
] as const
export type WebhookEvent = (typeof WEBHOOK_EVENTS)[number]
export type RunEvent = Extract<WebhookEvent, `run.${string}`>
export const isWebhookEvent = (name: unknown): name is WebhookEvent => WEBHOOK_EVENTS.includes(name as WebhookEvent)

export interface Endpoint {
  /** "wh_" and 24 characters. */
  readonly id: string
  readonly tenant: TenantId
  readonly url: string
  readonly name: string
  readonly events: readonly WebhookEvent[]
  readonly enabled: boolean
  /** Why it is not, where nobody said so; null: somebody did, or it is. */
  readonly disabledFor: string | null
  readonly createdAtMs: number
  /** Ends of secrets that were replaced and are valid still, ms. */
  readonly oldSecretsEndAtMs: readonly number[]
}

/** What its owner sets. */
export type EndpointFields = Pick<Endpoint, 'url' | 'name' | 'events' | 'enabled'>

/** What became of an event at one endpoint. */
export interface Delivery {
  /** Of the event: the receiver's `webhook-id`. */
  readonly id: string
  readonly endpoint: string
  readonly type: WebhookEvent
  readonly state: 'pending' | 'delivered' | 'failed'
  readonly tries: number
  /** The receiver's last status; null: none came. */
  readonly status: number | null
  /** Why the last try failed; null: it did not. */
  readonly error: string | null
  readonly createdAtMs: number
  readonly lastTryAtMs: number | null
  readonly nextTryAtMs: number | null
}

export interface DeliveryRange {
  /** `next` of a page, or an event's id: those of older events; null: from the newest on. */
  readonly before: string | null
  readonly limit: number
  readonly state?: Delivery['state']
  readonly type?: WebhookEvent
}

export interface DeliveryPage {
  readonly deliveries: readonly Delivery[]
  /** Where the next page begins; a page may be short, or empty, and have one. Null: that was the last. */
  readonly next: string | null
}

/** Told to all of a tenant's endpoints that want it. */
export interface Announcement {
  readonly tenant: TenantId
  /** The same for the same event, however often it is announced: 1-100 characters of A-Z a-z 0-9 _ - */
  readonly key: string
  readonly type: WebhookEvent
  /** Thin: ids, and what is short. */
  readonly data: JsonRecord & { readonly id: string }
}

export interface Webhooks {
  /** `secret`: shown once, and to a repeat of that request, which gets the same endpoint. Throws invalid_request. */
  add(
    tenant: TenantId,
    fields: EndpointFields,
    once?: MadeOnce,
  ): Promise<{ readonly endpoint: Endpoint; readonly secret: string }>
  list(tenant: TenantId): Promise<readonly Endpoint[]>
  get(tenant: TenantId, id: string): Promise<Endpoint | null>
  /** Null: there is none. Throws invalid_request. */
  change(tenant: TenantId, id: string, fields: Partial<EndpointFields>): Promise<Endpoint | null>
  /** A new secret; what came before signs, too, for so long. Null: there is none. */
  rotate(tenant: TenantId, id: string, keepMs: number): Promise<{ endpoint: Endpoint; secret: string } | null>
  /** Seals secrets with the key of today. Throws config_invalid where there is none. */
  reseal(): Promise<{
    readonly resealed: number
    readonly unchanged: number
    readonly unreadable: ReadonlyArray<{ readonly tenant: TenantId; readonly webhook: string }>
  }>
  /** False: there is none. What is not delivered yet is not delivered any more. */
  remove(tenant: TenantId, id: string): Promise<boolean>
  /** The newest events first; null: there is no such endpoint. */
  deliveries(tenant: TenantId, id: string, range: DeliveryRange): Promise<DeliveryPage | null>
  /** Once more, as the same event; to `endpoint`, or to each that it was for. Null: it is no longer kept. */
  redeliver(tenant: TenantId, event: string, endpoint: string | null): Promise<readonly Delivery[] | null>
  /**
   * Resolves when it is stored, and so will be delivered at least once; null where no endpoint wants it. Call it before
   * what it tells of is marked as told: again, it is the same event.
   */
  announce(announcement: Announcement): Promise<string | null>
  /** The same for a run, which tells of each of these once. */
  announceRun(tenant: TenantId, run: string, type: RunEvent): Promise<string | null>
}
