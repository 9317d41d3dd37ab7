/** The route table: method, path, who may, and what is done. A route without a rule of who may can't be written down. */
import { SluiceError } from '../core/errors.ts'
import type { JobState } from '../core/job.ts'
import type { JobFilter, Selector, Submitted } from '../core/ports.ts'
import { parseCursor } from '../core/record.ts'
import { mintKey } from './api-key.ts'
import { type JsonBody, parseBody, readBody } from './body.ts'
import type { Call, KeyCall } from './call.ts'
import type { GatewayDeps } from './deps.ts'
import type { Attendance } from './disconnect.ts'
import { dialectDraft, jobDraft } from './draft.ts'
import { conversationView, jobView, keyView } from './job-view.ts'
import { answerPlain, streamEvents, whenEnded } from './answers.ts'

export type Auth = 'none' | 'tenant' | 'operator'

export interface Route {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE'
  /** `:name` stands for one segment. */
  readonly path: string
  readonly auth: Auth
  readonly run: (call: KeyCall) => void | Promise<void>
}

const MAX_JOBS = 1_000
const MAX_WAIT_MS = 60_000
const STATES: readonly JobState[] = ['queued', 'delayed', 'waiting', 'leased', 'done', 'failed', 'canceled', 'expired']

export function createRoutes(deps: GatewayDeps, attendance: Attendance): { readonly public: readonly Route[]; readonly admin: readonly Route[] } {
  const { queue, options } = deps
  const json = async (call: Call): Promise<JsonBody> => {
    const type = call.request.headers['content-type']
    if (type !== undefined && !/^\s*application\/([\w.-]+\+)?json\s*(;|$)/i.test(type)) throw new SluiceError('unsupported_media_type')
    return parseBody(await readBody(call, options.maxBodyBytes), { maxDepth: options.maxDepth, maxKeys: options.maxKeys })
  }
  const view = async (id: string): Promise<Record<string, unknown> | null> => {
    const job = await queue.get(id)
    if (job === null) return null
    const page = await deps.log.read(id, Number.MAX_SAFE_INTEGER, 0)
    return jobView(job, queue.place(id), page?.head ?? 0)
  }
  /** The caller's own job; another tenant's is not there (T1). */
  const own = async (call: KeyCall) => {
    const job = await queue.get(call.params['id'])
    if (job === null || job.tenant !== call.key.tenant) throw new SluiceError('job_not_found')
    return job
  }
  const submitted = (result: Submitted): Record<string, unknown> => (result.kind === 'refused' ? { object: 'error', error: result.error.wire } : jobView(result.job, result.place, 0))
  const filter = (call: Call): JobFilter => {
    const state = call.parameter('state')
    const states = state?.split(',') as JobState[] | undefined
    if (states?.some((s) => !STATES.includes(s))) throw new SluiceError('invalid_request', { param: 'state', message: `"state" must be of ${STATES.join(', ')}.` })
    const [lane, conversation, model, before] = ['lane', 'conversation', 'model', 'before'].map((n) => call.parameter(n))
    return { limit: call.integer('limit', 1, 1_000) ?? 20, ...(states && { states }), ...(lane && { lane }), ...(conversation && { conversation }), ...(model && { model }), ...(before && { before }) }
  }
  const list = async (call: Call, f: JobFilter): Promise<void> => {
    const jobs = await queue.list(f)
    call.json(200, { object: 'list', data: jobs.map((job) => jobView(job, queue.place(job.id), 0)), has_more: jobs.length === f.limit })
  }
  const selector = async (call: Call): Promise<Selector> => {
    const { value } = await json(call)
    const names = ['tenant', 'lane', 'model'] as const
    for (const name of Object.keys(value)) if (!names.includes(name as 'tenant')) throw new SluiceError('invalid_request', { param: name, message: `"${name}" is none of tenant, lane, model.` })
    if (Object.keys(value).length === 0) throw new SluiceError('invalid_request', { message: 'Say at least one of tenant, lane, model.' })
    return value as Selector
  }
  const openai = (kind: 'chat' | 'embedding') => async (call: KeyCall) => {
    const later = /\brespond-async\b/.test(call.header('prefer') ?? '')
    const draft = dialectDraft(deps, call, await json(call), kind, !later)
    if (later) {
      const [result] = await queue.submit([draft])
      if (result.kind === 'refused') throw result.error
      call.json(202, submitted(result), { location: `/v1/jobs/${result.job.id}/events` })
      return
    }
    const { result, power } = await queue.begin(draft)
    if (result.kind === 'refused') throw result.error
    answerPlain(deps, attendance, call, draft, result.job, power)
  }

  const publicRoutes: Route[] = [
    { method: 'POST', path: '/v1/chat/completions', auth: 'tenant', run: openai('chat') },
    { method: 'POST', path: '/v1/embeddings', auth: 'tenant', run: openai('embedding') },
    {
      method: 'GET',
      path: '/v1/models',
      auth: 'tenant',
      run: (call) => call.json(200, { object: 'list', data: deps.models.list().map((m) => ({ id: m.id, object: 'model', created: m.created, owned_by: m.ownedBy })) }),
    },
    {
      method: 'GET',
      path: '/v1/models/:id',
      auth: 'tenant',
      run(call) {
        const { id } = call.params
        if (deps.models.resolve(id) === null) throw new SluiceError('model_not_found')
        const known = deps.models.list().find((m) => m.id === id)
        call.json(200, { id, object: 'model', created: known?.created ?? 0, owned_by: known?.ownedBy ?? 'sluice' })
      },
    },
    {
      method: 'POST',
      path: '/v1/jobs',
      auth: 'tenant',
      async run(call) {
        const { value } = await json(call)
        const many = value['jobs']
        if (many === undefined) {
          const [result] = await queue.submit([jobDraft(deps, call, value, true)])
          if (result.kind === 'refused') throw result.error
          call.json(result.kind === 'joined' ? 200 : 202, submitted(result), { location: `/v1/jobs/${result.job.id}/events` })
          return
        }
        if (!Array.isArray(many) || many.length === 0 || many.length > MAX_JOBS) throw new SluiceError('invalid_request', { param: 'jobs', message: `"jobs" must be a list of 1 to ${MAX_JOBS} jobs.` })
        const drafts = many.map((one, i) => {
          try {
            return jobDraft(deps, call, one, false)
          } catch (error) {
            if (error instanceof SluiceError && error.code !== 'internal') throw new SluiceError(error.code, { message: error.message, param: `jobs[${i}]${error.param === null ? '' : `.${error.param}`}` })
            throw error
          }
        })
        const results = await queue.submit(drafts)
        call.json(results.every((r) => r.kind === 'joined') ? 200 : 202, { object: 'list', data: results.map(submitted) })
      },
    },
    { method: 'GET', path: '/v1/jobs', auth: 'tenant', run: (call) => list(call, { ...filter(call), tenant: call.key.tenant }) },
    {
      method: 'GET',
      path: '/v1/jobs/:id',
      auth: 'tenant',
      async run(call) {
        const job = await own(call)
        await whenEnded(deps, call, job, call.integer('wait_ms', 0, MAX_WAIT_MS) ?? 0)
        const now = await view(job.id)
        if (now === null) throw new SluiceError('job_gone')
        call.json(200, now)
      },
    },
    {
      method: 'GET',
      path: '/v1/jobs/:id/result',
      auth: 'tenant',
      async run(call) {
        const job = await own(call)
        if (!(await whenEnded(deps, call, job, call.integer('wait_ms', 0, MAX_WAIT_MS) ?? 0))) {
          call.json(202, await view(job.id))
          return
        }
        const { status, body } = await deps.delivery.result(job)
        call.bytes(status, body)
      },
    },
    {
      method: 'GET',
      path: '/v1/jobs/:id/events',
      auth: 'tenant',
      async run(call) {
        const job = await own(call)
        const accept = call.header('accept')
        if (accept !== undefined && !/text\/event-stream|text\/\*|\*\/\*/.test(accept)) throw new SluiceError('not_acceptable')
        const dialect = call.parameter('dialect') ?? 'native'
        if (dialect !== 'native' && dialect !== 'chat') throw new SluiceError('invalid_request', { param: 'dialect', message: '"dialect" must be native or chat.' })
        const said = call.header('last-event-id') ?? call.parameter('after')
        const cursor = said === undefined || said === '' ? null : parseCursor(said)
        if (cursor === null && said !== undefined && said !== '') throw new SluiceError('cursor_invalid')
        streamEvents(deps, attendance, call, job, dialect, cursor)
      },
    },
    {
      method: 'POST',
      path: '/v1/jobs/:id/cancel',
      auth: 'tenant',
      async run(call) {
        const job = await own(call)
        await queue.cancel(job.id)
        call.json(202, await view(job.id))
      },
    },
    {
      method: 'POST',
      path: '/v1/jobs/:id/redrive',
      auth: 'tenant',
      async run(call) {
        const job = await own(call)
        await redrive(call, job.id)
      },
    },
    {
      method: 'DELETE',
      path: '/v1/jobs/:id',
      auth: 'tenant',
      async run(call) {
        const job = await own(call)
        if (!(await queue.erase(job.id))) throw new SluiceError('job_not_found')
        call.empty(204)
      },
    },
    {
      method: 'GET',
      path: '/v1/conversations',
      auth: 'tenant',
      async run(call) {
        const all = await deps.conversations.list(call.key.tenant, call.integer('limit', 1, 1_000) ?? 100)
        call.json(200, { object: 'list', data: all.map(conversationView) })
      },
    },
    {
      method: 'GET',
      path: '/v1/conversations/:id',
      auth: 'tenant',
      async run(call) {
        const found = await deps.conversations.read(call.key.tenant, call.params['id'])
        if (found === null) throw new SluiceError('conversation_not_found')
        const turns = found.turns.map((t) => ({ job: t.job, state: t.state, messages: JSON.parse(t.messages) as unknown, answer: t.answer === null ? null : (JSON.parse(t.answer) as unknown) }))
        call.json(200, { ...conversationView(found.info), turns })
      },
    },
    {
      method: 'PATCH',
      path: '/v1/conversations/:id',
      auth: 'tenant',
      async run(call) {
        const { name } = (await json(call)).value
        if (typeof name !== 'string' || name.length > 256) throw new SluiceError('invalid_request', { param: 'name', message: '"name" must be a text of at most 256 characters.' })
        if (!(await deps.conversations.rename(call.key.tenant, call.params['id'], name))) throw new SluiceError('conversation_not_found')
        call.empty(204)
      },
    },
    {
      method: 'POST',
      path: '/v1/conversations/:id/truncate',
      auth: 'tenant',
      async run(call) {
        const { keep_turns: keep } = (await json(call)).value
        if (typeof keep !== 'number' || !Number.isInteger(keep) || keep < 0) throw new SluiceError('invalid_request', { param: 'keep_turns', message: '"keep_turns" must be a whole number of at least 0.' })
        if (!(await deps.conversations.truncate(call.key.tenant, call.params['id'], keep))) throw new SluiceError('conversation_not_found')
        call.empty(204)
      },
    },
    {
      method: 'DELETE',
      path: '/v1/conversations/:id',
      auth: 'tenant',
      async run(call) {
        if (!(await deps.conversations.delete(call.key.tenant, call.params['id']))) throw new SluiceError('conversation_not_found')
        call.empty(204)
      },
    },
  ]

  async function redrive(call: Call, id: string): Promise<void> {
    const result = await queue.redrive(id)
    if (result === null) throw new SluiceError('invalid_request', { message: 'Only a job that failed or expired can be redriven.' })
    if (result.kind === 'refused') throw result.error
    call.json(202, submitted(result), { location: `/v1/jobs/${result.job.id}/events` })
  }

  const health: Route[] = [
    { method: 'GET', path: '/livez', auth: 'none', run: (call) => call.json(200, { status: 'ok' }) },
    {
      method: 'GET',
      path: '/readyz',
      auth: 'none',
      run(call) {
        const state = deps.health()
        if (!state.ok) throw state.error
        call.json(200, { status: 'ok' })
      },
    },
  ]

  const admin: Route[] = [
    { method: 'GET', path: '/admin/keys', auth: 'operator', run: (call) => call.json(200, { object: 'list', data: deps.keys.list().map(keyView) }) },
    {
      method: 'POST',
      path: '/admin/keys',
      auth: 'operator',
      async run(call) {
        const { tenant = 'default', name = '', expires_in_ms: expires } = (await json(call)).value
        if (typeof tenant !== 'string' || !/^[\w.-]{1,64}$/.test(tenant)) throw new SluiceError('invalid_request', { param: 'tenant', message: '"tenant" must be 1 to 64 letters, digits, ".", "-" or "_".' })
        if (typeof name !== 'string' || name.length > 128) throw new SluiceError('invalid_request', { param: 'name', message: '"name" must be a text of at most 128 characters.' })
        if (expires !== undefined && (typeof expires !== 'number' || !(expires > 0))) throw new SluiceError('invalid_request', { param: 'expires_in_ms', message: '"expires_in_ms" must be a number above 0.' })
        const minted = mintKey(deps.ids)
        const now = deps.clock.wallMs()
        const key = { id: `key_${Buffer.from(deps.ids.random(8)).toString('hex')}`, tenant, name, hint: minted.hint, createdAtMs: now, ...(expires === undefined ? {} : { expiresAtMs: now + expires }) }
        await deps.keys.add(key, minted.digest)
        call.json(201, { ...keyView(key), key: minted.key })
      },
    },
    {
      method: 'DELETE',
      path: '/admin/keys/:id',
      auth: 'operator',
      async run(call) {
        if (!(await deps.keys.revoke(call.params['id'], deps.clock.wallMs()))) throw new SluiceError('route_not_found', { message: 'There is no such key.' })
        call.empty(204)
      },
    },
    {
      method: 'GET',
      path: '/admin/jobs',
      auth: 'operator',
      run(call) {
        const tenant = call.parameter('tenant')
        return list(call, { ...filter(call), ...(tenant === undefined ? {} : { tenant }) })
      },
    },
    {
      method: 'POST',
      path: '/admin/jobs/:id/cancel',
      auth: 'operator',
      async run(call) {
        if ((await queue.cancel(call.params['id'])).kind === 'unknown') throw new SluiceError('job_not_found')
        call.json(202, await view(call.params['id']))
      },
    },
    { method: 'POST', path: '/admin/jobs/:id/redrive', auth: 'operator', run: (call) => redrive(call, call.params['id']) },
    { method: 'GET', path: '/admin/pause', auth: 'operator', run: (call) => call.json(200, { object: 'list', data: queue.paused() }) },
    {
      method: 'POST',
      path: '/admin/pause',
      auth: 'operator',
      async run(call) {
        await queue.pause(await selector(call))
        call.json(200, { object: 'list', data: queue.paused() })
      },
    },
    {
      method: 'POST',
      path: '/admin/resume',
      auth: 'operator',
      async run(call) {
        await queue.resume(await selector(call))
        call.json(200, { object: 'list', data: queue.paused() })
      },
    },
    {
      method: 'POST',
      path: '/admin/purge',
      auth: 'operator',
      async run(call) {
        call.json(200, { purged: await queue.purge(await selector(call)) })
      },
    },
    {
      method: 'DELETE',
      path: '/admin/tenants/:id',
      auth: 'operator',
      async run(call) {
        await deps.eraseTenant(call.params['id'])
        call.empty(204)
      },
    },
    { method: 'GET', path: '/admin/stats', auth: 'operator', run: (call) => call.json(200, { ...deps.stats(), ...queue.depth() }) },
  ]
  return { public: [...publicRoutes, ...health], admin: [...admin, ...health] }
}
