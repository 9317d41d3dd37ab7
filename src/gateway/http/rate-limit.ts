/**
 * What is left of a caller's limits, as header fields: OpenAI's `x-ratelimit-*`, which SDKs and agents read, and
 * `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-11). PROTOCOL.md section 3.
 */
import { durationText } from '../../core/duration.ts'
import type { Room, Shortfall, Standing, Unit } from '../../core/limits.ts'
import { type Headers, NO_HEADERS } from './answer.ts'

/** What browsers may show to pages. */
export const RATE_LIMIT_HEADERS =
  'x-ratelimit-limit-requests, x-ratelimit-remaining-requests, x-ratelimit-reset-requests, ' +
  'x-ratelimit-limit-tokens, x-ratelimit-remaining-tokens, x-ratelimit-reset-tokens, ratelimit-policy, ratelimit'

/** Absent or empty: nothing limits it. */
export function standingHeaders(standing: Standing | undefined): Headers {
  if (standing === undefined || standing.length === 0) return NO_HEADERS
  let requests: Room | null = null
  let tokens: Room | null = null
  let policies = ''
  let limits = ''
  for (const room of standing) {
    if (room.unit === 'requests') requests = room
    else if (isOfTokens(room.unit) && (tokens === null || shareOf(room) < shareOf(tokens))) tokens = room
    const comma = policies === '' ? '' : ', '
    policies += comma + policyOf(room)
    limits += comma + serviceLimitOf(room)
  }
  const headers: Record<string, string> = {}
  if (requests !== null) tellRequests(headers, requests)
  if (tokens !== null) tellTokens(headers, tokens)
  headers['ratelimit-policy'] = policies
  headers['ratelimit'] = limits
  return headers
}

/** Of what refused a request; of a level that others use, too, nothing is told. */
export function refusalHeaders(short: Shortfall): Headers {
  const { level, unit, window, limit, left, windowMs, waitMs, shared } = short
  if (shared || unit === 'running' || unit === 'spend_velocity' || window === 'run') return NO_HEADERS
  const isBudget = window !== undefined
  if (!isBudget && windowMs === undefined) return NO_HEADERS
  const ofWindow = isBudget ? (waitMs ?? Infinity) : windowMs!
  const resetMs = isBudget ? ofWindow : limit > 0 ? (Math.max(0, limit - left) / limit) * ofWindow : Infinity
  return standingHeaders([{ level, unit, limit, left, resetMs, windowMs: ofWindow }])
}

const isOfTokens = (unit: Unit): boolean => unit.endsWith('tokens')
const shareOf = ({ left, limit }: Room): number => (limit > 0 ? left / limit : 0)
const whole = (amount: number): number => Math.max(0, Math.floor(amount))

/** OpenAI's. Names that are put together would cost each answer more than its values. */
function tellRequests(to: Record<string, string>, { limit, left, resetMs }: Room): void {
  to['x-ratelimit-limit-requests'] = String(whole(limit))
  to['x-ratelimit-remaining-requests'] = String(whole(left))
  to['x-ratelimit-reset-requests'] = durationText(resetMs)
}
function tellTokens(to: Record<string, string>, { limit, left, resetMs }: Room): void {
  to['x-ratelimit-limit-tokens'] = String(whole(limit))
  to['x-ratelimit-remaining-tokens'] = String(whole(left))
  to['x-ratelimit-reset-tokens'] = durationText(resetMs)
}

/** The draft registers `requests`; units of a vendor bear its name. Money is in millionths: see MOST. */
const UNITS: Readonly<Record<Unit, string>> = {
  requests: '',
  tokens: ';qu="sluice-tokens"',
  input_tokens: ';qu="sluice-input-tokens"',
  output_tokens: ';qu="sluice-output-tokens"',
  nano_dollars: ';qu="sluice-micro-usd"',
  spend_velocity: ';qu="sluice-micro-usd"',
  running: ';qu="concurrent-requests"',
}
const NANO_A_MICRO = 1_000
/** Of an integer in a structured field (RFC 9651). */
const MOST = 999_999_999_999_999

const nameOf = ({ level, unit }: Room): string => `"${level}-${unit === 'nano_dollars' ? 'money' : unit}"`
const quota = ({ unit }: Room, amount: number): number =>
  Math.min(MOST, whole(unit === 'nano_dollars' ? amount / NANO_A_MICRO : amount))
const seconds = (ms: number, least: number): number => Math.max(least, Math.ceil(ms / 1_000))

/** A window of the calendar has no fixed length, so `w` is told of rates only. */
function policyOf(room: Room): string {
  const { unit, limit, windowMs } = room
  const window = unit === 'nano_dollars' || !Number.isFinite(windowMs) ? '' : `;w=${seconds(windowMs, 1)}`
  return `${nameOf(room)};q=${quota(room, limit)}${UNITS[unit]}${window}`
}

function serviceLimitOf(room: Room): string {
  const { unit, left, resetMs, windowMs } = room
  const ms = unit === 'nano_dollars' ? windowMs : resetMs
  return `${nameOf(room)};r=${quota(room, left)}${Number.isFinite(ms) ? `;t=${seconds(ms, 0)}` : ''}`
}
