/** What both listeners show of jobs, and do to them. */
import { SluiceError, withoutWords } from '../../core/errors.ts'
import { bad } from '../../core/fields.ts'
import { jobOrder } from '../../core/ids.ts'
import type { Job, JobId, JobState, Place } from '../../core/job.ts'
import type { JobFilter } from '../../core/ports/jobs.ts'
import type { Submitted } from '../../core/ports/submissions.ts'
import { mayWithdraw, requireOwnJob, unknownJob } from '../caller/access.ts'
import { type Caller, canSee, prefixOf, userOf, withinRun } from '../caller/caller.ts'
import type { GatewayDeps } from '../deps.ts'
import { type Answer, json } from '../http/answer.ts'
import type { Call, KeyCall } from '../http/call.ts'
import type { Submits } from '../submit/submit.ts'
import { eventsOf } from './location.ts'
import { jobView, limitsView } from './views.ts'

const STATES: readonly JobState[] = ['queued', 'delayed', 'waiting', 'leased', 'done', 'failed', 'canceled', 'expired']
const FILTERS = ['lane', 'conversation', 'run', 'model', 'before'] as const
/** Query parameters of every list of jobs. */
export const JOB_FILTERS = ['state', ...FILTERS, 'limit', 'message'] as const
/** Another program's message is known by its id, at the broker that it came through. */
const BROKERS = ['rabbitmq', 'kafka'] as const
const MAX_LIST = 1_000
const LIST = 20
const NO_ARRIVAL = (): Promise<null> => Promise.resolve(null)

export type Jobs = ReturnType<typeof createJobs>

export function createJobs(deps: GatewayDeps, submits: Submits) {
  const { jobs, log, keys } = deps

  /** `caller` null: the operator. */
  async function viewOf(job: Job, place: Place | null, caller: Caller | null): Promise<Record<string, unknown>> {
    return viewFrom((await log.head(job.id))?.head ?? 0, job, place, caller)
  }

  const viewFrom = (head: number, job: Job, place: Place | null, caller: Caller | null): Record<string, unknown> => ({
    ...jobView(job, place, head, namesOf(caller)),
    ...(caller === null ? { tenant: job.tenant, key: job.keyId } : {}),
  })

  /** It is read from its start. Nothing is asked of the store: it was accepted, whatever has become of that since. */
  const viewOfNew = (job: Job, place: Place | null, caller: Caller | null): Record<string, unknown> =>
    viewFrom(0, job, place, caller)

  /** Whoever signed in sees an error's own words where texts are shown, and his role suffices. */
  function shown(job: Job, { exchange }: Call): Job {
    const mayRead = !exchange.isSignedIn || (deps.textPolicy() === 'shown' && exchange.role !== 'viewer')
    return mayRead || job.error === undefined ? job : { ...job, error: withoutWords(job.error) }
  }

  /** Throws job_not_found. */
  async function view(id: string, call: Call): Promise<Record<string, unknown>> {
    const job = await jobs.get(id)
    if (job === null) throw new SluiceError('job_not_found')
    return viewOf(shown(job, call), (await jobs.places([id])).get(id) ?? null, call.caller)
  }

  /**
   * The caller's own job; another tenant's, or another user's, is not there (T1). `arrival` waits for one that nobody
   * knows yet.
   */
  async function own(call: KeyCall, arrival: (id: string) => Promise<Job | null> = NO_ARRIVAL): Promise<Job> {
    const id = call.params['id']
    const job = (await jobs.get(id)) ?? (await arrival(id))
    if (job === null || !canSee(call.caller, job)) throw unknownJob(jobs, call.caller, id)
    return job
  }

  /** At most one a broker. */
  async function ofMessage(message: string, { tenant, user }: JobFilter): Promise<readonly Job[]> {
    if (tenant === undefined)
      throw bad('tenant', 'Messages of different tenants may have the same id: name the tenant.')
    const ids = await Promise.all(BROKERS.map((broker) => jobs.byKey(tenant, `${broker}/${message}`)))
    const all = await Promise.all(ids.map((id) => (id === null ? null : jobs.get(id))))
    return all.filter((job) => job !== null && (user === undefined || job.user === user)) as readonly Job[]
  }

  return {
    view,
    own,
    /** The same, to be canceled or redriven. Throws forbidden too. */
    async managed(call: KeyCall): Promise<Job> {
      const job = await own(call)
      requireOwnJob(keys, call.caller, job)
      return job
    },
    async submitted(result: Submitted, caller: Caller): Promise<Record<string, unknown>> {
      if (result.kind === 'refused') return { object: 'error', error: result.error.wire }
      const { kind, job, place, standing } = result
      const view = kind === 'accepted' ? viewOfNew(job, place, caller) : await viewOf(job, place, caller)
      return { ...view, ...limitsView(standing) }
    },
    /** `caller` null: the operator, of all tenants. */
    async list(call: Call, caller: Caller | null): Promise<Answer> {
      const filter = filterOf(call, caller)
      const message = call.parameter('message')
      const found = message === undefined ? await jobs.list(filter) : await ofMessage(message, filter)
      const places = await jobs.places(found.map(({ id }) => id))
      return json(200, {
        object: 'list',
        data: await Promise.all(found.map((job) => viewOf(shown(job, call), places.get(job.id) ?? null, caller))),
        has_more: found.length === filter.limit,
      })
    },
    /** The caller's, also one that nobody knows yet. */
    async cancelOwn(call: KeyCall): Promise<Answer> {
      const { caller, params } = call
      const { id } = params
      if ((await jobs.get(id)) !== null) return this.cancel(call, (await this.managed(call)).id)
      await withdraw(deps, caller, id)
      return json(202, await view(id, call))
    },
    async cancel(call: Call, id: string): Promise<Answer> {
      await jobs.cancel(id)
      return json(202, await view(id, call))
    },
    async redrive(call: Call, id: string): Promise<Answer> {
      const { job, place } = await submits.again(call.caller, id)
      return json(202, viewOfNew(job, place, call.caller), { location: eventsOf(job.id) })
    },
  }
}

