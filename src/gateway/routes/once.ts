/**
 * What is made once, however often its request comes: under its idempotency key, or as a repeat that an SDK counts. Its
 * id is kept before it is made, so that a repeat after a crash makes the same one, and never a second.
 */
import { hash } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { SluiceError } from '../../core/errors.ts'
import type { MadeOnce } from '../../core/made-once.ts'
import type { GatewayDeps } from '../deps.ts'
import { headerOptions, MAX_NAME_CHARS } from '../submit/job-options.ts'

const KEYS_KEPT_MS = 86_400_000
/** SDKs give up well before. */
const REPEATS_KEPT_MS = 600_000
const MOST_TRIES = 10

export interface OnceRequest {
  /** What is made. */
  readonly what: 'batch' | 'webhook'
  readonly tenant: string
  /** Of the API key, for repeats without a key of their own; null: an operator's. */
  readonly keyId: string | null
  readonly headers: IncomingHttpHeaders
  readonly body: Uint8Array
}

/** Throws idempotency_conflict, and invalid_request for an unknown `sluice-` header. */
export async function onceOf(
  { documents, clock }: Pick<GatewayDeps, 'documents' | 'clock'>,
  request: OnceRequest,
): Promise<MadeOnce> {
  const { what, tenant, keyId, headers, body } = request
  const { idempotency_key: key } = headerOptions(headers)
  if (key !== undefined && (key === '' || key.length > MAX_NAME_CHARS))
    throw new SluiceError('invalid_request', {
      param: 'idempotency-key',
      message: `"idempotency-key" must have 1 to ${MAX_NAME_CHARS} characters.`,
    })
  const digest = hash('sha256', body, 'base64url')
  const named = JSON.stringify(key === undefined ? [what, tenant, keyId, digest] : [what, tenant, key])
  const id = hash('sha256', named, 'base64url')
  const isRepeat = Number(headers['x-stainless-retry-count'] ?? 0) >= 1
  let version = 0

  /** What is known, where this request joins it; one that comes first joins only a repeat of itself. */
  async function look(joins: boolean): Promise<string | null> {
    const known = await documents.get('made', id)
    version = known?.version ?? 0
    if (known === null || (known.expiresAtMs ?? 0) <= clock.wallMs()) return null
    if (!joins && known.body['by_repeat'] !== true) return null
    if (known.body['digest'] !== digest) throw new SluiceError('idempotency_conflict')
    return String(known.body['id'])
  }

  const joins = key !== undefined || isRepeat
  const once: MadeOnce = {
    made: joins ? await look(true) : null,
    async claim(made) {
      const keptMs = key === undefined ? REPEATS_KEPT_MS : KEYS_KEPT_MS
      const body = { id: made, digest, by_repeat: isRepeat }
      if (!joins) await look(false)
      for (let tries = 0; tries < MOST_TRIES; tries++) {
        const expiresAtMs = Math.floor(clock.wallMs()) + keptMs
        if ((await documents.put({ kind: 'made', id, tenant, body, dueAtMs: null, expiresAtMs }, version)) !== null)
          return made
        const other = await look(joins)
        if (other !== null) return other
      }
      throw new SluiceError('storage_unavailable', { message: 'Another request changes the same: retry.' })
    },
  }
  return once
}
