/** What is done to several jobs at once: a few calls at a time, and one sentence about how it went. */
import { ApiError, call } from '../../api.ts'
import { counted } from '../../format.ts'

export type Verb = 'cancel' | 'redrive'

const AT_ONCE = 8

export interface Outcome {
  readonly done: number
  /** By the server's words. */
  readonly refused: ReadonlyMap<string, number>
}

export async function actOn(
  verb: Verb,
  jobs: readonly string[],
  send: (job: string) => Promise<unknown> = (job) => call('POST', `/admin/jobs/${encodeURIComponent(job)}/${verb}`),
): Promise<Outcome> {
  const refused = new Map<string, number>()
  let done = 0
  const left = [...jobs]
  const one = async (): Promise<void> => {
    for (let job = left.shift(); job !== undefined; job = left.shift())
      try {
        await send(job)
        done++
      } catch (error) {
        const why = error instanceof ApiError || error instanceof Error ? error.message : String(error)
        refused.set(why, (refused.get(why) ?? 0) + 1)
      }
  }
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, left.length) }, one))
  return { done, refused }
}

/** "12 jobs canceled. 1 refused: Only a failed or expired job can be redriven." */
export function told(verb: Verb, { done, refused }: Outcome): string {
  const what = verb === 'cancel' ? 'canceled' : 'run again'
  const first = done === 0 ? `No job was ${what}.` : `${counted(done, 'job')} ${done === 1 ? 'is' : 'are'} ${what}.`
  return [first, ...[...refused].map(([why, count]) => `${count} refused: ${why}`)].join(' ')
}
