/** Jobs and their events: PROTOCOL.md sections 4 and 5. */
import { type ErrorCode, SluiceError } from '../../core/errors.ts'
import { isMedia, isTerminal, type Job } from '../../core/job.ts'
import { checkKeys, checkUnique, isRecord, type Member, scan, scanArray } from '../../core/json.ts'
import { type Dialect, SSE, type StreamForm } from '../../core/ports/dialect.ts'
import type { Submitted } from '../../core/ports/submissions.ts'
import { type Cursor, parseCursor } from '../../core/record.ts'
import type { GatewayDeps } from '../deps.ts'
import { type Answer, bytes, empty, json } from '../http/answer.ts'
import { type JsonBody, memberBytes, readParts } from '../http/body.ts'
import type { KeyCall } from '../http/call.ts'
import { streamHeaders } from '../http/event-stream.ts'
import { standingHeaders } from '../http/rate-limit.ts'
import type { Route } from '../http/route.ts'
import type { Answers } from '../read/answers.ts'
import { cacheHeader } from '../read/cached.ts'
import { JOB_FILTERS, type Jobs } from '../read/jobs.ts'
import { eventsOf } from '../read/location.ts'
import { isFileOf, refsOf, removalOf, sendFile, withMedia } from '../read/media.ts'
import { type Draft, jobDraft } from '../submit/draft.ts'
import { checkNoOptions } from '../submit/job-options.ts'
import type { Submits } from '../submit/submit.ts'

const READY = Promise.resolve()
const MAX_JOBS = 1_000
const MAX_INTEGER = 999_999_999_999_999
/** SDKs of OpenAI's API send `application/json` whatever they read, also for the streams that they ask for. */
const ANYTHING = new Set(['*/*', 'application/json', 'application/*', ''])
/** A list of jobs may have more keys than one request: it is checked again job by job. */
const LIST_KEYS = 2

