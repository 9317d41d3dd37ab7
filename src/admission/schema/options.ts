/** What single schemas tell of a value: its types, the values that are listed, its members. */
import { isObject, type Json, type JsonObject, own } from '../../core/fold.ts'

/** Schemas that a value may match, one of which is enough. Null: anything. */
export type Options = readonly JsonObject[] | null

/** Those that a value of this type may match. */
export function ofType(options: Options, type: string): Options {
  if (options === null) return null
  return options.filter((schema) => {
    const types = typesOf(schema)
    if (types !== null && !types.includes(type) && !(type === 'number' && types.includes('integer'))) return false
    return listedOf(schema)?.types.has(type) ?? true
  })
}

export function typesOf({ type }: JsonObject): readonly Json[] | null {
  return typeof type === 'string' ? [type] : Array.isArray(type) ? type : null
}

/** The values that an `enum` or a `const` lists, ready to be compared with. */
interface Listed {
  readonly types: ReadonlySet<string>
  readonly values: ReadonlySet<Json>
  /** Sorted. */
  readonly texts: readonly string[]
}

const known = new WeakMap<JsonObject, Listed | null>()

/** Null: it lists none. Each schema is looked at once: values may be many, and so may texts that begin. */
export function listedOf(schema: JsonObject): Listed | null {
  let listed = known.get(schema)
  if (listed === undefined) {
    const { const: only, enum: several } = schema
    const values = Object.hasOwn(schema, 'const') ? [only] : Array.isArray(several) ? several : null
    listed = values && {
      types: new Set(values.map(typeOf)),
      values: new Set(values),
      texts: values.filter((value) => typeof value === 'string').sort(),
    }
    known.set(schema, listed)
  }
  return listed
}

/** Texts from one index to before another, sorted. */
export interface Fits {
  readonly texts: readonly string[]
  readonly from: number
  readonly to: number
}

/** Those whose character at `at` is `c`, where all before it are the same. */
export function narrowed({ texts, from, to }: Fits, at: number, c: string): Fits {
  if (to - from === 1) return { texts, from: texts[from].charAt(at) === c ? from : to, to }
  const first = (from: number, isThere: (c: string) => boolean): number => {
    let [low, high] = [from, to]
    while (low < high) {
      const middle = (low + high) >> 1
      if (isThere(texts[middle].charAt(at))) high = middle
      else low = middle + 1
    }
    return low
  }
  const begin = first(from, (other) => other >= c)
  return { texts, from: begin, to: first(begin, (other) => other > c) }
}

export const typeOf = (value: Json): string => (value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value)

export const isWhole = (schema: JsonObject, value: number): boolean =>
  Number.isInteger(value) || typesOf(schema)!.includes('number')

/** The texts that are listed; null: there is an option that lists none. */
export function textsOf(options: Options): readonly Fits[] | null {
  const fits: Fits[] = []
  for (const schema of ofType(options, 'string') ?? []) {
    const listed = listedOf(schema)
    if (listed === null) return null
    fits.push({ texts: listed.texts, from: 0, to: listed.texts.length })
  }
  return options && fits
}

const required = new WeakMap<JsonObject, ReadonlySet<string>>()

/** Names of members that must be there, each once. */
export function requiredOf(schema: JsonObject): ReadonlySet<string> {
  let names = required.get(schema)
  if (names === undefined) {
    const { required: listed } = schema
    names = new Set(Array.isArray(listed) ? listed.filter((name) => typeof name === 'string') : [])
    required.set(schema, names)
  }
  return names
}

/** What a member of this name must match; false: there may be none. */
export function memberOf(schema: JsonObject, name: string): Json {
  const { properties, additionalProperties: others } = schema
  const known = isObject(properties) ? own(properties, name) : undefined
  return known ?? others ?? true
}
