/** What an upstream's headers tell of its limits. */

/** One limit, as far as the upstream's headers tell it. */
export interface LimitState {
  readonly limit?: number
  readonly remaining?: number
  /** Until it is whole again. */
  readonly resetMs?: number
}

/** What an upstream allows the key that it was called with. */
export interface UpstreamLimits {
  readonly requests?: LimitState
  readonly tokens?: LimitState
}
