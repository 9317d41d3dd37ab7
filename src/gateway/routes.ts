/** The route tables of both listeners. Nothing is answered that does not stand here. */
import type { SluiceError } from '../core/errors.ts'
import type { Admitted } from './admitted.ts'
import type { Answers } from './answers.ts'
import type { Auth } from './auth.ts'
import { conversationRoutes } from './conversation-routes.ts'
import type { GatewayDeps } from './deps.ts'
import { jobRoutes } from './job-routes.ts'
import type { Jobs } from './jobs.ts'
import { openaiRoutes } from './openai-routes.ts'
import { operatorRoutes } from './operator-routes.ts'
import type { Route } from './route.ts'
import { sessionRoutes } from './session-routes.ts'
import type { Sessions } from './sessions.ts'
import type { Submits } from './submit.ts'
import type { Watching } from './watching.ts'
import { welcomeRoutes } from './welcome-routes.ts'

/** How callers come in. */
export interface Door {
  readonly auth: Auth
  readonly sessions: Sessions
  readonly admitted: Admitted
  /** Refuses what could not be upgraded. */
  readonly socket: Route
}

export interface Routes {
  readonly public: readonly Route[]
  readonly admin: readonly Route[]
}

export function createRoutes(
  deps: GatewayDeps,
  jobs: Jobs,
  submits: Submits,
  answers: Answers,
  door: Door,
  watching: Watching,
  closedFor: () => SluiceError | null,
): Routes {
  const probes: readonly Route[] = [
    // Probes add what they like to get past caches
    { method: 'GET', path: '/livez', query: 'any', auth: 'none', run: (call) => call.json(200, { status: 'ok' }) },
    {
      method: 'GET',
      path: '/readyz',
      query: 'any',
      auth: 'none',
      run(call) {
        const refusal = closedFor()
        if (refusal !== null) throw refusal
        const health = deps.health()
        if (!health.ok) throw health.error
        call.json(200, { status: 'ok' })
      },
    },
  ]
  return {
    public: [
      ...openaiRoutes(deps, jobs, submits, answers),
      ...jobRoutes(deps, jobs, submits, answers),
      ...conversationRoutes(deps, watching.stream),
      ...sessionRoutes(deps, door.auth, door.sessions),
      door.socket,
      ...welcomeRoutes(deps.models),
      ...probes,
    ],
    admin: [...operatorRoutes(deps, jobs, door.admitted), ...probes],
  }
}
