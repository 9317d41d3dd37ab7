/** What a message of an intake's topic asked for, for a replay: read without its signature, as nobody is obeyed. */
import { ENDPOINTS, type JobKind } from '../../core/job.ts'
import { isRecord } from '../../core/json.ts'
import type { Replayed } from '../../core/replayed.ts'

const OWN = 'sluice1 '

/**
 * `id`: as the message is named. `nobody`: for whom a message is that names nobody (null: it can't be told). Null: it
 * is no job.
 */
export function replayedOf(payload: Uint8Array, id: string, nobody: string | null): Replayed | null {
  const text = Buffer.from(payload.buffer, payload.byteOffset, payload.length).toString()
  try {
    return text.startsWith(OWN) ? ownOf(text) : foreignOf(JSON.parse(text), id, nobody)
  } catch {
    return null
  }
}

/** A line with the signature, one with the facts, then the request. */
function ownOf(text: string): Replayed | null {
  const facts = text.indexOf('\n') + 1
  const body = text.indexOf('\n', facts) + 1
  const own: unknown = JSON.parse(text.slice(facts, body))
  if (!isRecord(own) || own['type'] !== 'job' || !isRecord(own['draft'])) return null
  const { draft } = own
  const { tenant, kind, options } = draft
  return replayed(
    String(own['id']),
    JSON.parse(text.slice(body)),
    typeof tenant === 'string' ? tenant : null,
    endpointOf(kind),
    isRecord(options) && options['conversation'] !== undefined,
    draft['metadata'],
  )
}

const endpointOf = (kind: unknown): string | null =>
  kind !== 'chat' && Object.hasOwn(ENDPOINTS, String(kind)) ? ENDPOINTS[kind as JobKind] : null

function foreignOf(value: unknown, id: string, nobody: string | null): Replayed | null {
  if (!isRecord(value)) return null
  const { request, tenant, endpoint, conversation, metadata } = value
  const named = typeof value['id'] === 'string' ? value['id'] : id
  return replayed(
    named,
    request,
    typeof tenant === 'string' ? tenant : nobody,
    typeof endpoint === 'string' ? endpoint : null,
    conversation !== undefined,
    metadata,
  )
}

function replayed(
  id: string,
  request: unknown,
  tenant: string | null,
  endpoint: string | null,
  isTurn: boolean,
  metadata: unknown,
): Replayed | null {
  if (!isRecord(request) || typeof request['model'] !== 'string') return null
  // Options in the body: they were of that job
  const { sluice, ...bare } = request
  const labels = isRecord(metadata) ? Object.entries(metadata).filter(([, label]) => typeof label === 'string') : []
  return {
    id,
    tenant,
    model: request['model'],
    endpoint,
    isTurn: isTurn || (isRecord(sluice) && sluice['conversation'] !== undefined),
    request: bare,
    metadata: Object.fromEntries(labels) as Record<string, string>,
  }
}
