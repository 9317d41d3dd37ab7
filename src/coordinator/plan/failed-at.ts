/** Where a job failed: a short, immutable list, since it is stored with the job. */
import type { FailedAt } from '../../core/ports/coordinator.ts'

/** Reloads may rename deployments without end: the oldest is forgotten. */
const MOST = 32

export const failedThere = (failedAt: FailedAt, deployment: string): boolean =>
  failedAt.some((at) => at.deployment === deployment)

export const neverThere = (failedAt: FailedAt, deployment: string): boolean =>
  failedAt.some((at) => at.never && at.deployment === deployment)

/** Once never, always never. */
export function withFailure(failedAt: FailedAt, deployment: string, never: boolean): FailedAt {
  const others = failedAt.filter((at) => at.deployment !== deployment)
  return [...others, { deployment, never: never || neverThere(failedAt, deployment) }].slice(-MOST)
}
