/**
 * Tells as soon as possible that a text can't become JSON that matches a schema: while it is being written, character
 * by character. It judges by `type`, `enum`, `const`, `properties`, `required`, `additionalProperties`, `items`, by
 * references, and by each alternative of `anyOf` and `oneOf`; what else a schema has is left to the check of the whole.
 * It may take what is invalid, never the reverse.
 */
import { isObject, type Json, type JsonObject, own } from '../../core/fold.ts'
import {
  type Fits,
  isWhole,
  listedOf,
  memberOf,
  narrowed,
  type Options,
  ofType,
  requiredOf,
  textsOf,
  typeOf,
  typesOf,
} from './options.ts'
import { pointed } from './reference.ts'

interface Frame {
  readonly kind: 'object' | 'array'
  readonly options: Options
  /** Names of an object's members. */
  readonly seen: Set<string>
  /** What the value after the next colon may be. */
  next: Options
}

/** A text, a number or a literal, as far as it has been read. */
interface Token {
  readonly kind: 'text' | 'name' | 'bare'
  text: string
  escaped: boolean
  tooLong: boolean
  /** Of the values that are listed, those that it may become; null: it may be any text. */
  fits: readonly Fits[] | null
}

const MAX_DEPTH = 128
const MAX_OPTIONS = 32
/** Longer names and values of an enumeration are not compared. */
const MAX_TEXT = 4_096
/** Members that narrow what others of the same schema say in ways that are not followed here. */
const UNFOLLOWED = ['allOf', 'not', 'if', 'patternProperties', 'prefixItems', 'dependentSchemas', 'propertyNames']

/** The beginning of one. */
const NUMBER = /^-?(?:(?:0|[1-9]\d*)(?:\.(?:\d+(?:[eE][+-]?\d*)?)?|[eE][+-]?\d*)?)?$/
const LITERALS: Readonly<Record<string, string>> = { t: 'true', f: 'false', n: 'null' }

type Expected =
  | 'value'
  /** A value, or the end of the list. */
  | 'first-item'
  | 'name'
  | 'first-name'
  | 'colon'
  | 'comma'
  | 'nothing'

export class PrefixCheck {
  readonly #root: JsonObject
  readonly #frames: Frame[] = []
  #expected: Expected = 'value'
  #options: Options
  #token: Token | null = null
  #isInvalid = false

  constructor(schema: JsonObject) {
    this.#root = schema
    this.#options = this.#expand([schema])
  }

  /** False: whatever follows, it is invalid. */
  push(piece: string): boolean {
    for (let i = 0; i < piece.length && !this.#isInvalid; i++) this.#isInvalid = !this.#take(piece[i])
    return !this.#isInvalid
  }

  #take(c: string): boolean {
    const token = this.#token
    if (token?.kind === 'bare') {
      if (/[\w.+-]/.test(c)) return this.#bare(token.text + c)
      this.#token = null
      return this.#bareEnds(token.text) && this.#take(c)
    }
    if (token !== null) return this.#textGoesOn(token, c)
    if (c === ' ' || c === '\n' || c === '\r' || c === '\t') return true
    switch (this.#expected) {
      case 'nothing':
        return false
      case 'colon':
        if (c !== ':') return false
        this.#expected = 'value'
        this.#options = this.#frames[this.#frames.length - 1].next
        return true
      case 'comma':
        return this.#afterValue(c)
      case 'name':
      case 'first-name':
        if (c === '}' && this.#expected === 'first-name') return this.#close('object')
        if (c !== '"') return false
        this.#token = begun('name')
        return true
      case 'first-item':
        if (c === ']') return this.#close('array')
        return this.#begin(c)
      default:
        return this.#begin(c)
    }
  }

  // ------------------------------------------------------------ values

  #begin(c: string): boolean {
    switch (c) {
      case '{':
      case '[': {
        const kind = c === '{' ? 'object' : 'array'
        const options = ofType(this.#options, kind)
        if (options?.length === 0 || this.#frames.length >= MAX_DEPTH) return false
        this.#frames.push({ kind, options, seen: new Set(), next: null })
        if (kind === 'object') this.#expected = 'first-name'
        else {
          this.#expected = 'first-item'
          this.#options = this.#expandAll(options, (schema) => own(schema, 'items') ?? true)
        }
        return true
      }
      case '"':
        if (ofType(this.#options, 'string')?.length === 0) return false
        this.#token = begun('text', textsOf(this.#options))
        return true
      default:
        return ofType(this.#options, bareType(c))?.length !== 0 && this.#bare(c)
    }
  }

  /** A number or a literal, as far as it has been read. */
  #bare(text: string): boolean {
    const literal = LITERALS[text[0]]
    const isPossible = literal === undefined ? NUMBER.test(text) : literal.startsWith(text)
    if (!isPossible || text.length > 400) return false
    this.#token = { ...begun('bare'), text }
    return true
  }

  #bareEnds(text: string): boolean {
    let value: Json
    try {
      value = JSON.parse(text) as Json
    } catch {
      return false
    }
    return this.#isAllowed(value) && this.#valueEnds()
  }

  #textGoesOn(token: Token, c: string): boolean {
    if (!token.escaped && c === '"') {
      this.#token = null
      return token.kind === 'name' ? this.#nameEnds(token) : this.#textEnds(token)
    }
    if (c < ' ') return false
    token.escaped = !token.escaped && c === '\\'
    if (token.text.length >= MAX_TEXT) {
      token.tooLong = true
      return true
    }
    // What is spelled with escapes is compared at its end
    if (c === '\\') token.fits = null
    const at = token.text.length
    token.text += c
    token.fits &&= token.fits.map((fits) => narrowed(fits, at, c)).filter(({ from, to }) => from < to)
    return token.fits?.length !== 0
  }

  #textEnds({ text, tooLong }: Token): boolean {
    const value = tooLong ? null : decoded(text)
    return value === undefined ? false : (value === null || this.#isAllowed(value)) && this.#valueEnds()
  }

  #isAllowed(value: Json): boolean {
    const options = ofType(this.#options, typeOf(value))
    if (options === null) return true
    return options.some((schema) => {
      const listed = listedOf(schema)
      if (listed !== null && !listed.values.has(value)) return false
      return !typesOf(schema)?.includes('integer') || typeof value !== 'number' || isWhole(schema, value)
    })
  }

  #valueEnds(): boolean {
    this.#expected = this.#frames.length === 0 ? 'nothing' : 'comma'
    return true
  }

  // ------------------------------------------------------------ objects and lists

  #nameEnds({ text, tooLong }: Token): boolean {
    const name = tooLong ? null : decoded(text)
    if (name === undefined) return false
    const frame = this.#frames[this.#frames.length - 1]
    this.#expected = 'colon'
    frame.next = null
    if (name === null || frame.options === null) return true
    frame.seen.add(name)
    const possible = frame.options.filter((schema) => memberOf(schema, name) !== false)
    if (possible.length === 0) return false
    frame.next = this.#expandAll(possible, (schema) => memberOf(schema, name))
    return true
  }

