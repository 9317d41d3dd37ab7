/**
 * The schema, read as a list of settings: from it come flags, environment names, docs and the printed configuration.
 */
import type { z } from 'zod'
import { type FieldKind, fieldKinds } from './fields.ts'
import { settings } from './schema.ts'

export type LeafKind = FieldKind | 'text' | 'choice' | 'flag' | 'list' | 'number' | 'object' | 'items' | 'map'

export interface Leaf {
  /** Its place, as in YAML: ["http", "max_body_bytes"]. */
  readonly path: readonly string[]
  readonly kind: LeafKind
  readonly nullable: boolean
  /** As written on the field; undefined: it must be given. */
  readonly default: unknown
  readonly description: string
  readonly choices: readonly string[]
  /** Of `items`: what each has. */
  readonly members: readonly Leaf[]
}

type Schema = z.core.$ZodType

/** The leaves of an object, in the order of the schema; `items` (models, tenants) hold theirs. */
export function leavesOf(object: Schema, path: readonly string[] = []): readonly Leaf[] {
  const { schema } = open(object)
  const { shape } = schema._zod.def as unknown as { readonly shape: Readonly<Record<string, z.ZodType>> }
  return Object.entries(shape).flatMap(([key, field]) => {
    const at = [...path, key]
    const { schema: inner, nullable, fallback } = open(field)
    const kind = kindOf(inner)
    if (kind === 'object') return leavesOf(inner, at)
    const choices =
      inner._zod.def.type === 'enum'
        ? Object.keys((inner._zod.def as unknown as { readonly entries: object }).entries)
        : []
    const members = kind === 'items' ? leavesOf((inner._zod.def as z.core.$ZodArrayDef).element) : []
    return [{ path: at, kind, nullable, default: fallback, description: field.description ?? '', choices, members }]
  })
}

/** The schema without its wrappers: defaults, nullability, pipes. */
function open(field: Schema): { readonly schema: Schema; readonly nullable: boolean; readonly fallback: unknown } {
  let schema = field
  let nullable = false
  let fallback: unknown
  while (!fieldKinds.has(schema)) {
    const def = schema._zod.def as {
      readonly type: string
      readonly innerType?: Schema
      readonly in?: Schema
      readonly defaultValue?: unknown
    }
    if (def.type === 'nullable') nullable = true
    else if (def.type === 'default' || def.type === 'prefault') fallback = def.defaultValue
    else if (def.type !== 'pipe') break
    schema = (def.innerType ?? def.in)!
  }
  return { schema, nullable, fallback }
}

function kindOf(schema: Schema): LeafKind {
  const known = fieldKinds.get(schema)
  if (known) return known.kind
  const def = schema._zod.def as {
    readonly type: string
    readonly element?: Schema
    readonly options?: readonly Schema[]
  }
  switch (def.type) {
    case 'object':
      return 'object'
    case 'enum':
      return 'choice'
    case 'number':
      return 'number'
    case 'record':
      return 'map'
    case 'array':
      return open(def.element!).schema._zod.def.type === 'object' ? 'items' : 'list'
    case 'union':
      return kindOfUnion(def.options!)
    default:
      return 'text'
  }
}

function kindOfUnion(options: readonly Schema[]): LeafKind {
  const types = options.map((o) => o._zod.def.type)
  return types.includes('array') ? 'list' : types.includes('boolean') ? 'flag' : 'text'
}

/** All settings, models and tenants each as one leaf. */
export const LEAVES: readonly Leaf[] = leavesOf(settings)

/**
 * Settings that are one value: they have an environment name; those that are no secret also a flag (a process list
 * shows flags to all).
 */
export const VALUES: readonly Leaf[] = LEAVES.filter((leaf) => leaf.kind !== 'items' && leaf.kind !== 'map')
export const FLAGS: readonly Leaf[] = VALUES.filter((leaf) => leaf.kind !== 'secret')

/** Settings whose members the user names. */
export const MAPS: ReadonlySet<string> = new Set(
  LEAVES.flatMap((leaf) => [leaf, ...leaf.members]).flatMap(({ kind, path }) => (kind === 'map' ? path.slice(-1) : [])),
)

/** ["http", "max_body_bytes"] → "SLUICE_HTTP_MAX_BODY_BYTES" */
export const envName = (leaf: Leaf): string => `SLUICE_${leaf.path.join('_').toUpperCase()}`
/** ["http", "max_body_bytes"] → "http-max-body-bytes" */
export const flagName = (leaf: Leaf): string => leaf.path.join('-').replaceAll('_', '-')
