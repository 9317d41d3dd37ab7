/**
 * The schema, read as a list of settings: from it come flags, environment names, docs and the printed configuration.
 */
import type { z } from 'zod'
import { type FieldKind, fieldKinds } from '../settings/fields.ts'
import { settings } from './schema.ts'

export type LeafKind = FieldKind | 'text' | 'choice' | 'flag' | 'list' | 'object' | 'items' | 'map'

export interface Leaf {
  /** Its place, as in YAML: ["http", "max_body_bytes"]. */
  readonly path: readonly string[]
  readonly kind: LeafKind
  readonly nullable: boolean
  /** As written on the field; undefined: it must be given. */
  readonly default: unknown
  readonly description: string
  readonly choices: readonly string[]
  /** Of `items`: what each has. Of `limits`: what they are. */
  readonly members: readonly Leaf[]
  /** Of a model's setting: the providers that have it, unless all do. */
  readonly providers: readonly string[] | null
}

type Schema = z.core.$ZodType

/** The leaves of an object, in the order of the schema; `items` (models, tenants) hold theirs. */
function leavesOf(object: Schema, path: readonly string[] = []): readonly Leaf[] {
  const { schema } = open(object)
  const { shape } = schema._zod.def as unknown as { readonly shape: Readonly<Record<string, z.ZodType>> }
  return Object.entries(shape).flatMap(([key, field]) => {
    const at = [...path, key]
    const { schema: inner, nullable, fallback } = open(field)
    const kind = kindOf(inner)
    if (kind === 'object') return leavesOf(inner, at)
    const choices = choicesOf(inner._zod.def)
    const groups = groupsOf(inner).flatMap((group) => leavesOf(group, at))
    // Refused wherever it is given
    if (inner._zod.def.type === 'unknown') return []
    const members =
      kind === 'items'
        ? membersOf((inner._zod.def as z.core.$ZodArrayDef).element)
        : kind === 'limits'
          ? leavesOf(inner)
          : []
    const description = field.description ?? ''
    return [{ path: at, kind, nullable, default: fallback, description, choices, members, providers: null }, ...groups]
  })
}

/** What may be given instead of a word: `engine` is one, or a group. */
function groupsOf(schema: Schema): readonly Schema[] {
  const { type, options = [] } = schema._zod.def as { readonly type: string; readonly options?: readonly Schema[] }
  return type === 'union' && !fieldKinds.has(schema) ? options.filter(({ _zod }) => _zod.def.type === 'object') : []
}

/** What each item of a list has; where items differ by their provider, the settings of all, each once. */
function membersOf(item: Schema): readonly Leaf[] {
  const { schema } = open(item)
  const { options } = schema._zod.def as { readonly options?: readonly Schema[] }
  if (options === undefined) return leavesOf(item)
  const models = options.map((option) => leavesOf(option))
  const nameOf = ({ path }: Leaf): string => path.join('.')
  const namesOf = models.map((leaves) => new Set(leaves.map(nameOf)))
  const providers = models.map((leaves) => leaves.find(({ path }) => path[0] === 'provider')!)
  const provider = {
    ...providers[0],
    choices: providers.flatMap(({ choices }) => choices),
    description: `${providers.map(({ choices, description }) => `\`${choices}\`: ${description}`).join('; ')}.`,
  }
  const byName = Map.groupBy(models.flat(), nameOf)
  return [...byName].map(([name, [leaf]]) => {
    if (name === 'provider') return provider
    const has = namesOf.map((names) => names.has(name))
    return has.every(Boolean) ? leaf : { ...leaf, providers: provider.choices.filter((_, i) => has[i]) }
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
    else if (def.type !== 'pipe' && def.type !== 'optional') break
    schema = (def.innerType ?? def.in)!
  }
  return { schema, nullable, fallback }
}

function choicesOf(def: z.core.$ZodTypeDef): readonly string[] {
  const { type, entries, values, options } = def as {
    readonly type: string
    readonly entries?: object
    readonly values?: readonly string[]
    readonly options?: readonly Schema[]
  }
  if (type === 'union') return options!.flatMap(({ _zod }) => choicesOf(_zod.def))
  return type === 'enum' ? Object.keys(entries!) : type === 'literal' ? values! : []
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
    case 'literal':
      return 'choice'
    case 'number':
      return 'number'
    case 'record':
      return 'map'
    case 'array':
      return isItem(open(def.element!).schema) ? 'items' : 'list'
    case 'union':
      return kindOfUnion(def.options!)
    default:
      return 'text'
  }
}

/** A model is one of a union, by its provider. */
function isItem({ _zod: { def } }: Schema): boolean {
  return def.type === 'object' || (def as { readonly discriminator?: string }).discriminator === 'provider'
}

function kindOfUnion(options: readonly Schema[]): LeafKind {
  const types = options.map((o) => o._zod.def.type)
  if (types.includes('enum')) return 'choice'
  return types.includes('array') ? 'list' : types.includes('boolean') ? 'flag' : 'text'
}

/** All settings, models and tenants each as one leaf. */
export const LEAVES: readonly Leaf[] = leavesOf(settings)

/**
 * Settings that are one value: they have an environment name; those that are no secret also a flag (a process list
 * shows flags to all).
 */
export const VALUES: readonly Leaf[] = LEAVES.filter(
  ({ kind }) => kind !== 'items' && kind !== 'limits' && kind !== 'map',
)
export const FLAGS: readonly Leaf[] = VALUES.filter((leaf) => leaf.kind !== 'secret')

/** Settings whose members the user names. */
export const MAPS: ReadonlySet<string> = new Set(
  LEAVES.flatMap((leaf) => [leaf, ...leaf.members]).flatMap(({ kind, path }) => (kind === 'map' ? path.slice(-1) : [])),
)

/** An engine's and a broker's settings go by its own name: "redis_url". */
const nameOf = ({ path }: Leaf): string => (OWN_NAMES.has(path[0]) && path.length > 1 ? path.slice(1) : path).join('_')
const OWN_NAMES = new Set(['engine', 'intakes'])
/** ["http", "max_body_bytes"] → "SLUICE_HTTP_MAX_BODY_BYTES" */
export const envName = (leaf: Leaf): string => `SLUICE_${nameOf(leaf).toUpperCase()}`
/** ["http", "max_body_bytes"] → "http-max-body-bytes" */
export const flagName = (leaf: Leaf): string => nameOf(leaf).replaceAll('_', '-')
