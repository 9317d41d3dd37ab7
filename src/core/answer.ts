/** Folds the canonical chunks of a log into the answer they spell: for JSON replies, conversations and continuations. */
import { chunkOf, parseDocument } from './document.ts'
import { type Bytes, kindOf, payloadOf, toText } from './record.ts'

type Json = null | boolean | number | string | Json[] | { [key: string]: Json }
type JsonObject = { [key: string]: Json }

/** What a JSON reply is made of. Texts are UTF-16 here. */
export interface Answer {
  /** Members of the first chunk besides `object` and `choices`: id, created, model, … */
  readonly head: JsonObject
  /** By choice index, in order. */
  readonly choices: ReadonlyArray<{
    readonly index: number
    readonly message: JsonObject
    readonly finishReason: string | null
    readonly rest: JsonObject
  }>
  /** The upstream's `usage` object, as it was. */
  readonly usage: JsonObject | null
}

const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

interface OpenChoice {
  message: JsonObject
  finishReason: string | null
  rest: JsonObject
}

/** A reset takes back all before it, save the first chunk's identity. */
export function foldAnswer(records: Iterable<Bytes>): Answer {
  let head: JsonObject = {}
  let usage: JsonObject | null = null
  let choices = new Map<number, OpenChoice>()
  let token: TokenShape | null = null
  for (const record of records) {
    // Most chunks differ from the one before in nothing but their text: cut out, not parsed
    if (token !== null) {
      const text = tokenText(record, token)
      if (text !== null) {
        token.into['content'] += text
        continue
      }
    }
    token = null
    const kind = kindOf(record)
    if (kind === 'reset') {
      choices = new Map()
      usage = null
    }
    if (kind !== 'chunk' && kind !== 'document' && kind !== 'usage') continue
    const payload = payloadOf(record)
    const chunk = (kind === 'document' ? chunkOf(parseDocument(payload)) : JSON.parse(toText(payload))) as JsonObject
    const { choices: parts, usage: chunkUsage, object: _object, ...others } = chunk
    head = Object.assign(others, head)
    if (isObject(chunkUsage)) usage = chunkUsage
    if (!Array.isArray(parts)) continue
    for (const part of parts) {
      if (!isObject(part)) continue
      const { index, delta, finish_reason: finish, ...rest } = part
      const at = typeof index === 'number' ? index : 0
      const choice = choices.get(at) ?? { message: {}, finishReason: null, rest: {} }
      choices.set(at, choice)
      if (isObject(delta)) mergeDelta(choice.message, delta)
      if (typeof finish === 'string') choice.finishReason = finish
      mergeDelta(choice.rest, rest)
      if (
        parts.length === 1 &&
        typeof finish !== 'string' &&
        typeof choice.message['content'] === 'string' &&
        isObject(delta)
      )
        token = shapeOf(record, delta, rest, choice.message)
    }
  }
  return {
    head,
    choices: [...choices]
      .sort(([a], [b]) => a - b)
      .map(([index, c]) => ({
        index,
        message: closeIndexed(c.message) as JsonObject,
        finishReason: c.finishReason,
        rest: c.rest,
      })),
    usage,
  }
}

/** A chunk that says nothing but a piece of text: what stands before and behind it. */
interface TokenShape {
  readonly prefix: Bytes
  readonly suffix: Bytes
  readonly into: JsonObject
}

const CONTENT = '"content":"'

function shapeOf(record: Bytes, delta: JsonObject, rest: JsonObject, into: JsonObject): TokenShape | null {
  const at = record.indexOf(CONTENT)
  if (
    at < 0 ||
    record.indexOf(CONTENT, at + 1) >= 0 ||
    Object.keys(delta).length !== 1 ||
    Object.values(rest).some((v) => v !== null)
  )
    return null
  const start = at + CONTENT.length
  let end = record.indexOf('"', start)
  while (record.charCodeAt(end - 1) === 92) end = record.indexOf('"', end + 1)
  return end < 0 ? null : { prefix: record.slice(0, start), suffix: record.slice(end), into }
}

/** The piece of text of a chunk of that shape; null when it is of another. */
function tokenText(record: Bytes, { prefix, suffix }: TokenShape): string | null {
  const end = record.length - suffix.length
  if (end < prefix.length || !record.startsWith(prefix) || !record.endsWith(suffix)) return null
  const piece = record.slice(prefix.length, end)
  if (piece.includes('"') || piece.endsWith('\\')) return null
  return piece.includes('\\') ? (JSON.parse(`"${toText(piece)}"`) as string) : toText(piece)
}

/** Members whose strings are labels, not pieces. */
const LABELS = new Set(['role', 'id', 'type', 'format'])

function mergeDelta(into: JsonObject, delta: JsonObject): void {
  for (const key of Object.keys(delta)) {
    const value = delta[key]
    const old = Object.hasOwn(into, key) ? into[key] : undefined
    if (value === null) {
      if (old === undefined) into[key] = null
    } else if (typeof value === 'string') into[key] = typeof old === 'string' && !LABELS.has(key) ? old + value : value
    else if (Array.isArray(value)) into[key] = mergeArray(Array.isArray(old) ? old : [], value)
    else if (isObject(value) && isObject(old)) mergeDelta(old, value)
    else into[key] = isObject(value) ? structuredClone(value) : value
  }
}

/** Items with an `index` are pieces of the item of that index (tool calls); others are appended (logprobs). */
function mergeArray(into: Json[], items: Json[]): Json[] {
  for (const item of items) {
    const index = isObject(item) ? item['index'] : undefined
    if (typeof index !== 'number') into.push(item)
    else {
      const known = into.find((x) => isObject(x) && x['index'] === index)
      if (isObject(known)) mergeDelta(known, item as JsonObject)
      else into.push(structuredClone(item))
    }
  }
  return into
}

/** In a whole message tool calls stand in order and carry no index. */
function closeIndexed(message: JsonObject): JsonObject {
  const calls = message['tool_calls']
  if (!Array.isArray(calls)) return message
  const order = (x: Json): number => (isObject(x) && typeof x['index'] === 'number' ? x['index'] : 0)
  message['tool_calls'] = calls
    .toSorted((a, b) => order(a) - order(b))
    .map((call) => {
      if (!isObject(call)) return call
      const { index: _index, ...rest } = call
      return rest
    })
  return message
}

/** The answer as OpenAI's `chat.completion`. */
export function toCompletion(answer: Answer): JsonObject {
  return {
    ...answer.head,
    object: 'chat.completion',
    choices: answer.choices.map((c) => ({
      index: c.index,
      message: { role: 'assistant', content: null, ...c.message },
      logprobs: null,
      ...c.rest,
      finish_reason: c.finishReason,
    })),
    ...(answer.usage === null ? {} : { usage: answer.usage }),
  }
}

/** The first choice's message, JSON, as a conversation remembers it. */
export const toMessage = (answer: Answer): string =>
  JSON.stringify({ role: 'assistant', content: null, ...answer.choices[0]?.message })
