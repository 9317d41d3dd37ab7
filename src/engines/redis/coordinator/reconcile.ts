/** A heartbeat beside the machine: whatever message was lost, either way, heals here. */
import type { Beat } from '../protocol/messages.ts'
import { tellAgain } from './outcomes.ts'
import type { Term } from './parts.ts'

/** A lease that was told may still be on its way for this long, with its worker's heartbeat crossing it. */
const ON_ITS_WAY_MS = 1_500

export function reconcile(term: Term, beat: Beat, now: number): void {
  const { held, journal } = term
  const workers = new Map<string, ReadonlySet<string>>()
  for (const { id: worker, held: has } of beat.workers) {
    workers.set(worker, new Set(has))
    for (const note of has) {
      const [id, number] = note.split(' ')
      const attempt = Number(number)
      const job = held.get(id)
      if (job?.attempt === attempt && job.worker === worker) continue
      journal.draft.tell(beat.process, { type: 'revoked', worker, id, attempt, reason: 'lost' })
    }
  }
  for (const [worker, has] of workers)
    for (const job of held.of(worker)) {
      const { id, attempt, canceling } = job
      if (!has.has(`${id} ${attempt}`)) {
        if (now - job.leasedMono > ON_ITS_WAY_MS) tellAgain(term, job, now)
      } else if (canceling)
        journal.draft.tell(beat.process, { type: 'revoked', worker, id, attempt, reason: 'canceled' })
    }
}
