/** What a watcher of a conversation is told, as its caller may see it: PROTOCOL.md section 6. */
import type { WatchingFrame, WireJob, WireNews } from '../core/frames.ts'
import type { Job } from '../core/job.ts'
import type { ConversationNews, Queue } from '../core/ports.ts'
import { type Caller, canSee, prefixOf } from './caller.ts'
import { jobView } from './job-view.ts'

export type Standing = Omit<WatchingFrame, 't' | 'id' | 'conversation'>
type Change = Exclude<ConversationNews, { readonly type: 'standing' }>

const wireJob = (job: Job, queue: Queue, caller: Caller): WireJob =>
  jobView(job, queue.place(job.id), 0, prefixOf(caller)) as unknown as WireJob

export const standingView = (
  news: Extract<ConversationNews, { readonly type: 'standing' }>,
  queue: Queue,
  caller: Caller,
): Standing => ({
  name: news.info?.name ?? null,
  turns: news.info?.turns ?? 0,
  last_turn: news.lastTurn,
  jobs: news.jobs.filter((job) => canSee(caller, job)).map((job) => wireJob(job, queue, caller)),
  more: news.more,
})

/**
 * Null: not for this caller. A session is not told of a job that another user, or the key itself, put into its
 * conversation, but of the turn that came of it.
 */
export function newsView(news: Change, queue: Queue, caller: Caller): WireNews | null {
  switch (news.type) {
    case 'submitted':
      return canSee(caller, news.job) ? { submitted: wireJob(news.job, queue, caller) } : null
    case 'ended':
      return { ended: { ...wireJob(news.job, queue, caller), queue: null } }
    case 'erased':
      return { erased: { job: news.job } }
    case 'renamed':
      return { renamed: { name: news.name } }
    case 'truncated':
      return { truncated: {} }
    case 'deleted':
      return { deleted: {} }
  }
}
