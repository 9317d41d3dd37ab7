/** How a job was to get its answer, as its client is told: PROTOCOL.md section 3. */
import type { Job } from '../../core/job.ts'
import type { Headers } from '../http/answer.ts'

const NONE: Headers = {}

/** Empty for a job that shares no answer. */
export const cacheHeader = ({ cached }: Pick<Job, 'cached'>): Headers =>
  cached === undefined ? NONE : { 'x-sluice-cache': cached }
