/** A tenant's endpoints: documents, known for a moment, as each submit asks for them. */
import type { Clock } from '../core/clock.ts'
import { SluiceError } from '../core/errors.ts'
import type { Ids } from '../core/ids.ts'
import type { TenantId } from '../core/job.ts'
import type { JsonRecord } from '../core/json.ts'
import type { MadeOnce } from '../core/made-once.ts'
import type { Document, Documents } from '../core/ports/documents.ts'
import type { Endpoint, EndpointFields, Webhooks } from '../core/ports/webhooks.ts'
import { type Allowed, readTarget } from './address.ts'
import { newSecret } from './signature.ts'

/** What seals secrets: src/app/sealing.ts. */
export interface Seal {
  seal(secret: string, about: string): string
  open(sealed: string, about: string): string | null
  /** By the key of today; `sealed` itself where it is. */
  resealed(sealed: string, about: string): string | null
}

export interface EndpointParts {
  readonly documents: Documents
  readonly sealer: Seal
  readonly clock: Clock
  readonly ids: Ids
  readonly allowed: () => readonly Allowed[]
  /** Of a tenant. */
  readonly most: () => number
}

interface Sealed {
  readonly sealed: string
  /** Absent: the one in force. */
  readonly endsAtMs?: number
}

interface Stored extends EndpointFields {
  readonly disabledFor: string | null
  readonly createdAtMs: number
  /** The one in force is the first. */
  readonly secrets: readonly Sealed[]
}

export interface Known extends Endpoint {
  readonly secrets: readonly Sealed[]
}

const KIND = 'webhook_endpoint'
const NAME_BYTES = 12
const PAGE = 200
/** Another process's changes are in force after this. */
const KNOWN_MS = 5_000
const MOST_KNOWN = 10_000
const MOST_SECRETS = 3
/** Tries of a change that others change at the same time. */
const MOST_TRIES = 10

interface Entry {
  readonly endpoints: readonly Known[]
  readonly atMono: number
}

export class Endpoints {
  readonly #parts: EndpointParts
  readonly #known = new Map<TenantId, Entry>()
  readonly #asked = new Map<TenantId, Promise<readonly Known[]>>()

  constructor(parts: EndpointParts) {
    this.#parts = parts
  }

  /** As they were a moment ago; null: they have to be asked for. */
  peek(tenant: TenantId): readonly Known[] | null {
    const entry = this.#known.get(tenant)
    return entry !== undefined && this.#parts.clock.monoMs() - entry.atMono < KNOWN_MS ? entry.endpoints : null
  }

  of(tenant: TenantId): Promise<readonly Known[]> {
    const known = this.peek(tenant)
    if (known !== null) return Promise.resolve(known)
    const asked = this.#asked.get(tenant) ?? this.list(tenant).finally(() => this.#asked.delete(tenant))
    this.#asked.set(tenant, asked)
    return asked
  }

