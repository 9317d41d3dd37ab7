/**
 * What a request brings for its model to read: for the guards, and for the estimate of its size. Providers read more
 * members than are known here, so all text counts, however deep and whatever it is called.
 */
import { isText } from '../../core/fields.ts'
import { isRecord, type JsonRecord } from '../../core/json.ts'
import type { PromptSize } from '../../core/ports/admission.ts'

/** Members that may hold an image, a sound, a file, or its address: letters by chance. */
const MEDIA = new Set([
  ...['data', 'file_data', 'url', 'image_url', 'file_url', 'audio_url', 'video_url', 'document_url', 'b64_json'],
  ...['input_audio', 'image', 'images', 'audio', 'video'],
])
/** Names a file that its provider has. */
const FILE_ID = 'file_id'
/** In these the client chooses the names of members, and models read them; nothing in them is media. */
const SCHEMAS = new Set(['tools', 'functions', 'response_format'])
const ARGUMENTS = new Set(['arguments', 'input', 'annotations'])
/** The dialect's and JSON Schema's own words, as names of members there and as values of these members: no texts. */
const ENUMERATED = new Set(['role', 'type', 'tool_choice', 'detail', 'format', 'modalities'])
const WORDS = new Set([
  ...['role', 'system', 'developer', 'user', 'assistant', 'tool', 'function', 'auto', 'none', 'low', 'high'],
  ...['type', 'text', 'refusal', 'image_url', 'input_audio', 'audio', 'file', 'wav', 'mp3', 'pcm16', 'tool_result'],
  ...['function', 'name', 'description', 'parameters', 'strict', 'json_object', 'json_schema', 'schema', 'content'],
  ...['object', 'array', 'string', 'number', 'integer', 'boolean', 'null', 'properties', 'required', 'items', 'enum'],
  ...['additionalProperties', 'prefixItems', 'minItems', 'maxItems', 'minLength', 'maxLength', 'minimum', 'maximum'],
  ...['title', 'default', 'examples', 'const', 'format', 'pattern', 'nullable', 'anyOf', 'oneOf', 'allOf', 'not'],
  ...['$ref', '$defs', '$schema', '$id', 'definitions', 'url_citation', 'url', 'start_index', 'end_index'],
])

const MAX_ADDRESS_CHARS = 8_192
const ADDRESS = /^[a-z][a-z0-9+.-]*:\/\/\S+$/i
/** Shorter ones may be words. */
const BASE64 = /^[\w+/=-]{256}/
const DATA_URL = /^data:([^,]{0,256});base64,/i
/** A number in a list is a token. */
const NUMBER_BYTES = 4

interface Visitor {
  text(text: string): void
  /** In a list. */
  number(): void
  media(): void
}

/** Each text in a checked request; of a message in parts also their texts as one, as many models read them. */
export function textsOf(request: JsonRecord): readonly string[] {
  const texts: string[] = []
  walk(request, { text: (text) => void texts.push(text), number: ignore, media: ignore })
  const { messages } = request
  for (const message of Array.isArray(messages) ? messages : []) {
    const content = isRecord(message) ? message['content'] : null
    if (Array.isArray(content) && content.length > 1) texts.push(content.map(partText).join(''))
  }
  return texts
}

const ignore = (): void => {}

function partText(part: unknown): string {
  const text = isRecord(part) ? part['text'] : part
  return isText(text) ? text : ''
}

export function sizeOf(request: JsonRecord): PromptSize {
  const size = { textBytes: 0, media: 0 }
  walk(request, {
    text(text) {
      size.textBytes += Buffer.byteLength(text)
    },
    number() {
      size.textBytes += NUMBER_BYTES
    },
    media() {
      size.media++
    },
  })
  return size
}

/** The model's name was checked, and no model reads it. */
function walk(request: JsonRecord, to: Visitor): void {
  for (const name in request) if (name !== 'model') visit(request[name], name, SCHEMAS.has(name), to)
}

/** `isFree`: its members are called as the client likes. */
function visit(value: unknown, name: string, isFree: boolean, to: Visitor): void {
  if (isText(value)) visitText(value, name, isFree, to)
  else if (Array.isArray(value)) {
    for (const item of value)
      if (typeof item === 'number') to.number()
      else visit(item, name, isFree, to)
  } else if (isRecord(value)) {
    // "for in" is slow where names are numbers
    for (const key of Object.keys(value)) {
      if (isFree && !WORDS.has(key)) to.text(key)
      visit(value[key], key, isFree || ARGUMENTS.has(key), to)
    }
  }
}

function visitText(text: string, name: string, isFree: boolean, to: Visitor): void {
  if (ENUMERATED.has(name) && WORDS.has(text)) return
  if (name === FILE_ID) to.media()
  const type = !isFree && MEDIA.has(name) ? mediaTypeOf(text) : null
  if (type === null) to.text(text)
  else if (type.startsWith('text/')) to.text(Buffer.from(text.slice(text.indexOf(',')), 'base64').toString('utf8'))
  else to.media()
}

/** Null: these are words. Empty: of an unknown type. */
function mediaTypeOf(text: string): string | null {
  if (text.startsWith('data:')) return text.includes(' ') ? null : (DATA_URL.exec(text)?.[1].toLowerCase() ?? null)
  const isEncoded = BASE64.test(text) && !text.includes(' ')
  return isEncoded || (text.length <= MAX_ADDRESS_CHARS && ADDRESS.test(text)) ? '' : null
}
