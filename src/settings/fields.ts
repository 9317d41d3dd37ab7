/** The kinds of values that settings have: counts, durations, sizes, addresses and references to secrets. */
import { homedir } from 'node:os'
import { join } from 'node:path'
import { z } from 'zod'

/** `address`: a text, or a reference to one that has a password in it. `limits`: a group of settings, shown as one. */
export type FieldKind = 'count' | 'number' | 'duration' | 'size' | 'secret' | 'address' | 'limits'

/** What a field is, for flags, docs and printing; looked up by the innermost schema. */
export const fieldKinds: z.core.$ZodRegistry<{ readonly kind: FieldKind }> = z.registry<{ readonly kind: FieldKind }>()

interface Range {
  readonly min?: number
  readonly max?: number
}

const DURATIONS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }
const SIZES: Readonly<Record<string, number>> = {
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
}
/** "64Mb": megabits are written so. */
const MAY_BE_BITS = /^([\d_.]+)\s*(([KMGT])i?b)$/

/** A whole number; digits may be grouped with "_". */
export const count = (range: Range = {}) => quantity('count', {}, 'a whole number', range)
/** Milliseconds, or text with a unit: "500ms", "30s", "24h". */
export const duration = (range: Range = {}) =>
  quantity('duration', DURATIONS, 'a duration: milliseconds, or "500ms", "30s", "10m", "24h", "7d"', range)
/** Bytes, or text with a unit: "64KiB", "1GiB". */
export const size = (range: Range = {}) =>
  quantity('size', SIZES, 'a size: bytes, or "64KiB", "4MiB", "1GiB"', range, (text) => {
    const [, number, unit, letter] = MAY_BE_BITS.exec(text) ?? []
    if (unit === undefined) return null
    const [decimal, binary] = [`${number}${letter}B`, `${number}${letter}iB`]
    return `"${unit}" may mean bits: write "${decimal}" (powers of 1000) or "${binary}" (powers of 1024)`
  })

function quantity(
  kind: FieldKind,
  units: Readonly<Record<string, number>>,
  wanted: string,
  { min = 0, max = Number.MAX_SAFE_INTEGER }: Range,
  ambiguity: (text: string) => string | null = () => null,
) {
  const field = z.union([z.number(), z.string()], { error: `expected ${wanted}` }).transform((value, context) => {
    const number =
      typeof value === 'number' ? value : parseQuantity(kind === 'size' ? value.toLowerCase() : value, units)
    const problem = Number.isNaN(number)
      ? `expected ${wanted}`
      : typeof value === 'string' && ambiguity(value.trim()) !== null
        ? ambiguity(value.trim())
        : !Number.isSafeInteger(number)
          ? 'expected a whole number'
          : number < min
            ? `must be at least ${min}`
            : number > max
              ? `must be at most ${max}`
              : null
    if (problem === null) return number
    context.addIssue({ code: 'custom', message: problem })
    return z.NEVER
  })
  fieldKinds.add(field, { kind })
  return field
}

function parseQuantity(text: string, units: Readonly<Record<string, number>>): number {
  const match = /^(\d+(?:_\d+)*(?:\.\d+)?)\s*([a-z]*)$/.exec(text.trim())
  if (!match) return Number.NaN
  const unit = match[2] === '' ? 1 : (units[match[2]] ?? Number.NaN)
  return Math.round(Number(match[1].replaceAll('_', '')) * unit)
}

const PERCENTILE = /^p[5-9]\d$/

/** "p50" to "p99", or a duration in milliseconds. */
export const percentileOrDuration = ({ min = 0, max = Number.MAX_SAFE_INTEGER }: Range = {}) => {
  const error = 'expected a percentile, "p50" to "p99", or a duration: milliseconds, or "800ms", "2s"'
  const field = z.union([z.number(), z.string()], { error }).transform((value, context): number | `p${number}` => {
    if (PERCENTILE.test(String(value))) return value as `p${number}`
    const ms = typeof value === 'number' ? value : parseQuantity(value, DURATIONS)
    if (Number.isSafeInteger(ms) && ms >= min && ms <= max) return ms
    const message = Number.isSafeInteger(ms) ? (ms < min ? `must be at least ${min}` : `must be at most ${max}`) : error
    context.addIssue({ code: 'custom', message })
    return z.NEVER
  })
  fieldKinds.add(field, { kind: 'duration' })
  return field
}

/** A part of a whole: 0 to 1, or text with a percent sign: "99%". */
export const share = () => {
  const field = z
    .union([z.number(), z.string()], { error: 'expected a share: 0.99, or "99%"' })
    .transform((value, context) => {
      const [, digits, percent] = /^(\d+(?:\.\d+)?)\s*(%?)$/.exec(String(value).trim()) ?? []
      const share = digits === undefined ? Number.NaN : Number(digits) / (percent === '%' ? 100 : 1)
      if (share >= 0 && share <= 1) return share
      context.addIssue({ code: 'custom', message: 'expected a share: 0 to 1, or "0%" to "100%"' })
      return z.NEVER
    })
  fieldKinds.add(field, { kind: 'number' })
  return field
}

/** True or false; from the environment also as text. */
export const flag = () =>
  z.union(
    [
      z.boolean(),
      z.stringbool({
        truthy: ['true', '1', 'yes', 'on'],
        falsy: ['false', '0', 'no', 'off'],
        error: 'expected true or false',
      }),
    ],
    {
      error: 'expected true or false',
    },
  )

