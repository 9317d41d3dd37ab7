/** Of an attempt whose worker is gone nobody else can tell: what it came to is what the books have. */
import { SluiceError } from '../../core/errors.ts'
import { type aboutJob, failureOf, type Happened } from '../../core/facts.ts'
import type { UsageRecord } from '../../core/usage-record.ts'

export const lostFact = (
  about: ReturnType<typeof aboutJob>,
  { attempt, deployment, usage, nanoDollars, priceVersion }: UsageRecord,
): Happened => ({
  ...about,
  type: 'attempt-ended',
  attempt,
  deployment: deployment ?? 'unknown',
  ...failureOf(new SluiceError('worker_lost', { message: 'Its worker died, or was lost.' })),
  usage,
  cost: { nanoDollars, priceVersion },
})
