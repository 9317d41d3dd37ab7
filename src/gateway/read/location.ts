/** Where an answer continues: GET it, with Last-Event-ID for a stream, and nothing else. PROTOCOL.md section 3. */
import type { JobId } from '../../core/job.ts'
import type { Dialects, StreamForm } from '../../core/ports/dialect.ts'

/** A job's events. */
export const eventsOf = (job: JobId): string => `/v1/jobs/${job}/events`

/** The same in another form. */
export const streamOf = (job: JobId, form: StreamForm, { events }: Dialects): string =>
  form === events ? eventsOf(job) : `${eventsOf(job)}?dialect=${form.name}`

/** The whole answer, once there is one. */
export const resultOf = (job: JobId): string => `/v1/jobs/${job}/result`