  #afterValue(c: string): boolean {
    const frame = this.#frames[this.#frames.length - 1]
    if (c === ',') {
      this.#expected = frame.kind === 'object' ? 'name' : 'value'
      if (frame.kind === 'array')
        this.#options = this.#expandAll(frame.options, (schema) => own(schema, 'items') ?? true)
      return true
    }
    return c === '}' ? this.#close('object') : c === ']' ? this.#close('array') : false
  }

  #close(kind: Frame['kind']): boolean {
    const frame = this.#frames.pop()
    if (frame?.kind !== kind) return false
    const hasAll = (schema: JsonObject): boolean => requiredOf(schema).isSubsetOf(frame.seen)
    if (kind === 'object' && frame.options !== null && !frame.options.some(hasAll)) return false
    return this.#valueEnds()
  }

  // ------------------------------------------------------------ schemas

  #expandAll(options: Options, of: (schema: JsonObject) => Json): Options {
    return options === null ? null : this.#expand(options.map(of))
  }

  /** The alternatives behind references and `anyOf`; null where one of them takes anything, or there are too many. */
  #expand(schemas: readonly Json[]): Options {
    const options: JsonObject[] = []
    const open = [...schemas]
    for (let steps = 0; open.length > 0; steps++) {
      if (steps > MAX_OPTIONS || options.length > MAX_OPTIONS) return null
      const schema = open.pop()!
      if (schema === false) continue
      if (!isObject(schema) || UNFOLLOWED.some((name) => Object.hasOwn(schema, name))) return null
      const { $ref: reference, anyOf, oneOf } = schema
      if (reference !== undefined) {
        const target = pointed(this.#root, reference)
        if (target === null) return null
        open.push(target)
      } else if (Array.isArray(anyOf)) open.push(...anyOf)
      else if (Array.isArray(oneOf)) open.push(...oneOf)
      else options.push(schema)
    }
    return options
  }
}

const begun = (kind: Token['kind'], fits: Token['fits'] = null): Token => {
  return { kind, text: '', escaped: false, tooLong: false, fits }
}

function bareType(c: string): string {
  const literal = LITERALS[c]
  return literal === undefined ? 'number' : literal === 'null' ? 'null' : 'boolean'
}

/** A text of JSON, without its quotes; undefined: it is none. */
function decoded(text: string): string | undefined {
  if (!text.includes('\\')) return text
  try {
    return JSON.parse(`"${text}"`) as string
  } catch {
    return undefined
  }
}
