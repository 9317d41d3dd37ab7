/**
 * Folds chunks of a streamed answer into the message that they are pieces of, one chunk at a time, readable at any
 * time, linear in what it is given. The server and the client library share this file, so it imports nothing.
 *
 * | In a delta | What a later value does |
 * | --- | --- |
 * | `content`, `refusal`, `arguments`, `transcript`, `text`, `thinking`, `summary`, `reasoning*` | a piece: appended |
 * | `data` of `audio`, `input` of `custom` | a piece: appended |
 * | `tool_calls` | see `#callOf`: by id, then by index, else the last call |
 * | `name` of a function | a repetition changes nothing; what differs is appended |
 * | `role` | always `assistant` |
 * | other strings, numbers, booleans | set; an empty string and `null` never overwrite |
 * | objects | member by member, by this table |
 * | arrays: an item with an `index` | continues the item of that index |
 * | arrays: a text part of `content` | continues a text part before it |
 * | arrays: other items | appended |
 */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json }
export type JsonObject = { [key: string]: Json }

/** A call is inserted before at most this many others: far more than occurs, and a bound for reversed indexes. */
const MAX_SHIFT = 128

const PIECES = new Set(['content', 'refusal', 'arguments', 'transcript', 'text', 'thinking', 'summary'])
const NAMED = new Set(['function', 'custom', 'function_call'])
/** `id` is not one of them: a call that is started again has another. */
const LABELS = new Set(['type', 'format', 'role'])
/** Lists of parts, in which neighbors of one type are one text. */
const PART_LISTS = new Set(['content', 'thinking'])

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

export const isPiece = (key: string, owner: string): boolean =>
  PIECES.has(key) ||
  key.startsWith('reasoning') ||
  (key === 'data' && owner === 'audio') ||
  (key === 'input' && owner === 'custom')

/** Some upstreams write indexes as text. */
export function indexOf(value: Json | undefined): number | null {
  const index = typeof value === 'string' && /^-?\d{1,15}$/.test(value) ? Number(value) : value
  return typeof index === 'number' && Number.isSafeInteger(index) ? index : null
}

/** Which choice of an answer this is. Some upstreams leave the index out. */
export const choiceIndex = (choice: JsonObject, position: number, count: number): number =>
  indexOf(choice['index']) ?? (count > 1 ? position : 0)

export const own = (object: JsonObject, key: string): Json | undefined =>
  Object.hasOwn(object, key) ? object[key] : undefined

export const saysNothing = (value: Json | undefined): boolean => value === undefined || value === null || value === ''

/** Does it show anything to a reader: text, reasoning, a call, an image, a sound? A role or a label alone does not. */
export function showsSomething(delta: JsonObject, owner = ''): boolean {
  for (const key of Object.keys(delta)) {
    const value = delta[key]
    if (typeof value === 'string') {
      if (value !== '' && (isPiece(key, owner) || NAMED.has(owner))) return true
    } else if (Array.isArray(value)) {
      if (value.some(itemShows)) return true
    } else if (isObject(value) && showsSomething(value, key)) return true
  }
  return false
}

/**
 * In a list (calls, images, parts) any text counts that is not a label; an empty call or part, as in some opening
 * chunks, shows nothing.
 */
function itemShows(item: Json): boolean {
  if (typeof item === 'string') return item !== ''
  if (Array.isArray(item)) return item.some(itemShows)
  return isObject(item) && Object.keys(item).some((key) => !LABELS.has(key) && itemShows(item[key]))
}

interface Call {
  readonly index: number
  readonly value: JsonObject
  input: InputScan
}

/** One choice's message. */
export class MessageFold {
  /** Grows in place. Its tool calls are in order and have no `index`, as in a whole message. */
  readonly message: JsonObject
  readonly #calls: Call[] = []
  readonly #callById = new Map<string, Call>()
  readonly #callByIndex = new Map<number, Call>()
  #lastCall: Call | null = null
  readonly #itemByIndex = new WeakMap<Json[], Map<number, JsonObject>>()

  constructor(message: JsonObject = {}) {
    this.message = message
  }

  /** Adds a piece. */
  delta(delta: JsonObject): void {
    this.#add(delta, false)
  }

  /** Takes the message of a whole answer, unless pieces were shown: its calls are all there, one an item. */
  whole(message: JsonObject): void {
    if (!showsSomething(this.message)) this.#add(message, true)
  }

