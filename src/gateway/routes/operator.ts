/** What only the operator may: PROTOCOL.md section 8. */
import { SluiceError } from '../../core/errors.ts'
import { bad } from '../../core/fields.ts'
import type { ApiKey } from '../../core/ports/keys.ts'
import type { Selector } from '../../core/ports/operations.ts'
import type { Admitted } from '../caller/admitted.ts'
import { mintKey } from '../caller/api-key.ts'
import type { GatewayDeps } from '../deps.ts'
import { type Answer, empty, json } from '../http/answer.ts'
import { readJson } from '../http/body.ts'
import { sendBytes } from '../http/byte-stream.ts'
import type { Call } from '../http/call.ts'
import type { Route } from '../http/route.ts'
import { JOB_FILTERS, type Jobs } from '../read/jobs.ts'
import { backlogView, deploymentView, keyView } from '../read/views.ts'

type Done = 'queue-paused' | 'queue-resumed' | 'queue-purged'

const TENANT = /^[A-Za-z0-9][\w.-]{0,63}$/
const MAX_NAME_CHARS = 128
const MAX_KEY_MS = 100 * 365 * 86_400_000
const SELECTORS = ['tenant', 'lane', 'model']

export function operatorRoutes(deps: GatewayDeps, jobs: Jobs, admitted: Admitted): readonly Route[] {
  const { operations, keys, ids, clock, options } = deps

  async function addKey(call: Call): Promise<Answer> {
    const {
      tenant = 'default',
      name = '',
      expires_in_ms: expires,
    } = (await readJson(call, options.maxBodyBytes, options)).value
    if (typeof tenant !== 'string' || !TENANT.test(tenant))
      throw bad('tenant', '"tenant" must be 1 to 64 letters, digits, ".", "-" or "_".')
    if (typeof name !== 'string' || name.length > MAX_NAME_CHARS)
      throw bad('name', `"name" must be a string of at most ${MAX_NAME_CHARS} characters.`)
    if (expires !== undefined && !(typeof expires === 'number' && expires > 0 && expires <= MAX_KEY_MS))
      throw bad('expires_in_ms', `"expires_in_ms" must be above 0, and ${MAX_KEY_MS} at most.`)
    const minted = mintKey(ids)
    const now = clock.wallMs()
    const id = ids.name('key', 8)
    const key: ApiKey = {
      id,
      tenant,
      name,
      hint: minted.hint,
      createdAtMs: now,
      ...(expires === undefined ? {} : { expiresAtMs: Math.ceil(now + (expires as number)) }),
    }
    await keys.add(key, minted.digest)
    return json(201, { ...keyView(key), key: minted.key })
  }

  async function selector(call: Call): Promise<Selector> {
    const { value } = await readJson(call, options.maxBodyBytes, options)
    const members = Object.entries(value)
    for (const [name, v] of members)
      if (!SELECTORS.includes(name) || typeof v !== 'string' || v === '')
        throw bad(name, `"${name}" must be one of ${SELECTORS.join(', ')}, and its value a string.`)
    if (members.length === 0)
      throw new SluiceError('invalid_request', { message: `Give at least one of ${SELECTORS.join(', ')}.` })
    return value
  }

  async function reload(): Promise<Answer> {
    try {
      const { models, tenants, needsRestart } = await deps.reload()
      return json(200, { object: 'reload', models, tenants, needs_restart: needsRestart })
    } catch (error) {
      if (!(error instanceof SluiceError) || error.code !== 'config_invalid') throw error
      throw new SluiceError('config_invalid', { status: 422, message: error.message })
    }
  }

  function tell(call: Call, type: Done, { tenant, lane, model }: Selector, jobs?: number): void {
    const selected = { tenant: tenant ?? null, lane: lane ?? null, model: model ?? null }
    deps.emit({ type, ...selected, requestId: call.requestId, ...(jobs === undefined ? {} : { jobs }) })
  }

  const paused = async (): Promise<Answer> => json(200, { object: 'list', data: await operations.paused() })

  return [
    {
      method: 'GET',
      path: '/admin/keys',
      auth: 'operator',
      run: async () => json(200, { object: 'list', data: (await keys.list()).map(keyView) }),
    },
    { method: 'POST', path: '/admin/keys', auth: 'operator', run: addKey },
    {
      method: 'DELETE',
      path: '/admin/keys/:id',
      auth: 'operator',
      async run(call) {
        const revoked = keys.revoke(call.params['id'], clock.wallMs())
        admitted.check()
        if (!(await revoked)) throw new SluiceError('key_not_found')
        return empty(204)
      },
    },
    {
      method: 'GET',
      path: '/admin/jobs',
      query: [...JOB_FILTERS, 'tenant', 'user'],
      auth: 'operator',
      run: (call) => jobs.list(call, null),
    },
    {
      method: 'POST',
      path: '/admin/jobs/:id/cancel',
      auth: 'operator',
      run: (call) => jobs.cancel(call, call.params['id']),
    },
    {
      method: 'POST',
      path: '/admin/jobs/:id/redrive',
      auth: 'operator',
      run: (call) => jobs.redrive(call, call.params['id']),
    },
    { method: 'GET', path: '/admin/pause', auth: 'operator', run: paused },
    ...(['pause', 'resume'] as const).map(
      (verb): Route => ({
        method: 'POST',
        path: `/admin/${verb}`,
        auth: 'operator',
        async run(call) {
          const selected = await selector(call)
          await operations[verb](selected)
          tell(call, `queue-${verb}d`, selected)
          return paused()
        },
      }),
    ),
    {
      method: 'POST',
      path: '/admin/purge',
      auth: 'operator',
      async run(call) {
        const selected = await selector(call)
        const purged = await operations.purge(selected)
        tell(call, 'queue-purged', selected, purged)
        return json(200, { purged })
      },
    },
    {
      method: 'DELETE',
      path: '/admin/tenants/:id',
      auth: 'operator',
      async run(call) {
        const erased = deps.eraseTenant(call.params['id'])
        admitted.check()
        await erased
        return empty(204)
      },
    },
    { method: 'POST', path: '/admin/reload', auth: 'operator', run: reload },
    {
      method: 'GET',
      path: '/admin/backup',
      auth: 'operator',
      async run({ exchange }) {
        await sendBytes(exchange, deps.backup(), (error) => deps.onFault(error, exchange.requestId))
        return null
      },
    },
    {
      method: 'GET',
      path: '/admin/deployments',
      auth: 'operator',
      run: async () => json(200, { object: 'list', data: (await operations.deployments()).map(deploymentView) }),
    },
    {
      method: 'GET',
      path: '/admin/backlog',
      auth: 'operator',
      run: async () => json(200, { object: 'list', data: (await operations.backlog()).map(backlogView) }),
    },
    {
      method: 'GET',
      path: '/admin/stats',
      auth: 'operator',
      run: async () => json(200, await deps.stats()),
    },
  ]
}
