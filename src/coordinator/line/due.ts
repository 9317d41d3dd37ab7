/** What share of the service is due to whom: by weight, of what those that wait for nothing leave. */

export interface Served {
  readonly weight: number
  /** Of the service, 0 to 1. */
  readonly share: number
  readonly waits: boolean
}

/**
 * Who waits for nothing got all that it asked for; what it took beyond its own weight is not taken from the others for
 * good, so it counts up to that. The rest is due to those that wait. In the order given; null: it waits for nothing.
 */
export function sharesDue(all: readonly Served[]): ReadonlyArray<number | null> {
  let total = 0
  let waiting = 0
  for (const { weight, waits } of all) {
    total += weight
    if (waits) waiting += weight
  }
  let taken = 0
  for (const { weight, share, waits } of all) if (!waits) taken += Math.min(share, weight / total)
  return all.map(({ weight, waits }) => (waits ? ((1 - taken) * weight) / waiting : null))
}
