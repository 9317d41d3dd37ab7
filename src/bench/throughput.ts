/** What a server carried: of a closed loop by the whole time, of an open one without the drain after the last send. */
import { ascending, quantile } from './quantile.ts'
import type { BenchRecord } from './record.ts'

export interface Carried {
  readonly answers: number
  readonly tokens: number
  readonly ms: number
}

/** So many of the first requests tell how long an answer takes before a line has grown. */
const FIRST = 10

/**
 * Of one round. What is sent at a steady rate is answered a while later: so the time of sending, moved by what the
 * first answers took. The drain would make any rate look like one that was not carried; and of more than can be
 * carried, what ends later is not counted.
 */
export function carriedOf(records: readonly BenchRecord[], isOpen: boolean): Carried {
  const good = records.filter(({ outcome }) => outcome === 'ok')
  const fromMs = records.reduce((least, { sent }) => Math.min(least, sent), Number.POSITIVE_INFINITY)
  const lastMs = records.reduce((most, { sent, end }) => Math.max(most, isOpen ? sent : end), 0)
  const first = [...good].sort((a, b) => a.sent - b.sent).slice(0, FIRST)
  const shiftMs = isOpen ? (quantile(ascending(first.map(({ sent, end }) => end - sent)), 1) ?? 0) : 0
  const counted = good.filter(({ end }) => end <= lastMs + shiftMs)
  return {
    answers: counted.length,
    tokens: counted.reduce((sum, { tokens }) => sum + tokens.completion, 0),
    ms: Math.max(0, lastMs - fromMs),
  }
}

/** Of several rounds, which were drained between. */
export function throughputOf(records: readonly BenchRecord[], isOpen: (round: number) => boolean) {
  const rounds = new Map<number, BenchRecord[]>()
  for (const record of records) {
    const own = rounds.get(record.round) ?? []
    own.push(record)
    rounds.set(record.round, own)
  }
  const sum = { answers: 0, tokens: 0, ms: 0 }
  for (const [round, own] of rounds) {
    const { answers, tokens, ms } = carriedOf(own, isOpen(round))
    sum.answers += answers
    sum.tokens += tokens
    sum.ms += ms
  }
  return {
    requestsPerSecond: sum.ms > 0 ? (sum.answers * 1_000) / sum.ms : null,
    tokensPerSecond: sum.ms > 0 ? (sum.tokens * 1_000) / sum.ms : null,
  }
}
