/** A job as the plan sees it, and what it takes of a deployment. */
import type { Notes } from '../scheduler/port.ts'
import type { DeploymentState } from './deployment.ts'
import type { QuotaHold } from './quota.ts'

export type Planned = Pick<Notes, 'job' | 'failedAt' | 'call'>

/** What a job takes of a deployment, from its lease to its end. */
export interface Call {
  readonly state: DeploymentState
  /** The model that it was asked for. */
  readonly model: string
  readonly fromMono: number
  readonly work: number
  /** Units of work beside it when it began. */
  readonly beside: number
  readonly hold: QuotaHold | null
}
