/** For whatever watches over the process: both listeners have them, open to all. */
import type { GatewayDeps } from '../deps.ts'
import { json } from '../http/answer.ts'
import type { Route } from '../http/route.ts'
import type { Phase } from '../phase.ts'

const OK = { status: 'ok' }

/** Probes add what they like to get past caches. */
export const probeRoutes = ({ health }: Pick<GatewayDeps, 'health'>, phase: Phase): readonly Route[] => [
  { method: 'GET', path: '/livez', query: 'any', auth: 'none', run: () => json(200, OK) },
  {
    method: 'GET',
    path: '/readyz',
    query: 'any',
    auth: 'none',
    run() {
      const refusal = phase.unready()
      if (refusal !== null) throw refusal
      const state = health()
      if (!state.ok) throw state.error
      return json(200, OK)
    },
  },
]
