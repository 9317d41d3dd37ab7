/** Earlier jobs that a request goes on from, as far as its caller may see them. */
import type { IncomingHttpHeaders } from 'node:http'
import { SluiceError } from '../../core/errors.ts'
import { bad, isText } from '../../core/fields.ts'
import { isTerminal, type JobId } from '../../core/job.ts'
import { isRecord, type JsonRecord } from '../../core/json.ts'
import type { Dialect, Recalled, References } from '../../core/ports/dialect.ts'
import type { Bytes } from '../../core/record.ts'
import { requireScope } from '../caller/access.ts'
import { type Caller, canSee, prefixOf } from '../caller/caller.ts'
import { keptConversation } from '../caller/kept-conversations.ts'
import type { GatewayDeps } from '../deps.ts'
import type { Spoken } from './draft.ts'

const MAX_JOBS = 256
const PAGE_BYTES = 256 << 10

type Deps = Pick<GatewayDeps, 'documents' | 'jobs' | 'log' | 'keys' | 'clock' | 'options'>

/**
 * Undefined: its dialect has no such references. Those that there are not, or not for this caller, are left out; a
 * request that repeats one with its idempotency key joins its job all the same, as it did while they were there.
 * `isOwn`: known to its connection, if to nobody else. Rejects with invalid_request for more than a request may hold,
 * with conversation_not_found, and with forbidden for another key's where its own may not read.
 */
export async function referencesIn(
  deps: Deps,
  caller: Caller,
  { dialect, form }: Spoken,
  value: JsonRecord,
  headers: IncomingHttpHeaders,
  isOwn: (job: JobId) => boolean = () => false,
): Promise<References | undefined> {
  const conversation = form.conversationIn?.(value) ?? null
  if (conversation !== null && (await keptConversation(deps, caller, conversation)) === null)
    throw new SluiceError('conversation_not_found', { param: 'conversation' })
  if (form.refersTo === undefined) return undefined
  const ids = form.refersTo(value)
  if (ids.size > MAX_JOBS)
    throw bad('input', `The request refers to ${ids.size} earlier responses; the maximum is ${MAX_JOBS}.`)
  const recalled = new Map<JobId, Recalled>()
  let left = deps.options.maxBodyBytes
  for (const id of ids) {
    const job = await deps.jobs.get(id)
    if (job === null || job.dialect !== dialect.name || !canSee(caller, job)) continue
    if (dialect.resource?.isKept(job) !== true && !isOwn(id)) continue
    // What a model is told of it, its caller is told
    if (job.keyId !== caller.key.id) requireScope(deps.keys, caller.key, 'read')
    const request = await deps.jobs.request(id)
    const records = request === null ? null : await recordsOf(deps, id, left - request.length)
    if (request === null || records === null) continue
    left -= request.length + records.reduce((sum, record) => sum + record.length, 0)
    recalled.set(id, {
      job,
      request: requestOf(request)!,
      records,
      end: isTerminal(job.state) ? (job.state as Recalled['end']) : null,
      user: job.user ?? null,
      ...(job.run !== undefined && { run: job.run }),
      conversation: job.options.conversation ?? null,
    })
  }
  const repeated = recalled.size === ids.size ? null : await repeatedIn(deps, caller, dialect, value, headers)
  return { recalled, ...(repeated !== null && { repeated }) }
}

/** What the job was asked that has the request's idempotency key already; null: there is none. */
async function repeatedIn(
  { jobs }: Deps,
  caller: Caller,
  dialect: Dialect,
  { sluice }: JsonRecord,
  headers: IncomingHttpHeaders,
): Promise<JsonRecord | null> {
  const own = isRecord(sluice) ? sluice['idempotency_key'] : undefined
  const key = own ?? headers['sluice-idempotency-key'] ?? headers['idempotency-key']
  if (!isText(key) || key === '') return null
  const id = await jobs.byKey(caller.key.tenant, prefixOf(caller) + key)
  const job = id === null ? null : await jobs.get(id)
  if (job === null || job.dialect !== dialect.name || !canSee(caller, job)) return null
  return requestOf(await jobs.request(job.id))
}

const requestOf = (request: Uint8Array | null): JsonRecord | null =>
  request === null ? null : (JSON.parse(Buffer.from(request).toString('utf8')) as JsonRecord)

/** Null: it is gone. */
async function recordsOf({ log, clock }: Deps, job: JobId, maxBytes: number): Promise<readonly Bytes[] | null> {
  const records: Bytes[] = []
  let bytes = 0
  for (;;) {
    const page = await log.read(job, records.length, PAGE_BYTES)
    if (page === null) return null
    for (const record of page.records) {
      records.push(record)
      bytes += record.length
    }
    if (bytes > maxBytes)
      throw bad(
        'previous_response_id',
        'What the request refers to is larger than a request may be (http.max_body_bytes): send what matters of it.',
      )
    if (page.records.length === 0 || records.length >= page.head) return records
    await new Promise<void>((next) => clock.soon(next))
  }
}
