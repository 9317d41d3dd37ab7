/**
 * Conversations as OpenAI's API has them: made before their first response, with metadata and an id of their own. Their
 * turns are those of a conversation of ours that has the same name. PROTOCOL.md section 3.
 */
import { SluiceError } from '../../core/errors.ts'
import { bad, checkNames, labels } from '../../core/fields.ts'
import { isRecord, type JsonRecord } from '../../core/json.ts'
import type { Turn } from '../../core/ports/conversations.ts'
import type { Document } from '../../core/ports/documents.ts'
import { prefixOf } from '../caller/caller.ts'
import { CONVERSATION_PREFIX, keptConversation } from '../caller/kept-conversations.ts'
import type { GatewayDeps } from '../deps.ts'
import { type Answer, json } from '../http/answer.ts'
import { readJson } from '../http/body.ts'
import type { KeyCall } from '../http/call.ts'
import type { Route } from '../http/route.ts'
import { orderIn } from './resources.ts'

const ID_BYTES = 16
const METADATA = labels(16)
const [ITEMS, MAX_ITEMS] = [20, 100]
const PAGE_BYTES = 4 << 20
const MOST_TRIES = 10

type Deps = Pick<GatewayDeps, 'documents' | 'conversations' | 'dialects' | 'options' | 'ids' | 'clock'>

export const keptView = ({ id, body: { created_at, metadata } }: Document): object => ({
  ...{ id, object: 'conversation', created_at, metadata },
})

/** Its turns, then itself: what is left of it by a cut in between is deleted by the next try. */
export async function deleteKept({ documents, conversations }: Deps, document: Document): Promise<Answer> {
  const { id, tenant, body, version } = document
  await conversations.delete(tenant, `${body['scope']}${id}`)
  await documents.remove('conversation', id, version)
  return json(200, { id, object: 'conversation.deleted', deleted: true })
}

export function keptConversationRoutes(deps: Deps): readonly Route[] {
  const { documents, conversations, dialects, options, ids, clock } = deps
  const dialect = dialects.spoken.find(({ turnItems }) => turnItems !== undefined)

  async function own(call: KeyCall): Promise<Document> {
    const document = await keptConversation(deps, call.caller, call.params['id'])
    if (document === null) throw new SluiceError('conversation_not_found')
    return document
  }

  async function create(call: KeyCall): Promise<Answer> {
    const { value } = await readJson(call, options.maxBodyBytes, options)
    checkNames(value, ['metadata', 'items'])
    const { items } = value
    if (items !== undefined && items !== null && !(Array.isArray(items) && items.length === 0)) throw notAdded()
    const scope = prefixOf(call.caller)
    const body = { scope, created_at: Math.floor(clock.wallMs() / 1_000), metadata: metadataIn(value) }
    const id = ids.name(CONVERSATION_PREFIX, ID_BYTES)
    const about = {
      kind: 'conversation',
      id,
      tenant: call.caller.key.tenant,
      dueAtMs: null,
      expiresAtMs: null,
    } as const
    const document = await documents.put({ ...about, body }, 0)
    if (document === null) throw new SluiceError('overloaded')
    return json(200, keptView(document))
  }

  async function update(call: KeyCall): Promise<Answer> {
    await own(call)
    const { value } = await readJson(call, options.maxBodyBytes, options)
    checkNames(value, ['metadata'])
    const metadata = metadataIn(value)
    for (let tries = 0; tries < MOST_TRIES; tries++) {
      const { version, ...document } = await own(call)
      const next = await documents.put({ ...document, body: { ...document.body, metadata } }, version)
      if (next !== null) return json(200, keptView(next))
    }
    throw new SluiceError('storage_unavailable', { message: 'The conversation is being changed: retry.' })
  }

  /** A page has whole turns, so that it goes on after any of its items. */
  async function items(call: KeyCall): Promise<Answer> {
    const limit = call.integer('limit', 1, MAX_ITEMS) ?? ITEMS
    const order = orderIn(call.parameter('order'))
    const after = call.parameter('after')
    const { id, tenant, body } = await own(call)
    const beyond = after === undefined ? null : (dialect?.jobOfItem?.(after) ?? null)
    if (after !== undefined && beyond === null) throw bad('after', '"after" must be the "last_id" of the page before.')
    const range = { from: order === 'asc' ? 'oldest' : 'newest', limit, maxBytes: PAGE_BYTES } as const
    const name = `${body['scope']}${id}`
    const page = await conversations.turns(tenant, name, { ...range, ...(beyond !== null && { beyond }) })
    const data: JsonRecord[] = []
    let left = page?.turns.length ?? 0
    for (const turn of page?.turns ?? []) {
      const told = itemsOf(turn, order)
      if (data.length > 0 && data.length + told.length > limit) break
      data.push(...told)
      left--
    }
    return json(200, {
      ...{ object: 'list', data, has_more: left > 0 || page?.more === true },
      ...{ first_id: data[0]?.['id'] ?? null, last_id: data.at(-1)?.['id'] ?? null },
    })
  }

  function itemsOf({ job, messages, answer }: Turn, order: 'asc' | 'desc'): readonly JsonRecord[] {
    const asked = JSON.parse(messages) as unknown
    const said = [...(Array.isArray(asked) ? asked : [asked]), ...(answer === null ? [] : [JSON.parse(answer)])]
    const told = dialect?.turnItems?.(job, said) ?? []
    return order === 'asc' ? told : told.toReversed()
  }

  const refused = (error: () => SluiceError) => async (call: KeyCall) => {
    await own(call)
    throw error()
  }
  const [all, one] = ['/v1/conversations', '/v1/conversations/:id']
  const include = ['include', 'include[]']
  return [
    { method: 'POST', path: all, auth: 'tenant', run: create },
    { method: 'POST', path: one, auth: 'tenant', run: update },
    { method: 'GET', path: `${one}/items`, query: ['limit', 'order', 'after', ...include], auth: 'tenant', run: items },
    { method: 'POST', path: `${one}/items`, query: include, auth: 'tenant', run: refused(notAdded) },
    { method: 'GET', path: `${one}/items/:item`, query: include, auth: 'tenant', run: refused(notOne) },
    { method: 'DELETE', path: `${one}/items/:item`, auth: 'tenant', run: refused(notRemoved) },
  ]
}

function metadataIn({ metadata }: JsonRecord): JsonRecord {
  if (metadata === undefined || metadata === null) return {}
  if (!METADATA.ok(metadata) || !isRecord(metadata)) throw bad('metadata', `"metadata" must be ${METADATA.what}.`)
  return metadata
}

const notAdded = () =>
  bad('items', 'Items come into a conversation by responses only: send them as "input" of one, with "conversation".')
const notOne = () => bad('item', 'Items of a conversation are not read one by one: list them.')
const notRemoved = () =>
  bad('item', 'Items are not taken out of a conversation one by one: PATCH it with "keep_turns", or delete it.')
