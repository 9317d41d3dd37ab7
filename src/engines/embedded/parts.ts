/** What the engine is made of, for those that need most of it. */
import type { Clock } from '../../core/clock.ts'
import type { Emit } from '../../core/facts.ts'
import type { Job } from '../../core/job.ts'
import type { Coordinator } from '../../core/ports/coordinator.ts'
import type { ConversationStore } from './conversations/conversations.ts'
import type { Age } from './disk/age.ts'
import type { Store } from './disk/store.ts'
import type { Jobs } from './jobs/jobs.ts'
import type { LiveJobs } from './jobs/live-job.ts'
import type { LiveLog } from './log/live-log.ts'
import type { Logs } from './log/log.ts'
import type { Bookings } from './usage/booking.ts'
import type { LevelRows } from './usage/levels.ts'

export interface Parts {
  readonly store: Store
  readonly logs: Logs
  readonly jobs: Jobs
  readonly live: LiveJobs
  readonly coordinator: Coordinator
  readonly conversations: ConversationStore
  readonly levels: LevelRows
  readonly bookings: Bookings
  readonly clock: Clock
  readonly age: Age
  readonly emit: Emit
  /** Called with each job before its end is told. */
  readonly onEnded: (job: Pick<Job, 'id' | 'tenant'>, log: LiveLog) => void
}
