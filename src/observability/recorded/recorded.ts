/** Metrics that facts are enough for, and the observer that counts them. One file each; index.ts lists them. */
import type { Family, Metric } from '../../core/numbers.ts'
import type { Observe } from '../emit.ts'

export interface Recorded {
  readonly metrics: readonly Metric[]
  readonly families?: readonly Family[]
  readonly observe: Observe
}