  #add(piece: JsonObject, whole: boolean): void {
    for (const key of Object.keys(piece)) {
      const value = piece[key]
      if (key === 'role') {
        if (!saysNothing(value)) this.message['role'] = 'assistant'
      } else if (key !== 'tool_calls') this.#join(this.message, key, value, '')
      else for (const item of Array.isArray(value) ? value : [value]) if (isObject(item)) this.#addCall(item, whole)
    }
  }

  // ------------------------------------------------------------ tool calls

  #addCall(item: JsonObject, whole: boolean): void {
    const { id } = item
    const callId = (typeof id === 'string' && id !== '') || typeof id === 'number' ? String(id) : null
    const index = indexOf(item['index'])
    const call = (whole ? null : this.#callOf(callId, index, item)) ?? this.#begin(index)
    this.#lastCall = call
    if (callId !== null) {
      call.value['id'] = callId
      this.#callById.set(callId, call)
    } else if (id === '') call.value['id'] ??= '' // so that the member is there
    for (const key of Object.keys(item))
      if (key !== 'id' && key !== 'index') this.#join(call.value, key, item[key], 'tool_calls')
    call.input = scanInput(call.input, inputOf(item))
  }

  /**
   * The call that a piece continues; null: it begins another. An id is more reliable than an index, an index than
   * nothing.
   */
  #callOf(id: string | null, index: number | null, item: JsonObject): Call | null {
    const known = id === null ? undefined : this.#callById.get(id)
    if (known !== undefined) return index !== null && index !== known.index && isAnother(known, item) ? null : known
    const call = index === null ? this.#lastCall : (this.#callByIndex.get(index) ?? null)
    if (call === null || (id !== null && !saysNothing(call.value['id'])) || isAnother(call, item)) return null
    return call
  }

  #begin(index: number | null): Call {
    const calls = this.#calls
    const call = { index: index ?? (calls.at(-1)?.index ?? -1) + 1, value: {}, input: NO_INPUT }
    let at = calls.length
    const from = Math.max(0, at - MAX_SHIFT)
    while (at > from && calls[at - 1].index > call.index) at--
    calls.splice(at, 0, call)
    if (calls.length === 1) this.message['tool_calls'] = []
    ;(this.message['tool_calls'] as Json[]).splice(at, 0, call.value)
    this.#callByIndex.set(call.index, call)
    return call
  }

  // ------------------------------------------------------------ members

  #join(into: JsonObject, key: string, value: Json, owner: string): void {
    if (key === '__proto__') return // would set the prototype
    const old = own(into, key)
    if (value === null) {
      if (old === undefined) into[key] = null
    } else if (typeof value === 'string') {
      if (key === 'name' && NAMED.has(owner)) into[key] = joinName(typeof old === 'string' ? old : '', value)
      else if (!isPiece(key, owner)) {
        if (value !== '' || saysNothing(old)) into[key] = value
      } else if (Array.isArray(old)) {
        if (value !== '') this.#joinItem(old, { type: 'text', text: value }, key)
      } else into[key] = typeof old === 'string' ? old + value : value
    } else if (Array.isArray(value)) {
      const list = Array.isArray(old) ? old : []
      if (typeof old === 'string' && old !== '') list.push({ type: 'text', text: old })
      into[key] = list
      for (const item of value) this.#joinItem(list, item, key)
    } else if (isObject(value)) {
      const object = isObject(old) ? old : {}
      into[key] = object
      for (const name of Object.keys(value)) this.#join(object, name, value[name], key)
    } else into[key] = value
  }

  #joinItem(list: Json[], item: Json, owner: string): void {
    if (typeof item !== 'object' || item === null) return void list.push(item)
    const known = isObject(item) ? this.#itemOf(list, item, owner) : undefined
    if (known === undefined) {
      const holder: JsonObject = {}
      this.#join(holder, 'item', item, owner) // a copy
      list.push(own(holder, 'item') ?? null)
      if (isObject(item)) this.#remember(list, item)
    } else for (const key of Object.keys(item as JsonObject)) this.#join(known, key, (item as JsonObject)[key], owner)
  }

  #itemOf(list: Json[], item: JsonObject, owner: string): JsonObject | undefined {
    const index = indexOf(item['index'])
    if (index !== null) return this.#itemByIndex.get(list)?.get(index)
    const last = list.at(-1)
    const isText = item['type'] === 'text' || item['type'] === 'thinking'
    return PART_LISTS.has(owner) && isText && isObject(last) && last['type'] === item['type'] ? last : undefined
  }

  #remember(list: Json[], item: JsonObject): void {
    const index = indexOf(item['index'])
    const added = list.at(-1)
    if (index === null || !isObject(added)) return
    const items = this.#itemByIndex.get(list) ?? new Map<number, JsonObject>()
    this.#itemByIndex.set(list, items)
    items.set(index, added)
  }
}

/** A name comes before its arguments. A later one is another call's, or a repetition while these are unfinished. */
export const beginsAnother = (known: { name: string; input: InputScan }, name: string, piece: string): boolean =>
  name !== '' && known.input.begun && (name !== known.name || (known.input.whole && piece.trim() !== ''))

const isAnother = ({ value, input }: Call, item: JsonObject): boolean =>
  beginsAnother({ name: nameOf(value), input }, nameOf(item), inputOf(item))

function memberOf(call: JsonObject, functionKey: string, customKey: string): string {
  const [made, custom] = [call['function'], call['custom']]
  const value = isObject(made) ? made[functionKey] : isObject(custom) ? custom[customKey] : ''
  return typeof value === 'string' ? value : ''
}
const nameOf = (call: JsonObject): string => memberOf(call, 'name', 'name')
const inputOf = (call: JsonObject): string => memberOf(call, 'arguments', 'input')

/** Upstreams send it in pieces, whole in each chunk, or longer with each chunk. */
const joinName = (name: string, piece: string): string =>
  piece === '' ? name : piece.startsWith(name) ? piece : name + piece

/** How far a call's input has come. */
export interface InputScan {
  readonly begun: boolean
  /** A JSON object or list has ended in it. */
  readonly whole: boolean
  readonly depth: number
  readonly inString: boolean
  readonly escaped: boolean
}

export const NO_INPUT: InputScan = { begun: false, whole: false, depth: 0, inString: false, escaped: false }

/** With its next piece, each char of which is looked at once. */
export function scanInput(scan: InputScan, piece: string): InputScan {
  if (piece === '') return scan
  let { whole, depth, inString, escaped } = scan
  for (let i = 0; i < piece.length; i++) {
    const c = piece[i]
    if (escaped) escaped = false
    else if (inString) {
      if (c === '\\') escaped = true
      else if (c === '"') inString = false
    } else if (c === '"') inString = true
    else if (c === '{' || c === '[') depth++
    else if ((c === '}' || c === ']') && --depth === 0) whole = true
  }
  return { begun: true, whole, depth, inString, escaped }
}
