/** Answers that an API keeps under ids of its own: read, followed, canceled, deleted. PROTOCOL.md section 3. */
import { SluiceError } from '../../core/errors.ts'
import { bad } from '../../core/fields.ts'
import { isTerminal, type Job } from '../../core/job.ts'
import type { JsonRecord } from '../../core/json.ts'
import type { Dialect, Resource } from '../../core/ports/dialect.ts'
import { parseCursor } from '../../core/record.ts'
import { requireOwnJob, unknownJob } from '../caller/access.ts'
import { canSee } from '../caller/caller.ts'
import type { GatewayDeps } from '../deps.ts'
import { type Answer, type Answered, bytes, type Headers } from '../http/answer.ts'
import type { KeyCall } from '../http/call.ts'
import type { Route } from '../http/route.ts'
import type { Answers } from '../read/answers.ts'

const READY = Promise.resolve()
const MAX_INTEGER = 999_999_999

/** As OpenAI has it. */
const [INPUTS, MAX_INPUTS] = [20, 100]

export function orderIn(order: string | undefined): 'asc' | 'desc' {
  if (order === undefined || order === 'asc' || order === 'desc') return order ?? 'desc'
  throw bad('order', '"order" must be asc or desc.')
}

type Kept = Dialect & { readonly resource: Resource }
const isKept = (dialect: Dialect): dialect is Kept => dialect.resource !== undefined

/** The job as its API shows it, however far it is. */
export async function resourceAnswer(
  { delivery }: Pick<GatewayDeps, 'delivery'>,
  resource: Resource,
  job: Job,
  headers: Headers,
): Promise<Answer> {
  if (!isTerminal(job.state)) return bytes(200, resource.pending(job, job.state), headers)
  const dialect = { name: `${job.dialect} as a resource`, whole: () => resource.ended(job) }
  const { status, body, type } = await delivery.result(job, dialect)
  return bytes(status, body, headers, type)
}

export function resourceRoutes(deps: GatewayDeps, answers: Answers): readonly Route[] {
  return deps.dialects.spoken.filter(isKept).flatMap((dialect) => routesOf(deps, dialect, answers))
}

function routesOf(deps: GatewayDeps, dialect: Kept, answers: Answers): readonly Route[] {
  const { resource } = dialect
  const { path } = dialect.requests[0]
  const told = (job: Job): Headers => ({ 'sluice-job': job.id })

  /** The caller's own; another tenant's, or another user's, is not there (T1). */
  async function own(call: KeyCall): Promise<Job> {
    const id = resource.jobOf(call.params['id'])
    const job = id === null ? null : await deps.jobs.get(id)
    if (job !== null && job.dialect === dialect.name && resource.isKept(job) && canSee(call.caller, job)) return job
    const gone = `There is no such ${resource.what}: it was deleted, was not to be stored, or its retention is over.`
    throw unknownJob(job === null ? deps.jobs : {}, call.caller, id ?? '', gone)
  }

  async function managed(call: KeyCall): Promise<Job> {
    const job = await own(call)
    requireOwnJob(deps.keys, call.caller, job)
    return job
  }

  async function read(call: KeyCall): Promise<Answered> {
    const job = await own(call)
    if (call.parameter(resource.streamed) !== 'true') return resourceAnswer(deps, resource, job, told(job))
    if (dialect.stream === null) throw new SluiceError('not_acceptable')
    const after = call.integer(resource.after, 0, MAX_INTEGER)
    const last = call.header('last-event-id')
    const cursor =
      last !== undefined && last !== ''
        ? parseCursor(last)
        : after === undefined
          ? null
          : { epoch: null, n: resource.known(after) }
    if (last && cursor === null) throw new SluiceError('cursor_invalid')
    return answers.stream(call, job, dialect.stream, {
      cursor,
      submits: false,
      // SDKs that ask for what comes after a number take no answer for a fault
      endsEmpty: !last,
      ready: READY,
    })
  }

  const common = { auth: 'tenant', errors: dialect } as const
  return [
    {
      ...common,
      method: 'GET',
      path: `${path}/:id`,
      query: [resource.streamed, resource.after, ...resource.query],
      run: read,
    },
    {
      ...common,
      method: 'GET',
      path: `${path}/:id/input_items`,
      query: ['limit', 'order', 'after', ...resource.query],
      async run(call: KeyCall) {
        const page = {
          limit: call.integer('limit', 1, MAX_INPUTS) ?? INPUTS,
          order: orderIn(call.parameter('order')),
          after: call.parameter('after'),
        }
        const job = await own(call)
        const request = await deps.jobs.request(job.id)
        if (request === null) throw new SluiceError('job_not_found')
        const value = JSON.parse(Buffer.from(request).toString('utf8')) as JsonRecord
        return bytes(200, resource.inputs(job, value, page), told(job))
      },
    },
    {
      ...common,
      method: 'POST',
      path: `${path}/:id/cancel`,
      async run(call: KeyCall) {
        const job = await managed(call)
        if (!isTerminal(job.state)) {
          await deps.jobs.cancel(job.id)
          await answers.whenEnded(call, job, deps.options.maxWaitMs)
        }
        const now = (await deps.jobs.get(job.id)) ?? job
        return resourceAnswer(deps, resource, now, told(now))
      },
    },
    {
      ...common,
      method: 'DELETE',
      path: `${path}/:id`,
      async run(call: KeyCall) {
        const job = await managed(call)
        if (!(await deps.jobs.erase(job.id))) throw new SluiceError('job_not_found')
        return bytes(200, resource.deleted(job.id), told(job))
      },
    },
  ]
}
