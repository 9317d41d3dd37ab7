/**
 * Top-level members of a JSON object by their byte ranges, so that a request can be passed on byte for byte with
 * one member changed, and so that hostile nesting is refused before JSON.parse sees it. Not a validator: parse too.
 */
import { SluiceError } from './errors.ts'

export type JsonRecord = Readonly<Record<string, unknown>>
export const isRecord = (value: unknown): value is JsonRecord =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

export interface JsonLimits {
  readonly maxDepth: number
  readonly maxKeys: number
  /**
   * Texts, lists and objects, which cost more than their bytes once they are parsed; and the items of all lists and
   * objects.
   */
  readonly maxValues?: number
  readonly maxItems?: number
  /** The limits are not settings, so a refusal names none. */
  readonly fixed?: boolean
}

/** What a body may hold besides its keys: parsing 4 MiB of empty lists takes half a second. */
const VALUES_A_KEY = 4
const MAX_VALUES = 400_000
const MAX_ITEMS = 1_000_000

/** The limits of a body as a whole, by those that are settings. */
export const bodyLimits = (limits: JsonLimits): JsonLimits => ({
  ...limits,
  maxValues: Math.min(MAX_VALUES, limits.maxKeys * VALUES_A_KEY),
  maxItems: MAX_ITEMS,
})

/** For JSON that was checked before. */
export const NO_LIMITS: JsonLimits = { maxDepth: Number.MAX_SAFE_INTEGER, maxKeys: Number.MAX_SAFE_INTEGER }

export interface Member {
  readonly key: string
  /** First byte of the key's quote. */
  readonly at: number
  readonly valueStart: number
  readonly valueEnd: number
}

const [QUOTE, BACKSLASH, COLON, COMMA, OPEN_OBJECT, CLOSE_OBJECT, OPEN_ARRAY, CLOSE_ARRAY] = [
  0x22, 0x5c, 0x3a, 0x2c, 0x7b, 0x7d, 0x5b, 0x5d,
]
const isSpace = (c: number): boolean => c === 0x20 || c === 0x0a || c === 0x0d || c === 0x09

/** Most strings end within so many bytes: looking at each is cheaper than a native search, which long ones pay for. */
const NEAR = 24

/** Index after the string that begins at `i` (a quote). */
function skipString(json: Uint8Array, i: number): number {
  const near = Math.min(json.length, i + NEAR)
  let at = i + 1
  for (; at < near; at++) {
    if (json[at] === QUOTE) return at + 1
    if (json[at] === BACKSLASH) at++
  }
  for (let end = at; ; end++) {
    end = json.indexOf(QUOTE, end)
    if (end < 0) return json.length
    let slashes = 0
    while (json[end - 1 - slashes] === BACKSLASH) slashes++
    if (slashes % 2 === 0) return end + 1
  }
}

/**
 * Throws invalid_json or invalid_request (too deep, too many keys). `json` is UTF-8 without BOM. Keys such as
 * "__proto__" pass: bytes are passed on, and what is parsed is read, never merged.
 */
export function scanObject(json: Uint8Array, limits: JsonLimits): readonly Member[] {
  const members: Member[] = []
  scan(json, limits, members)
  return members
}

