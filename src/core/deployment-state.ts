/** What a deployment is doing, in one word: for the dashboard, the admin API and the terminal. */

/** From so many failures in a row on it is used only where there is no other. */
export const FAILS_FROM = 5

export type DeploymentState = 'up' | 'full' | 'failing' | 'cooling' | 'draining'

export interface DeploymentHealth {
  readonly state: DeploymentState
  /** Over all its models: the longest. */
  readonly coolsForMs: number
  readonly failuresInRow: number
}

/** Of its status, as ports/operations.ts tells it. */
interface Status {
  readonly active: number
  readonly concurrent: number
  readonly isDrained: boolean
  readonly unwell: ReadonlyArray<{ readonly coolsForMs: number; readonly failuresInRow: number }>
}

export function healthOf({ active, concurrent, isDrained, unwell }: Status): DeploymentHealth {
  const coolsForMs = Math.ceil(unwell.reduce((most, each) => Math.max(most, each.coolsForMs), 0))
  const failuresInRow = unwell.reduce((most, each) => Math.max(most, each.failuresInRow), 0)
  const use = active >= concurrent ? 'full' : 'up'
  const state = isDrained ? 'draining' : coolsForMs > 0 ? 'cooling' : failuresInRow >= FAILS_FROM ? 'failing' : use
  return { state, coolsForMs, failuresInRow }
}
