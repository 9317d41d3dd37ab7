/**
 * An endpoint's deliveries, the newest event first. The store lists events by their ids, which say when a job was
 * accepted, or nothing of time: so a block of them is looked at for a page, and sorted by when each happened.
 */
import { SluiceError } from '../core/errors.ts'
import type { TenantId } from '../core/job.ts'
import type { Document, Documents } from '../core/ports/documents.ts'
import type { Delivery, DeliveryPage, DeliveryRange } from '../core/ports/webhooks.ts'
import { deliveryOf, KIND, readEvent } from './event.ts'

/** Events of a tenant: where it has more, those of the greatest ids come before all others. */
const BLOCK = 5_000
const READ_AT_ONCE = 200
/** The last event of the page before, and where its block begins: either may be absent. */
const CURSOR = /^(evt_[\w-]{1,124})?(?:\.(evt_[\w-]{1,124}))?$/

export interface ListingParts {
  readonly documents: Pick<Documents, 'get' | 'list'>
  /** Others have their turns between reads. */
  readonly pause: () => Promise<void>
  /** Of a block. */
  readonly most?: number
}

type Place = Pick<Delivery, 'id' | 'createdAtMs'>

/** Rejects with invalid_request where `before` is of no event that is kept. */
export async function listed(
  { documents, pause, most = BLOCK }: ListingParts,
  tenant: TenantId,
  endpoint: string,
  { before, limit, state, type }: DeliveryRange,
): Promise<DeliveryPage> {
  const [, last, begin] = CURSOR.exec(before ?? '') ?? unknown()
  const from = last === undefined ? null : placeOf(await documents.get(KIND, last), tenant)
  const found: Delivery[] = []
  const keepFirst = (): void => {
    found.sort(newestFirst)
    found.length = Math.min(found.length, limit + 1)
  }
  let next = begin
  let isFull = true
  for (let looked = 0; looked < most && isFull; looked += READ_AT_ONCE) {
    if (looked > 0) await pause()
    const count = Math.min(READ_AT_ONCE, most - looked)
    const page = await documents.list(KIND, { tenant, limit: count, ...(next !== undefined && { before: next }) })
    for (const document of page) {
      next = document.id
      const one = deliveriesOf(document).find((each) => each.endpoint === endpoint)
      if (one === undefined || (state ?? one.state) !== one.state || (type ?? one.type) !== one.type) continue
      if (from === null || newestFirst(from, one) < 0) found.push(one)
    }
    isFull = page.length === count
    keepFirst()
  }
  const block = begin === undefined ? '' : `.${begin}`
  if (found.length > limit) return { deliveries: found.slice(0, limit), next: found[limit - 1].id + block }
  return { deliveries: found, next: isFull && next !== undefined ? `.${next}` : null }
}

const newestFirst = (a: Place, b: Place): number =>
  b.createdAtMs - a.createdAtMs || (a.id === b.id ? 0 : a.id < b.id ? 1 : -1)

function placeOf(document: Document | null, tenant: TenantId): Place {
  const happened = document?.tenant === tenant ? readEvent(document)?.happened : undefined
  return happened == null ? unknown() : { id: document!.id, createdAtMs: happened.atMs }
}

function unknown(): never {
  throw new SluiceError('invalid_request', {
    param: 'after',
    message:
      '"after" must be `last_id` of a page, or the id of an event that is still kept: leave it out to begin anew.',
  })
}

export function deliveriesOf(document: Document): readonly Delivery[] {
  const event = readEvent(document)
  return event?.to.flatMap((tried) => deliveryOf(document.id, event, tried) ?? []) ?? []
}