/** As scanObject. Returns the number of keys at all depths; `members`: the top-level ones are added to it. */
export function scan(json: Uint8Array, limits: JsonLimits, members: Member[] | null = null): number {
  let depth = 0
  let keys = 0
  let values = 0
  let items = 0
  const { maxValues = Infinity, maxItems = Infinity } = limits
  let key = ''
  let at = -1
  let valueStart = -1
  let afterColon = false
  const close = (end: number): void => {
    if (members === null || valueStart < 0) return
    while (end > valueStart && isSpace(json[end - 1])) end--
    members.push({ key, at, valueStart, valueEnd: end })
    valueStart = -1
    afterColon = false
  }
  for (let i = 0; i < json.length; i++) {
    const c = json[i]
    if (c === QUOTE) {
      values++
      const end = skipString(json, i)
      let next = end
      while (next < json.length && isSpace(json[next])) next++
      if (json[next] === COLON) {
        keys++
        if (members !== null && depth === 1 && !afterColon && keys <= limits.maxKeys) {
          key = decodeKey(asBuffer(json), i, end)
          at = i
          afterColon = true
          i = next
          while (i + 1 < json.length && isSpace(json[i + 1])) i++
          valueStart = i + 1
          continue
        }
      }
      i = end - 1
    } else if (c === OPEN_OBJECT || c === OPEN_ARRAY) {
      values++
      if (++depth > limits.maxDepth)
        throw tooMuch('is nested deeper than', limits.maxDepth, limits.fixed === true ? '' : 'http.max_depth')
    } else if (c === CLOSE_OBJECT || c === CLOSE_ARRAY) {
      if (--depth === 0) close(i)
    } else if (c === COMMA) {
      items++
      if (depth === 1) close(i)
    }
  }
  checkKeys(keys, limits)
  if (values > maxValues) throw tooMuch(`has ${values} texts, lists and objects, more than`, maxValues, '')
  if (items > maxItems) throw tooMuch(`has ${items} items, more than`, maxItems, '')
  return keys
}

/** Throws invalid_request. */
export function checkKeys(keys: number, { maxKeys, fixed }: Pick<JsonLimits, 'maxKeys' | 'fixed'>): void {
  if (keys > maxKeys) throw tooMuch(`has ${keys} keys, more than`, maxKeys, fixed === true ? '' : 'http.max_keys')
}

/**
 * Throws invalid_request if an object in it has two members of one name: which of them counts differs from parser to
 * parser, so others would read another request than we do. `value` is what `bytes` parse to, `keys` what `scan` counts.
 */
export function checkUnique({ bytes, value, keys }: Scanned): void {
  if (countKeys(value) === keys) return
  const path = repeatedIn(bytes).slice(0, MAX_PATH_CHARS)
  throw new SluiceError('invalid_request', { param: path, message: `The body has "${path}" more than once.` })
}

export interface Scanned {
  readonly bytes: Uint8Array
  readonly value: JsonRecord
  readonly keys: number
}

const MAX_PATH_CHARS = 200

/** At all depths; parsing leaves one of each name. */
function countKeys(value: object): number {
  let keys = 0
  const add = (member: unknown): void => {
    if (typeof member === 'object' && member !== null) keys += countKeys(member)
  }
  if (Array.isArray(value)) for (const item of value) add(item)
  else {
    const names = Object.keys(value)
    keys = names.length
    for (const name of names) add((value as JsonRecord)[name])
  }
  return keys
}

/** Path of the first member whose name its object has already, as `messages[0].content`. `json` must be valid. */
function repeatedIn(json: Uint8Array): string {
  const buffer = asBuffer(json)
  /** The objects and lists around: the last name or index in each; null: a list has no names. */
  const open: Array<{ at: string | number; readonly names: Set<string> | null }> = []
  for (let i = 0; i < json.length; i++) {
    const c = json[i]
    if (c === QUOTE) {
      const end = skipString(json, i)
      let next = end
      while (next < json.length && isSpace(json[next])) next++
      if (json[next] === COLON) {
        const { names } = open[open.length - 1]
        const name = decodeKey(buffer, i, end)
        open[open.length - 1].at = name
        if (names?.has(name) === true) return pathOf(open.map(({ at }) => at))
        names?.add(name)
      }
      i = end - 1
    } else if (c === OPEN_OBJECT) open.push({ at: '', names: new Set() })
    else if (c === OPEN_ARRAY) open.push({ at: 0, names: null })
    else if (c === CLOSE_OBJECT || c === CLOSE_ARRAY) open.pop()
    else if (c === COMMA) {
      const inner = open[open.length - 1]
      if (typeof inner.at === 'number') inner.at++
    }
  }
  return ''
}

