/** Jobs that a job names: by their ids, or as they were submitted here, before they have one. */
import type { JobRequest } from '../../src/core/frames.ts'
import { SluiceError } from './errors.ts'
import { Job } from './job.ts'

/** What is submitted: `parent` and `after` may be jobs of this page or program, accepted or not. */
export interface Submission extends Omit<JobRequest, 'parent' | 'after'> {
  /** The job that asked for it, of the same run. */
  readonly parent?: string | Job
  /** It waits until all of them are done, and fails with `dependency_failed` if one can't be. */
  readonly after?: ReadonlyArray<string | Job>
}

const idOf = async (named: unknown): Promise<string> => {
  if (named instanceof Job) return (await named.accepted).id
  if (typeof named === 'string') return named
  // Left out, it would be in no run, and under no budget
  throw new SluiceError('invalid_request', '"parent" and "after" take jobs and their ids: null is neither.')
}

/** It can be sent as it is. */
export function isReady({ parent, after }: Submission): boolean {
  return (parent === undefined || typeof parent === 'string') && (after ?? []).every((one) => typeof one === 'string')
}

/** With the ids of the jobs that it names, once they have them. Rejects with what one of those is refused for. */
export async function withIds({ parent, after, ...request }: Submission): Promise<JobRequest> {
  const [id, ids] = await Promise.all([
    parent === undefined ? undefined : idOf(parent),
    after === undefined ? undefined : Promise.all(after.map(idOf)),
  ])
  return { ...request, ...(id !== undefined && { parent: id }), ...(ids !== undefined && { after: ids }) }
}
