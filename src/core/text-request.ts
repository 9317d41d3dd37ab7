/**
 * What a request brings for its model to read: for the guards, and for the estimate of its size. Providers read more
 * members than are known here, so all text counts, however deep and whatever it is called.
 */
import { isText } from './fields.ts'
import { isRecord, type JsonRecord } from './json.ts'
import { editStrings, type Names } from './json-strings.ts'
import type { Medium, Prompt } from './ports/weights.ts'

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
/** What an estimate looks at: numbers in lists count one, all else 16. About a third of a millisecond. */
const MAX_WORK = 120_000
const WORK = 16
/** Numbers that are looked at in one go. */
const RUN = 1_000
/** Of a text file, as its base64: a multiple of four. */
const MAX_ENCODED_CHARS = 16_384
/** Of a message: OpenAI's frame around it, its role among it; and of all: the beginning of the answer. */
const [MESSAGE_TOKENS, ANSWER_TOKENS] = [4, 3]
/** Small members that no model reads. */
const UNREAD = new Set([
  ...['model', 'user', 'safety_identifier', 'metadata', 'prompt_cache_key', 'service_tier', 'reasoning_effort'],
  ...['verbosity', 'stream_options', 'sluice', 'cache_hints'],
])

interface Visitor {
  /** A value, or an item of a list, follows; `work`: how much. False: that is enough. */
  goOn(work: number): boolean
  text(text: string): void
  medium(text: string, name: string, detail: unknown): void
  /** So many numbers in a list: each is a token. */
  numbers(count: number): void
  /** Of an encoded text, so many characters are decoded. */
  readonly maxEncoded: number
  /** Bytes of text that were not. */
  unread(bytes: number): void
  /** In a schema: a name or a value that is no text of the client's. */
  syntax(): void
}

/** What guards can read of a request, and how much there is that they can't. */
export interface Content {
  /** Each text; of a message in parts also their texts as one, as many models read them. */
  readonly texts: readonly string[]
  /** Images, sounds and files, and texts that can't be decoded. */
  readonly media: number
}

/** Of a checked request. */
export function contentOf(request: JsonRecord): Content {
  const texts: string[] = []
  let media = 0
  const visitor: Visitor = { ...NOTHING, text: (text) => void texts.push(text), medium: () => void media++ }
  for (const name in request) if (name !== 'model') visit(request[name], name, SCHEMAS.has(name), undefined, visitor)
  const { messages } = request
  for (const message of Array.isArray(messages) ? messages : []) {
    const content = isRecord(message) ? message['content'] : null
    if (Array.isArray(content) && content.length > 1) texts.push(content.map(partText).join(''))
  }
  return { texts, media }
}

export const textsOf = (request: JsonRecord): readonly string[] => contentOf(request).texts

/**
 * The request with each of its texts as `edit` returns it; every other byte stays as it was. Names of members and
 * encoded texts can't be edited.
 */
export const editTexts = (request: Uint8Array, edit: (text: string) => string): Uint8Array =>
  editStrings(request, (text, names) => (isEditable(text, names) ? edit(text) : text))

function isEditable(text: string, names: Names): boolean {
  if (names[0] === 'model') return false
  const name = names.findLast((each) => typeof each === 'string') ?? ''
  if (ENUMERATED.has(name) && WORDS.has(text)) return false
  const isFree = SCHEMAS.has(names[0] as string) || names.some((each) => ARGUMENTS.has(each as string))
  return isFree || !MEDIA.has(name) || mediaTypeOf(text) === null
}

const ignore = (): void => {}
const NOTHING: Visitor = {
  goOn: () => true,
  text: ignore,
  medium: ignore,
  numbers: ignore,
  syntax: ignore,
  maxEncoded: Infinity,
  unread: ignore,
}

function partText(part: unknown): string {
  const text = isRecord(part) ? part['text'] : part
  return isText(text) ? text : ''
}

