/** Checks of what a peer sent: of the members that a reader uses, and no more. */
import { isRecord, type JsonRecord } from '../../core/json.ts'

export type Member = (value: unknown) => boolean
export type Shape = Readonly<Record<string, Member>>

export const text: Member = (value) => typeof value === 'string'
export const count: Member = (value) => Number.isSafeInteger(value) && (value as number) >= 0
export const flag: Member = (value) => typeof value === 'boolean'
export const number: Member = (value) => typeof value === 'number'
export const positive: Member = (value) => Number.isFinite(value) && (value as number) > 0
export const object: Member = (value) => isRecord(value)
export const maybe =
  (member: Member): Member =>
  (value) =>
    value === undefined || value === null || member(value)
export const orNull =
  (member: Member): Member =>
  (value) =>
    value === null || member(value)
export const list =
  (member: Member): Member =>
  (value) =>
    Array.isArray(value) && value.every(member)
/** Of any names. */
export const record =
  (member: Member): Member =>
  (value) =>
    isRecord(value) && Object.values(value).every(member)
export const oneOf =
  (...texts: readonly string[]): Member =>
  (value) =>
    texts.includes(value as string)
export const members =
  (shape: Shape): Member =>
  (value) =>
    fits(value, shape)

export function fits(value: unknown, shape: Shape): boolean {
  if (!isRecord(value)) return false
  for (const name in shape) if (!shape[name](value[name])) return false
  return true
}

/** JSON, or null where it is none. */
export function parse(json: string): unknown {
  try {
    return JSON.parse(json)
  } catch {
    return null
  }
}

/** What of a JSON array has a type of `shapes` and its members; `other` gets the rest. */
export function readTyped<T>(
  json: string,
  shapes: Readonly<Record<string, Shape>>,
  other: (value: JsonRecord) => void = () => {},
): readonly T[] {
  const values = parse(json)
  if (!Array.isArray(values)) return []
  return values.filter((value: unknown) => {
    if (!isRecord(value)) return false
    const { type } = value
    const isKnown = typeof type === 'string' && Object.hasOwn(shapes, type) && fits(value, shapes[type])
    if (!isKnown) other(value)
    return isKnown
  }) as readonly T[]
}
