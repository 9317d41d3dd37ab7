/** How a client asked for a job, for its page. */
import type { Job } from '../core/job.ts'
import type { Dialects } from '../core/ports/dialect.ts'
import type { Asked } from '../observability/live/job-pages.ts'

/** In one of these dialects. A job keeps which, and its kind. */
export const askedIn =
  ({ spoken }: Pick<Dialects, 'spoken'>) =>
  ({ id, kind, dialect }: Pick<Job, 'id' | 'kind' | 'dialect'>): Asked => {
    const own = spoken.find(({ name }) => name === dialect)
    const form = own?.requests.find((one) => one.kind === kind) ?? own?.requests[0]
    return { ...(form && { endpoint: form.path }), ...(own?.answerId && { id: own.answerId(id) }) }
  }
