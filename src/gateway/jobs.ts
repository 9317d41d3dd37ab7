/** What both listeners say about jobs, and do to them. */
import { SluiceError } from '../core/errors.ts'
import type { Job, JobState } from '../core/job.ts'
import type { JobFilter, Submitted } from '../core/ports.ts'
import type { Call, KeyCall } from './call.ts'
import { type Caller, canSee, prefixOf, userOf } from './caller.ts'
import type { GatewayDeps } from './deps.ts'
import { jobView } from './job-view.ts'
import type { Submits } from './submit.ts'

const STATES: readonly JobState[] = ['queued', 'delayed', 'waiting', 'leased', 'done', 'failed', 'canceled', 'expired']
const FILTERS = ['lane', 'conversation', 'model', 'before'] as const
const MAX_LIST = 1_000
const LIST = 20

export type Jobs = ReturnType<typeof createJobs>

export function createJobs(deps: GatewayDeps, submits: Submits) {
  const { queue, log } = deps

  /** Throws job_not_found. */
  async function view(id: string, caller: Caller | null): Promise<Record<string, unknown>> {
    const job = await queue.get(id)
    if (job === null) throw new SluiceError('job_not_found')
    const page = await log.read(id, Number.MAX_SAFE_INTEGER, 0)
    return jobView(job, queue.place(id), page?.head ?? 0, namesOf(caller))
  }

  return {
    view,
    submitted: (result: Submitted, caller: Caller): Record<string, unknown> =>
      result.kind === 'refused'
        ? { object: 'error', error: result.error.wire }
        : jobView(result.job, result.place, 0, namesOf(caller)),
    /** The caller's own job; another tenant's, or another user's, is not there (T1). */
    async own(call: KeyCall): Promise<Job> {
      const job = await queue.get(call.params['id'])
      if (job === null || !canSee(call.caller, job)) throw new SluiceError('job_not_found')
      return job
    },
    /** `caller` null: the operator, who may name a tenant. */
    async list(call: Call, caller: Caller | null): Promise<void> {
      const filter = filterOf(call, caller)
      const jobs = await queue.list(filter)
      call.json(200, {
        object: 'list',
        data: jobs.map((job) => jobView(job, queue.place(job.id), 0, namesOf(caller))),
        has_more: jobs.length === filter.limit,
      })
    },
    async cancel(call: Call, id: string): Promise<void> {
      await queue.cancel(id)
      call.json(202, await view(id, call.caller))
    },
    async redrive(call: Call, id: string): Promise<void> {
      const { job, place } = await submits.again(call.caller, id)
      call.json(202, jobView(job, place, 0, namesOf(call.caller)), {
        location: `/v1/jobs/${job.id}/events`,
      })
    },
  }
}

const namesOf = (caller: Caller | null): string => (caller === null ? '' : prefixOf(caller))

function filterOf(call: Call, caller: Caller | null): JobFilter {
  const states = call.parameter('state')?.split(',') as JobState[] | undefined
  if (states?.some((s) => !STATES.includes(s)))
    throw new SluiceError('invalid_request', { param: 'state', message: `"state" must be of ${STATES.join(', ')}.` })
  const filter: Record<string, unknown> = { limit: call.integer('limit', 1, MAX_LIST) ?? LIST }
  const tenant = caller === null ? call.parameter('tenant') : caller.key.tenant
  const user = caller === null ? null : userOf(caller)
  if (tenant !== undefined) filter['tenant'] = tenant
  if (user !== null) filter['user'] = user
  if (states !== undefined) filter['states'] = states
  for (const name of FILTERS) {
    const value = call.parameter(name)
    if (value) filter[name] = name === 'lane' || name === 'conversation' ? namesOf(caller) + value : value
  }
  return filter as unknown as JobFilter
}
