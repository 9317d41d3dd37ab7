/** The route tables of both listeners. Nothing is answered that does not stand here. */
import type { SluiceError } from '../../core/errors.ts'
import type { Admitted } from '../caller/admitted.ts'
import type { Auth } from '../caller/auth.ts'
import type { Sessions } from '../caller/sessions.ts'
import type { GatewayDeps } from '../deps.ts'
import { json } from '../http/answer.ts'
import type { Route } from '../http/route.ts'
import type { Answers } from '../read/answers.ts'
import type { Jobs } from '../read/jobs.ts'
import type { Watching } from '../read/watching.ts'
import type { Submits } from '../submit/submit.ts'
import { conversationRoutes } from './conversations.ts'
import { dialectRoutes } from './dialects.ts'
import { jobRoutes } from './jobs.ts'
import { modelRoutes } from './models.ts'
import { operatorRoutes } from './operator.ts'
import { sessionRoutes } from './sessions.ts'
import { welcomeRoutes } from './welcome.ts'

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
    { method: 'GET', path: '/livez', query: 'any', auth: 'none', run: () => json(200, { status: 'ok' }) },
    {
      method: 'GET',
      path: '/readyz',
      query: 'any',
      auth: 'none',
      run() {
        const refusal = closedFor()
        if (refusal !== null) throw refusal
        const health = deps.health()
        if (!health.ok) throw health.error
        return json(200, { status: 'ok' })
      },
    },
  ]
  return {
    public: [
      ...dialectRoutes(deps, jobs, submits, answers),
      ...modelRoutes(deps),
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
