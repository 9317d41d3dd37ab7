/** Is this a request that a model could answer? Checked by value; what is stored and sent on are the client's own bytes. */
import { SluiceError } from '../core/errors.ts'
import { isRecord, type JsonRecord } from './body.ts'

const MAX_MESSAGES = 10_000
const MAX_STOPS = 16
const MAX_CHOICES = 128
const MAX_TOKENS = 10_000_000
const MAX_LABEL_CHARS = 512
const MAX_LOGIT_BIAS = 2_048
const MAX_INPUTS = 2_048
const ROLES = new Set(['system', 'developer', 'user', 'assistant', 'tool', 'function'])
/** A caller never says where a request goes, nor with whose key. */
const FORBIDDEN = ['api_base', 'base_url', 'api_key', 'headers', 'extra_headers', 'api_version', 'organization']

const bad = (param: string, message: string): SluiceError => new SluiceError('invalid_request', { param, message })

export function checkModel(body: JsonRecord): string {
  const { model } = body
  if (typeof model !== 'string' || model === '') throw bad('model', '"model" must name a model; GET /v1/models lists them.')
  if (model.length > 200 || !/^[\w./:@+-]+$/.test(model) || model.includes('..')) throw new SluiceError('model_not_found', { param: 'model' })
  for (const name of FORBIDDEN) if (body[name] !== undefined) throw bad(name, `"${name}" can't be said by a caller: where a request goes is the operator's choice.`)
  return model
}

export function checkChat(body: JsonRecord): void {
  const { messages } = body
  if (!Array.isArray(messages) || messages.length === 0) throw bad('messages', '"messages" must be a list of at least one message.')
  if (messages.length > MAX_MESSAGES) throw bad('messages', `"messages" has ${messages.length} messages; ${MAX_MESSAGES} at most.`)
  for (let i = 0; i < messages.length; i++) {
    const message: unknown = messages[i]
    if (!isRecord(message)) throw bad(`messages[${i}]`, `messages[${i}] must be an object.`)
    if (typeof message['role'] !== 'string' || !ROLES.has(message['role'])) throw bad(`messages[${i}].role`, `messages[${i}].role must be one of ${[...ROLES].join(', ')}.`)
    const { content } = message
    if (content !== undefined && content !== null && typeof content !== 'string' && !Array.isArray(content)) throw bad(`messages[${i}].content`, `messages[${i}].content must be text, a list of parts, or null.`)
  }
  optional(body, 'stream', isBoolean, 'true or false')
  optional(body, 'stream_options', isRecord, 'an object')
  for (const name of ['max_tokens', 'max_completion_tokens']) optional(body, name, whole(1, MAX_TOKENS), `a whole number from 1 to ${MAX_TOKENS}`)
  optional(body, 'n', whole(1, MAX_CHOICES), `a whole number from 1 to ${MAX_CHOICES}`)
  optional(body, 'temperature', within(0, 2), 'a number from 0 to 2')
  optional(body, 'top_p', within(0, 1), 'a number from 0 to 1')
  for (const name of ['presence_penalty', 'frequency_penalty']) optional(body, name, within(-2, 2), 'a number from -2 to 2')
  optional(body, 'stop', (v) => typeof v === 'string' || (Array.isArray(v) && v.length <= MAX_STOPS && v.every((s) => typeof s === 'string')), `text, or a list of at most ${MAX_STOPS} texts`)
  optional(body, 'tools', (v) => Array.isArray(v) && v.length <= 1_024 && v.every(isRecord), 'a list of at most 1,024 tools')
  optional(body, 'logit_bias', (v) => isRecord(v) && Object.keys(v).length <= MAX_LOGIT_BIAS, `an object of at most ${MAX_LOGIT_BIAS} tokens`)
  optional(body, 'metadata', (v) => isRecord(v) && Object.keys(v).length <= 64 && Object.values(v).every((x) => typeof x === 'string' && x.length <= MAX_LABEL_CHARS), 'at most 64 short texts')
  for (const name of ['user', 'safety_identifier']) optional(body, name, isLabel, `a text of at most ${MAX_LABEL_CHARS} characters`)
}

export function checkEmbedding(body: JsonRecord): void {
  const { input } = body
  const ok = (typeof input === 'string' && input !== '') || (Array.isArray(input) && input.length > 0 && (input.every((t) => typeof t === 'number') || (input.length <= MAX_INPUTS && input.every((t) => (typeof t === 'string' && t !== '') || (Array.isArray(t) && t.length > 0 && t.every((n) => typeof n === 'number'))))))
  if (!ok) throw bad('input', `"input" must be text, a list of 1 to ${MAX_INPUTS} texts, or tokens.`)
  optional(body, 'dimensions', whole(1, 100_000), 'a whole number of at least 1')
  optional(body, 'encoding_format', (v) => v === 'float' || v === 'base64', '"float" or "base64"')
  optional(body, 'user', isLabel, `a text of at most ${MAX_LABEL_CHARS} characters`)
}

function optional(body: JsonRecord, name: string, ok: (value: unknown) => boolean, what: string): void {
  const value = body[name]
  if (value !== undefined && value !== null && !ok(value)) throw bad(name, `"${name}" must be ${what}.`)
}

const isBoolean = (v: unknown): boolean => typeof v === 'boolean'
const isLabel = (v: unknown): boolean => typeof v === 'string' && v.length <= MAX_LABEL_CHARS
const within = (min: number, max: number) => (v: unknown) => typeof v === 'number' && v >= min && v <= max
const whole = (min: number, max: number) => (v: unknown) => typeof v === 'number' && Number.isInteger(v) && v >= min && v <= max

/** About four bytes a token; what fairness goes by until the provider reports. */
export function estimateTokens(bytes: number): number {
  return Math.max(1, Math.ceil(bytes / 4))
}
