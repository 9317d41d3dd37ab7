/** What a day may cost, and what today is heading for. Days are of UTC, as budgets and the ledger have them. */
import type { LevelLimits } from '../../core/limits.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

/** The server's own budget for a day, or the day's share of its month; null: it has none (tenants' are theirs). */
export function spendGoal(global: LevelLimits | null, nowMs: number): number | null {
  const budget = (window: 'day' | 'month'): number | null =>
    global?.budgets.find((one) => one.window === window)?.nanoDollars ?? null
  const month = budget('month')
  return budget('day') ?? (month === null ? null : month / daysOfMonth(nowMs))
}

function daysOfMonth(nowMs: number): number {
  const now = new Date(nowMs)
  return new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + 1, 0)).getUTCDate()
}

/** At the pace of the day so far; null: in its first hour nobody can tell. */
export function spendForecast(spent: number | null, nowMs: number): number | null {
  const sinceMs = nowMs % DAY_MS
  return spent === null || sinceMs < HOUR_MS ? null : Math.round((spent * DAY_MS) / sinceMs)
}
