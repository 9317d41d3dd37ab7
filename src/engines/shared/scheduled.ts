/** The store's words translated to the scheduler's. */
import { ERRORS, SluiceError } from '../../core/errors.ts'
import type { JobDraft, JobId } from '../../core/job.ts'
import type { ScheduledJob } from '../../core/ports/coordinator.ts'
import type { Selector } from '../../core/ports/operations.ts'
import type { End } from '../../core/record.ts'

const laneName = (tenant: string, kind: 'lane' | 'conversation', name: string): string => `${kind}\n${tenant}\n${name}`

/**
 * J4: an SDK repeats the very same bytes with the same API key, for the same user, in the same conversation or lane,
 * with the same idempotency key or none. Only the user may contain a line break, so it comes last.
 */
export function joinKeyOf({
  keyId,
  bodyHash,
  user,
  options,
}: Pick<JobDraft, 'keyId' | 'bodyHash' | 'user' | 'options'>): string {
  const { conversation = '', lane = '', idempotencyKey = '' } = options
  return `${keyId}\n${bodyHash}\n${conversation}\n${lane}\n${idempotencyKey}\n${user ?? ''}`
}

/** `acceptedMono`: monotonic ms. */
export function scheduled(
  id: JobId,
  job: Omit<JobDraft, 'body' | 'isRetry'>,
  bodyBytes: number,
  acceptedMono: number,
): ScheduledJob {
  const { tenant, model, promptTokens, options } = job
  const { conversation } = options
  const lane =
    conversation !== undefined
      ? laneName(tenant, 'conversation', conversation)
      : options.lane !== undefined
        ? laneName(tenant, 'lane', options.lane)
        : null
  return {
    id,
    kind: job.kind,
    tenant,
    lane,
    session: job.session ?? null,
    pool: options.pool,
    model,
    priority: options.priority,
    promptTokens,
    bodyBytes,
    keyId: job.keyId,
    user: job.user ?? null,
    run: job.run ?? null,
    ...(job.budget !== undefined && { budget: job.budget }),
    route: job.route ?? '',
    // Kinds but these and images are answered in no tokens that could be told beforehand
    maxOutputTokens: job.maxOutputTokens ?? (job.kind === 'chat' ? null : 0),
    price: job.price ?? null,
    policy: options.policy,
    acceptedMono,
    notBeforeMono: acceptedMono + (options.delayMs ?? 0),
    deadlineMono: acceptedMono + options.deadlineMs,
    joinKey: joinKeyOf(job),
    ...(job.share !== undefined && { share: job.share }),
    ...(job.needs !== undefined && { needs: job.needs }),
    ...(job.instead !== undefined && { instead: job.instead }),
    ...(job.after !== undefined && { after: job.after }),
    ...(job.outputs !== undefined && { outputs: job.outputs }),
    ...(job.intake !== undefined && { hasWaited: true }),
    affinity: conversation !== undefined ? lane : (job.affinity ?? null),
  }
}

/**
 * A selector as the scheduler knows lanes: a lane's name may be a conversation's too. Throws invalid_request for a lane
 * without its tenant.
 */
export function laneNames(selector: Selector): readonly Selector[] {
  const { tenant, lane } = selector
  if (lane === undefined) return [selector]
  if (tenant === undefined)
    throw new SluiceError('invalid_request', { param: 'tenant', message: 'A lane belongs to a tenant: name both.' })
  return [
    { ...selector, lane: laneName(tenant, 'lane', lane) },
    { ...selector, lane: laneName(tenant, 'conversation', lane) },
  ]
}

/** The error's members of an end; its status only if it is not the table's. */
export const errorOf = (error: SluiceError): Pick<End, 'error' | 'status' | 'retryAfterMs'> => ({
  error: error.wire,
  ...(error.status === ERRORS[error.code].status ? {} : { status: error.status }),
  ...(error.retryAfterMs === undefined ? {} : { retryAfterMs: error.retryAfterMs }),
})

/** A retry of its submit is another job. */
export function withoutKey({ options, ...draft }: JobDraft): JobDraft {
  const { idempotencyKey: _key, ...rest } = options
  return { ...draft, options: rest, isRetry: false }
}
