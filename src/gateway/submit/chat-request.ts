/**
 * Checks a request: only what would harm us, and what we must read ourselves. Whether its values make sense is for the
 * model's provider to judge. The client's own bytes are stored and sent on.
 */
import { SluiceError } from '../../core/errors.ts'
import { isRecord, type JsonRecord } from '../http/body.ts'
import { bad, boolean, type Check, checkMembers } from '../http/fields.ts'
import { hasReferenceLoop } from './references.ts'

const MAX_MESSAGES = 10_000
const MAX_LABEL_CHARS = 512
/** As many vectors as the largest answer (http.max_answer_bytes) can hold. */
const MAX_INPUTS = 2_048
const MODEL = /^(?:@[\w-]+\/)?[A-Za-z0-9_][\w./:@+-]{0,199}$/
/** A caller never chooses where a request goes, nor with whose key. */
const REFUSED = ['api_base', 'base_url', 'api_key', 'headers', 'extra_headers', 'api_version', 'organization']

/** Kept with the job if it is a text. */
const user: Check = {
  ok: (v) => typeof v !== 'string' || v.length <= MAX_LABEL_CHARS,
  what: `a string of at most ${MAX_LABEL_CHARS} characters`,
}

/** Members that Sluice itself acts on, or keeps beside the job. */
const CHAT: ReadonlyMap<string, Check> = new Map([
  ['stream', boolean],
  [
    'stream_options',
    {
      ok: (v) => isRecord(v) && typeof (v['include_usage'] ?? false) === 'boolean',
      what: 'an object; its include_usage true or false',
    },
  ],
  ['user', user],
  ['safety_identifier', user],
])

const EMBEDDING: ReadonlyMap<string, Check> = new Map([['user', user]])

/** The model's name. Throws model_not_found if there is none, invalid_request if it can't be one. */
export function checkModel(body: JsonRecord): string {
  const { model } = body
  if (model === undefined || model === null || model === '')
    throw new SluiceError('model_not_found', {
      param: 'model',
      message: 'The request has no "model"; GET /v1/models lists the models.',
    })
  if (typeof model !== 'string' || !MODEL.test(model) || model.includes('..') || model.includes('//'))
    throw bad('model', '"model" is not a valid model name; GET /v1/models lists the models.')
  for (const name of REFUSED)
    if (body[name] !== undefined)
      throw bad(name, `"${name}" can't be set in a request: the operator decides where requests are sent.`)
  return model
}

/** Returns the bytes of the texts that the model will read. Throws invalid_request. */
export function checkChat(body: JsonRecord): number {
  const { messages } = body
  if (!Array.isArray(messages) || messages.length === 0)
    throw bad('messages', '"messages" must be a list of at least one message.')
  if (messages.length > MAX_MESSAGES)
    throw bad('messages', `"messages" has ${messages.length} messages; the maximum is ${MAX_MESSAGES}.`)
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
  if (!isText(role)) throw bad(`messages[${i}].role`, `messages[${i}].role must be a string.`)
  let bytes = 0
  if (isText(content)) bytes = Buffer.byteLength(content)
  else if (Array.isArray(content)) {
    for (const part of content as readonly unknown[]) {
      const text = isRecord(part) ? part['text'] : part
      if (isText(text)) bytes += Buffer.byteLength(text)
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
  if (Array.isArray(input) && input.length > MAX_INPUTS && !input.every((token) => typeof token === 'number'))
    throw bad('input', `"input" has ${input.length} texts; the maximum is ${MAX_INPUTS}.`)
  if ((isText(input) && input !== '') || (Array.isArray(input) && input.length > 0)) return inputBytes(input)
  throw bad('input', '"input" must be a text, or a list of texts or tokens.')
}

function inputBytes(input: unknown): number {
  if (isText(input)) return Buffer.byteLength(input)
  if (typeof input === 'number') return 4
  if (Array.isArray(input)) return input.reduce((sum: number, item) => sum + inputBytes(item), 0)
  return JSON.stringify(input).length
}

/** Members whose text is an image, a sound, a file or its address: not read, and letters by chance. */
const MEDIA = new Set(['data', 'file_data', 'url'])

/** All text in a checked request, however deep: providers read more members of a message than are known here. */
export function textsOf(request: JsonRecord): readonly string[] {
  const texts: string[] = []
  const collect = (value: unknown, name: string): void => {
    if (isText(value)) {
      if (!MEDIA.has(name)) texts.push(value)
    } else if (Array.isArray(value)) for (const item of value) collect(item, name)
    else if (isRecord(value)) for (const key in value) collect(value[key], key)
  }
  collect(request, '')
  return texts
}

const isText = (v: unknown): v is string => typeof v === 'string'
