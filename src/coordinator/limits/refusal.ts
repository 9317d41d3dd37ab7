/** A shortfall as the error of a submit that can't be taken. */
import { SluiceError } from '../../core/errors.ts'
import type { Shortfall, Unit } from '../../core/limits.ts'

/** `model`: as its client asked. */
export function refusalOf(short: Shortfall, model: string): SluiceError {
  const { unit, waitMs, limit, weight, left } = short
  if (unit === 'nano_dollars')
    return new SluiceError('insufficient_quota', {
      limit: short,
      message:
        `You exceeded the budget of ${whose(short)} for the ${short.window}: ${dollars(limit)}, of which ` +
        `${dollars(Math.max(0, left))} are left; this request may cost ${dollars(weight)}.`,
    })
  const what = `${UNITS[unit]} of ${whose(short)}: limit ${whole(limit)}`
  if (waitMs === null)
    return new SluiceError('request_exceeds_limit', {
      limit: short,
      message:
        `Request too large for ${model} on ${what}, requested ${whole(weight)}. The input or output tokens must be ` +
        'reduced in order to run successfully.',
    })
  return new SluiceError('rate_limit_exceeded', {
    limit: short,
    retryAfterMs: waitMs,
    message:
      `Rate limit reached for ${model} on ${what}, used ${whole(Math.max(0, limit - left))}, requested ` +
      `${whole(weight)}. Please try again in ${seconds(waitMs)}.`,
  })
}

const UNITS: Readonly<Record<Unit, string>> = {
  input_tokens: 'input tokens',
  output_tokens: 'output tokens',
  tokens: 'tokens',
  requests: 'requests',
  nano_dollars: 'money',
  running: 'concurrent requests',
}

/** A tenant's own name, its users' and its keys' are its own to read; nothing is told of others. */
function whose({ level, name }: Shortfall): string {
  switch (level) {
    case 'run':
      return `run ${name}`
    case 'key':
      return `API key ${name}`
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

const whole = (amount: number): string => String(Math.floor(amount))
const seconds = (ms: number): string => (ms < 1_000 ? `${Math.ceil(ms)}ms` : `${Math.ceil(ms / 10) / 100}s`)
const dollars = (nano: number): string => `$${(nano / 1e9).toFixed(nano < 1e7 ? 6 : 2)}`
