/** An event as it is stored: one document, with what became of it at each endpoint. All pure. */
import type { Job, JobId, JobState, TenantId } from '../core/job.ts'
import type { JsonRecord } from '../core/json.ts'
import type { Document, NewDocument } from '../core/ports/documents.ts'
import type { Delivery, Endpoint, WebhookEvent } from '../core/ports/webhooks.ts'

export const KIND = 'webhook_delivery'
const JOB = 'job_'
export const eventOfJob = (job: JobId): string => `evt_${job.slice(JOB.length)}`
export const MAX_ENDPOINTS = 20

export type Tells = NonNullable<Job['tells']>

export interface Tried {
  readonly endpoint: string
  readonly state: Delivery['state']
  readonly tries: number
  readonly status: number | null
  readonly error: string | null
  readonly lastAtMs: number | null
  /** Null: it is not tried again. */
  readonly nextAtMs: number | null
  /** It is told whatever its events are: the job has named it. */
  readonly isNamed?: true
}

export interface Happening {
  readonly type: WebhookEvent
  readonly atMs: number
  readonly data: JsonRecord
}

export interface EventBody {
  /** Whose end is awaited; absent: it has happened already. */
  readonly job?: JobId
  readonly tells?: Tells
  readonly looks: number
  readonly createdAtMs: number
  /** Null: not yet. */
  readonly happened: Happening | null
  readonly to: readonly Tried[]
}

export const untried = (endpoint: string, isNamed: boolean): Tried => ({
  endpoint,
  state: 'pending',
  tries: 0,
  status: null,
  error: null,
  lastAtMs: null,
  nextAtMs: 0,
  ...(isNamed && { isNamed: true }),
})

/** Null: it is damaged. */
export function readEvent({ body }: Document): EventBody | null {
  return Array.isArray(body['to']) && typeof body['createdAtMs'] === 'number' ? (body as unknown as EventBody) : null
}

/** Until the next look; while the end is awaited it never goes by itself. */
export const documentOf = (id: string, tenant: TenantId, event: EventBody, dueAtMs: number, keptMs: number) =>
  ({
    kind: KIND,
    id,
    tenant,
    body: event as unknown as JsonRecord,
    dueAtMs: event.happened !== null && nextAtMs(event) === null ? null : dueAtMs,
    expiresAtMs: event.happened === null ? null : lastAtMs(event, event.happened) + keptMs,
  }) satisfies NewDocument

/** It is kept from its last try on, also one that is to come. */
const lastAtMs = ({ to }: EventBody, { atMs }: Happening): number =>
  Math.max(atMs, ...to.map(({ lastAtMs, nextAtMs }) => Math.max(lastAtMs ?? 0, nextAtMs ?? 0)))

/** When the first of those that are to be tried is; null: none is. */
export function nextAtMs({ to }: EventBody): number | null {
  const times = to.flatMap(({ nextAtMs }) => nextAtMs ?? [])
  return times.length === 0 ? null : Math.min(...times)
}

const RESPONSES: Readonly<Partial<Record<JobState, WebhookEvent>>> = {
  done: 'response.completed',
  failed: 'response.failed',
  canceled: 'response.cancelled',
  expired: 'response.failed',
}
const JOBS: Readonly<Partial<Record<JobState, WebhookEvent>>> = {
  done: 'job.done',
  failed: 'job.failed',
  canceled: 'job.canceled',
  expired: 'job.expired',
}

/** `isCut`: its answer ended before its model had said all. Null: the job has not ended. */
export function endOf(job: Job, tells: Tells, isCut: boolean, nowMs: number): Happening | null {
  const { id, state, model, run, metadata, error, options } = job
  const known = (tells === 'response' ? RESPONSES : JOBS)[state]
  if (known === undefined) return null
  const type = known === 'response.completed' && isCut ? 'response.incomplete' : known
  const data: JsonRecord = {
    id: tells === 'response' ? `resp_${id.slice(JOB.length)}` : id,
    job: id,
    state,
    model,
    ...(run !== undefined && { run }),
    ...(options.conversation !== undefined && { conversation: options.conversation }),
    ...(error !== undefined && { error: { code: error.code, type: error.type } }),
    ...(metadata !== undefined && { metadata }),
  }
  return { type, atMs: Math.floor(job.endedAtMs ?? nowMs), data }
}

/** Which event it is shows at its end: only then it is known who wants it. */
export function withWanted(event: EventBody, endpoints: ReadonlyArray<Pick<Endpoint, 'id' | 'events'>>): EventBody {
  const wants = (id: string): boolean =>
    endpoints.some((one) => one.id === id && one.events.includes(event.happened!.type))
  return { ...event, to: event.to.filter(({ endpoint, isNamed }) => isNamed === true || wants(endpoint)) }
}

/** What is sent. */
export const payloadOf = (id: string, { type, atMs, data }: Happening): string =>
  JSON.stringify({ id, object: 'event', created_at: Math.floor(atMs / 1_000), type, data })

export const deliveryOf = (id: string, event: EventBody, tried: Tried): Delivery | null =>
  event.happened === null
    ? null
    : {
        id,
        endpoint: tried.endpoint,
        type: event.happened.type,
        state: tried.state,
        tries: tried.tries,
        status: tried.status,
        error: tried.error,
        createdAtMs: event.happened.atMs,
        lastTryAtMs: tried.lastAtMs,
        // One that was not tried yet is due since it happened
        nextTryAtMs: tried.nextAtMs === 0 ? event.happened.atMs : tried.nextAtMs,
      }

/** Of the last records of an answer: the reason that its model gave for its end. */
export function isCutBy(records: readonly string[]): boolean {
  for (const record of records.toReversed()) {
    const [, reason] = /"finish_reason"\s*:\s*"(\w+)"/.exec(record) ?? []
    if (reason !== undefined) return reason === 'length' || reason === 'content_filter'
  }
  return false
}
