/** Leases as they are told, made into leases as their worker takes them: with the request, and how far the log goes. */
import { SluiceError } from '../../../core/errors.ts'
import type { JobId } from '../../../core/job.ts'
import type { Lease } from '../../../core/ports/work.ts'
import type { Ground } from '../bus/ground.ts'
import type { Enclosed, LeaseNote } from '../protocol/messages.ts'
import { type LiveRow, liveJob, NO_BODY } from '../protocol/rows.ts'

const RETRY_MS = 100

/** Requests that did not come with their lease. Those that are not there are left out. */
export async function fetchBodies(
  { commands, names, clock }: Ground,
  ids: readonly JobId[],
  isClosed: () => boolean,
): Promise<ReadonlyMap<JobId, Buffer>> {
  const bodies = new Map<JobId, Buffer>()
  while (!isClosed())
    try {
      const found = await commands.client.mgetBuffer(...ids.map((id) => names.body(id)))
      for (const [i, id] of ids.entries()) {
        const body = found[i]
        if (body != null) bodies.set(id, body)
      }
      break
    } catch {
      // Away, or its permissions were changed: a job must not be damaged by that
      await new Promise<void>((again) => clock.after(RETRY_MS, again))
    }
  return bodies
}

export function leaseOf(note: LeaseNote, row: LiveRow, { body, head, ttftMs }: Enclosed): Lease {
  const { attempt, crashes, claim, sinceAcceptedMs, queuedMs, turnMs, epoch } = note
  return {
    job: liveJob(row, 'leased', attempt),
    body: body ?? NO_BODY,
    attempt,
    crashes,
    claim,
    sinceAcceptedMs,
    queuedMs,
    ...(turnMs !== undefined && { turnMs }),
    ttftMs: note.ttftMs ?? ttftMs,
    log: { epoch, head },
    ...(body === null && { damaged: new SluiceError('job_damaged') }),
  }
}
