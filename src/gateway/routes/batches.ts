/** Batches, as OpenAI publishes them: PROTOCOL.md section 13. */
import type { IncomingHttpHeaders } from 'node:http'
import { type Batch, batchDocument, batchOf, become, isOver } from '../../core/batch.ts'
import { SluiceError } from '../../core/errors.ts'
import { bad, checkNames, labels } from '../../core/fields.ts'
import { agedId } from '../../core/ids.ts'
import { isRecord, type JsonRecord } from '../../core/json.ts'
import { didYouMean } from '../../core/nearest.ts'
import type { Document } from '../../core/ports/documents.ts'
import { requireKey } from '../caller/caller.ts'
import { canSeeFile } from '../caller/files.ts'
import type { GatewayDeps } from '../deps.ts'
import { type Answer, json } from '../http/answer.ts'
import { readJson } from '../http/body.ts'
import type { KeyCall } from '../http/call.ts'
import type { Route } from '../http/route.ts'
import { onceOf } from './once.ts'

const MEMBERS = ['input_file_id', 'endpoint', 'completion_window', 'metadata', 'output_expires_after', 'sluice']
/** What lines may ask; answers of others are no JSON, or large. */
const ENDPOINTS = ['/v1/chat/completions', '/v1/responses', '/v1/embeddings', '/v1/completions', '/v1/messages']
const UNITS: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000 }
const MAX_WINDOW_MS = 30 * 86_400_000
const [MIN_EXPIRY_S, MAX_EXPIRY_S] = [3_600, 2_592_000]
const METADATA = labels(16)
const PAGE = 20
const MAX_PAGE = 100
const MAX_UNFINISHED = 1_000
const MOST_TRIES = 10

export function batchRoutes(deps: GatewayDeps): readonly Route[] {
  const { documents, files, ids, clock, dialects, options } = deps
  const spoken = dialects.spoken.flatMap(({ requests }) => requests.map(({ path }) => path))
  const endpoints = ENDPOINTS.filter((path) => spoken.includes(path))

  async function own(call: KeyCall): Promise<Document> {
    const { key, session } = call.caller
    const document = await documents.get('batch', call.params['id'])
    // A page's user has none
    if (document === null || document.tenant !== key.tenant || session !== null)
      throw new SluiceError('batch_not_found')
    return document
  }

  async function create(call: KeyCall): Promise<Answer> {
    requireKey(call.caller)
    const { headers } = call.exchange.request
    checkNoOptions(headers)
    const { value, bytes } = await readJson(call, options.maxBodyBytes, options)
    checkNames(value, MEMBERS)
    const { tenant, id: keyId } = call.caller.key
    const once = await onceOf(deps, { what: 'batch', tenant, keyId, headers, body: bytes })
    const known = once.made === null ? null : await documents.get('batch', once.made)
    if (known !== null) return json(200, batchView(batchOf(known)))
    const { endpoint, input_file_id: inputFileId, metadata = null } = value
    if (typeof endpoint !== 'string' || !endpoints.includes(endpoint))
      throw bad(
        'endpoint',
        `"endpoint" must be ${endpoints.join(' or ')}.` +
          didYouMean(typeof endpoint === 'string' ? endpoint : '', endpoints),
      )
    const input = typeof inputFileId === 'string' ? await files.get(inputFileId) : null
    if (input === null || !canSeeFile(call.caller, input) || !input.sealed)
      throw new SluiceError('file_not_found', { param: 'input_file_id' })
    if (input.purpose !== 'batch') throw bad('input_file_id', 'The file must have been uploaded with purpose "batch".')
    if (metadata !== null && !METADATA.ok(metadata)) throw bad('metadata', `"metadata" must be ${METADATA.what}.`)
    const now = Math.floor(clock.wallMs())
    const [window, windowMs] = windowOf(value['completion_window'])
    const unfinished = (await documents.list('batch', { tenant, limit: MAX_UNFINISHED })).map(batchOf)
    if (unfinished.length === MAX_UNFINISHED && unfinished.every((batch) => !isOver(batch)))
      throw new SluiceError('queue_full', { message: `${MAX_UNFINISHED} batches of this tenant are unfinished.` })
    const poolAndExpiry = { pool: poolOf(value['sluice']), outputMs: expiryOf(value['output_expires_after']) }
    call.check()
    const batch: Batch = {
      ...{
        id: once.made ?? (await once.claim(agedId(ids, 'batch_', now))),
        tenant,
        keyId,
        endpoint,
        inputFileId: input.id,
        window,
      },
      metadata: metadata as Batch['metadata'],
      ...poolAndExpiry,
      ...{ status: 'validating', createdAtMs: now, expiresAtMs: now + windowMs, at: {} },
      ...{ outputFileId: null, errorFileId: null, counts: { total: 0, completed: 0, failed: 0 } },
      ...{ errors: [], owner: null },
    }
    if ((await documents.put(batchDocument(batch, now), 0)) !== null) return json(200, batchView(batch))
    // A repeat of it was quicker
    const other = await documents.get('batch', batch.id)
    return json(200, batchView(other === null ? batch : batchOf(other)))
  }

  async function list(call: KeyCall): Promise<Answer> {
    requireKey(call.caller)
    const limit = call.integer('limit', 1, MAX_PAGE) ?? PAGE
    const before = call.parameter('after')
    const { tenant } = call.caller.key
    const found = await documents.list('batch', { tenant, limit: limit + 1, ...(before !== undefined && { before }) })
    const page = found.slice(0, limit).map(batchOf)
    return json(200, {
      ...{ object: 'list', data: page.map(batchView), has_more: found.length > limit },
      ...{ first_id: page[0]?.id ?? null, last_id: page.at(-1)?.id ?? null },
    })
  }

  /** Whoever works on it sees it with its next look. */
  async function cancel(call: KeyCall): Promise<Answer> {
    for (let tries = 0; tries < MOST_TRIES; tries++) {
      const document = await own(call)
      const batch = batchOf(document)
      const next = become(batch, 'cancelling', clock.wallMs())
      if (next === null) {
        if (batch.status === 'cancelling' || batch.status === 'cancelled') return json(200, batchView(batch))
        throw new SluiceError('invalid_request', {
          status: 409,
          message: `The batch is ${batch.status}: it can't be cancelled any more.`,
        })
      }
      const dueAtMs = batch.owner === null ? clock.wallMs() : (document.dueAtMs ?? clock.wallMs())
      if ((await documents.put(batchDocument(next, dueAtMs), document.version)) !== null)
        return json(200, batchView(next))
    }
    throw new SluiceError('storage_unavailable', { message: 'The batch is being changed: retry.' })
  }

  return [
    { method: 'POST', path: '/v1/batches', auth: 'tenant', run: create },
    { method: 'GET', path: '/v1/batches', query: ['limit', 'after'], auth: 'tenant', run: list },
    {
      method: 'GET',
      path: '/v1/batches/:id',
      auth: 'tenant',
      run: async (call) => json(200, batchView(batchOf(await own(call)))),
    },
    { method: 'POST', path: '/v1/batches/:id/cancel', auth: 'tenant', run: cancel },
  ]
}

