/**
 * A JSON Schema as a check of answers: of their beginning (prefix.ts), and of the whole (ajv). Clients bring schemas,
 * and ajv turns them into code that takes what time they ask for: so what is taken is bounded, and what is not taken
 * is told as not checked.
 */
import type { ValidateFunction } from 'ajv'
import { isObject, type Json, type JsonObject } from '../../core/fold.ts'
import { load } from '../../core/load.ts'
import { Patterns, TooManySteps } from './patterns.ts'
import { PrefixCheck } from './prefix.ts'
import { checkSize } from './size.ts'

export interface JsonCheck {
  /** For an answer that is beginning. */
  begin(): PrefixCheck
  /** Null: the whole text is valid. Else the rule of the schema that it breaks, "json", or `TOO_LONG`. */
  problemOf(text: string): string | null
}

/** No rule: the text is too long for the patterns of its schema. */
export const TOO_LONG = 'too_long'

const MAX_SCHEMA_CHARS = 64 << 10
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
  const parsed = parse(text)
  if (!isObject(parsed)) throw new Error('the schema is not a JSON object')
  // Its name for others; ajv has schemas of its own that it could be taken for
  const { $id: _id, ...schema } = parsed
  const patterns = new Patterns()
  checkSize(schema, patterns)
  const check = created(schema, patterns)
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

function created(schema: JsonObject, patterns: Patterns): JsonCheck {
  const { default: Create } = load('ajv') as { readonly default: Ajv }
  const ajv = new Create({
    strict: false,
    validateFormats: false,
    validateSchema: false,
    addUsedSchema: false,
    inlineRefs: false,
    logger: false,
    messages: false,
    code: { regExp: Object.assign((source: string) => patterns.matcher(source), { code: 'regExp' }) },
  })
  // Those of ajv compare each pair, and each value that is listed
  for (const keyword of ['uniqueItems', 'enum']) ajv.removeKeyword(keyword)
  ajv.addKeyword({ keyword: 'uniqueItems', type: 'array', validate: areUnique, errors: false })
  ajv.addKeyword({ keyword: 'enum', schemaType: 'array', compile: isListed, errors: false })
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
      patterns.begin()
      try {
        return validate(value) ? null : (validate.errors?.[0]?.keyword ?? 'schema')
      } catch (thrown) {
        if (thrown instanceof TooManySteps) return TOO_LONG
        throw thrown
      }
    },
  }
}

function isListed(values: readonly unknown[]): (value: unknown) => boolean {
  const listed = new Set(values)
  const { default: equal } = load('ajv/dist/runtime/equal.js') as {
    readonly default: (a: unknown, b: unknown) => boolean
  }
  const others = values.filter((value) => typeof value === 'object' && value !== null)
  return (value) => listed.has(value) || others.some((other) => equal(other, value))
}

function areUnique(wanted: boolean, items: readonly unknown[]): boolean {
  return !wanted || new Set(items.map((item) => JSON.stringify(item))).size === items.length
}