/** One that may come from its pool's broker. Throws job_not_found, not_arrived, and what storing it is refused for. */
export async function withdraw({ jobs, keys }: Pick<GatewayDeps, 'jobs' | 'keys'>, caller: Caller, id: JobId) {
  mayWithdraw(keys, jobs, caller, id)
  const user = userOf(caller)
  await jobs.withdraw?.(id, { tenant: caller.key.tenant, keyId: caller.key.id, ...(user !== null && { user }) })
}

const namesOf = (caller: Caller | null): string => (caller === null ? '' : prefixOf(caller))

/** Names are the caller's own. */
function storedAs(name: (typeof FILTERS)[number], value: string, caller: Caller | null): string {
  if (name === 'run') return caller === null ? value : withinRun(caller, value)
  return name === 'lane' || name === 'conversation' ? namesOf(caller) + value : value
}

function filterOf(call: Call, caller: Caller | null): JobFilter {
  const states = call.parameter('state')?.split(',') as JobState[] | undefined
  if (states?.some((s) => !STATES.includes(s)))
    throw new SluiceError('invalid_request', {
      param: 'state',
      message: `"state" must be one of ${STATES.join(', ')}, or several separated by commas.`,
    })
  const filter: Record<string, unknown> = { limit: call.integer('limit', 1, MAX_LIST) ?? LIST }
  const tenant = caller === null ? call.parameter('tenant') : caller.key.tenant
  // A session sees its own user's, whatever it asks for
  const user = (caller === null ? null : userOf(caller)) ?? call.parameter('user')
  if (tenant !== undefined) filter['tenant'] = tenant
  if (user !== undefined) filter['user'] = user
  if (states !== undefined) filter['states'] = states
  const before = call.parameter('before')
  if (before !== undefined && jobOrder(before) === null)
    throw new SluiceError('invalid_request', { param: 'before', message: '"before" must be a job id.' })
  for (const name of FILTERS) {
    const value = call.parameter(name)
    if (value === '') throw bad(name, `"${name}" is empty: leave it out for all of them.`)
    if (value !== undefined) filter[name] = storedAs(name, value, caller)
  }
  return filter as unknown as JobFilter
}
