/** What attempts came to, as Redis has it: records of a commit and a tenant in one text, and sums of a day by group. */
import type { StoredUsage, UsageFilter, UsageSum } from '../../../core/ports/ledger.ts'
import type { UsageRecord } from '../../../core/usage-record.ts'
import { count, fits, flag, maybe, parse, text } from '../../shared/shape.ts'

// ---------------------------------------------------------------- records

/** As JSON: [when, record, …]; what is usual is left out. */
export const writeRecords = (atMs: number, records: readonly object[]): string => JSON.stringify([atMs, ...records])

/** Tokens that are part of others. */
const PARTS = [
  ['cachedTokens', 'h'],
  ['cacheWriteTokens', 'i'],
  ['audioPromptTokens', 'y'],
  ['reasoningTokens', 't'],
  ['audioCompletionTokens', 'z'],
] as const

export function packRecord(record: UsageRecord): object {
  const { job, attempt, hedge, keyId, user, run, kind, model, deployment, source, end, usage } = record
  const { nanoDollars, priceVersion } = record
  const { promptTokens, completionTokens, estimated } = usage
  return {
    j: job,
    n: attempt,
    ...(hedge && { b: true }),
    k: keyId,
    ...(user !== null && { u: user }),
    ...(run !== null && { r: run }),
    ...(kind !== 'chat' && { v: kind }),
    m: model,
    ...(deployment !== null && { d: deployment }),
    ...(source !== undefined && { s: source }),
    e: end,
    p: promptTokens,
    c: completionTokens,
    ...Object.fromEntries(PARTS.flatMap(([name, short]) => (usage[name] === undefined ? [] : [[short, usage[name]]]))),
    ...(estimated && { x: true }),
    ...(nanoDollars !== null && { $: nanoDollars }),
    ...(priceVersion !== null && { w: priceVersion }),
  }
}

const RECORD = {
  j: text,
  n: count,
  b: maybe(flag),
  k: text,
  u: maybe(text),
  r: maybe(text),
  v: maybe(text),
  m: text,
  d: maybe(text),
  s: maybe(text),
  e: text,
  p: count,
  c: count,
  ...Object.fromEntries(PARTS.map(([, short]) => [short, maybe(count)])),
  x: maybe(flag),
  $: maybe(count),
  w: maybe(text),
}

/** One entry of the stream: null in the place of what is damaged. */
export function readRecords(tenant: string, value: string): ReadonlyArray<StoredUsage | null> {
  const stored = parse(value)
  if (!Array.isArray(stored) || !Number.isFinite(stored[0])) return []
  const [atMs, ...records] = stored as [number, ...unknown[]]
  return records.map((record) => (fits(record, RECORD) ? unpackRecord(tenant, atMs, record as Packed) : null))
}

type Packed = Readonly<Record<string, string & number & true>>

function unpackRecord(tenant: string, atMs: number, packed: Packed): StoredUsage {
  const { j, n, b, k, u, r, v, m, d, s, e, p, c, x, $, w } = packed
  return {
    job: j,
    attempt: n,
    ...(b === true && { hedge: true as const }),
    tenant,
    keyId: k,
    user: u ?? null,
    run: r ?? null,
    kind: (v as StoredUsage['kind'] | undefined) ?? 'chat',
    model: m,
    deployment: d ?? null,
    ...(s != null && { source: s }),
    end: e as string as StoredUsage['end'],
    usage: {
      promptTokens: p,
      completionTokens: c,
      ...Object.fromEntries(PARTS.flatMap(([name, short]) => (packed[short] == null ? [] : [[name, packed[short]]]))),
      estimated: x === true,
    },
    nanoDollars: $ ?? null,
    priceVersion: w ?? null,
    atMs,
  }
}

/** When the records of an entry were decided; NaN: it is damaged. */
export const recordedAtMs = (value: string): number => Number(/^\[(\d{1,15})[,\]]/.exec(value)?.[1] ?? NaN)

// ---------------------------------------------------------------- sums

export type Group = Pick<UsageSum, 'tenant' | 'keyId' | 'user' | 'model'>

/**
 * A group's name: its parts in the order in which sums are told, each ended by a zero byte, which none of them has as
 * it is written: so the names sort by bytes as the groups do.
 */
export const groupName = ({ tenant, keyId, user, model }: Group): string =>
  [tenant, keyId, user === null ? '' : `u${user}`, model].map((part) => `${escaped(part)}\0`).join('')

/** What all groups of a tenant begin with. */
export const tenantPrefix = (tenant: string): string => `${escaped(tenant)}\0`

/** `name` is one that `groupName` wrote; null: it is not. */
export function readGroup(name: string): Group | null {
  const parts = name.split('\0')
  if (parts.length !== 5 || parts[4] !== '') return null
  const [tenant, keyId, user, model] = parts.map(unescaped)
  return { tenant, keyId, user: user === '' ? null : user.slice(1), model }
}

/** biome-ignore lint/suspicious/noControlCharactersInRegex: names may have any character */
const SPECIAL = /[\0\x01]/g
const escaped = (part: string): string => part.replace(SPECIAL, (char) => (char === '\0' ? '\x01\x01' : '\x01\x02'))
/** biome-ignore lint/suspicious/noControlCharactersInRegex: as above */
const ESCAPE = /\x01[\x01\x02]/g
const unescaped = (part: string): string => part.replace(ESCAPE, (pair) => (pair === '\x01\x01' ? '\0' : '\x01'))

type Amounts = Omit<UsageSum, 'day' | keyof Group>

/** In the order in which they are stored. */
const SUMS: ReadonlyArray<keyof Amounts> = [
  'attempts',
  'repeats',
  'estimated',
  'unpriced',
  'promptTokens',
  'cachedTokens',
  'completionTokens',
  'reasoningTokens',
  'nanoDollars',
]

/** What a record adds, in their order. */
export const addedBy = ({ usage, nanoDollars, source }: UsageRecord): readonly number[] => [
  1,
  source === undefined ? 0 : 1,
  usage.estimated ? 1 : 0,
  nanoDollars === null ? 1 : 0,
  usage.promptTokens,
  usage.cachedTokens ?? 0,
  usage.completionTokens,
  usage.reasoningTokens ?? 0,
  nanoDollars ?? 0,
]

export const writeSum = (sum: Amounts): string => SUMS.map((name) => sum[name]).join(' ')

/** Null: damaged. */
export function readSum(day: string, group: Group, stored: string): UsageSum | null {
  const numbers = stored.split(' ').map(Number)
  if (numbers.length !== SUMS.length || !numbers.every(Number.isFinite)) return null
  return { day, ...group, ...(Object.fromEntries(SUMS.map((name, i) => [name, numbers[i]])) as unknown as Amounts) }
}

// ---------------------------------------------------------------- filters

export const matches = ({ tenant, keyId, user, model, fromDay, toDay }: UsageFilter, of: Group, day: string): boolean =>
  (tenant === undefined || of.tenant === tenant) &&
  (keyId === undefined || of.keyId === keyId) &&
  (user === undefined || of.user === user) &&
  (model === undefined || of.model === model) &&
  (fromDay === undefined || day >= fromDay) &&
  (toDay === undefined || day <= toDay)
