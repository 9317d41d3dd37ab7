/** Ids of the Responses API name the job, and the item's place in it, so that nothing has to be kept to find them. */
import type { JobId } from '../../core/job.ts'

/** Kinds of items by what their ids begin with, as OpenAI has them. */
export type ItemPrefix = 'msg' | 'rs' | 'fc' | 'ctc' | 'fco'

const RESPONSE = /^resp_([0-9a-z]{26})$/
const ITEM = /^(?:msg|rs|fc|ctc|fco)_([0-9a-z]{26})_(\d{1,9})$/
const JOB = 'job_'

export const responseId = (job: JobId): string => `resp_${job.slice(JOB.length)}`
export const itemId = (prefix: ItemPrefix, job: JobId, index: number): string =>
  `${prefix}_${job.slice(JOB.length)}_${index}`

/** Null: it is none of ours. */
export function jobOfResponse(id: string): JobId | null {
  const match = RESPONSE.exec(id)
  return match === null ? null : `${JOB}${match[1]}`
}

/** The job that an item is of; null: it is none of ours. */
export function jobOfItem(id: string): JobId | null {
  const match = ITEM.exec(id)
  return match === null ? null : `${JOB}${match[1]}`
}
