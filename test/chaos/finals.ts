/** What is stored when all is over. */
import type { Http } from './client.ts'
import type { Final, Seen } from './history.ts'

const ENDED = ['done', 'failed', 'canceled', 'expired']

/** Jobs of each conversation's turns, oldest first. */
export async function readTurns(http: Http, conversations: readonly string[]): Promise<Map<string, string[]>> {
  const turns = new Map<string, string[]>()
  for (const id of conversations) {
    const jobs: string[] = []
    for (let after: string | null = ''; after !== null; ) {
      const from: string = after === '' ? '' : `&after=${encodeURIComponent(after)}`
      const page = await http.call('GET', `/v1/conversations/${id}?order=oldest&limit=1000${from}`)
      for (const turn of (page.json.turns ?? []) as Array<{ job: string }>) jobs.push(turn.job)
      after = (page.json.next as string | null | undefined) ?? null
    }
    turns.set(id, jobs)
  }
  return turns
}

/** Waits for each to end, at most a minute in all, and reads its whole log. */
export async function readFinals(http: Http, ids: readonly string[]): Promise<Map<string, Final>> {
  const finals = new Map<string, Final>()
  const left = [...ids]
  const giveUpAt = performance.now() + 60_000
  const one = async (): Promise<void> => {
    for (let id = left.shift(); id !== undefined; id = left.shift()) {
      const log: Seen[] = []
      const waitMs = Math.max(0, Math.min(30_000, Math.floor(giveUpAt - performance.now())))
      const job = await http.call('GET', `/v1/jobs/${id}?wait_ms=${waitMs}`).catch(() => null)
      if (job?.status !== 200) continue
      const state = job.json.state as string
      if (ENDED.includes(state)) await http.events('GET', `/v1/jobs/${id}/events`, undefined, {}, (e) => log.push(e))
      finals.set(id, { id, state, log })
    }
  }
  await Promise.all(Array.from({ length: 16 }, one))
  return finals
}
