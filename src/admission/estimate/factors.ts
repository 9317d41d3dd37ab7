/**
 * How many tokens a provider counts for each that was estimated: learned from what it reports, for each tenant and
 * family of models. A tenant that is new begins with what all of them have seen.
 */
import type { TenantId } from '../../core/job.ts'

/** Of each observation, what is left at the next one. */
const KEPT = 15 / 16
/** The weight of not knowing anything, in tokens: a short prompt tells little. */
const DOUBT_TOKENS = 500
/** Beyond these the provider counted something else than the prompt. */
const [LEAST_SEEN, MOST_SEEN] = [0.25, 4]
const [LEAST, MOST] = [0.5, 2.5]
const MAX_FACTORS = 4_096

interface Seen {
  reported: number
  estimated: number
}

export class Factors {
  /** The one that learned last is the last. */
  readonly #seen = new Map<string, Seen>()

  get(tenant: TenantId, family: string): number {
    const seen = this.#seen.get(keyOf(tenant, family)) ?? this.#seen.get(keyOf('', family))
    return seen === undefined ? 1 : factorOf(seen)
  }

  learn(tenant: TenantId, family: string, estimated: number, reported: number): void {
    if (!(reported >= LEAST_SEEN * estimated && reported <= MOST_SEEN * estimated) || estimated === 0) return
    // The tenant's own first: it begins with what the others know
    for (const whose of [tenant, '']) {
      const key = keyOf(whose, family)
      const seen = this.#seen.get(key) ?? {
        reported: DOUBT_TOKENS * this.get(tenant, family),
        estimated: DOUBT_TOKENS,
      }
      seen.reported = seen.reported * KEPT + reported
      seen.estimated = seen.estimated * KEPT + estimated
      this.#seen.delete(key)
      this.#seen.set(key, seen)
    }
    for (const [oldest] of this.#seen) {
      if (this.#seen.size <= MAX_FACTORS) break
      this.#seen.delete(oldest)
    }
  }
}

const factorOf = ({ reported, estimated }: Seen): number => Math.min(MOST, Math.max(LEAST, reported / estimated))

const keyOf = (tenant: TenantId, family: string): string => `${family}\n${tenant}`
