/**
 * Facts as lines of the operator's log: a line a job, a warning for each failure, and what was refused. Ids, names of
 * models and numbers; never a key or a text of users.
 */
import type { Clock } from '../core/clock.ts'
import type { Fact } from '../core/facts.ts'
import { type Traceparent, traceIdOf } from '../core/trace.ts'
import { hundredths, wireTtft } from '../core/wire.ts'
import type { Observe } from './emit.ts'

export interface Log {
  /** False: it leaves out what is of this level, so that nobody need put a line together. */
  writes(level: 'debug' | 'info'): boolean
  debug(fact: object, message?: string): void
  info(fact: object, message?: string): void
  warn(fact: object, message?: string): void
  error(fact: object, message?: string): void
}

type JobEnded = Extract<Fact, { type: 'job-ended' }>
type RequestEnded = Extract<Fact, { type: 'request-ended' }>
type GuardDecided = Extract<Fact, { type: 'guard-decided' }>
type LimitRefused = Extract<Fact, { type: 'limit-refused' }>
type PriceMissing = Extract<Fact, { type: 'price-missing' }>
type AttemptEnded = Extract<Fact, { type: 'attempt-ended' }>

export function createReporter(log: Log, clock: Clock): Observe {
  const attempts = new Throttle(clock)
  const refusals = new Throttle(clock)
  const rulings = new Throttle(clock)
  const limits = new Throttle(clock)
  const prices = new Throttle(clock)

  function jobEnded(fact: JobEnded): void {
    const { state, deployment, usage, timing, good, nanoDollars } = fact
    const isBad = state === 'failed' || state === 'expired'
    if (!isBad && !log.writes('info')) return
    const line = {
      ...about(fact),
      deployment,
      state,
      ...why(fact),
      ...(timing && { attempts: timing.attempts }),
      ...(usage && {
        prompt_tokens: usage.promptTokens,
        completion_tokens: usage.completionTokens,
        estimated: usage.estimated,
      }),
      ...(timing && {
        queued_ms: Math.round(timing.queuedMs),
        ttft_ms: timing.ttftMs === undefined ? null : Math.round(timing.ttftMs),
        ...(timing.parts && wireTtft(timing.parts)),
        ...(timing.tpotMs !== undefined && { tpot_ms: hundredths(timing.tpotMs) }),
        total_ms: Math.round(timing.totalMs),
      }),
      ...(typeof good === 'boolean' && { good }),
      ...(typeof nanoDollars === 'number' && { dollars: nanoDollars / 1e9 }),
    }
    if (isBad) log.warn(line, `job ${state}`)
    else log.info(line, `job ${state}`)
  }

  function attemptEnded(fact: AttemptEnded): void {
    if (fact.code === null && !log.writes('debug')) return
    const line = { ...about(fact), attempt: fact.attempt, deployment: fact.deployment, ...why(fact) }
    if (fact.code === null) return log.debug(line, 'attempt ended')
    const left = attempts.pass()
    if (left === null) return
    log.warn({ ...line, ...left }, 'attempt failed')
    if (quotes(fact)) log.debug({ ...about(fact), provider_message: discreet(fact.message ?? '') }, 'attempt failed')
  }

  function requestEnded(fact: RequestEnded): void {
    if (fact.code === null) return log.debug(fact)
    const left = refusals.pass()
    if (left === null) return
    const { tenant, keyId, requestId, trace, method, route, code, status } = fact
    const line = { tenant, key: keyId, method, route, code, status, request_id: requestId, ...traceId(trace), ...left }
    log.info(line, 'request refused')
  }

  function guardDecided(fact: GuardDecided): void {
    const { job, tenant, keyId, model, requestId, trace, guard, on, mode, verdict, rules, count, unscanned } = fact
    const left = rulings.pass()
    if (left === null) return
    const who = { job, tenant, key: keyId, model, request_id: requestId, ...traceId(trace) }
    const what = { guard, on, mode, verdict, rules, count, ...(unscanned.length > 0 && { not_scanned: unscanned }) }
    log.info({ ...who, ...what, ...left }, 'guard decided')
  }

  function limitRefused(fact: LimitRefused): void {
    const left = limits.pass()
    if (left === null) return
    const { tenant, keyId, model, requestId, trace, code, limitLevel, unit } = fact
    const who = { tenant, key: keyId, model, request_id: requestId, ...traceId(trace) }
    log.info({ ...who, code, limit_level: limitLevel, unit, ...left }, 'refused by a limit')
  }

  function priceMissing(fact: PriceMissing): void {
    const left = prices.pass()
    if (left === null) return
    const { tenant, keyId, model, requestId, trace, detail } = fact
    const line = { tenant, key: keyId, model, request_id: requestId, ...traceId(trace), detail, ...left }
    log.warn(line, 'refused, as nobody knows the price of the model')
  }

  return (fact) => {
    switch (fact.type) {
      case 'attempt-progressed':
      case 'reader-progressed':
        return // for those who watch a job
      case 'price-missing':
        return priceMissing(fact)
      case 'limit-refused':
        return limitRefused(fact)
      case 'guard-decided':
        return guardDecided(fact)
      case 'job-ended':
        return jobEnded(fact)
      case 'attempt-ended':
        return attemptEnded(fact)
      case 'request-ended':
        return requestEnded(fact)
      case 'queue-paused':
      case 'queue-resumed':
      case 'queue-purged': {
        const { tenant, lane, model, jobs, requestId } = fact
        const line = { tenant, lane, model, ...(jobs !== undefined && { jobs }), request_id: requestId }
        return log.info(line, fact.type.replace('-', ' '))
      }
      case 'admin-changed': {
        const { atMs: _at, requestId, type: _type, ...line } = fact
        return log.info({ ...line, request_id: requestId }, 'admin changed')
      }
      case 'deployment-cooled':
        return log.warn(fact, `a deployment is left alone for ${Math.ceil(fact.ms / 1_000)} s`)
      case 'deployment-checked': {
        const { deployment, isDown, why } = fact
        if (!isDown) return log.info({ deployment, why }, 'a deployment works again, as its checks tell')
        return log.warn({ deployment, why }, 'a deployment is left alone, as its checks fail')
      }
      case 'velocity-tripped': {
        const { level, tenant, name, ms } = fact
        const line = { tenant, name, limit_level: level, cool_down_ms: ms }
        return log.warn(line, 'money is spent too fast: the breaker of its limit has tripped')
      }
      case 'store-degraded':
        return log.error(fact, 'the store is degraded')
      case 'store-warned':
        return log.warn(fact, 'the store needs an operator')
      case 'settings-compared':
        if (fact.differ.length === 0)
          return log.info(fact, 'the settings in force in the fleet are those of this process')
        return log.warn(fact, SETTINGS_DIFFER)
      case 'store-recovered':
        return log.info(fact, 'the store works again')
      default:
        return log.debug(fact)
    }
  }
}