  /** As they are. */
  async list(tenant: TenantId): Promise<readonly Known[]> {
    const { documents, clock } = this.#parts
    const atMono = clock.monoMs()
    const endpoints = (await documents.list(KIND, { tenant, limit: 1_000 })).map(endpointOf)
    this.#known.delete(tenant)
    this.#known.set(tenant, { endpoints, atMono })
    if (this.#known.size > MOST_KNOWN) this.#known.delete(this.#known.keys().next().value!)
    return endpoints
  }

  async get(tenant: TenantId, id: string): Promise<Known | null> {
    const document = await this.#find(tenant, id)
    return document === null ? null : endpointOf(document)
  }

  async add(tenant: TenantId, fields: EndpointFields, once?: MadeOnce): Promise<{ endpoint: Known; secret: string }> {
    const { documents, clock, ids } = this.#parts
    readTarget(fields.url, this.#parts.allowed())
    const known = await this.#made(tenant, once?.made ?? null)
    if (known !== null) return known
    const most = this.#parts.most()
    if ((await this.list(tenant)).length >= most)
      throw new SluiceError('invalid_request', {
        message: `A tenant has at most ${most} webhooks (webhooks.max_per_tenant): remove one.`,
      })
    const name = ids.name('wh', NAME_BYTES)
    const id = once === undefined ? name : (once.made ?? (await once.claim(name)))
    const secret = newSecret(ids)
    const stored: Stored = {
      ...fields,
      disabledFor: null,
      createdAtMs: Math.floor(clock.wallMs()),
      secrets: [{ sealed: this.#parts.sealer.seal(secret, about(tenant, id)) }],
    }
    const added = await documents.put(documentOf(tenant, id, stored), 0)
    this.#known.delete(tenant)
    if (added !== null) return { endpoint: endpointOf(added), secret }
    const other = await this.#made(tenant, id)
    if (other === null) throw new SluiceError('internal')
    return other
  }

  /** By an earlier try of the same request. */
  async #made(tenant: TenantId, id: string | null): Promise<{ endpoint: Known; secret: string } | null> {
    const endpoint = id === null ? null : await this.get(tenant, id)
    if (endpoint === null) return null
    const secret = this.#parts.sealer.open(endpoint.secrets[0].sealed, about(tenant, endpoint.id))
    return secret === null ? null : { endpoint, secret }
  }

  /** Null: there is none. */
  change(tenant: TenantId, id: string, fields: Partial<EndpointFields>, why: string | null = null) {
    if (fields.url !== undefined) readTarget(fields.url, this.#parts.allowed())
    return this.#change(tenant, id, (known) => ({
      ...known,
      ...fields,
      ...(fields.enabled !== undefined && { disabledFor: fields.enabled ? null : why }),
    }))
  }

  async rotate(tenant: TenantId, id: string, keepMs: number): Promise<{ endpoint: Known; secret: string } | null> {
    const { clock, ids, sealer } = this.#parts
    const secret = newSecret(ids)
    const sealed = sealer.seal(secret, about(tenant, id))
    const endpoint = await this.#change(tenant, id, ({ secrets: [first, ...old], ...known }) => {
      const now = Math.floor(clock.wallMs())
      const ended = [{ ...first, endsAtMs: now + keepMs }, ...old].filter(({ endsAtMs = 0 }) => endsAtMs > now)
      return { ...known, secrets: [{ sealed }, ...ended].slice(0, MOST_SECRETS) }
    })
    return endpoint === null ? null : { endpoint, secret }
  }

  async remove(tenant: TenantId, id: string): Promise<boolean> {
    for (;;) {
      const document = await this.#find(tenant, id)
      if (document === null) return false
      const isRemoved = await this.#parts.documents.remove(KIND, id, document.version)
      this.#known.delete(tenant)
      if (isRemoved) return true
    }
  }

  async reseal(): ReturnType<Webhooks['reseal']> {
    const { documents, sealer } = this.#parts
    const told = { resealed: 0, unchanged: 0, unreadable: [] as Array<{ tenant: TenantId; webhook: string }> }
    for (let before: string | undefined; ; ) {
      const page = await documents.list(KIND, { limit: PAGE, ...(before !== undefined && { before }) })
      for (const document of page) {
        const { tenant, id, secrets } = endpointOf(document)
        const anew = (sealed: string): string | null => sealer.resealed(sealed, about(tenant, id))
        if (secrets.some(({ sealed }) => anew(sealed) === null)) told.unreadable.push({ tenant, webhook: id })
        else if (secrets.every(({ sealed }) => anew(sealed) === sealed)) told.unchanged++
        else {
          const again = (one: Sealed): Sealed => ({ ...one, sealed: anew(one.sealed) ?? one.sealed })
          await this.#change(tenant, id, (known) => ({ ...known, secrets: known.secrets.map(again) }))
          told.resealed++
        }
      }
      if (page.length < PAGE) return told
      before = page.at(-1)!.id
    }
  }

  /** Those that sign now, the newest first. None: they were sealed with a key that is not there any more. */
  secretsOf({ tenant, id, secrets }: Known): readonly string[] {
    const now = this.#parts.clock.wallMs()
    return secrets
      .filter(({ endsAtMs = Infinity }) => endsAtMs > now)
      .flatMap(({ sealed }) => this.#parts.sealer.open(sealed, about(tenant, id)) ?? [])
  }

  async #change(tenant: TenantId, id: string, to: (known: Stored) => Stored): Promise<Known | null> {
    for (let n = 0; n < MOST_TRIES; n++) {
      const document = await this.#find(tenant, id)
      if (document === null) return null
      const next = documentOf(tenant, id, to(document.body as unknown as Stored))
      const changed = await this.#parts.documents.put(next, document.version)
      this.#known.delete(tenant)
      if (changed !== null) return endpointOf(changed)
    }
    throw new SluiceError('storage_unavailable', { message: 'This webhook is being changed by others: retry.' })
  }

  async #find(tenant: TenantId, id: string): Promise<Document | null> {
    const document = await this.#parts.documents.get(KIND, id)
    return document?.tenant === tenant ? document : null
  }
}

/** A sealed secret opens for this endpoint alone. */
const about = (tenant: TenantId, id: string): string => JSON.stringify(['webhook', tenant, id])

const documentOf = (tenant: TenantId, id: string, stored: Stored) =>
  ({ kind: KIND, id, tenant, body: stored as unknown as JsonRecord, dueAtMs: null, expiresAtMs: null }) as const

function endpointOf({ id, tenant, body }: Document): Known {
  const { url, name, events, enabled, disabledFor, createdAtMs, secrets } = body as unknown as Stored
  const oldSecretsEndAtMs = secrets.flatMap(({ endsAtMs }) => endsAtMs ?? [])
  return { id, tenant, url, name, events, enabled, disabledFor, createdAtMs, oldSecretsEndAtMs, secrets }
}
