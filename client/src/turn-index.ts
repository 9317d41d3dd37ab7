/** Where a job's turn is in its conversation. */
import type { Sluice } from './connect.ts'

/** The index of this job's turn; null: there is none. Searched from the newest. */
export async function turnOf(sluice: Sluice, chatId: string, job: string): Promise<number | null> {
  const path = `/v1/conversations?id=${encodeURIComponent(chatId)}`
  let after: string | null = null
  let before: number | null = null
  do {
    const page = (await sluice.http('GET', after === null ? path : `${path}&after=${encodeURIComponent(after)}`)) as {
      readonly turn_count: number
      readonly turns: ReadonlyArray<{ readonly job: string }>
      readonly next: string | null
    }
    before = (before ?? page.turn_count) - page.turns.length
    const at = page.turns.findIndex((turn) => turn.job === job)
    if (at >= 0) return before + at
    after = page.next
  } while (after !== null)
  return null
}