export function jobRoutes(deps: GatewayDeps, jobs: Jobs, submits: Submits, answers: Answers): readonly Route[] {
  const { options, delivery, dialects } = deps
  const forms = [dialects.events, ...dialects.read, ...dialects.spoken.flatMap(({ stream }) => stream ?? [])]

  async function submit(call: KeyCall): Promise<Answer> {
    // With a broker in front it may take a while, and whoever sent it once can't know whether it was taken
    answers.owe(call)
    const body = await readParts(call, options.maxBodyBytes, {
      maxDepth: options.maxDepth,
      maxKeys: options.maxKeys * LIST_KEYS,
    })
    if (body.value['jobs'] !== undefined) return submitMany(call, body)
    checkKeys(body.keys, options)
    checkUnique(body)
    const draft = submits.drafted(call.caller, call, () => {
      const request = memberBytes(body, 'request')
      return jobDraft(deps, call.caller, body.value, request, call.exchange.request.headers, call)
    })
    const taken = await submits.one(call.caller, draft)
    return json(taken.kind === 'joined' ? 200 : 202, await jobs.submitted(taken, call.caller), {
      location: eventsOf(taken.job.id),
      'sluice-job': taken.job.id,
      ...standingHeaders(taken.standing),
      ...cacheHeader(taken.job),
    })
  }

  /** One bad job does not stop the others: each is answered in its place. */
  async function submitMany(call: KeyCall, body: JsonBody): Promise<Answer> {
    checkNoOptions(call.exchange.request.headers)
    const { jobs: many, ...others } = body.value
    const [odd] = Object.keys(others)
    if (odd !== undefined)
      throw new SluiceError('invalid_request', {
        param: odd,
        message: `"${odd}" is not allowed beside "jobs": each job has its own options.`,
      })
    if (body.members.length > 1) checkUnique(body)
    if (!Array.isArray(many) || many.length === 0 || many.length > MAX_JOBS)
      throw new SluiceError('invalid_request', {
        param: 'jobs',
        message: `"jobs" must be a list of 1 to ${MAX_JOBS} jobs.`,
      })
    const bytes = memberBytes(body, 'jobs')
    const drafts = scanArray(bytes).map(({ start, end }, i) =>
      draftOrRefusal(call, bytes.subarray(start, end), many[i], i),
    )
    const outcomes = (await submits.all(call.caller, drafts)).map((outcome, i): Submitted => {
      const isAsItIs = outcome.kind !== 'refused' || outcome.error === drafts[i] || outcome.error.param === null
      return isAsItIs ? outcome : { kind: 'refused', error: inItsPlace(outcome.error, i) }
    })
    const refusal = storeRefusal(outcomes.filter((_, i) => !(drafts[i] instanceof SluiceError)))
    if (refusal !== null) throw refusal
    return json(outcomes.every((o) => o.kind === 'joined') ? 200 : 202, {
      object: 'list',
      data: await Promise.all(outcomes.map((o) => jobs.submitted(o, call.caller))),
    })
  }

  function draftOrRefusal(call: KeyCall, bytes: Uint8Array, job: unknown, i: number): Draft | SluiceError {
    try {
      return submits.drafted(call.caller, call, () => {
        if (!isRecord(job))
          throw new SluiceError('invalid_request', { message: 'A job must be an object with a "request".' })
        const members: Member[] = []
        const keys = scan(bytes, options, members)
        checkUnique({ bytes, value: job, keys })
        return jobDraft(deps, call.caller, job, memberBytes({ bytes, members }, 'request'), null, call)
      })
    } catch (thrown) {
      if (thrown instanceof SluiceError) return inItsPlace(thrown, i)
      throw thrown
    }
  }

  function formOf(name: string | undefined): StreamForm {
    const form = name === undefined ? dialects.events : forms.find((one) => one.name === name)
    if (form !== undefined) return form
    const names = forms.map((one) => JSON.stringify(one.name)).join(' or ')
    throw new SluiceError('invalid_request', { param: 'dialect', message: `"dialect" must be ${names}.` })
  }

  /** The dialect that a job's result is rendered in. */
  function dialectOf(job: Job): Dialect {
    const dialect = dialects.spoken.find(({ name }) => name === job.dialect)
    if (dialect !== undefined) return dialect
    throw new SluiceError('not_acceptable', {
      message: `The job came in a dialect that this server does not speak ("${job.dialect}"): read its events instead.`,
    })
  }

  /** Files of its answer; none where it has not ended well. */
  async function mediaOf(job: Job): Promise<ReturnType<typeof refsOf>> {
    if (!isMedia(job.kind) || job.kind === 'transcription' || job.state !== 'done') return []
    const { status, body } = await delivery.result(job, dialectOf(job))
    return status === 200 ? refsOf(body) : []
  }

  /** Whatever is asked for, the answer comes before proxies give up on it. */
  const untilMono = (call: KeyCall): number =>
    call.startedMono + Math.min(call.integer('wait_ms', 0, MAX_INTEGER) ?? 0, options.maxWaitMs)

  /** The job, and whether it has ended, as soon as it has, or when `wait_ms` is over. */
  async function waited(call: KeyCall): Promise<{ readonly job: Job; readonly ended: Job | null }> {
    const until = untilMono(call)
    const job = await jobs.own(call, (id) => answers.arrived(call, id, until))
    return { job, ended: await answers.whenEnded(call, job, until) }
  }

  return [
    { method: 'POST', path: '/v1/jobs', auth: 'tenant', run: submit },
    {
      method: 'GET',
      path: '/v1/jobs',
      query: [...JOB_FILTERS, 'user'],
      auth: 'tenant',
      run: (call) => jobs.list(call, call.caller),
    },
    {
      method: 'GET',
      path: '/v1/jobs/:id',
      query: ['wait_ms'],
      auth: 'tenant',
      async run(call) {
        const { job } = await waited(call)
        return json(200, await jobs.view(job.id, call))
      },
    },
    {
      method: 'GET',
      path: '/v1/jobs/:id/result',
      query: ['wait_ms'],
      auth: 'tenant',
      async run(call) {
        const { job, ended } = await waited(call)
        if (ended === null) return json(202, await jobs.view(job.id, call))
        const { status, body, type } = await delivery.result(ended, dialectOf(ended))
        // However it ended, asking for it again changes nothing
        const told = { 'sluice-job': ended.id, ...cacheHeader(ended) }
        const headers = status < 400 ? told : { ...told, 'x-should-retry': 'false' }
        return withMedia(deps, call, ended, bytes(status, body, headers, type))
      },
    },
    {
      method: 'GET',
      path: '/v1/jobs/:id/content',
      query: ['index'],
      auth: 'tenant',
      async run(call) {
        const job = await jobs.own(call)
        const { stream } = dialectOf(job)
        if (!isTerminal(job.state) && stream?.wire?.refers === 'bytes')
          return answers.stream(call, job, stream, { cursor: null, submits: false, ready: READY })
        const ref = (await mediaOf(job))[call.integer('index', 0, MAX_INTEGER) ?? 0]
        if (ref === undefined) throw new SluiceError('file_not_found', { message: 'The job has no such content.' })
        if (!isFileOf(await deps.files.get(ref.file), job)) throw new SluiceError('file_not_found')
        return sendFile(deps, call, ref, { 'sluice-job': job.id })
      },
    },
    {
      method: 'GET',
      path: '/v1/jobs/:id/request',
      auth: 'tenant',
      async run(call) {
        const request = await deps.jobs.request((await jobs.own(call)).id)
        if (request === null) throw new SluiceError('job_not_found')
        return bytes(200, Buffer.from(request).toString('latin1'))
      },
    },
    {
      method: 'GET',
      path: '/v1/jobs/:id/events',
      query: ['dialect', 'after'],
      auth: 'tenant',
      async run(call) {
        const job = await jobs.own(call)
        const form = formOf(call.parameter('dialect'))
        const wire = form.wire ?? SSE
        if (!acceptsEvents(call.header('accept') ?? '', wire.type)) throw notAcceptable(wire.type)
        const cursor = cursorOf(call)
        if (call.method === 'HEAD') return empty(200, { ...streamHeaders(wire), 'sluice-job': job.id })
        return answers.stream(call, job, form, { cursor, submits: false, ready: READY })
      },
    },
    {
      method: 'POST',
      path: '/v1/jobs/:id/redrive',
      auth: 'tenant',
      async run(call) {
        return jobs.redrive(call, (await jobs.managed(call)).id)
      },
    },
    {
      method: 'DELETE',
      path: '/v1/jobs/:id',
      auth: 'tenant',
      async run(call) {
        const job = await jobs.own(call)
        const removeFiles = await removalOf(deps, job)
        // Before, so that what fails can be tried again; after, as one that runs makes them until it has stopped
        if (isTerminal(job.state)) await removeFiles()
        if (!(await deps.jobs.erase(job.id))) throw new SluiceError('job_not_found')
        await removeFiles()
        return empty(204)
      },
    },
  ]
}

