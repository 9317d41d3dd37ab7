/**
 * A chat completion. Only what would harm us, and what we must read ourselves, is checked. Whether the values make
 * sense is for the model's provider to judge. The client's own bytes are stored and sent on.
 */
import { bad, boolean, type Check, checkMembers, isText } from '../../core/fields.ts'
import { isRecord, type JsonRecord } from '../../core/json.ts'
import type { CanonicalRequest, RequestForm } from '../../core/ports/dialect.ts'
import { CLIENT_QUERY, userCheck, userIn } from '../openai.ts'
import { hasReferenceLoop } from '../references.ts'

const MAX_MESSAGES = 10_000
const USAGE = { include_usage: true }

/** Members that Sluice itself acts on, or keeps beside the job. */
const CHECKS: ReadonlyMap<string, Check> = new Map([
  ['stream', boolean],
  [
    'stream_options',
    {
      ok: (v) => isRecord(v) && typeof (v['include_usage'] ?? false) === 'boolean',
      what: 'an object; its include_usage true or false',
    },
  ],
  ['user', userCheck],
  ['safety_identifier', userCheck],
])

export const completions: RequestForm = {
  path: '/v1/chat/completions',
  kind: 'chat',
  what: 'chat completions',
  query: CLIENT_QUERY,
  read(value, body): CanonicalRequest {
    check(value)
    const { stream, stream_options: options } = value
    return {
      value,
      body,
      stream: typeof stream === 'boolean' ? stream : undefined,
      user: userIn(value),
      shownAs: isRecord(options) && options['include_usage'] === true ? USAGE : undefined,
    }
  },
}

/** Throws invalid_request. */
function check(body: JsonRecord): void {
  const { messages, tools, response_format: format } = body
  if (!Array.isArray(messages) || messages.length === 0)
    throw bad('messages', '"messages" must be a list of at least one message.')
  if (messages.length > MAX_MESSAGES)
    throw bad('messages', `"messages" has ${messages.length} messages; the maximum is ${MAX_MESSAGES}.`)
  for (let i = 0; i < messages.length; i++) checkMessage(messages[i], i)
  checkMembers(body, CHECKS)
  if ((tools || format) && hasReferenceLoop(body))
    throw bad(tools ? 'tools' : 'response_format', 'A schema has a $ref that leads back to itself.')
}

function checkMessage(message: unknown, i: number): void {
  if (!isRecord(message)) throw bad(`messages[${i}]`, `messages[${i}] must be an object.`)
  const { role, content, tool_calls: calls } = message
  if (!isText(role)) throw bad(`messages[${i}].role`, `messages[${i}].role must be a string.`)
  if (!isText(content) && !Array.isArray(content) && content !== undefined && content !== null)
    throw bad(`messages[${i}].content`, `messages[${i}].content must be text, a list of parts, or null.`)
  if (calls !== undefined && calls !== null && !(Array.isArray(calls) && calls.every(isRecord)))
    throw bad(`messages[${i}].tool_calls`, `messages[${i}].tool_calls must be a list of objects.`)
}