/** A list of texts; from flags and the environment separated by commas. */
export const list = (item: z.ZodString = z.string().min(1)) =>
  z.union([z.array(item), z.string()], { error: listProblem }).transform((value, context) => {
    if (typeof value !== 'string') return value
    const items = value
      .split(',')
      .map((text) => text.trim())
      .filter((text) => text !== '')
    const wrong = items.map((text) => item.safeParse(text)).find(({ success }) => !success)
    if (wrong?.error !== undefined) context.addIssue({ code: 'custom', message: wrong.error.issues[0].message })
    return items
  })

const listProblem = ({ input }: { readonly input: unknown }): string =>
  Array.isArray(input) ? 'expected a list of texts: put numbers, true, false and null in quotes' : 'expected a list'

/**
 * A value as it was meant: env files and shells leave quotes, surrounding white space or the "\r" of a Windows line
 * ending on it.
 */
export function bareText(text: string): string {
  const bare = text.trim()
  const quoted = /^(["'])(.*)\1$/s.exec(bare)
  return quoted === null ? bare : quoted[2].trim()
}

/** A path as it is used, or what is wrong with it. Only shells expand "~" and "$HOME"; env files and YAML do not. */
export function readPath(text: string): { readonly path: string } | { readonly problem: string } {
  const path = bareText(text)
  if (path === '') return { problem: 'must not be empty' }
  if (/\p{Cc}/u.test(path)) return { problem: 'contains control characters' }
  if (/^[a-z][\w+.-]+:\/\//i.test(path)) return { problem: 'is a URL: write the path alone, as "/var/lib/sluice"' }
  if (path === ':memory:')
    return { problem: 'is a name of SQLite\'s, and no path: to keep nothing, set durability to "memory"' }
  if (path.startsWith('-')) return { problem: `begins with "-", as an option does: write "./${path}" if it is a path` }
  if (path === '~' || path.startsWith('~/')) return { path: join(homedir(), path.slice(1)) }
  if (/^~|^\$\{?\w/.test(path))
    return {
      problem: `starts with ${JSON.stringify(path.split('/')[0])}, which is not expanded: write the full path`,
    }
  return { path }
}

/** Of a file or folder. */
export const filePath = () =>
  z.string({ error: 'expected a path' }).transform((text, context) => {
    const read = readPath(text)
    if ('path' in read) return read.path
    context.addIssue({ code: 'custom', message: read.problem })
    return z.NEVER
  })

/** An absolute http or https address without credentials in it. */
export const httpUrl = () =>
  z.string({ error: 'expected an address such as "https://api.example.com/v1"' }).superRefine((text, context) => {
    const problem = urlProblem(text)
    if (problem !== null) context.addIssue({ code: 'custom', message: problem })
  })

function urlProblem(text: string): string | null {
  const url = URL.canParse(text) ? new URL(text) : null
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:'))
    return 'expected an http or https address'
  if (url.username !== '' || url.password !== '') return 'contains credentials: give them by reference'
  return url.hash === '' ? null : 'must not have a fragment'
}

// ---------------------------------------------------------------- secrets

export type SecretRef = { readonly env: string } | { readonly file: string }

/** What reads references: the environment and files. Null: there is none. */
export interface SecretSource {
  env(name: string): string | null
  /** Throws the system's error. */
  file(path: string): string
}

/** A secret by reference. Its value shows only through `reveal`: not when printed, logged or made JSON. */
export class Secret {
  readonly ref: SecretRef
  #value: string | null = null

  constructor(ref: SecretRef) {
    this.ref = ref
  }

  /** Fetches the value; returns what is wrong, or null. The message never has the value. */
  resolve(source: SecretSource): string | null {
    let value: string | null
    try {
      value = 'env' in this.ref ? source.env(this.ref.env) : source.file(this.ref.file)
    } catch (cause) {
      return `the file ${this} can't be read (${(cause as NodeJS.ErrnoException).code ?? 'error'})`
    }
    if (value === null || bareText(value) === '')
      return 'file' in this.ref
        ? `the file ${this} is empty`
        : `the environment variable ${this} is ${value === null ? 'not set' : 'empty: give it a value, or unset it'}`
    this.#value = 'env' in this.ref ? bareText(value) : value.trim()
    return /\p{Cc}/u.test(this.#value) ? `the value of ${this} has control characters in it` : null
  }

  /** Has it been fetched? */
  get known(): boolean {
    return this.#value !== null
  }

  /** Throws when it is not known. */
  reveal(): string {
    if (this.#value === null) throw new Error(`the secret ${this} was not resolved`)
    return this.#value
  }

  /** The name of the variable, or the file's path. */
  toString(): string {
    return 'env' in this.ref ? this.ref.env : this.ref.file
  }

  toJSON(): SecretRef {
    return this.ref
  }
}

/** `{ env: NAME }` or `{ file: PATH }`. A literal is refused, and not repeated in the refusal. */
export const secret = () => {
  const field = z
    .union([z.strictObject({ env: z.string().min(1) }), z.strictObject({ file: filePath() })], {
      error:
        'a secret must be a reference, { env: NAME } or { file: PATH }, never the value itself: config files are ' +
        'copied, committed and printed',
    })
    .transform((ref) => new Secret(ref))
  fieldKinds.add(field, { kind: 'secret' })
  return field
}
