/**
 * Numbers and times as the dashboard prints them: two to four digits, no more. "–" is none, "0" is zero.
 */
const NONE = '–'

const fixed = (value: number, digits: number): string =>
  value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits })

/** A number and its unit, which a figure prints smaller. */
export interface Amount {
  readonly value: string
  readonly unit: string
}

export const NOTHING: Amount = { value: NONE, unit: '' }

/** 304 ms, 4.1 s, 12 min, 3.2 h, 4.5 d */
export function durationOf(ms: number | null | undefined): Amount {
  if (ms == null || !Number.isFinite(ms)) return NOTHING
  if (ms < 0) {
    const { value, unit } = durationOf(-ms)
    return { value: `−${value}`, unit }
  }
  if (ms === 0) return { value: '0', unit: 'ms' }
  if (ms < 9.95) return { value: trimmed(ms, 1), unit: 'ms' }
  if (ms < 999.5) return { value: fixed(ms, 0), unit: 'ms' }
  for (const [unit, size, next] of UNITS)
    if (ms < next)
      return { value: fixed(ms / size, ms / size < 99.95 && unit === 's' ? 1 : ms / size < 9.95 ? 1 : 0), unit }
  return { value: fixed(ms / DAY, 0), unit: 'd' }
}

const DAY = 86_400_000
/** Unit, its ms, and where the next one begins. */
const UNITS = [
  ['s', 1_000, 90_000],
  ['min', 60_000, 90 * 60_000],
  ['h', 3_600_000, 2 * DAY],
  ['d', DAY, 99.5 * DAY],
] as const

export const words = ({ value, unit }: Amount): string => (unit === '' ? value : `${value} ${unit}`)
export const duration = (ms: number | null | undefined): string => words(durationOf(ms))

/** 7, 1,182, 12.4k, 286k, 1.92 M */
export function count(value: number | null | undefined): string {
  if (value == null || !Number.isFinite(value)) return NONE
  return Math.abs(value) < 9_999.5
    ? fixed(value, Number.isInteger(value) || Math.abs(value) >= 99.95 ? 0 : 1)
    : short(value)
}

/** As `count`, in thousands from 1,000 on: 940, 4.6k, 286k, 1.92 M */
export function short(value: number | null | undefined): string {
  if (value == null || !Number.isFinite(value)) return NONE
  const size = Math.abs(value)
  if (size < 999.5) return fixed(value, 0)
  if (size < 99_950) return `${trimmed(value / 1_000, 1)}k`
  if (size < 999_500) return `${fixed(value / 1_000, 0)}k`
  if (size < 99.95e6) return `${fixed(value / 1e6, size < 9.995e6 ? 2 : 1)} M`
  if (size < 999.5e6) return `${fixed(value / 1e6, 0)} M`
  return `${fixed(value / 1e9, 2)} G`
}

const trimmed = (value: number, digits: number): string => value.toLocaleString('en', { maximumFractionDigits: digits })

/** $18.42; under a cent $0.0041; $1,204 */
export function money(nanoUsd: number | null | undefined): string {
  if (nanoUsd == null || !Number.isFinite(nanoUsd)) return NONE
  const usd = Math.abs(nanoUsd) / 1e9
  const sign = nanoUsd < 0 ? '−' : ''
  if (usd === 0) return '$0'
  if (usd < 0.000_05) return `${sign}<$0.0001`
  if (usd < 0.01) return `${sign}$${usd.toFixed(4)}`
  if (usd < 999.995) return `${sign}$${usd.toFixed(2)}`
  return usd < 99_999.5 ? `${sign}$${fixed(usd, 0)}` : `${sign}$${short(usd)}`
}

/** 0.997 → 99.7% */
export function percent(share: number | null | undefined): string {
  if (share == null || !Number.isFinite(share)) return NONE
  const of100 = share * 100
  const digits = Number.isInteger(Math.round(of100 * 1e6) / 1e6) || Math.abs(of100) < 0.05 ? 0 : 1
  // What isn't all is not shown as all
  if (of100 < 100 && of100 >= 99.95) return '99.9%'
  if (of100 > 0 && of100 < 0.05) return '<0.1%'
  return `${fixed(of100, digits)}%`
}

/** 2.1 GB */
export function bytes(value: number | null | undefined): string {
  if (value == null) return NONE
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB']
  const at = value < 1_000 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(value) / 3))
  const size = value / 1_000 ** at
  return `${at === 0 ? fixed(size, 0) : trimmed(size, size < 99.95 ? 1 : 0)} ${units[at]}`
}

const CLOCK = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' })
const MINUTE = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit' })
const DATE = new Intl.DateTimeFormat('en', { month: 'short', day: 'numeric' })
const WHOLE = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'long' })

/** 03:12:40, local; with the date where it is not of the last day. */
export const clock = (atMs: number, nowMs = Date.now()): string =>
  Math.abs(nowMs - atMs) < DAY ? CLOCK.format(atMs) : `${DATE.format(atMs)}, ${MINUTE.format(atMs)}`
export const seconds = (atMs: number): string => CLOCK.format(atMs)
export const minute = (atMs: number): string => MINUTE.format(atMs)
export const date = (atMs: number): string => DATE.format(atMs)
/** With its zone, for a tooltip. */
export const whole = (atMs: number): string => WHOLE.format(atMs)

/** "now", "12 s", "4 min", "3 h"; after a day the date. */
export function age(atMs: number, nowMs: number): string {
  const ms = nowMs - atMs
  if (ms < 1_000) return 'now'
  if (ms >= DAY) return DATE.format(atMs)
  if (ms < 60_000) return `${Math.floor(ms / 1_000)} s`
  return ms < 3_600_000 ? `${Math.floor(ms / 60_000)} min` : `${Math.floor(ms / 3_600_000)} h`
}

/** "1 job", "2 jobs", "1,204 jobs" */
export const counted = (value: number, one: string, many = `${one}s`): string =>
  `${count(value)} ${value === 1 ? one : many}`
