/** Conversations: PROTOCOL.md section 4. */
import { SluiceError } from '../../core/errors.ts'
import { bad, checkNames } from '../../core/fields.ts'
import { jobOrder } from '../../core/ids.ts'
import type { Turn, TurnRange } from '../../core/ports/conversations.ts'
import { toBytes } from '../../core/record.ts'
import { prefixOf } from '../caller/caller.ts'
import { keptConversation } from '../caller/kept-conversations.ts'
import type { GatewayDeps } from '../deps.ts'
import { type Answer, bytes, empty, json } from '../http/answer.ts'
import { readJson } from '../http/body.ts'
import type { KeyCall } from '../http/call.ts'
import type { Route } from '../http/route.ts'
import { conversationView } from '../read/views.ts'
import { deleteKept, keptView } from './kept-conversations.ts'

const PAGE = 100
const MAX_PAGE = 1_000
const MAX_NAME_CHARS = 256
/** Of turns in one answer; a turn that is larger comes alone. */
const PAGE_BYTES = 4 << 20
const PAGING = ['limit', 'order', 'after'] as const
/** Both name one conversation; without either, a call is about all of them. */
const NAMES = ['id', 'conversation'] as const

/**
 * A conversation's id from the path, or from the query where a path can't carry it; undefined when there is neither.
 */
function conversationOf(call: KeyCall): string | undefined {
  const [id = call.params['id'], other = id] = NAMES.map((name) => call.parameter(name)).filter((v) => v !== undefined)
  if (other !== id) throw bad('conversation', '"id" and "conversation" name two conversations: leave one out.')
  if (id === '') throw bad('id', '"id" must not be empty.')
  return id
}

/** `watch`: streams the news of a conversation, by the caller's name for it. */
export function conversationRoutes(
  deps: GatewayDeps,
  watch: (call: KeyCall, conversation: string) => null,
): readonly Route[] {
  const { conversations, options } = deps
  const found = (there: boolean): void => {
    if (!there) throw new SluiceError('conversation_not_found')
  }

  async function list(call: KeyCall): Promise<Answer> {
    const scope = prefixOf(call.caller)
    const after = call.parameter('after')
    const page = await conversations.list(call.caller.key.tenant, {
      limit: call.integer('limit', 1, MAX_PAGE) ?? PAGE,
      scope,
      ...(after === undefined ? {} : { after }),
    })
    const data = page.conversations.map((info) => conversationView(info, scope))
    return json(200, { object: 'list', data, has_more: page.next !== null, next: page.next })
  }

  async function show(call: KeyCall): Promise<Answer> {
    const range = rangeOf(call)
    const [info, page] = [await conversations.get(...named(call)), await conversations.turns(...named(call), range)]
    if (info === null || page === null) throw new SluiceError('conversation_not_found')
    const view = {
      ...conversationView(info, prefixOf(call.caller)),
      turn_count: info.turns,
      has_more: page.more,
      next: page.more ? page.turns.at(-1)!.job : null,
    }
    const turns = range.from === 'newest' ? page.turns.toReversed() : page.turns
    // The texts are JSON already
    const text = JSON.stringify({ ...view, turns: undefined })
    return bytes(200, toBytes(`${text.slice(0, -1)},"turns":[${turns.map(turnText).join(',')}]}`))
  }

  async function change(call: KeyCall): Promise<Answer> {
    const { value } = await readJson(call, options.maxBodyBytes, options)
    checkNames(value, ['name', 'keep_turns'])
    const { name, keep_turns: keep } = value
    if (name === undefined && keep === undefined) throw bad('name', 'Give "name", "keep_turns", or both.')
    if (name !== undefined && (typeof name !== 'string' || name.length > MAX_NAME_CHARS))
      throw bad('name', `"name" must be a string of at most ${MAX_NAME_CHARS} characters.`)
    if (keep !== undefined) found(await conversations.truncate(...named(call), turnsToKeep(keep)))
    if (name !== undefined) found(await conversations.rename(...named(call), name))
    return empty(204)
  }

  async function truncate(call: KeyCall): Promise<Answer> {
    const { keep_turns: keep } = (await readJson(call, options.maxBodyBytes, options)).value
    found(await conversations.truncate(...named(call), turnsToKeep(keep)))
    return empty(204)
  }

  async function remove(call: KeyCall): Promise<Answer> {
    found(await conversations.delete(...named(call)))
    return empty(204)
  }

  const all = '/v1/conversations'
  const one = '/v1/conversations/:id'
  return [
    {
      method: 'GET',
      path: all,
      query: [...PAGING, ...NAMES],
      auth: 'tenant',
      run: (call) =>
        conversationOf(call) === undefined
          ? list(call)
          : call.header('accept')?.includes('text/event-stream')
            ? watch(call, conversationOf(call)!)
            : show(call),
    },
    { method: 'PATCH', path: all, query: NAMES, auth: 'tenant', run: change },
    { method: 'DELETE', path: all, query: NAMES, auth: 'tenant', run: remove },
    {
      method: 'GET',
      path: one,
      query: PAGING,
      auth: 'tenant',
      async run(call) {
        const kept = await keptConversation(deps, call.caller, call.params['id'])
        return kept === null ? show(call) : json(200, keptView(kept))
      },
    },
    { method: 'PATCH', path: one, auth: 'tenant', run: change },
    { method: 'POST', path: `${one}/truncate`, auth: 'tenant', run: truncate },
    {
      method: 'DELETE',
      path: one,
      auth: 'tenant',
      async run(call) {
        const kept = await keptConversation(deps, call.caller, call.params['id'])
        return kept === null ? remove(call) : deleteKept(deps, kept)
      },
    },
    { method: 'GET', path: `${one}/events`, auth: 'tenant', run: (call) => watch(call, conversationOf(call)!) },
  ]
}

/** Tenant and id, as stored. */
function named(call: KeyCall): readonly [string, string] {
  const id = conversationOf(call)
  if (id === undefined) throw bad('id', 'Name the conversation: "?id=".')
  return [call.caller.key.tenant, prefixOf(call.caller) + id]
}

function rangeOf(call: KeyCall): TurnRange {
  const from = call.parameter('order') ?? 'newest'
  if (from !== 'newest' && from !== 'oldest') throw bad('order', '"order" must be "newest" or "oldest".')
  const beyond = call.parameter('after')
  if (beyond !== undefined && jobOrder(beyond) === null)
    throw bad('after', '"after" must be the id of a job, as "next" gives it.')
  return {
    from,
    limit: call.integer('limit', 1, MAX_PAGE) ?? PAGE,
    maxBytes: PAGE_BYTES,
    ...(beyond === undefined ? {} : { beyond }),
  }
}

function turnsToKeep(keep: unknown): number {
  if (!Number.isSafeInteger(keep) || (keep as number) < 0)
    throw bad('keep_turns', '"keep_turns" must be a whole number of at least 0.')
  return keep as number
}

const turnText = ({ job, state, messages, answer }: Turn): string =>
  `{"job":${JSON.stringify(job)},"state":"${state}","messages":${messages},"answer":${answer ?? 'null'}}`
