/** Limits as people write and read them, and where a month's spend is heading. */
import { money, short } from '../../format.ts'

/** What a level may use, of those that are changed here. */
export type Limits = Readonly<Record<string, unknown>>

export interface Field {
  readonly name: string
  readonly title: string
  readonly isMoney: boolean
}

/** What binds first stands first, as far as one can tell without knowing what is used. */
export const FIELDS: readonly Field[] = [
  { name: 'tokens_per_minute', title: 'Tokens a minute', isMoney: false },
  { name: 'requests_per_minute', title: 'Requests a minute', isMoney: false },
  { name: 'concurrent', title: 'Running at once', isMoney: false },
  { name: 'dollars_per_day', title: 'Money a day', isMoney: true },
  { name: 'dollars_per_month', title: 'Money a month', isMoney: true },
]

/** "600k", "1.2 M", "600,000", "$900": a number; "" : no limit. Undefined: not to be understood. */
export function parsed(text: string, isMoney: boolean): number | null | undefined {
  const given = text
    .trim()
    .replace(/^\$\s*/, '')
    .replaceAll(',', '')
    .replaceAll('_', '')
  if (given === '' || /^(?:none|no limit)$/i.test(given)) return null
  const match = /^(\d+(?:\.\d+)?)\s*([km]?)$/i.exec(given)
  if (match === null) return undefined
  const value = Number(match[1]) * { '': 1, k: 1_000, m: 1_000_000 }[match[2].toLowerCase() as '' | 'k' | 'm']
  if (!Number.isFinite(value)) return undefined
  return isMoney || Number.isInteger(value) ? value : undefined
}

/** $900, $12.50 */
const dollars = (value: number): string =>
  Number.isInteger(value) && value < 100_000 ? `$${value.toLocaleString('en')}` : money(value * 1e9)

export const shown = (value: number | null, isMoney: boolean): string =>
  value === null ? 'no limit' : isMoney ? dollars(value) : short(value)

export const limitOf = (limits: Limits | null, name: string): number | null => {
  const value = limits?.[name]
  return typeof value === 'number' ? value : null
}

/** "100k tokens a minute": all that a level has, what binds first as first. */
export const limitWords = (limits: Limits | null): readonly string[] =>
  FIELDS.flatMap(({ name, title, isMoney }) => {
    const limit = limitOf(limits, name)
    if (limit === null) return []
    return isMoney ? `${shown(limit, true)} ${title.replace('Money ', '')}` : `${short(limit)} ${title.toLowerCase()}`
  })

export interface Change {
  readonly field: Field
  readonly from: number | null
  readonly to: number | null
}

/** "400k → 600k" */
export const changeWords = ({ field, from, to }: Change): string =>
  `${field.title} ${shown(from, field.isMoney)} → ${shown(to, field.isMoney)}`

/** What differs; null: something can't be understood. */
export function changesOf(limits: Limits | null, texts: Readonly<Record<string, string>>): readonly Change[] | null {
  const changes: Change[] = []
  for (const field of FIELDS) {
    const text = texts[field.name]
    if (text === undefined) continue
    const to = parsed(text, field.isMoney)
    if (to === undefined) return null
    const from = limitOf(limits, field.name)
    if (to !== from) changes.push({ field, from, to })
  }
  return changes
}

/** The limits with these changes, without members that say nothing; null: none are left. */
export function changed(limits: Limits | null, changes: readonly Change[]): Limits | null {
  const next: Record<string, unknown> = { ...limits }
  for (const { field, to } of changes) next[field.name] = to
  const left = Object.entries(next).filter(([, value]) => value !== null && value !== undefined)
  return left.length === 0 ? null : Object.fromEntries(left)
}

/** What a month comes to at its pace so far, nano-dollars; null: too early to tell. */
export function onCourse(spentNano: number, nowMs: number): number | null {
  const now = new Date(nowMs)
  const startMs = Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), 1)
  const endMs = Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + 1, 1)
  const share = (nowMs - startMs) / (endMs - startMs)
  return share < 0.03 || spentNano === 0 ? null : spentNano / share
}

/** The day on which a budget is gone at that pace; null: not in this month. */
export function goneAt(spentNano: number, budgetNano: number, nowMs: number): number | null {
  const course = onCourse(spentNano, nowMs)
  if (course === null || course <= budgetNano) return null
  const now = new Date(nowMs)
  const startMs = Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), 1)
  return spentNano >= budgetNano ? nowMs : startMs + ((nowMs - startMs) * budgetNano) / spentNano
}

/** "2026-11-01" of the month, and of so many days ago, UTC. */
export const dayOf = (ms: number): string => new Date(ms).toISOString().slice(0, 10)
export const monthStart = (nowMs: number): string => `${dayOf(nowMs).slice(0, 8)}01`
