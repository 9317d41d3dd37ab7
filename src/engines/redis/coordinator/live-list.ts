/** Jobs that have not ended, of a filter, newest first. */
import type { JobId, JobState } from '../../../core/job.ts'
import type { List, LiveFilter } from '../protocol/commands.ts'
import type { Answers } from '../protocol/messages.ts'
import type { LiveRow } from '../protocol/rows.ts'
import type { HeldJobs } from './held.ts'

const MOST = 1_000

/** `stateOf`: null for a job that has just ended. */
export function liveList(
  held: HeldJobs,
  stateOf: (id: JobId) => JobState | null,
  { filter, before, limit }: Pick<List, 'filter' | 'before' | 'limit'>,
): Answers['list'] {
  const found: Array<Answers['list'][number]> = []
  for (const { id, row, attempts } of held.values()) {
    if ((before !== null && before !== undefined && row.seq >= before) || !matches(row, filter)) continue
    const state = stateOf(id)
    if (state === null || (filter.states != null && !filter.states.includes(state))) continue
    found.push({ id, state, attempts, seq: row.seq })
  }
  // What a takeover found running came first into the table
  return found.sort((a, b) => b.seq - a.seq).slice(0, Math.min(limit, MOST))
}

function matches({ facts }: LiveRow, { tenant, user, lane, conversation, model, run }: LiveFilter): boolean {
  const { options } = facts
  return (
    (tenant == null || facts.tenant === tenant) &&
    (user == null || facts.user === user) &&
    (model == null || facts.model === model) &&
    (run == null || facts.run === run) &&
    (lane == null || options.lane === lane) &&
    (conversation == null || options.conversation === conversation)
  )
}
