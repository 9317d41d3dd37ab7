/**
 * How many tokens a provider counts for each that was estimated: learned from what it reports, for each tenant and
 * family of models. A tenant that is new begins with what all of them have seen.
 */
import type { TenantId } from '../../core/job.ts'
import { TokenRatio } from '../../core/token-ratio.ts'

const DOUBT_TOKENS = 500
/** Beyond these the provider counted something else than the prompt. */
const [LEAST_SEEN, MOST_SEEN] = [0.25, 4]
const [LEAST, MOST] = [0.5, 2.5]
const MAX_FACTORS = 4_096

export class Factors {
  /** The one that learned last is the last. */
  readonly #seen = new Map<string, TokenRatio>()

  get(tenant: TenantId, family: string): number {
    const seen = this.#seen.get(keyOf(tenant, family)) ?? this.#seen.get(keyOf('', family))
    return seen === undefined ? 1 : Math.min(MOST, Math.max(LEAST, seen.value))
  }

  learn(tenant: TenantId, family: string, estimated: number, reported: number): void {
    if (!(reported >= LEAST_SEEN * estimated && reported <= MOST_SEEN * estimated) || estimated === 0) return
    // The tenant's own first: it begins with what the others know
    for (const whose of [tenant, '']) {
      const key = keyOf(whose, family)
      const seen = this.#seen.get(key) ?? new TokenRatio(DOUBT_TOKENS, this.get(tenant, family))
      seen.learn(estimated, reported)
      this.#seen.delete(key)
      this.#seen.set(key, seen)
    }
    for (const [oldest] of this.#seen) {
      if (this.#seen.size <= MAX_FACTORS) break
      this.#seen.delete(oldest)
    }
  }
}

const keyOf = (tenant: TenantId, family: string): string => `${family}\n${tenant}`