const pathOf = (steps: ReadonlyArray<string | number>): string =>
  steps.map((step, i) => (typeof step === 'number' ? `[${step}]` : i === 0 ? step : `.${step}`)).join('')

/** A top-level member's value as it was sent, JSON; null: there is none. The last one counts, as for JSON.parse. */
export function memberText(json: Uint8Array, key: string): string | null {
  const member = scanObject(json, NO_LIMITS).findLast((m) => m.key === key)
  if (member === undefined) return null
  const { valueStart, valueEnd } = member
  return Buffer.from(json.buffer, json.byteOffset + valueStart, valueEnd - valueStart).toString('utf8')
}

const tooMuch = (what: string, limit: number, setting: string): SluiceError =>
  new SluiceError('invalid_request', {
    message: `The body ${what} ${limit}${setting === '' ? '' : `, the limit set by ${setting}`}.`,
  })

/** The items of a JSON array by their byte ranges. `json` must be valid, and an array. */
export function scanArray(json: Uint8Array): ReadonlyArray<{ readonly start: number; readonly end: number }> {
  const items: Array<{ start: number; end: number }> = []
  let depth = 0
  let start = -1
  const close = (end: number): void => {
    if (start < 0) return
    while (isSpace(json[end - 1])) end--
    items.push({ start, end })
    start = -1
  }
  for (let i = 0; i < json.length; i++) {
    const c = json[i]
    if (depth === 1 && start < 0 && !isSpace(c) && c !== CLOSE_ARRAY && c !== COMMA) start = i
    if (c === QUOTE) i = skipString(json, i) - 1
    else if (c === OPEN_OBJECT || c === OPEN_ARRAY) depth++
    else if (c === CLOSE_OBJECT || c === CLOSE_ARRAY) {
      if (--depth === 0) close(i)
    } else if (c === COMMA && depth === 1) close(i)
  }
  return items
}

const asBuffer = (bytes: Uint8Array): Buffer =>
  Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

function decodeKey(json: Buffer, start: number, end: number): string {
  const text = json.toString('utf8', start, end)
  if (!text.includes('\\')) return text.slice(1, -1)
  try {
    return JSON.parse(text) as string
  } catch (cause) {
    throw new SluiceError('invalid_json', { cause })
  }
}

const [OPEN, SEPARATOR, CLOSE] = ['{', ',', '}'].map((text) => Buffer.from(text))

/**
 * The object with top-level members set (JSON text) or taken out (null); every other byte stays as it was.
 * A member that occurs more than once is set at its last place and taken out of the others. `json` must be valid;
 * `members`: where it has been scanned already.
 */
export function editObject(
  json: Uint8Array,
  edits: Readonly<Record<string, string | null>>,
  members: readonly Member[] = scanObject(json, NO_LIMITS),
): Uint8Array {
  const last = new Map<string, number>()
  for (const [i, m] of members.entries()) last.set(m.key, i)
  const parts: Uint8Array[] = []
  const add = (...bytes: readonly Uint8Array[]): void =>
    void parts.push(parts.length === 0 ? OPEN : SEPARATOR, ...bytes)
  members.forEach((m, i) => {
    const edit = Object.hasOwn(edits, m.key) ? edits[m.key] : undefined
    if (edit === undefined) add(json.subarray(m.at, m.valueEnd))
    else if (edit !== null && last.get(m.key) === i) add(json.subarray(m.at, m.valueStart), Buffer.from(edit, 'utf8'))
  })
  for (const [key, value] of Object.entries(edits))
    if (value !== null && !last.has(key)) add(Buffer.from(`${JSON.stringify(key)}:${value}`, 'utf8'))
  if (parts.length === 0) parts.push(OPEN)
  parts.push(CLOSE)
  return Buffer.concat(parts)
}
