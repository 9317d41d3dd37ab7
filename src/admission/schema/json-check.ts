/**
 * A JSON Schema as a check of answers: of their beginning (prefix.ts), and of the whole (ajv). Clients bring schemas,
 * and ajv turns them into code that takes what time they ask for: so what is taken is bounded, and what is not taken
 * is told as not checked.
 */
import type { ValidateFunction } from 'ajv'
import type { RE2JS } from 're2js'
import { isObject, type Json, type JsonObject } from '../../core/fold.ts'
import { load } from '../../core/load.ts'
import { PrefixCheck } from './prefix.ts'
import { pointed } from './reference.ts'

export interface JsonCheck {
  /** For an answer that is beginning. */
  begin(): PrefixCheck
  /** Null: the whole text is valid. Else the rule of the schema that it breaks, or "json". */
  problemOf(text: string): string | null
}

const MAX_SCHEMA_CHARS = 64 << 10
/** Schemas that a value may be held against, each reference counted as often as it is followed. */
const MAX_CHECKS = 20_000
const MAX_DEPTH = 64
/** Compiled ones that are kept. */
const MAX_KEPT = 200

type Ajv = new (
  options: object,
) => {
  compile(schema: unknown): ValidateFunction
  removeKeyword(name: string): void
  addKeyword(definition: object): void
}

/** Loads what is needed for the first one: that takes longer than an answer may wait. */
export function prepareSchemas(): void {
  load('ajv')
  load('re2js')
}

/** What keeps a schema from being used, or null. */
export function schemaProblem(text: string): string | null {
  try {
    compileSchema(text)
    return null
  } catch (thrown) {
    return (thrown as Error).message
  }
}

const kept = new Map<string, JsonCheck>()

/** `text`: JSON. Throws an error whose message says what is wrong. */
export function compileSchema(text: string): JsonCheck {
  const known = kept.get(text)
  if (known !== undefined) return known
  if (text.length > MAX_SCHEMA_CHARS) throw new Error(`the schema has more than ${MAX_SCHEMA_CHARS} characters`)
  const schema = parse(text)
  if (!isObject(schema)) throw new Error('the schema is not a JSON object')
  checkSize(schema)
  const check = created(schema)
  // The oldest makes room: a service asks with the same few
  if (kept.size >= MAX_KEPT) kept.delete(kept.keys().next().value!)
  kept.set(text, check)
  return check
}

function parse(text: string): Json {
  try {
    return JSON.parse(text) as Json
  } catch {
    throw new Error('the schema is not JSON')
  }
}

function created(schema: JsonObject): JsonCheck {
  const { default: Create } = load('ajv') as { readonly default: Ajv }
  const { RE2JS: Engine } = load('re2js') as { readonly RE2JS: typeof RE2JS }
  const ajv = new Create({
    strict: false,
    validateFormats: false,
    validateSchema: false,
    addUsedSchema: false,
    inlineRefs: false,
    logger: false,
    messages: false,
    // A pattern of a client must not go back either
    code: { regExp: Object.assign((source: string) => matcher(Engine, source), { code: 'regExp' }) },
  })
  // The one of ajv compares each pair
  ajv.removeKeyword('uniqueItems')
  ajv.addKeyword({ keyword: 'uniqueItems', type: 'array', validate: areUnique, errors: false })
  let validate: ValidateFunction
  try {
    validate = ajv.compile(schema)
  } catch {
    throw new Error('the schema can’t be compiled')
  }
  return {
    begin: () => new PrefixCheck(schema),
    problemOf(text) {
      let value: unknown
      try {
        value = JSON.parse(text)
      } catch {
        return 'json'
      }
      return validate(value) ? null : (validate.errors?.[0]?.keyword ?? 'schema')
    },
  }
}

/** Ajv tells patterns apart by `toString`. */
function matcher(Engine: typeof RE2JS, source: string): { test(text: string): boolean; toString(): string } {
  const expression = Engine.compile(source)
  return { test: (text) => expression.matcher(text).find(), toString: () => source }
}

function areUnique(wanted: boolean, items: readonly unknown[]): boolean {
  return !wanted || new Set(items.map((item) => JSON.stringify(item))).size === items.length
}

/** Throws where a value could be held against too many schemas, or against one without end. */
function checkSize(root: JsonObject): void {
  const sizes = new Map<Json, number>()
  const open = new Set<Json>()
  const sizeOf = (schema: Json | undefined, depth: number): number => {
    if (typeof schema !== 'object' || schema === null) return 1
    const known = sizes.get(schema)
    if (known !== undefined) return known
    if (open.has(schema)) throw new Error('the schema refers to itself')
    if (depth > MAX_DEPTH) throw new Error(`the schema is nested deeper than ${MAX_DEPTH}`)
    open.add(schema)
    let size = 1
    if (Array.isArray(schema)) for (const item of schema) size += sizeOf(item, depth + 1)
    else
      for (const key of Object.keys(schema)) {
        if (DEFINITIONS.has(key) || DATA.has(key)) continue
        const ref = key === '$ref' ? pointed(root, schema[key]) : schema[key]
        if (ref === null && key === '$ref') throw new Error('the schema refers to something outside it')
        size += sizeOf(ref, depth + 1)
        if (key === '$dynamicRef' || key === '$recursiveRef') throw new Error(`the schema has a ${key}`)
      }
    open.delete(schema)
    if (size > MAX_CHECKS) throw new Error(`the schema amounts to more than ${MAX_CHECKS} checks`)
    sizes.set(schema, size)
    return size
  }
  sizeOf(root, 0)
}

/** Members that are no schemas of their own where they stand. */
const DEFINITIONS = new Set(['$defs', 'definitions'])
const DATA = new Set(['enum', 'const', 'default', 'examples', 'required'])
