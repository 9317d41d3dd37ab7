/** Runs of all tenants, for operators: PROTOCOL.md section 8. */
import { SluiceError } from '../../core/errors.ts'
import type { GatewayDeps } from '../deps.ts'
import { json } from '../http/answer.ts'
import type { Call } from '../http/call.ts'
import type { Route } from '../http/route.ts'
import { createRunReads, viewOf } from '../runs/reads.ts'
import type { Run, Runs } from '../runs/runs.ts'
import { tellChange } from './changes.ts'

/** Names are as they are stored: those of pages begin with their user's. */
const AS_STORED = ''

export function runLookRoutes(deps: GatewayDeps, runs: Runs): readonly Route[] {
  const read = createRunReads(deps, runs)

  async function found({ params: { tenant, run: name } }: Call): Promise<Run> {
    const run = await runs.get(tenant, name)
    if (run === null) throw new SluiceError('run_not_found')
    return run
  }

  const path = '/admin/runs/:tenant/:run'
  return [
    {
      method: 'GET',
      path: '/admin/runs',
      query: ['tenant', 'limit', 'after'],
      auth: 'operator',
      async run(call) {
        const tenant = call.parameter('tenant')
        const of = { ...(tenant !== undefined && { tenant }), prefix: AS_STORED }
        return json(200, await read.list(call, of, true))
      },
    },
    {
      method: 'GET',
      path,
      query: ['limit', 'after'],
      auth: 'operator',
      run: async (call) => json(200, await read.page(await found(call), call.params['tenant'], AS_STORED, call)),
    },
    {
      method: 'POST',
      path: `${path}/cancel`,
      auth: 'operator',
      async run(call) {
        const { tenant } = call.params
        const { name, canceledAtMs } = await found(call)
        const { run, ...counts } = await read.end(tenant, name, null)
        await deps.webhooks.announceRun(tenant, name, 'run.canceled')
        const [before, after] = [{ canceled: canceledAtMs !== null }, { canceled: true }]
        await tellChange(deps, call, { action: 'run-canceled', target: `run ${name}`, tenant, before, after })
        return json(202, { ...viewOf(AS_STORED, run), ...counts })
      },
    },
  ]
}
