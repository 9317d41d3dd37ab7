/** Is this a request that a model could answer? Checked by value; what is stored and sent on are the client's own bytes. */
import { SluiceError } from '../core/errors.ts'
import { isRecord, type JsonRecord } from './body.ts'
import { bad, boolean, type Check, checkMembers, labels, number, oneOf, text, whole } from './fields.ts'
import { hasReferenceLoop } from './references.ts'

const MAX_MESSAGES = 10_000
const MAX_STOPS = 16
const MAX_TOOLS = 1_024
const MAX_TOKENS = 10_000_000
const MAX_LABEL_CHARS = 512
const MAX_LOGIT_BIAS = 2_048
const MAX_INPUTS = 2_048
const ROLES = new Set(['system', 'developer', 'user', 'assistant', 'tool', 'function'])
const MODEL = /^[A-Za-z0-9_][\w./:@+-]{0,199}$/
/** A caller never says where a request goes, nor with whose key. */
const REFUSED = ['api_base', 'base_url', 'api_key', 'headers', 'extra_headers', 'api_version', 'organization']

const tokens: Check = whole(1, MAX_TOKENS)
const user: Check = text(MAX_LABEL_CHARS)

const CHAT: ReadonlyMap<string, Check> = new Map([
  ['stream', boolean],
  [
    'stream_options',
    {
      ok: (v) => isRecord(v) && typeof (v['include_usage'] ?? false) === 'boolean',
      what: 'an object; its include_usage true or false',
    },
  ],
  ['max_tokens', tokens],
  ['max_completion_tokens', tokens],
  ['n', whole(1, 128)],
  ['temperature', number(0, 2)],
  ['top_p', number(0, 1)],
  ['presence_penalty', number(-2, 2)],
  ['frequency_penalty', number(-2, 2)],
  ['seed', whole(Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)],
  ['logprobs', boolean],
  ['top_logprobs', whole(0, 128)],
  [
    'stop',
    {
      ok: (v) => typeof v === 'string' || (Array.isArray(v) && v.length <= MAX_STOPS && v.every(isText)),
      what: `text, or a list of at most ${MAX_STOPS} texts`,
    },
  ],
  [
    'tools',
    {
      ok: (v) => Array.isArray(v) && v.length <= MAX_TOOLS && v.every(isRecord),
      what: `a list of at most ${MAX_TOOLS} tools`,
    },
  ],
  ['tool_choice', { ok: (v) => isText(v) || isRecord(v), what: 'a text or an object' }],
  ['parallel_tool_calls', boolean],
  ['response_format', { ok: (v) => isRecord(v) && isText(v['type']), what: 'an object with a "type"' }],
  [
    'logit_bias',
    { ok: isLogitBias, what: `an object of at most ${MAX_LOGIT_BIAS} tokens with numbers from -100 to 100` },
  ],
  ['metadata', labels(64)],
  ['user', user],
  ['safety_identifier', user],
])

const EMBEDDING: ReadonlyMap<string, Check> = new Map([
  ['dimensions', whole(1, 100_000)],
  ['encoding_format', oneOf('float', 'base64')],
  ['user', user],
])

/** The model's name; throws model_not_found where none is said, invalid_request where it can't be one. */
export function checkModel(body: JsonRecord): string {
  const { model } = body
  if (model === undefined || model === null || model === '')
    throw new SluiceError('model_not_found', {
      param: 'model',
      message: 'The request names no "model"; GET /v1/models lists them.',
    })
  if (typeof model !== 'string' || !MODEL.test(model) || model.includes('..') || model.includes('//'))
    throw bad('model', '"model" is not the name of a model; GET /v1/models lists them.')
  for (const name of REFUSED)
    if (body[name] !== undefined)
      throw bad(name, `"${name}" can't be said by a caller: where a request goes is the operator's choice.`)
  return model
}

/** Returns the bytes of the texts that the model will read. Throws invalid_request. */
export function checkChat(body: JsonRecord): number {
  const { messages } = body
  if (!Array.isArray(messages) || messages.length === 0)
    throw bad('messages', '"messages" must be a list of at least one message.')
  if (messages.length > MAX_MESSAGES)
    throw bad('messages', `"messages" has ${messages.length} messages; ${MAX_MESSAGES} at most.`)
  let bytes = 0
  for (let i = 0; i < messages.length; i++) bytes += checkMessage(messages[i], i)
  checkMembers(body, CHAT)
  const { tools, response_format: format } = body
  if (!tools && !format) return bytes
  const json = JSON.stringify([tools, format])
  if (json.includes('"$ref"') && hasReferenceLoop(body))
    throw bad(tools ? 'tools' : 'response_format', 'A schema has a $ref that leads back to itself.')
  return bytes + json.length
}

function checkMessage(message: unknown, i: number): number {
  if (!isRecord(message)) throw bad(`messages[${i}]`, `messages[${i}] must be an object.`)
  const { role, content, tool_calls: calls } = message
  if (typeof role !== 'string' || !ROLES.has(role))
    throw bad(`messages[${i}].role`, `messages[${i}].role must be one of ${[...ROLES].join(', ')}.`)
  let bytes = 0
  if (typeof content === 'string') bytes = Buffer.byteLength(content)
  else if (Array.isArray(content)) {
    for (let part = 0; part < content.length; part++) {
      const value: unknown = content[part]
      if (!isRecord(value) || !isText(value['type']))
        throw bad(`messages[${i}].content[${part}]`, `messages[${i}].content[${part}] must be an object with a "type".`)
      if (typeof value['text'] === 'string') bytes += Buffer.byteLength(value['text'])
    }
  } else if (content !== undefined && content !== null)
    throw bad(`messages[${i}].content`, `messages[${i}].content must be text, a list of parts, or null.`)
  if (calls !== undefined && calls !== null) {
    if (!Array.isArray(calls) || !calls.every(isRecord))
      throw bad(`messages[${i}].tool_calls`, `messages[${i}].tool_calls must be a list of objects.`)
    bytes += JSON.stringify(calls).length
  }
  return bytes
}

/** As checkChat. Tokens that come as numbers count as four bytes each. */
export function checkEmbedding(body: JsonRecord): number {
  const { input } = body
  checkMembers(body, EMBEDDING)
  if (typeof input === 'string' && input !== '') return Buffer.byteLength(input)
  if (isTokens(input)) return 4 * input.length
  if (Array.isArray(input) && input.length > 0 && input.length <= MAX_INPUTS) {
    if (input.every((t) => isText(t) && t !== ''))
      return input.reduce((sum: number, t: string) => sum + Buffer.byteLength(t), 0)
    if (input.every(isTokens)) return input.reduce((sum: number, t: readonly number[]) => sum + 4 * t.length, 0)
  }
  throw bad('input', `"input" must be text, a list of 1 to ${MAX_INPUTS} texts, or tokens.`)
}

function isText(v: unknown): v is string {
  return typeof v === 'string'
}

const isTokens = (v: unknown): v is readonly number[] =>
  Array.isArray(v) && v.length > 0 && v.every((t) => Number.isSafeInteger(t) && (t as number) >= 0)

function isLogitBias(v: unknown): boolean {
  if (!isRecord(v)) return false
  const values = Object.values(v)
  return values.length <= MAX_LOGIT_BIAS && values.every((x) => typeof x === 'number' && x >= -100 && x <= 100)
}
