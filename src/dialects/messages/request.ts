/**
 * A request of Anthropic's Messages API as a chat completion. What no chat completion can carry is refused with what to
 * do, unless it is only an offer (tools that Anthropic runs), which is left out. Where to cache goes beside it.
 */
import { CACHE_HINTS, type CacheHint, MAX_CACHE_HINTS } from '../../core/cache-hints.ts'
import { bad, boolean, type Check, checkMembers, isText, whole } from '../../core/fields.ts'
import type { JsonObject } from '../../core/fold.ts'
import { isRecord, type JsonRecord } from '../../core/json.ts'
import type { CanonicalRequest, RequestForm } from '../../core/ports/dialect.ts'
import { hasReferenceLoop } from '../references.ts'
import { cacheControlIn, messagesOf } from './input.ts'
import { choiceOf, toolsOf } from './tools.ts'

const object: Check = { ok: isRecord, what: 'an object' }
const list: Check = { ok: Array.isArray, what: 'a list' }
const MAX_USER_CHARS = 512

const CHECKS: ReadonlyMap<string, Check> = new Map([
  ['stream', boolean],
  ['max_tokens', whole(1, Number.MAX_SAFE_INTEGER)],
  ['stop_sequences', { ok: (v) => Array.isArray(v) && v.every(isText), what: 'a list of strings' }],
  ['tools', list],
  ['tool_choice', object],
  ['thinking', object],
  ['output_config', object],
  ['output_format', object],
  [
    'metadata',
    {
      ok: (v) => isRecord(v) && isUser(v['user_id']),
      what: `an object; its user_id a string of at most ${MAX_USER_CHARS} characters`,
    },
  ],
])
const isUser = (id: unknown): boolean => id === null || id === undefined || (isText(id) && id.length <= MAX_USER_CHARS)

/** Sent on as they are. */
const SAME = ['temperature', 'top_p', 'top_k']
/** They bring tools or files that only Anthropic has. */
const REFUSED = ['mcp_servers', 'container']

/** OpenAI refuses longer names of users. */
const MAX_SENT_USER_CHARS = 64
const THINKING = { thinking: true }

export const request: RequestForm = {
  path: '/v1/messages',
  kind: 'chat',
  what: 'chat completions, which messages are made of',
  api: "Anthropic's Messages API",
  query: ['beta'],
  counts: { path: '/v1/messages/count_tokens', reply: (tokens) => ({ input_tokens: tokens }) },
  read,
}

/** Only the system's message is at the start whatever is put before the others. */
function fromEnd([path, control]: CacheHint, messages: readonly JsonObject[]): CacheHint {
  const [first, at, ...rest] = path
  if (first !== 'messages' || typeof at !== 'number' || messages[at]?.['role'] === 'system') return [path, control]
  return [[first, at - messages.length, ...rest], control]
}

function read(sent: JsonRecord): CanonicalRequest {
  checkMembers(sent, CHECKS)
  for (const name of REFUSED)
    if (isAsked(sent[name]))
      throw bad(name, `"${name}" is run by Anthropic's own servers: send the request without it.`)
  const { model, stream, max_tokens: most, stop_sequences: stops, metadata, thinking } = sent
  const hints: CacheHint[] = []
  const tools = toolsOf(sent['tools'], hints)
  const messages = messagesOf(sent, hints)
  const value: JsonObject = { model: model as string, messages }
  if (typeof stream === 'boolean') value['stream'] = stream
  if (typeof most === 'number') value['max_completion_tokens'] = most
  if (Array.isArray(stops) && stops.length > 0) value['stop'] = stops as string[]
  for (const name of SAME) if (typeof sent[name] === 'number') value[name] = sent[name]
  if (tools.length > 0) value['tools'] = [...tools]
  Object.assign(value, choiceOf(sent, tools))
  const format = formatOf(sent)
  if (format !== null) value['response_format'] = format
  const effort = effortOf(sent)
  if (effort !== null) value['reasoning_effort'] = effort
  const user = isRecord(metadata) && isText(metadata['user_id']) ? metadata['user_id'] : ''
  if (user !== '' && user.length <= MAX_SENT_USER_CHARS) value['user'] = user
  // Of the whole request: up to its end
  const whole = cacheControlIn(sent)
  if (whole !== null) hints.push([['messages', messages.length - 1], whole])
  if (hints.length > 0)
    value[CACHE_HINTS] = hints.slice(-MAX_CACHE_HINTS).map((hint) => fromEnd(hint, messages)) as unknown as JsonObject[]
  if ((tools.length > 0 || format !== null) && hasReferenceLoop(value))
    throw bad(tools.length > 0 ? 'tools' : 'output_config', 'A schema has a $ref that leads back to itself.')
  return {
    value,
    body: Buffer.from(JSON.stringify(value)),
    stream: typeof stream === 'boolean' ? stream : undefined,
    user: user === '' ? undefined : user,
    ...(thinks(thinking) ? { shownAs: THINKING } : { shownAs: undefined, hidesThought: true }),
  }
}

const isAsked = (value: unknown): boolean =>
  value !== undefined && value !== null && !(Array.isArray(value) && value.length === 0)

const thinks = (thinking: unknown): boolean =>
  isRecord(thinking) && thinking['type'] !== 'disabled' && thinking['type'] !== undefined

/** Its older place is beside `output_config`. */
function formatOf({ output_config: config, output_format: older }: JsonRecord): JsonObject | null {
  const format = isRecord(config) && isAsked(config['format']) ? config['format'] : older
  if (!isAsked(format)) return null
  if (!isRecord(format) || format['type'] !== 'json_schema' || !isRecord(format['schema']))
    throw bad('output_config.format', '"output_config.format" must be of the type "json_schema", with a "schema".')
  const schema = format['schema'] as JsonObject
  return { type: 'json_schema', json_schema: { name: 'answer', schema, strict: true } }
}

/** Anthropic's budgets, as steps of the effort that others know. */
const [LOW_BUDGET, MEDIUM_BUDGET] = [4_096, 16_384]
const EFFORTS: ReadonlyMap<unknown, string> = new Map([
  ['low', 'low'],
  ['medium', 'medium'],
  ['high', 'high'],
  ['xhigh', 'xhigh'],
  ['max', 'xhigh'],
])

/** Null: the model decides, or does not think. */
function effortOf({ thinking, output_config: config }: JsonRecord): string | null {
  const effort = isRecord(config) ? EFFORTS.get(config['effort']) : undefined
  if (effort !== undefined) return effort
  if (!isRecord(thinking) || thinking['type'] !== 'enabled') return null
  const { budget_tokens: budget } = thinking
  if (typeof budget !== 'number') throw bad('thinking.budget_tokens', '"thinking.budget_tokens" must be a number.')
  return budget <= LOW_BUDGET ? 'low' : budget <= MEDIUM_BUDGET ? 'medium' : 'high'
}