/** `bytes`: of the request. */
export function promptOf(request: JsonRecord, bytes: number): Prompt {
  const texts: string[] = []
  const media: Medium[] = []
  let [numbers, syntaxTokens, undecoded, work, seen] = [0, 0, 0, 0, 0]
  const visitor: Visitor = {
    goOn(more) {
      work += more
      return work <= MAX_WORK
    },
    text(text) {
      texts.push(text)
      seen += text.length
    },
    medium(text, name, detail) {
      media.push({ text, name, detail })
      seen += text.length
    },
    numbers(count) {
      numbers += count
    },
    syntax() {
      syntaxTokens++
    },
    maxEncoded: MAX_ENCODED_CHARS,
    unread(bytes) {
      undecoded += Math.floor(bytes)
    },
  }
  for (const name in request)
    if (!UNREAD.has(name) && !visit(request[name], name, SCHEMAS.has(name), undefined, visitor)) break
  const unvisited = work <= MAX_WORK ? 0 : Math.max(0, bytes - seen)
  const { messages } = request
  const frames = Array.isArray(messages) ? messages.length * MESSAGE_TOKENS + ANSWER_TOKENS : 0
  // Those of messages that were not read are part of the bytes
  const read = unvisited === 0 ? 1 : 1 - unvisited / bytes
  const frameTokens = numbers + Math.ceil(frames * read)
  return { texts, media, frameTokens, syntaxTokens, unreadBytes: unvisited + undecoded }
}

/**
 * False: that was enough, and the rest is left out. `isFree`: its members are called as the client likes. `detail`: of
 * the object that it is a member of.
 */
function visit(value: unknown, name: string, isFree: boolean, detail: unknown, to: Visitor): boolean {
  if (!to.goOn(WORK)) return false
  if (isText(value)) visitText(value, name, isFree, detail, to)
  else if (Array.isArray(value)) {
    for (let i = 0; i < value.length; ) {
      const numbers = numbersAt(value, i)
      if (numbers === 0 ? !visit(value[i], name, isFree, detail, to) : !to.goOn(numbers)) return false
      to.numbers(numbers)
      i += numbers || 1
    }
  } else if (isRecord(value)) {
    // "for in" is slow where names are numbers
    for (const key of Object.keys(value)) {
      if (isFree) visitName(key, to)
      if (!visit(value[key], key, isFree || ARGUMENTS.has(key), value['detail'], to)) return false
    }
  } else if (isFree) to.syntax()
  return true
}

function numbersAt(list: readonly unknown[], from: number): number {
  const most = Math.min(list.length, from + RUN)
  let to = from
  while (to < most && typeof list[to] === 'number') to++
  return to - from
}

function visitName(name: string, to: Visitor): void {
  // What separates it from its value
  to.syntax()
  if (WORDS.has(name)) to.syntax()
  else to.text(name)
}

function visitText(text: string, name: string, isFree: boolean, detail: unknown, to: Visitor): void {
  if (isFree) to.syntax()
  if (ENUMERATED.has(name) && WORDS.has(text)) {
    if (isFree) to.syntax()
    return
  }
  if (name === FILE_ID) to.medium(text, name, detail)
  const type = !isFree && MEDIA.has(name) ? mediaTypeOf(text) : null
  if (type === null) to.text(text)
  else if (type.startsWith('text/')) {
    const from = text.indexOf(',') + 1
    const decoded = Buffer.from(text.slice(from, from + to.maxEncoded), 'base64').toString('utf8')
    to.text(decoded)
    if (text.length - from > to.maxEncoded) to.unread(((text.length - from - to.maxEncoded) * 3) / 4)
    else if (decoded.includes('\ufffd')) to.medium(text, name, detail)
  } else to.medium(text, name, detail)
}

/** Null: these are words. Empty: of an unknown type. */
function mediaTypeOf(text: string): string | null {
  if (text.startsWith('data:')) return text.includes(' ') ? null : (DATA_URL.exec(text)?.[1].toLowerCase() ?? null)
  const isEncoded = BASE64.test(text) && !text.includes(' ')
  return isEncoded || (text.length <= MAX_ADDRESS_CHARS && ADDRESS.test(text)) ? '' : null
}
