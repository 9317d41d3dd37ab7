/** What only the operator may: PROTOCOL.md section 8. */
import { SluiceError } from '../../core/errors.ts'
import { bad } from '../../core/fields.ts'
import type { JsonRecord } from '../../core/json.ts'
import type { Selector } from '../../core/ports/operations.ts'
import type { GatewayDeps } from '../deps.ts'
import { type Answer, json } from '../http/answer.ts'
import { readJson } from '../http/body.ts'
import { sendBytes } from '../http/byte-stream.ts'
import type { Call } from '../http/call.ts'
import type { Route } from '../http/route.ts'
import { JOB_FILTERS, type Jobs } from '../read/jobs.ts'
import { backlogView, deploymentView } from '../read/views.ts'
import { tellChange } from './changes.ts'
import { checkKnown } from './known.ts'

type Done = 'queue-paused' | 'queue-resumed' | 'queue-purged'

const SELECTORS = ['tenant', 'lane', 'model'] as const
const RELOADED = { action: 'config-reloaded', target: 'configuration', tenant: null, before: {} } as const

export function operatorRoutes(deps: GatewayDeps, jobs: Jobs): readonly Route[] {
  const { operations, options } = deps

  async function selector(call: Call): Promise<Selector> {
    const { value } = await readJson(call, options.maxBodyBytes, options)
    const members = Object.entries(value)
    for (const [name, v] of members)
      if (!SELECTORS.some((one) => one === name) || typeof v !== 'string' || v === '')
        throw bad(name, `"${name}" must be one of ${SELECTORS.join(', ')}, and its value a string.`)
    if (members.length === 0)
      throw new SluiceError('invalid_request', { message: `Give at least one of ${SELECTORS.join(', ')}.` })
    return value
  }

  async function reload(call: Call): Promise<Answer> {
    try {
      const { models, tenants, changed, needsRestart } = await deps.reload()
      const after = { models, tenants, changed, needs_restart: needsRestart }
      await tellChange(deps, call, { ...RELOADED, after })
      return json(200, { object: 'reload', ...after })
    } catch (error) {
      if (!(error instanceof SluiceError) || error.code !== 'config_invalid') throw error
      throw new SluiceError('config_invalid', { status: 422, message: error.message })
    }
  }

  function tell(
    call: Call,
    type: Done,
    selector: Selector,
    { before = {}, after, jobs }: { readonly before?: JsonRecord; readonly after: JsonRecord; readonly jobs?: number },
  ): Promise<void> {
    const { tenant = null, lane = null, model = null } = selector
    const selected = { tenant, lane, model }
    deps.emit({ type, ...selected, requestId: call.requestId, ...(jobs === undefined ? {} : { jobs }) })
    const names = SELECTORS.filter((name) => selected[name] !== null).map((name) => `${name} ${selected[name]}`)
    return tellChange(deps, call, { action: type, target: names.join(', '), tenant, before, after })
  }

  const isPaused = async (selected: Selector): Promise<boolean> =>
    (await operations.paused()).some((one) => SELECTORS.every((name) => one[name] === selected[name]))

  /** As `jobs` does it, kept in the audit. */
  const change = (action: 'job-canceled' | 'job-redriven', verb: 'cancel' | 'redrive') => async (call: Call) => {
    const { id } = call.params
    const before = await deps.jobs.get(id)
    const answer = await jobs[verb](call, id)
    const tenant = before?.tenant ?? null
    const state = before?.state ?? null
    await tellChange(deps, call, { action, target: `job ${id}`, tenant, before: { state }, after: {} })
    return answer
  }

  const paused = async (): Promise<Answer> => json(200, { object: 'list', data: await operations.paused() })

  return [
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
      run: change('job-canceled', 'cancel'),
    },
    {
      method: 'POST',
      path: '/admin/jobs/:id/redrive',
      auth: 'operator',
      run: change('job-redriven', 'redrive'),
    },
    { method: 'GET', path: '/admin/pause', auth: 'operator', run: paused },
    ...(['pause', 'resume'] as const).map(
      (verb): Route => ({
        method: 'POST',
        path: `/admin/${verb}`,
        auth: 'operator',
        async run(call) {
          const selected = await selector(call)
          const before = { paused: await isPaused(selected) }
          if (!before.paused) await checkKnown(deps, selected)
          await operations[verb](selected)
          await tell(call, `queue-${verb}d`, selected, { before, after: { paused: verb === 'pause' } })
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
        await tell(call, 'queue-purged', selected, { after: { purged }, jobs: purged })
        return json(200, { purged })
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
    {
      method: 'GET',
      path: '/metrics',
      // Scrapers choose by parameters what they want of many
      query: 'any',
      auth: options.openMetrics ? 'none' : 'operator',
      async run(call: Call) {
        const { exchange } = call
        const { type, text } = await deps.metrics(call.header('accept'))
        const failed = (error: unknown): void => deps.onFault(error, exchange.requestId)
        await sendBytes(exchange, text, failed, { 'content-type': type })
        return null
      },
    },
  ]
}
