/** The dashboard's playground: a session of its page, and its knife: PROTOCOL.md section 8. */
import { SluiceError } from '../../core/errors.ts'
import { bad, checkNames } from '../../core/fields.ts'
import type { ApiKey } from '../../core/ports/keys.ts'
import { isValidKey } from '../caller/caller.ts'
import type { Sessions } from '../caller/sessions.ts'
import type { GatewayDeps } from '../deps.ts'
import { type Answer, json } from '../http/answer.ts'
import { readJson } from '../http/body.ts'
import type { Call } from '../http/call.ts'
import type { Route } from '../http/route.ts'
import { modelsFor } from '../submit/model.ts'
import { tellChange, tenantId } from './changes.ts'

const MAX_BODY_BYTES = 4_096
const LIMITS = { maxDepth: 4, maxKeys: 16, fixed: true }
/** Whose jobs and conversations the page sees: not those of the tenant's own users. */
const USER = 'playground'
const FIRST_TENANT = 'default'

export function playgroundRoutes(deps: GatewayDeps, sessions: Sessions): readonly Route[] {
  const { keys, clock, jobs } = deps

  async function keyOf(tenant: string | null): Promise<ApiKey> {
    const now = clock.wallMs()
    const usable = (await keys.list()).filter(
      (key) =>
        isValidKey(key, now) &&
        key.replacedAtMs === undefined &&
        key.disabled === undefined &&
        (key.scopes?.includes('submit') ?? true) &&
        (tenant === null || key.tenant === tenant),
    )
    const found = usable.find((key) => key.tenant === FIRST_TENANT) ?? usable[0]
    if (found !== undefined) return found
    const whose = tenant === null ? 'No tenant has' : `The tenant "${tenant}" has no`
    throw new SluiceError('invalid_request', {
      param: 'tenant',
      message: `${whose}${tenant === null ? ' a' : ''} key that may submit: make one first.`,
    })
  }

  async function open(call: Call): Promise<Answer> {
    const { value } = await readJson(call, MAX_BODY_BYTES, LIMITS)
    checkNames(value, ['tenant'])
    const key = await keyOf(value['tenant'] == null ? null : tenantId(value['tenant']))
    const origin = call.header('origin') ?? null
    const { ticket, expiresInMs } = await sessions.ticket(key, USER, origin, null)
    const models = modelsFor(deps, key).map(({ id }) => id)
    const free = deps.models
      .served()
      .filter(({ deployments }) => deployments.every(({ provider }) => provider === 'demo'))
      .map(({ name }) => name)
    return json(201, {
      url: '/v1/ws',
      ticket,
      expires_in_ms: expiresInMs,
      tenant: key.tenant,
      models,
      // Its answers cost nothing, so the page may ask unasked
      free: models.filter((name) => free.includes(name)),
    })
  }

  async function kill(call: Call): Promise<Answer> {
    const { value } = await readJson(call, MAX_BODY_BYTES, LIMITS)
    checkNames(value, ['job'])
    const { job: id } = value
    if (typeof id !== 'string' || id === '') throw bad('job', '"job" must be the id of a job that runs.')
    if (!deps.mayKill())
      throw new SluiceError('forbidden', {
        message: 'Nothing may be killed from here: "dashboard.kill" is off in the configuration.',
      })
    const job = await jobs.get(id)
    if (job === null) throw new SluiceError('job_not_found')
    const killed = await deps.kill(id)
    if (killed === null)
      throw new SluiceError('invalid_request', {
        param: 'job',
        message:
          job.state === 'leased'
            ? 'This job calls nothing now, or runs on another node: try it there.'
            : `This job does not run: it is ${job.state}.`,
      })
    await tellChange(deps, call, {
      action: killed === 'worker' ? 'worker-killed' : 'call-broken',
      target: `job ${id}`,
      tenant: job.tenant,
      before: {},
      after: { attempt: job.attempts },
    })
    return json(200, { object: 'kill', job: id, attempt: job.attempts, killed })
  }

  return [
    { method: 'POST', path: '/admin/playground/session', auth: 'operator', run: open },
    { method: 'POST', path: '/admin/playground/kill', auth: 'operator', run: kill },
  ]
}
