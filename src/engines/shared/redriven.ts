/** A job that failed, as it is submitted anew. */
import type { Job, JobDraft } from '../../core/job.ts'
import type { Redriver, Terms } from '../../core/ports/submissions.ts'

/** At the end of its lane, at once, and under no idempotency key: that one names the job that failed. */
export function redriven(job: Job, body: Uint8Array, by: Redriver | null, terms: Terms = {}): JobDraft {
  const {
    id,
    state: _state,
    epoch: _epoch,
    attempts: _attempts,
    acceptedAtMs: _at,
    endedAtMs: _ended,
    error: _error,
    usage: _usage,
    timing: _timing,
    admissionMs: _admission,
    cut: _cut,
    cached: _cached,
    price: _price,
    instead: _instead,
    intake: _intake,
    ...draft
  } = job
  const { idempotencyKey: _key, delayMs: _delay, ...options } = draft.options
  const again: JobDraft = { ...draft, options, body, isRetry: false, redriveOf: id, ...terms }
  if (by === null) return again
  const { session: _session, ...rest } = again
  return { ...rest, ...by }
}