const seconds = (ms: number | undefined): number | null => (ms === undefined ? null : Math.floor(ms / 1_000))

export function batchView(batch: Batch): object {
  const { id, endpoint, errors, inputFileId, window, status, outputFileId, errorFileId, at, counts, metadata } = batch
  return {
    ...{ id, object: 'batch', endpoint },
    errors: errors.length === 0 ? null : { object: 'list', data: errors },
    ...{ input_file_id: inputFileId, completion_window: window, status },
    ...{ output_file_id: outputFileId, error_file_id: errorFileId },
    created_at: seconds(batch.createdAtMs),
    in_progress_at: seconds(at.in_progress),
    expires_at: seconds(batch.expiresAtMs),
    finalizing_at: seconds(at.finalizing),
    completed_at: seconds(at.completed),
    failed_at: seconds(at.failed),
    expired_at: seconds(at.expired),
    cancelling_at: seconds(at.cancelling),
    cancelled_at: seconds(at.cancelled),
    request_counts: counts,
    metadata,
  }
}

function windowOf(value: unknown): readonly [string, number] {
  const match = typeof value === 'string' ? /^([1-9]\d{0,5})([mhd])$/.exec(value) : null
  const ms = match === null ? 0 : Number(match[1]) * UNITS[match[2]]
  if (match === null || ms > MAX_WINDOW_MS)
    throw bad('completion_window', '"completion_window" must be a time of at most 30d, such as "24h", "90m" or "7d".')
  return [match[0], ms]
}

function expiryOf(value: unknown): number {
  if (value === undefined || value === null) return MAX_EXPIRY_S * 1_000
  const { anchor, seconds: after } = isRecord(value) ? value : ({} as JsonRecord)
  const isIn = Number.isSafeInteger(after) && (after as number) >= MIN_EXPIRY_S && (after as number) <= MAX_EXPIRY_S
  if (anchor === 'created_at' && isIn) return (after as number) * 1_000
  throw bad(
    'output_expires_after',
    `"output_expires_after" must be {"anchor": "created_at", "seconds": ${MIN_EXPIRY_S} to ${MAX_EXPIRY_S}}.`,
  )
}

/** Lines have options of their own, so a batch's headers have none. Throws invalid_request. */
function checkNoOptions(headers: IncomingHttpHeaders): void {
  const own = ['sluice-idempotency-key']
  for (const header in headers)
    if (header.startsWith('sluice-') && !own.includes(header))
      throw bad(header, `"${header}" is no header of a batch: give each line its options, as "sluice" in its "body".`)
}

function poolOf(value: unknown): string | null {
  if (value === undefined || value === null) return null
  if (!isRecord(value)) throw bad('sluice', '"sluice" must be an object of options: "pool".')
  checkNames(value, ['pool'])
  const { pool } = value
  if (pool === undefined) return null
  if (typeof pool !== 'string' || pool === '' || pool.length > 256) throw bad('sluice.pool', '"pool" must be a text.')
  return pool
}
