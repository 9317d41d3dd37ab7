/**
 * What the end of an attempt means: its outcome. Whether a failure may be tried again, and where, is told as far as it
 * depends on what was shown; the coordinator decides.
 */
import { foldInSteps, toMessage } from '../core/answer.ts'
import { SluiceError } from '../core/errors.ts'
import type { Shortfall } from '../core/limits.ts'
import type { ProviderEnd } from '../core/ports/provider.ts'
import type { Outcome } from '../core/ports/work.ts'
import { type Attempt, STOPPED, type Stop } from './attempt.ts'
import { finishing } from './cut.ts'
import { FREE } from './outcomes.ts'
import { beginAttempt, shownBy } from './plan.ts'

/** No outcome: nothing may be stored of it. */
export const LOST = null

/** To put it together was work enough for one turn of the event loop. */
const LARGE_MESSAGE = 1 << 20

/** Of a call that has ended. Throws, and rejects with, what `outcomeOfThrown` takes. */
export function outcomeOf(attempt: Attempt, end: ProviderEnd): Outcome | typeof LOST | Promise<Outcome> {
  const { stop, fault, cut } = attempt
  if (stop !== null) return outcomeOfStop(attempt, stop)
  if (fault !== null) return { kind: 'failed', ...fault, ...attempt.spent() }
  if (cut !== null && end.kind === 'aborted') return endCut(attempt, cut)
  switch (end.kind) {
    case 'done':
      return attempt.answer.isRefused ? refused(attempt) : done(attempt)
    case 'aborted':
      return outcomeOfThrown(attempt, new Error('the provider aborted a call that nobody had stopped'))
    case 'failed':
      return failed(attempt, end)
  }
}

export function outcomeOfStop(attempt: Attempt, reason: Stop): Outcome | typeof LOST {
  if (reason === 'lost') return LOST
  if (reason === 'canceled') return { kind: 'canceled', ...attempt.spent() }
  return { kind: 'released', ...attempt.attemptSpent(), ...attempt.times.ttft() }
}

export function outcomeOfThrown(attempt: Attempt, thrown: unknown): Outcome | typeof LOST {
  // A wait was given up for this
  if (attempt.stop !== null && thrown === STOPPED) return outcomeOfStop(attempt, attempt.stop)
  const error = attempt.foreseen(thrown)
  return { kind: 'failed', error, retry: mayRetry(error), ...attempt.spent() }
}

/** What has no room now has none for the next answer: it would be bought to be thrown away. */
export const mayRetry = ({ code, retryable }: SluiceError): boolean => retryable && code !== 'storage_full'

/** What it cost its provider told. */
function refused(attempt: Attempt): Outcome {
  const message = "The model provider's policy ended the answer before it began."
  const error = new SluiceError('provider_rejected', { upstreamCode: 'content_filter', message })
  return { kind: 'failed', error, retry: false, textShown: false, ...attempt.spent() }
}

/** After text was shown it is tried again only as the job's policy allows. */
async function failed(attempt: Attempt, { error, retry }: ProviderEnd & { kind: 'failed' }): Promise<Outcome> {
  if (FREE.has(error.code)) attempt.meter.refused()
  const { textShown } = attempt.answer
  if (retry !== false && textShown) {
    const shown = shownBy(await attempt.read())
    const { mode } = beginAttempt(attempt.lease.job, shown, attempt.deployment!.provider.continues)
    if (mode === 'fail') return { kind: 'failed', error, retry: false, textShown, ...attempt.spent() }
  }
  return { kind: 'failed', error, retry, textShown, ...attempt.spent() }
}

/** Every choice that has no end gets one. A cut that came when all had theirs changes nothing (E1). */
async function endCut(attempt: Attempt, cause: Shortfall): Promise<Outcome> {
  const { clock, emit } = attempt.deps
  const { job, body } = attempt.lease
  const answer = await foldInSteps(await attempt.read(), clock)
  const missing = finishing(answer, job, body, cause, attempt.meter.usage())
  if (missing.length === 0) return done(attempt)
  attempt.writer!.append(missing, 0, false)
  attempt.answer.closed()
  const { level: limitLevel, unit, window = null } = cause
  emit({ ...attempt.about(), type: 'answer-cut', limitLevel, unit, window })
  return { ...done(attempt), cut: cause }
}

function done(attempt: Attempt): Outcome & { readonly kind: 'done' } {
  const usage = attempt.meter.usage()
  const closing = attempt.answer.closing(usage)
  if (closing.length > 0) attempt.writer!.append(closing, 0, false)
  return { kind: 'done', usage, ...attempt.attemptSpent(), timing: attempt.timing() }
}

/**
 * With the answer, as a turn of its conversation. What can't be put together ends the job: it would end every later
 * reader the same way. Never rejects.
 */
export async function withAnswer(
  attempt: Attempt,
  outcome: Exclude<Outcome, { kind: 'released' }>,
): Promise<Outcome | typeof LOST> {
  try {
    const { clock } = attempt.deps
    const answer = await foldInSteps(await attempt.read(), clock)
    if (answer.choices.length === 0) return outcome
    const message = toMessage(answer)
    if (message.length > LARGE_MESSAGE) await new Promise<void>((next) => clock.soon(next))
    return { ...outcome, answer: message }
  } catch (cause) {
    if (attempt.stop !== null && cause === STOPPED) return outcomeOfStop(attempt, attempt.stop)
    if (outcome.kind !== 'done') return outcome
    const error = cause instanceof SluiceError ? cause : new SluiceError('provider_garbage', { cause })
    return { kind: 'failed', error, retry: false, ...attempt.spent() }
  }
}
