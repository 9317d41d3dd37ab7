/** Metrics that facts are enough for, and the observer that counts them. One file each; index.ts lists them. */
import type { Family, Metric } from '../../core/numbers.ts'
import type { Observe } from '../emit.ts'

export interface Recorded {
  readonly metrics: readonly Metric[]
  readonly families?: readonly Family[]
  readonly observe: Observe
}

/**
 * What numbers are told apart by. Labels come from the configuration and from fixed lists alone: a client that makes
 * names up makes no series.
 */
export interface By {
  /** The configured name (maybe "gpt-*") of a model that a client asked for; UNKNOWN: it is none. */
  model(asked: string | null): string
  /** The last label of those numbers that may be told apart by tenant, where the operator wants that; else none. */
  readonly names: readonly string[]
  /** Its value; undefined: there is no such label. */
  who(of: { readonly tenant: string | null }): string | undefined
}

export const UNKNOWN = 'unknown'
/** In place of an error's code, or of a deployment. */
export const NONE = 'none'