/** Null: from the start. An EventSource's own header wins over the address it was opened with. */
function cursorOf(call: KeyCall): Cursor | null {
  const text = call.header('last-event-id') || call.parameter('after') || null
  if (text === null) return null
  const cursor = parseCursor(text)
  if (cursor === null) throw new SluiceError('cursor_invalid')
  return cursor
}

/** What is wrong with a job of a list, by its place in the list. */
const inItsPlace = ({ code, message, param }: SluiceError, i: number): SluiceError =>
  new SluiceError(code, { message, param: `jobs[${i}]${param === null ? '' : `.${param}`}` })

const OF_THE_STORE: ReadonlySet<ErrorCode> = new Set(['storage_full', 'storage_locked', 'storage_failed'])

/** Nothing of a list was taken, whatever is in it: then that is the answer. */
function storeRefusal(submitted: readonly Submitted[]): SluiceError | null {
  const errors = submitted.map((each) => (each.kind === 'refused' ? each.error : null))
  return errors.every((error) => error !== null && OF_THE_STORE.has(error.code)) ? (errors[0] ?? null) : null
}

/** By hand: white space and commas in a pattern take time that grows with their square. */
function acceptsEvents(accept: string, type: string): boolean {
  const own = essence(type)
  const family = `${own.slice(0, own.indexOf('/'))}/*`
  return accept.split(',').some((range) => {
    const [asked, ...parameters] = range.split(';').map((part) => part.trim().toLowerCase())
    return (ANYTHING.has(asked) || asked === own || asked === family) && !parameters.some(isNever)
  })
}

/** A media type without its parameters. */
const essence = (type: string): string => type.split(';', 1)[0].trim().toLowerCase()

const notAcceptable = (type: string): SluiceError =>
  type === SSE.type
    ? new SluiceError('not_acceptable')
    : new SluiceError('not_acceptable', {
        message: `This resource is a stream of ${essence(type)}: send "accept: ${essence(type)}" (or */*).`,
      })

/** A weight of 0: what the client does not take. */
const isNever = (parameter: string): boolean => /^q ?= ?0(?:\.0{0,3})?$/.test(parameter)
