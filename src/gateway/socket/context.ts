/** What all connections share. */
import type { Job } from '../../core/job.ts'
import type { Admitted } from '../caller/admitted.ts'
import type { Auth } from '../caller/auth.ts'
import type { Sessions } from '../caller/sessions.ts'
import type { GatewayDeps } from '../deps.ts'
import type { Inflow } from '../http/inflow.ts'
import type { Owed } from '../http/owed.ts'
import type { Phase } from '../phase.ts'
import type { Submits } from '../submit/submit.ts'

/** The gateway's own parts that sockets use too. */
export interface SocketParts {
  readonly auth: Auth
  readonly sessions: Sessions
  readonly submits: Submits
  readonly admitted: Admitted
  readonly inflow: Inflow
  readonly owed: Owed
  readonly phase: Phase
}

export interface SocketContext extends SocketParts {
  readonly deps: GatewayDeps
  /** Flushes it at the end of this turn, when all that the turn brought has been written. */
  flushSoon(connection: { flush(): void }): void
  /** A user's TTFT, as their client measured it. */
  noteTtft(job: Job, ttftMs: number): void
}
