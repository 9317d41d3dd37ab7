/** What a job has made, fetched over HTTP: no event carries it. */
import { backoffMs } from './backoff.ts'
import { SluiceError } from './errors.ts'
import type { Session } from './session.ts'

const MOST_TRIES = 6
const LONGEST_WAIT_MS = 30_000
/** Images may be many megabytes. */
const WITHIN_MS = 600_000

/** Asked again when it was cut: the job has ended, and its answer stays. */
export async function fetchMade<T>(
  session: Pick<Session, 'open'>,
  path: string,
  take: (response: Response) => Promise<T>,
  method: 'GET' | 'POST' = 'GET',
): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await take(await session.open(method, path, undefined, {}, AbortSignal.timeout(WITHIN_MS)))
    } catch (thrown) {
      const error = SluiceError.from(thrown)
      if (!error.retryable || tries === MOST_TRIES) throw error
      const waitMs = Math.min(error.retryAfterMs ?? backoffMs(tries), LONGEST_WAIT_MS)
      await new Promise((resolve) => setTimeout(resolve, waitMs))
    }
  }
}

/** JSON, or the text of what is none. */
export async function documentOf(response: Response): Promise<unknown> {
  const type = response.headers.get('content-type') ?? ''
  if (/^application\/json\b/i.test(type)) return response.json()
  if (/^text\//i.test(type)) return { text: await response.text() }
  await response.body?.cancel()
  throw new SluiceError('not_json', `The answer is ${type || 'of no type'}, no JSON: content() has its bytes.`)
}
