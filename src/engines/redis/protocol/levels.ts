/** What the levels of the limits have used, as `lim` has it: times by Redis's clock, without what is held. */
import { isRecord } from '../../../core/json.ts'
import type { LevelState, LevelUse, TotalLimit, Unit, Window } from '../../../core/limits.ts'
import type { OpenWindow, OpenWindows } from '../../shared/calendar.ts'
import { count, fits, number, object, parse } from '../../shared/shape.ts'

/** A level's field. Names are users' own: nothing in one ends it. */
export const writeLevelName = ({ kind, owner, name }: Omit<LevelState, 'used'>): string =>
  JSON.stringify([kind, owner, name])

/** Is it the tenant's own level, or one of its users', keys', runs' or models'? */
export function isLevelOf(stored: string, tenant: string): boolean {
  const of = parse(stored)
  if (!Array.isArray(of)) return false
  const [kind, owner, name] = of as readonly unknown[]
  return kind === 'tenant'
    ? name === tenant
    : kind !== 'model' && kind !== 'global' && kind !== 'deployment' && owner === tenant
}

/** `atMs`: Redis's clock of a monotonic time. */
export function writeLevelUse(
  { atMono, rates, spent, velocity: v, totals: o }: LevelUse,
  atMs: (mono: number) => number,
): string {
  const windows = Object.entries(spent).map(([window, { index, nanoDollars }]) => [window, [index, nanoDollars]])
  const velocity = v === undefined ? {} : { v: [v.fiveMinutes, v.hour, v.cooledInMs] }
  return JSON.stringify({ t: Math.round(atMs(atMono)), r: rates, s: Object.fromEntries(windows), ...velocity, o })
}

const KINDS: Readonly<Record<LevelState['kind'], true>> = {
  deployment: true,
  run: true,
  key: true,
  user: true,
  tenant: true,
  tenant_model: true,
  model: true,
  global: true,
}
const UNITS: Readonly<Record<Exclude<Unit, 'nano_dollars' | 'spend_velocity' | 'running'>, true>> = {
  input_tokens: true,
  output_tokens: true,
  tokens: true,
  requests: true,
}
const SPANS: Readonly<Record<Window, true>> = { hour: true, day: true, month: true }

const USE = { t: number, r: object, s: object }
const isAmount = (value: unknown): boolean => Number.isFinite(value) && (value as number) >= 0

/** Null: damaged. What a later version added is dropped. `mono`: this process's time at one of Redis's clock. */
export function readLevel(name: string, use: string, mono: (atMs: number) => number): LevelState | null {
  const of = parse(name)
  const used = parse(use)
  if (!Array.isArray(of) || of.length !== 3 || !of.every((part) => typeof part === 'string')) return null
  if (!Object.hasOwn(KINDS, of[0]) || !fits(used, USE)) return null
  const { t, r, s, v, o } = used as {
    t: number
    r: Record<string, unknown>
    s: Record<string, unknown>
    v?: unknown
    o?: unknown
  }
  const rates = Object.entries(r).filter(([unit, amount]) => Object.hasOwn(UNITS, unit) && Number.isFinite(amount))
  const spent = Object.entries(s).flatMap(([window, sum]) => {
    if (!Object.hasOwn(SPANS, window) || !Array.isArray(sum)) return []
    const [index, nanoDollars] = sum as readonly unknown[]
    return Number.isSafeInteger(index) && isAmount(nanoDollars) ? [[window, { index, nanoDollars }]] : []
  })
  const [kind, owner, level] = of as [LevelState['kind'], string, string]
  return {
    kind,
    owner,
    name: level,
    used: {
      ...{ atMono: mono(t), rates: Object.fromEntries(rates), spent: Object.fromEntries(spent) },
      ...velocityOf(v),
      ...totalsOf(o),
    } as LevelUse,
  }
}

/** Damaged: it counts from nothing. */
function velocityOf(stored: unknown): Pick<LevelUse, 'velocity'> {
  if (!Array.isArray(stored)) return {}
  const [fiveMinutes, hour, cooledInMs] = stored as readonly unknown[]
  const isRead = isAmount(fiveMinutes) && isAmount(hour) && (cooledInMs === null || Number.isFinite(cooledInMs))
  return isRead ? { velocity: { fiveMinutes, hour, cooledInMs } as NonNullable<LevelUse['velocity']> } : {}
}

const TOTALS: Readonly<Record<TotalLimit['unit'], true>> = { tokens: true, requests: true, nano_dollars: true }

function totalsOf(stored: unknown): Pick<LevelUse, 'totals'> {
  if (!isRecord(stored)) return {}
  const totals = Object.entries(stored).filter(([unit, used]) => Object.hasOwn(TOTALS, unit) && isAmount(used))
  return totals.length === 0 ? {} : { totals: Object.fromEntries(totals) as NonNullable<LevelUse['totals']> }
}

// ---------------------------------------------------------------- windows

/** The field of the windows that budgets go by. */
export const WINDOWS = 'windows'

export const writeWindows = (open: OpenWindows): string => JSON.stringify(open)

/** Those that can be read. */
export function readWindows(stored: string): OpenWindows {
  const windows = Object.entries((parse(stored) ?? {}) as Record<string, OpenWindow>)
  const isOpen = (window: OpenWindow): boolean => fits(window, { index: count, ends: Number.isFinite })
  return Object.fromEntries(windows.filter(([name, window]) => Object.hasOwn(SPANS, name) && isOpen(window)))
}
