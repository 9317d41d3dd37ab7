/** How a conversation stands, and its news, from what scripts return and publish. */
import type { Job, JobId, JobState, Place } from '../../../core/job.ts'
import type { ConversationInfo, ConversationNews } from '../../../core/ports/conversations.ts'
import { fits, number, parse } from '../../shared/shape.ts'
import type { Answers } from '../protocol/messages.ts'
import { endedJob, liveJob, readEnded, readLive } from '../protocol/rows.ts'

/** Most jobs in the state that a watcher is sent. */
const MAX_STANDING_JOBS = 100

/** States and places of those that have not ended, by the coordinator. */
export type Look = (ids: readonly JobId[]) => Promise<Answers['look']>

/** `n`: of the last news that it contains. */
export interface Numbered {
  readonly n: number
  readonly news: ConversationNews
}
export type Standing = Numbered & { readonly news: { readonly type: 'standing' } }

/** `fields`: its name, when it was created and updated, how many turns it has. */
export const infoOf = (
  id: string,
  [name, created, updated, turns]: ReadonlyArray<string | null>,
): ConversationInfo => ({
  id,
  name: name ?? null,
  turns: Number(turns),
  createdAtMs: Math.floor(Number(created)),
  updatedAtMs: Math.floor(Number(updated)),
})

export async function readStanding(
  id: string,
  read: (mostJobs: number) => Promise<unknown>,
  look: Look,
): Promise<Standing> {
  const found = (await read(MAX_STANDING_JOBS + 1)) as [string, Array<string | null>, JobId | null, string[]]
  const [n, info, lastTurn, texts] = found
  const rows = texts.slice(0, MAX_STANDING_JOBS).flatMap((text) => readLive(text) ?? [])
  const looked = rows.length === 0 ? [] : await look(rows.map((row) => row.id))
  const byId = new Map(looked.map((one) => [one.id, one]))
  const jobs: Job[] = []
  const places = new Map<JobId, Place>()
  for (const row of rows) {
    const now = byId.get(row.id)
    if (now === undefined) continue // it has ended meanwhile, which is news
    jobs.push(liveJob(row, now.state, now.attempts))
    if (now.place !== null) places.set(row.id, now.place)
  }
  return {
    n: Number(n),
    news: {
      type: 'standing',
      info: info[1] === null ? null : infoOf(id, info),
      lastTurn,
      jobs,
      places,
      more: texts.length > MAX_STANDING_JOBS,
    },
  }
}

/** "<type> <n>\n<text>", as conversation_news publishes it; null: of a later version, or damaged. */
export function readNews(message: string): Numbered | null {
  const [head, type, n] = /^([a-z]+) (\d{1,16})\n/.exec(message) ?? []
  if (head === undefined) return null
  const news = newsOf(type, message.slice(head.length))
  return news === null ? null : { n: Number(n), news }
}

function newsOf(type: string, text: string): ConversationNews | null {
  switch (type) {
    case 'submitted': {
      const [state, place] = text.split('\n', 2)
      const row = readLive(text.slice(state.length + (place ?? '').length + 2))
      return row === null
        ? null
        : { type, job: liveJob(row, state as JobState, 0), place: place === '' ? null : placeOf(place) }
    }
    case 'ended': {
      const row = readEnded(text)
      return row === null ? null : { type, job: endedJob(row) }
    }
    case 'erased':
      return { type, job: text }
    case 'renamed':
      return { type, name: text }
    case 'truncated':
    case 'deleted':
      return { type }
    default:
      return null
  }
}

function placeOf(json: string): Place | null {
  const place = parse(json)
  return fits(place, { position: number, tokensAhead: number }) ? (place as Place) : null
}
