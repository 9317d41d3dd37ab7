/** What a deployment is doing, in one word: for the dashboard, the admin API and the terminal. */
import type { ErrorCode } from './errors.ts'

/** From so many failures in a row on it is used only where there is no other. */
export const FAILS_FROM = 5

export type DeploymentState = 'up' | 'full' | 'failing' | 'cooling' | 'draining'

export interface DeploymentHealth {
  readonly state: DeploymentState
  /** Over all its models: the longest. */
  readonly coolsForMs: number
  readonly failuresInRow: number
  /** Its breaker lets no call through for so long, then one at a time; 0: it is closed. */
  readonly brokenForMs: number
  /** What opened it; null: it is closed. */
  readonly brokenBy: ErrorCode | null
}

/** Of its status, as ports/operations.ts tells it. */
interface Status {
  readonly active: number
  readonly concurrent: number
  readonly isDrained: boolean
  readonly unwell: ReadonlyArray<{
    readonly coolsForMs: number
    readonly failuresInRow: number
    readonly brokenForMs?: number
    readonly brokenBy?: ErrorCode
  }>
  readonly check?: { readonly isDown: boolean } | null
}

export function healthOf({ active, concurrent, isDrained, unwell, check }: Status): DeploymentHealth {
  const coolsForMs = Math.ceil(unwell.reduce((most, each) => Math.max(most, each.coolsForMs), 0))
  const failuresInRow = unwell.reduce((most, each) => Math.max(most, each.failuresInRow), 0)
  let [brokenForMs, brokenBy]: [number, ErrorCode | null] = [0, null]
  for (const each of unwell)
    if ((each.brokenForMs ?? 0) > brokenForMs) [brokenForMs, brokenBy] = [each.brokenForMs!, each.brokenBy ?? null]
  const isFailing = brokenForMs > 0 || failuresInRow >= FAILS_FROM || check?.isDown === true
  const use = active >= concurrent ? 'full' : 'up'
  const state = isDrained ? 'draining' : coolsForMs > 0 ? 'cooling' : isFailing ? 'failing' : use
  return { state, coolsForMs, failuresInRow, brokenForMs: Math.ceil(brokenForMs), brokenBy }
}
