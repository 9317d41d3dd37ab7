/** The route tables of both listeners. Nothing else is answered. */
import type { Admitted } from '../caller/admitted.ts'
import type { Auth } from '../caller/auth.ts'
import type { Sessions } from '../caller/sessions.ts'
import type { SignIn } from '../caller/sign-in.ts'
import type { KeyUses } from '../caller/uses.ts'
import type { GatewayDeps } from '../deps.ts'
import type { Route } from '../http/route.ts'
import type { Phase } from '../phase.ts'
import type { Answers } from '../read/answers.ts'
import type { Jobs } from '../read/jobs.ts'
import type { Watching } from '../read/watching.ts'
import type { Runs } from '../runs/runs.ts'
import type { Submits } from '../submit/submit.ts'
import { batchRoutes } from './batches.ts'
import { benchmarkRoutes } from './benchmarks.ts'
import { conversationRoutes } from './conversations.ts'
import { signInRoutes } from './dashboard.ts'
import { deploymentRoutes } from './deployments.ts'
import { dialectRoutes } from './dialects.ts'
import { estimateRoutes } from './estimates.ts'
import { explainRoutes } from './explain.ts'
import { fileRoutes } from './files.ts'
import { jobRoutes } from './jobs.ts'
import { keptConversationRoutes } from './kept-conversations.ts'
import { keyRoutes } from './keys.ts'
import { lookRoutes } from './looks.ts'
import { modelRoutes } from './models.ts'
import { openApiRoutes } from './openapi/route.ts'
import { operatorRoutes } from './operator.ts'
import { playgroundRoutes } from './playground.ts'
import { probeRoutes } from './probes.ts'
import { providerKeyRoutes } from './provider-keys.ts'
import { resourceRoutes } from './resources.ts'
import { runLookRoutes } from './run-looks.ts'
import { runRoutes } from './runs.ts'
import { servedRoutes } from './served.ts'
import { sessionRoutes } from './sessions.ts'
import { tenantRoutes } from './tenants.ts'
import { usageRoutes } from './usage.ts'
import { webhookRoutes } from './webhooks.ts'
import { welcomeRoutes } from './welcome.ts'

/** What the routes are made of, besides the ports. */
export interface RouteParts {
  readonly auth: Auth
  readonly sessions: Sessions
  readonly admitted: Admitted
  readonly uses: KeyUses
  readonly submits: Submits
  readonly runs: Runs
  readonly jobs: Jobs
  readonly answers: Answers
  readonly watching: Watching
  readonly phase: Phase
  /** They refuse what could not be upgraded. */
  readonly sockets: readonly Route[]
  readonly live: Route
  readonly signIn: SignIn
  /** The dashboard's own files. */
  readonly page: readonly Route[]
}

export interface Routes {
  readonly public: readonly Route[]
  readonly admin: readonly Route[]
}

export function createRoutes(deps: GatewayDeps, parts: RouteParts): Routes {
  const { auth, sessions, admitted, uses, submits, runs, jobs, answers, watching, phase, sockets, live, signIn, page } =
    parts
  const probes = probeRoutes(deps, phase)
  const usage = usageRoutes(deps)
  const hooks = webhookRoutes(deps)
  const routes: Routes = {
    public: [
      ...dialectRoutes(deps, jobs, submits, answers),
      ...resourceRoutes(deps, answers),
      ...modelRoutes(deps),
      ...estimateRoutes(deps),
      ...usage.public,
      ...jobRoutes(deps, jobs, submits, answers),
      ...fileRoutes(deps),
      ...batchRoutes(deps),
      ...conversationRoutes(deps, watching.stream),
      ...keptConversationRoutes(deps),
      ...runRoutes(deps, runs, jobs),
      ...hooks.public,
      ...sessionRoutes(deps, auth, sessions),
      ...sockets,
      ...welcomeRoutes(deps.models),
      ...openApiRoutes(() => routes.public, deps.dialects),
      ...probes,
    ],
    admin: [
      ...operatorRoutes(deps, jobs),
      ...servedRoutes(deps),
      ...deploymentRoutes(deps),
      ...explainRoutes(deps),
      ...lookRoutes(deps),
      ...runLookRoutes(deps, runs),
      ...playgroundRoutes(deps, sessions),
      ...keyRoutes(deps, admitted, uses),
      ...tenantRoutes(deps, admitted),
      ...providerKeyRoutes(deps),
      ...hooks.admin,
      ...usage.admin,
      ...benchmarkRoutes(deps),
      ...signInRoutes(signIn),
      live,
      ...page,
      ...probes,
    ],
  }
  return routes
}
