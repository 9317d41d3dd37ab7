/**
 * The one door for submits, whatever they came through. Who asks is checked in the turn in which the queue decides:
 * since the headers came the key may have been revoked, or the tenant erased. What is joined must be the caller's to
 * see (T1).
 */
import { SluiceError } from '../../core/errors.ts'
import { aboutDraft, aboutJob } from '../../core/facts.ts'
import type { Job, JobDraft, JobId, Place } from '../../core/job.ts'
import type { Submitted } from '../../core/ports/submissions.ts'
import type { Traceparent } from '../../core/trace.ts'
import type { Auth } from '../caller/auth.ts'
import { type Caller, canSee } from '../caller/caller.ts'
import type { GatewayDeps } from '../deps.ts'

export interface Taken {
  readonly kind: 'accepted' | 'joined'
  readonly job: Job
  readonly place: Place
}

/** What a job came with: an HTTP request, or a WebSocket connection. */
export interface Origin {
  readonly requestId: string
  readonly trace: Traceparent | null
}

const withOrigin = (draft: JobDraft, { requestId, trace }: Origin): JobDraft =>
  trace === null ? { ...draft, requestId } : { ...draft, requestId, trace }

export interface Submits {
  /**
   * Resolves when all are durable, in the order of `drafts`. `origin`: what submits them. Throws invalid_api_key,
   * invalid_token.
   */
  all(caller: Caller, drafts: readonly JobDraft[], origin: Origin): Promise<readonly Submitted[]>
  /** The same for one. Throws what it was refused for. */
  one(caller: Caller, draft: JobDraft, origin: Origin): Promise<Taken>
  /** A job whose answer is sent at once; nothing that names it may be shown before `power`. Throws as `one`. */
  begin(
    caller: Caller,
    draft: JobDraft,
    origin: Origin,
  ): Promise<{ readonly taken: Taken; readonly power: Promise<void> }>
  /** The job again; `caller` null: the operator asks. Throws as `one`, and invalid_request for a job that can't be. */
  again(caller: Caller | null, id: JobId): Promise<Taken>
}

export function createSubmits(
  { submissions, jobs, emit }: Pick<GatewayDeps, 'submissions' | 'jobs' | 'emit'>,
  auth: Auth,
): Submits {
  function outcome(caller: Caller | null, draft: JobDraft | Job, result: Submitted): Submitted {
    const isForeign = result.kind === 'joined' && caller !== null && !canSee(caller, result.job)
    const told: Submitted = isForeign ? { kind: 'refused', error: new SluiceError('idempotency_conflict') } : result
    if (told.kind === 'refused') emit({ type: 'job-refused', ...aboutDraft(draft), code: told.error.code })
    else emit({ type: 'job-submitted', ...aboutJob(told.job), kind: draft.kind, joined: told.kind === 'joined' })
    return told
  }

  function taken(result: Submitted): Taken {
    if (result.kind === 'refused') throw result.error
    return result
  }

  async function all(caller: Caller, given: readonly JobDraft[], origin: Origin): Promise<readonly Submitted[]> {
    auth.check(caller)
    const drafts = given.map((draft) => withOrigin(draft, origin))
    const results = await submissions.submit(drafts)
    return results.map((result, i) => outcome(caller, drafts[i], result))
  }

  return {
    all,
    one: async (caller, draft, origin) => taken((await all(caller, [draft], origin))[0]),
    async begin(caller, given, origin) {
      auth.check(caller)
      const draft = withOrigin(given, origin)
      const { result, power } = await submissions.begin(draft)
      return { taken: taken(outcome(caller, draft, result)), power }
    },
    async again(caller, id) {
      if (caller !== null) auth.check(caller)
      const job = await jobs.get(id)
      if (job === null) throw new SluiceError('job_not_found')
      const result = await submissions.redrive(id)
      if (result === null)
        throw new SluiceError('invalid_request', { message: 'Only a failed or expired job can be redriven.' })
      return taken(outcome(caller, job, result))
    },
  }
}
