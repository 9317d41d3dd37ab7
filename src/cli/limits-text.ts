/** Limits for people: "600k tokens a minute", "$20 a day", and how they have changed. */
import { isRecord } from '../core/json.ts'

type Limits = Readonly<Record<string, unknown>>

/** A limit by its name; null: it is told as it is spelled. */
const WORDS: Readonly<Record<string, string>> = {
  tokens_per_minute: 'tokens a minute',
  input_tokens_per_minute: 'input tokens a minute',
  output_tokens_per_minute: 'output tokens a minute',
  requests_per_minute: 'requests a minute',
  dollars_per_hour: 'an hour',
  dollars_per_day: 'a day',
  dollars_per_month: 'a month',
  concurrent: 'at once',
  max_request_bytes: 'bytes a request',
  burst: "minutes' worth at once",
  trip: '',
}
/** What the configuration adds by itself is not told. */
const STANDARD: Limits = { burst: 1, oversize: 'refuse', five_minutes: 14, hour: 6, cool_down_ms: 600_000, trip: false }
const GROUPS: Readonly<Record<string, string>> = { each_user: 'each user', each_key: 'each key', each_run: 'each run' }
const NONE = 'no limit'

/** Leaves by what they are, e.g. "each user: tokens_per_minute". */
function leaves(limits: Limits, at = ''): ReadonlyMap<string, unknown> {
  const all = new Map<string, unknown>()
  const within = (name: string, more: unknown): void => {
    if (isRecord(more)) for (const [path, value] of leaves(more, `${at}${name}: `)) all.set(path, value)
  }
  for (const [name, value] of Object.entries(limits))
    if (name === 'models' && Array.isArray(value))
      for (const { name: model, ...own } of value as readonly Limits[]) within(`model ${String(model)}`, own)
    else if (isRecord(value)) within(GROUPS[name] ?? name, value)
    else if (value !== null && value !== undefined && value !== STANDARD[name]) all.set(`${at}${name}`, value)
  return all
}

/** "600k" */
export function short(amount: number): string {
  for (const [size, letter] of [
    [1e9, 'G'],
    [1e6, 'M'],
    [1e3, 'k'],
  ] as const)
    if (amount >= size && amount % (size / 100) === 0) return `${amount / size}${letter}`
  return String(amount)
}

const split = (path: string): readonly [at: string, name: string] => {
  const end = path.lastIndexOf(': ') + 1
  return [path.slice(0, end), path.slice(end).trim()]
}
const amountOf = (name: string, value: unknown): string =>
  value === true
    ? 'on'
    : typeof value !== 'number'
      ? String(value)
      : name.startsWith('dollars')
        ? `$${value}`
        : short(value)
/** Where it is not given. */
const otherwise = (name: string): string => (name in STANDARD ? amountOf(name, STANDARD[name]) : NONE)
const wordsOf = (name: string): string => WORDS[name] ?? name

/** One limit, with what it is for: "each user: 60 requests a minute". */
function told(path: string, value: unknown): string {
  const [at, name] = split(path)
  return `${at} ${amountOf(name, value)} ${wordsOf(name)}`.trim()
}

/** In one line; "-": none. */
export const limitsText = (limits: Limits | null | undefined): string =>
  limits == null ? '-' : [...leaves(limits)].map(([path, value]) => told(path, value)).join(', ') || '-'

/** One line for each limit that differs: "400k -> 600k tokens a minute". */
export function limitChanges(before: Limits | null, after: Limits | null): readonly string[] {
  const [old, now] = [leaves(before ?? {}), leaves(after ?? {})]
  return [...new Set([...old.keys(), ...now.keys()])].flatMap((path) => {
    const [was, is] = [old.get(path), now.get(path)]
    if (was === is) return []
    const [at, name] = split(path)
    if (is === undefined && !(name in STANDARD)) return `${told(path, was)} -> ${NONE}`
    const from = was === undefined ? otherwise(name) : amountOf(name, was)
    return `${at} ${from} -> ${is === undefined ? otherwise(name) : amountOf(name, is)} ${wordsOf(name)}`.trim()
  })
}
