/** Conversations: PROTOCOL.md section 4. */
import { SluiceError } from '../core/errors.ts'
import type { Turn } from '../core/ports.ts'
import { readJson } from './body.ts'
import type { KeyCall } from './call.ts'
import { prefixOf } from './caller.ts'
import type { GatewayDeps } from './deps.ts'
import { bad } from './fields.ts'
import { conversationView } from './job-view.ts'
import type { Route } from './route.ts'

const LIST = 100
const MAX_LIST = 1_000
const MAX_NAME_CHARS = 256

export function conversationRoutes({ conversations, options }: GatewayDeps): readonly Route[] {
  const found = (there: boolean): void => {
    if (!there) throw new SluiceError('conversation_not_found')
  }
  return [
    {
      method: 'GET',
      path: '/v1/conversations',
      query: ['limit'],
      auth: 'tenant',
      async run(call) {
        const prefix = prefixOf(call.caller)
        const all = await conversations.list(call.caller.key.tenant, call.integer('limit', 1, MAX_LIST) ?? LIST, prefix)
        call.json(200, { object: 'list', data: all.map((info) => conversationView(info, prefix)) })
      },
    },
    {
      method: 'GET',
      path: '/v1/conversations/:id',
      auth: 'tenant',
      async run(call) {
        const conversation = await conversations.read(...named(call))
        if (conversation === null) throw new SluiceError('conversation_not_found')
        call.json(200, {
          ...conversationView(conversation.info, prefixOf(call.caller)),
          turns: conversation.turns.map(turnView),
        })
      },
    },
    {
      method: 'PATCH',
      path: '/v1/conversations/:id',
      auth: 'tenant',
      async run(call) {
        const { name } = (await readJson(call, options.maxBodyBytes, options)).value
        if (typeof name !== 'string' || name.length > MAX_NAME_CHARS)
          throw bad('name', `"name" must be a text of at most ${MAX_NAME_CHARS} characters.`)
        found(await conversations.rename(...named(call), name))
        call.empty(204)
      },
    },
    {
      method: 'POST',
      path: '/v1/conversations/:id/truncate',
      auth: 'tenant',
      async run(call) {
        const { keep_turns: keep } = (await readJson(call, options.maxBodyBytes, options)).value
        if (!Number.isSafeInteger(keep) || (keep as number) < 0)
          throw bad('keep_turns', '"keep_turns" must be a whole number of at least 0.')
        found(await conversations.truncate(...named(call), keep as number))
        call.empty(204)
      },
    },
    {
      method: 'DELETE',
      path: '/v1/conversations/:id',
      auth: 'tenant',
      async run(call) {
        found(await conversations.delete(...named(call)))
        call.empty(204)
      },
    },
  ]
}

/** Tenant and id, as stored. */
const named = ({ caller, params }: KeyCall): readonly [string, string] => [
  caller.key.tenant,
  prefixOf(caller) + params['id'],
]

const turnView = ({ job, state, messages, answer }: Turn): Record<string, unknown> => ({
  job,
  state,
  messages: JSON.parse(messages) as unknown,
  answer: answer === null ? null : (JSON.parse(answer) as unknown),
})