const SETTINGS_DIFFER =
  'the settings in force in the fleet, which are those of its coordinator, are not those of this process: reload, or ' +
  'restart, whichever of them is not up to date'

const about = ({ job, tenant, keyId, model, requestId, trace }: JobEnded | AttemptEnded): object => ({
  job,
  tenant,
  key: keyId,
  model,
  request_id: requestId,
  ...traceId(trace),
})

/** As tracing tools name it. */
const traceId = (trace: Traceparent | null): object => (trace === null ? {} : { trace_id: traceIdOf(trace) })

/** Codes whose messages are the provider's own words, at least from their first colon on. */
const QUOTING: ReadonlySet<string | null> = new Set(['provider_error', 'provider_rate_limited', 'provider_rejected'])
const quotes = ({ code, message = '' }: JobEnded | AttemptEnded): boolean =>
  QUOTING.has(code) && (code === 'provider_rejected' || message.includes(':'))

/** Providers quote the request in any way they like, so nothing of theirs is logged but what names something. */
const why = (fact: JobEnded | AttemptEnded): object => {
  const { code, status, message, param, upstreamCode } = fact
  if (code === null) return {}
  const own = !quotes(fact) ? message : code === 'provider_rejected' ? undefined : message?.split(':', 1)[0]
  return {
    code,
    status,
    message: own === undefined ? null : discreet(own),
    ...(isName(param) && { param }),
    ...(isName(upstreamCode) && { upstream_code: upstreamCode }),
  }
}

/** "context_length_exceeded", "messages[0].content"; no text of a user's. */
const isName = (text: string | undefined): text is string =>
  text !== undefined && /^[a-z][a-z0-9]*(?:[_.-][a-z0-9]+|\[\d{1,5}\])*$/.test(text) && text.length <= 64

const MAX_MESSAGE_CHARS = 200
const MAX_READ_CHARS = 1_000

/** An apostrophe after a letter opens no quote, and one before a letter ends none: "job's", 'it's'. */
const LONG_QUOTE = /"[^"]{25,}("|$)|(?<![\p{L}\p{N}])'(?:[^']|'(?=\p{L})){25,}('|$)|`[^`]{25,}(`|$)/gu

/**
 * Providers' error messages quote the request, and some of them the key. For debugging: without long quotes, and
 * without keys.
 */
export const discreet = (message: string): string => {
  const bare = message
    .slice(0, MAX_READ_CHARS)
    .replaceAll(LONG_QUOTE, '"…"')
    .replaceAll(/\b(sk|pk)[-_][\w*.-]{6,}/gi, '$1-…')
    .replaceAll(/\bBearer \S+/gi, 'Bearer …')
    .replaceAll(/[\w-]{40,}/g, '…')
  return bare.length > MAX_MESSAGE_CHARS ? `${bare.slice(0, MAX_MESSAGE_CHARS)}…` : bare
}

const BURST = 50
const PER_SECOND = 10

/** Keeps an outage, or a client in a loop, from filling the disk: some are logged, the others counted. */
export class Throttle {
  readonly #clock: Clock
  #tokens = BURST
  #atMono: number
  #leftOut = 0

  constructor(clock: Clock) {
    this.#clock = clock
    this.#atMono = clock.monoMs()
  }

  /** Null: leave this one out. */
  pass(): object | null {
    const now = this.#clock.monoMs()
    this.#tokens = Math.min(BURST, this.#tokens + ((now - this.#atMono) / 1_000) * PER_SECOND)
    this.#atMono = now
    if (this.#tokens < 1) {
      this.#leftOut++
      return null
    }
    this.#tokens--
    const leftOut = this.#leftOut
    this.#leftOut = 0
    return leftOut === 0 ? {} : { left_out: leftOut }
  }
}
