/** The route tables of both listeners. Nothing is answered that does not stand here. */
import { SluiceError } from '../core/errors.ts'
import type { Answers } from './answers.ts'
import { conversationRoutes } from './conversation-routes.ts'
import type { GatewayDeps } from './deps.ts'
import { jobRoutes } from './job-routes.ts'
import { createJobs } from './jobs.ts'
import { openaiRoutes } from './openai-routes.ts'
import { operatorRoutes } from './operator-routes.ts'
import type { Route } from './route.ts'

export interface Routes {
  readonly public: readonly Route[]
  readonly admin: readonly Route[]
}

export function createRoutes(deps: GatewayDeps, answers: Answers, isDraining: () => boolean): Routes {
  const jobs = createJobs(deps)
  const probes: readonly Route[] = [
    { method: 'GET', path: '/livez', auth: 'none', run: (call) => call.json(200, { status: 'ok' }) },
    {
      method: 'GET',
      path: '/readyz',
      auth: 'none',
      run(call) {
        if (isDraining()) throw new SluiceError('draining')
        const health = deps.health()
        if (!health.ok) throw health.error
        call.json(200, { status: 'ok' })
      },
    },
  ]
  return {
    public: [...openaiRoutes(deps, jobs, answers), ...jobRoutes(deps, jobs, answers), ...conversationRoutes(deps), ...probes],
    admin: [...operatorRoutes(deps, jobs), ...probes],
  }
}
