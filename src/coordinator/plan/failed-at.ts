/** Where a job failed: a short, immutable list, since it is stored with the job. */
import type { FailedAt, Refused } from '../../core/ports/coordinator.ts'

/** Reloads may rename deployments without end: the oldest is forgotten. */
const MOST = 32

export const failedThere = (failedAt: FailedAt, deployment: string): boolean =>
  failedAt.some((at) => at.deployment === deployment)

export const neverThere = (failedAt: FailedAt, deployment: string): boolean =>
  failedAt.some((at) => at.never && at.deployment === deployment)

/** Why the model that was asked for is not to be asked again; null: it may be. */
export const refusedFor = (failedAt: FailedAt): Refused | null =>
  failedAt.find((at) => at.refused !== undefined)?.refused ?? null

/** Once never, always never. */
export function withFailure(
  failedAt: FailedAt,
  deployment: string,
  never: boolean,
  refused: Refused | null = null,
): FailedAt {
  const others = failedAt.filter((at) => at.deployment !== deployment)
  const at = { deployment, never: never || neverThere(failedAt, deployment) }
  return [...others, refused === null ? at : { ...at, refused }].slice(-MOST)
}
