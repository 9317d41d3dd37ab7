/** What each query is answered with: of what is committed, and without a commit. */
import { SluiceError } from '../../../core/errors.ts'
import type { JobId } from '../../../core/job.ts'
import type { Query } from '../protocol/commands.ts'
import { packError } from '../protocol/errors.ts'
import type { Answer, Answers, Refused } from '../protocol/messages.ts'
import type { KnownJobs } from './known.ts'
import { liveList } from './live-list.ts'
import type { Term } from './parts.ts'
import { finishedBefore } from './verbs.ts'

/** Null: later, when the coordinator is ready. */
export function answerTo(term: Term, query: Query, known: KnownJobs): Answer | Refused | null {
  const { n } = query
  try {
    const is = answerOf(term, query, known)
    return is === LATER ? null : { type: 'answer', n, is }
  } catch (thrown) {
    const error = SluiceError.from(thrown)
    term.emit({ type: 'store-degraded', code: error.code, detail: `${query.type}: ${error.stack ?? error.message}` })
    return { type: 'refused', n, error: packError(error) }
  }
}

const LATER = Symbol('later')

function answerOf(term: Term, query: Query, known: KnownJobs): Answers[Query['type']] | typeof LATER {
  const { coordinator, held, pauses, greeting } = term
  switch (query.type) {
    case 'hello':
      greeting.push(query)
      return LATER
    case 'finished':
      return finishedBefore(term, query, known)
    case 'look':
      return look(term, query.ids)
    case 'list':
      return liveList(held, (id) => coordinator.state(id), query)
    case 'paused':
      return [...pauses.values()]
    case 'depth':
      return coordinator.depth()
    case 'backlog':
      return coordinator.backlog()
    case 'line': {
      const now = term.now()
      return coordinator.line(query.by, query.most, now, Math.floor(term.time.atMs(now)))
    }
    case 'standing':
      return coordinator.tenantStanding(query.tenant, term.now())
    case 'run':
      return coordinator.runUse(query.tenant, query.run)
    case 'fullest':
      return coordinator.fullest(query.tenants, term.now())
    case 'deployments':
      return coordinator.status(term.now())
    case 'explain':
      return coordinator.explain(query.ask, term.now())
  }
}

function look(term: Term, ids: readonly JobId[]): Answers['look'] {
  const { coordinator, held } = term
  const places = coordinator.places(ids, term.now())
  return ids.flatMap((id) => {
    const job = held.get(id)
    const state = coordinator.state(id)
    return job === undefined || state === null
      ? []
      : [{ id, state, attempts: job.attempts, place: places.get(id) ?? null }]
  })
}
