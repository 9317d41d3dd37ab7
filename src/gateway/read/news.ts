/** What a watcher of a conversation is sent, as far as its caller may see it: PROTOCOL.md section 6. */
import type { WatchingFrame, WireJob, WireNews } from '../../core/frames.ts'
import type { Job, Place } from '../../core/job.ts'
import type { ConversationNews } from '../../core/ports/conversations.ts'
import { type Bytes, toBytes } from '../../core/record.ts'
import { type Caller, canSee, prefixOf, userOf } from '../caller/caller.ts'
import { jobView } from './views.ts'

type Standing = Omit<WatchingFrame, 't' | 'id' | 'conversation'>
type Change = Exclude<ConversationNews, { readonly type: 'standing' }>

/** By view: the same for all connections of a user, and for all others of the tenant. */
const RENDERED = new WeakMap<ConversationNews, Map<string, Bytes | null>>()

/**
 * The members of a `watching` or `news` frame after its `t` (and `id`), rendered once for all watchers with the same
 * view: there may be hundreds. Null: not for this caller.
 */
export function newsMembers(news: ConversationNews, conversation: string, caller: Caller): Bytes | null {
  const views = RENDERED.get(news) ?? new Map<string, Bytes | null>()
  if (views.size === 0) RENDERED.set(news, views)
  const view = `${userOf(caller) ?? ''}\n${conversation}`
  let members = views.get(view)
  if (members === undefined) {
    members = render(news, conversation, caller)
    views.set(view, members)
  }
  return members
}

function render(news: ConversationNews, conversation: string, caller: Caller): Bytes | null {
  if (news.type === 'standing') return membersOf({ conversation, ...standingView(news, caller) })
  const e = newsView(news, caller)
  return e === null ? null : membersOf({ conversation, e })
}

/** Without the brackets. */
const membersOf = (value: object): Bytes => toBytes(JSON.stringify(value).slice(1, -1))

const wireJob = (job: Job, place: Place | null, caller: Caller): WireJob =>
  jobView(job, place, 0, prefixOf(caller)) as unknown as WireJob

const standingView = (news: Extract<ConversationNews, { readonly type: 'standing' }>, caller: Caller): Standing => ({
  name: news.info?.name ?? null,
  turns: news.info?.turns ?? 0,
  last_turn: news.lastTurn,
  jobs: news.jobs
    .filter((job) => canSee(caller, job))
    .map((job) => wireJob(job, news.places.get(job.id) ?? null, caller)),
  more: news.more,
})

/**
 * Null: not for this caller. A session does not see a job that another user, or the key itself, put into its
 * conversation, but it sees the turn that the job became.
 */
function newsView(news: Change, caller: Caller): WireNews | null {
  switch (news.type) {
    case 'submitted':
      return canSee(caller, news.job) ? { submitted: wireJob(news.job, news.place, caller) } : null
    case 'ended':
      return { ended: wireJob(news.job, null, caller) }
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
