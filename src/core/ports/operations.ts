/** What only an operator may do to what waits. */
import type { TenantId } from '../job.ts'

/** What to pause, resume or purge. All given members must match. */
export interface Selector {
  readonly tenant?: TenantId
  readonly lane?: string
  readonly model?: string
}

export interface QueueDepth {
  readonly queued: number
  readonly delayed: number
  readonly waiting: number
  readonly leased: number
}

/** Changes are power-safe when their promise resolves. */
export interface Operations {
  /** No job that matches is leased until resumed. Survives a restart. */
  pause(selector: Selector): Promise<void>
  resume(selector: Selector): Promise<void>
  paused(): readonly Selector[]
  /** Cancels all that matches and is not running. Returns how many. */
  purge(selector: Selector): Promise<number>
  depth(): QueueDepth
}
