/** A cause in words, and what they have in common. */
import type { Words } from '../../core/live.ts'
import type { DeploymentNow } from './situation.ts'
import { duration, link, strong } from './words.ts'

/** Of what waits, or failed: a share that stands for all of it. */
export const MOST = 0.6
export const holds = (share: number): boolean => share >= MOST

export interface Why {
  readonly why: readonly Words[]
  readonly actions: readonly Words[]
}

export const openDeployment = (name: string): Words => link(`Open ${name}`, `/models/${encodeURIComponent(name)}`)
export const deployment = (name: string): Words => strong(name, `/models/${encodeURIComponent(name)}`)

/** Nothing where it only just is, or nobody knows since when. */
export const outFor = ({ outForMs }: DeploymentNow, before: string, after: string): string =>
  outForMs === null || outForMs < 1_000 ? '' : `${before}${duration(outForMs)}${after}`

export const OUT: Readonly<Record<string, string>> = {
  provider_rate_limited: 'answers 429',
  provider_unreachable: 'can’t be reached',
  provider_timeout: 'does not answer in time',
  provider_auth: 'rejects our key',
  provider_error: 'fails',
}
