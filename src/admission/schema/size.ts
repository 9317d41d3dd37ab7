/** What a schema may cost, counted before ajv makes code of it. */
import { isObject, type Json, type JsonObject } from '../../core/fold.ts'
import { MAX_PROGRAM } from '../scan/patterns.ts'
import type { Patterns } from './patterns.ts'
import { pointed } from './reference.ts'

/** What a value may be held against: schemas, listed values and names, each reference as often as it is followed. */
const MAX_CHECKS = 20_000
/** A step of a pattern, in checks: each character of a text may take so many steps. */
const STEP = MAX_CHECKS / MAX_PROGRAM
const MAX_DEPTH = 64

/** A map's members are schemas, whatever their names; a list is held against a value as it is. */
type Role = 'schema' | 'map' | 'list'

const MAPS = new Set(['properties', 'patternProperties', 'dependentSchemas', 'dependencies'])
const LISTS = new Set(['enum', 'const', 'required'])
/** Never held against a value; definitions only where a reference leads to them. */
const UNCHECKED = new Set(['$defs', 'definitions', 'default', 'examples'])
/** Ajv follows them at run time, or runs the check as a promise. */
const REFUSED = new Set(['$dynamicRef', '$recursiveRef', '$async'])

/** Throws where a value could be held against too much, or against a schema without end. */
export function checkSize(root: JsonObject, patterns: Patterns): void {
  if (hasId(root)) throw new Error('the schema has an $id below its root')
  // One object may be two things: "#/properties" is a map where it stands, and a schema where it is referred to
  const known: Record<Role, Map<Json, number>> = { schema: new Map(), map: new Map(), list: new Map() }
  const open = new Set<Json>()

  const sizeOf = (value: Json | undefined, role: Role, depth: number): number => {
    if (typeof value !== 'object' || value === null) return 1
    const before = known[role].get(value)
    if (before !== undefined) return before
    if (open.has(value)) throw new Error('the schema refers to itself')
    if (depth > MAX_DEPTH) throw new Error(`the schema is nested deeper than ${MAX_DEPTH}`)
    open.add(value)
    let size = 1
    const add = (more: number): void => {
      size += more
      if (size > MAX_CHECKS) throw new Error(`the schema amounts to more than ${MAX_CHECKS} checks`)
    }
    if (Array.isArray(value) || role !== 'schema')
      for (const each of Object.values(value)) add(sizeOf(each, role === 'list' ? 'list' : 'schema', depth + 1))
    else for (const key of Object.keys(value)) add(memberSize(key, value[key], depth + 1))
    open.delete(value)
    known[role].set(value, size)
    return size
  }

  const memberSize = (key: string, value: Json, depth: number): number => {
    if (REFUSED.has(key)) throw new Error(`the schema has a ${key}`)
    if (UNCHECKED.has(key)) return 0
    if (key === 'pattern' && typeof value === 'string') return STEP * patterns.take(value)
    if (key === '$ref') {
      const target = pointed(root, value)
      if (target === null) throw new Error('the schema refers to something outside it')
      return sizeOf(target, 'schema', depth)
    }
    let steps = 0
    if (key === 'patternProperties' && isObject(value))
      for (const source of Object.keys(value)) steps += patterns.take(source)
    return STEP * steps + sizeOf(value, MAPS.has(key) ? 'map' : LISTS.has(key) ? 'list' : 'schema', depth)
  }

  sizeOf(root, 'schema', 0)
}

/** Below the root, it moves the base of references: "#/…" leads elsewhere for ajv than it does here. */
function hasId(root: JsonObject): boolean {
  const open: Json[] = [root]
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (typeof next !== 'object' || next === null) continue
    if (!Array.isArray(next) && Object.hasOwn(next, '$id') && typeof next['$id'] === 'string') return true
    for (const value of Object.values(next)) open.push(value)
  }
  return false
}
