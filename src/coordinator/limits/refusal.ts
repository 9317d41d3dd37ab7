/** A shortfall as the error of a submit that can't be taken: in OpenAI's words, which clients look for. */
import { durationText } from '../../core/duration.ts'
import { SluiceError } from '../../core/errors.ts'
import type { Shortfall, Unit } from '../../core/limits.ts'

/** Those who were refused at one time come back one by one: later by up to so large a share of their wait, … */
const SPREAD = 0.2
/** … within these bounds. */
const LEAST_SPREAD_MS = 100
const MOST_SPREAD_MS = 5_000

/** `model`: as its client asked. `jitter`: uniform in [0, 1). */
export function refusalOf(limit: Shortfall, model: string, jitter: number): SluiceError {
  const { unit, waitMs, weight } = limit
  if (limit.window === 'run') return overRun(limit)
  if (unit === 'nano_dollars') return new SluiceError('insufficient_quota', { limit, message: overBudget(limit) })
  if (unit === 'spend_velocity') return tooFast(limit, jitter)
  if (unit === 'running' && waitMs === null)
    return new SluiceError('request_exceeds_limit', {
      limit,
      message: `No request for ${model} (${whose(limit)}) may run: the limit of concurrent requests is 0.`,
    })
  const what = `${model} (${whose(limit)}) on ${amountOf(limit)}: Limit ${whole(limit.limit)}`
  if (waitMs === null)
    return new SluiceError('request_exceeds_limit', {
      limit,
      message: `Request too large for ${what}, Requested ${whole(weight)}. ${ADVICE[unit]}`,
    })
  const retryAfterMs = later(waitMs, jitter)
  // How much of it is used is others' business where they use it, too
  const used = limit.shared ? '' : `, Used ${usedOf(limit)}`
  return new SluiceError('rate_limit_exceeded', {
    limit,
    retryAfterMs,
    message:
      `Rate limit reached for ${what}${used}, Requested ${whole(weight)}. ` +
      `Please try again in ${durationText(retryAfterMs)}.`,
  })
}

function later(waitMs: number, jitter: number): number {
  const spreadMs = Math.min(MOST_SPREAD_MS, Math.max(LEAST_SPREAD_MS, waitMs * SPREAD))
  return Math.ceil(waitMs + jitter * spreadMs)
}

function tooFast(limit: Shortfall, jitter: number): SluiceError {
  const retryAfterMs = later(limit.waitMs!, jitter)
  return new SluiceError('spend_velocity', {
    limit,
    retryAfterMs,
    message:
      `The budget of ${whose(limit)} is spent many times too fast, so its breaker has tripped: no request that costs ` +
      `money is let in for another ${durationText(retryAfterMs)}, and then one as a probe.`,
  })
}

/** Of a job that expired in line. */
export const lateOf = (limit: Shortfall): SluiceError =>
  new SluiceError('deadline_exceeded', {
    limit,
    message:
      "The job's deadline passed before it could start: it waited for room on " +
      `${limit.unit === 'nano_dollars' ? `the budget of ${whose(limit)}` : `${amountOf(limit)} of ${whose(limit)}`}, ` +
      `Limit ${amount(limit, limit.limit)}, Requested ${amount(limit, limit.weight)}.`,
  })

const WORDS: Readonly<Partial<Record<Unit, string>>> = { tokens: 'tokens', requests: 'steps', nano_dollars: 'dollars' }

export function overRun(limit: Shortfall): SluiceError {
  const { unit, name, left, weight } = limit
  const smaller = unit === 'requests' ? '' : ' A smaller max_tokens, or a shorter prompt, makes its next job smaller.'
  return new SluiceError('run_budget_exceeded', {
    limit,
    message:
      `The budget of ${WORDS[unit]} of run ${name}, ${amount(limit, limit.limit)} in all, has no room for this job: ` +
      `${amount(limit, Math.max(0, left))} left, Requested ${amount(limit, weight)}.${left > 0 ? smaller : ''}`,
  })
}

function overBudget(budget: Shortfall): string {
  const { window, limit, left, weight, shared } = budget
  const of = `the budget of ${whose(budget)} for the ${window}`
  if (shared) return `You exceeded your current quota: ${of} has no room for this request.`
  return (
    `You exceeded your current quota: of ${of}, ${dollars(limit)}, ${dollars(Math.max(0, left))} are left, and this ` +
    `request may cost ${dollars(weight)}.`
  )
}

const AMOUNTS: Readonly<Record<Unit, readonly [name: string, perMinute: string]>> = {
  input_tokens: ['input tokens', 'input tokens per min (input TPM)'],
  output_tokens: ['output tokens', 'output tokens per min (output TPM)'],
  tokens: ['tokens', 'tokens per min (TPM)'],
  requests: ['requests', 'requests per min (RPM)'],
  nano_dollars: ['money', 'money'],
  spend_velocity: ['spend velocity', 'spend velocity'],
  running: ['concurrent requests', 'concurrent requests'],
}
const MINUTE_MS = 60_000
const amountOf = ({ unit, windowMs = 0 }: Shortfall): string =>
  AMOUNTS[unit][Math.abs(windowMs - MINUTE_MS) < 1 ? 1 : 0]

const TOO_LONG = 'The input or output tokens must be reduced in order to run successfully.'
const NONE_ALLOWED = 'None are allowed.'
const ADVICE: Readonly<Record<Unit, string>> = {
  input_tokens: TOO_LONG,
  output_tokens: TOO_LONG,
  tokens: TOO_LONG,
  requests: NONE_ALLOWED,
  nano_dollars: '',
  spend_velocity: '',
  running: '',
}

/** A tenant's own name, its users' and its keys' are its own to read; nothing is told of others. */
function whose({ level, name, shared }: Shortfall): string {
  switch (level) {
    case 'run':
      return `run ${name}`
    case 'key':
      return shared ? 'your API key' : `API key ${name}`
    case 'user':
      return `user ${name}`
    case 'tenant':
      return 'your account'
    case 'tenant_model':
      return 'your account for this model'
    case 'model':
      return 'this model'
    case 'global':
      return 'this server'
  }
}

const amount = ({ unit }: Shortfall, of: number): string =>
  unit === 'nano_dollars' || unit === 'spend_velocity' ? dollars(of) : whole(of)
const whole = (amount: number): string => String(Math.floor(amount))
/** Beside a limit and what is left, both rounded down. */
const usedOf = ({ limit, left }: Shortfall): number => Math.max(0, Math.floor(limit) - Math.floor(left))
/** In cents, and as far beyond as it takes to be exact. */
const dollars = (nano: number): string => `$${(nano / 1e9).toFixed(9).replace(/0{1,7}$/, '')}`
