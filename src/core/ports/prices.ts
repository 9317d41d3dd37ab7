/** What calls cost. Money is in integer nano-dollars: 2^53 of them are nine million dollars. */
import type { MediaUnits } from '../media-units.ts'

/** Of one call: tokens, and what media count. The narrower kinds are parts of the wider: `cachedInput` of `input`. */
export interface Tokens extends MediaUnits {
  readonly input: number
  readonly cachedInput?: number
  readonly cacheWrite?: number
  /** Of `cacheWrite`: what is to be kept for an hour. */
  readonly cacheWriteLong?: number
  readonly inputAudio?: number
  /** Part of both `cachedInput` and `inputAudio`. */
  readonly cachedAudio?: number
  readonly output: number
  readonly reasoning?: number
  readonly outputAudio?: number
}

/** Who sells a model: a provider by the name that price lists have for it, an API by its address, or nobody. */
export type Seller = { readonly id: string } | { readonly url: string } | 'own'

export interface Price {
  /** Which table it is from: kept with whatever is charged by it. */
  readonly version: string
  /** Of one call, in nano-dollars, rounded once. */
  cost(tokens: Tokens): number
}

/** Why a call has no price, for people. */
export interface Unpriced {
  readonly reason: string
}

export interface Prices {
  /**
   * Of a call to the model, by its public name, at this time (wall clock): at the dearest of the deployments that are
   * tried first. Null: there is no such model.
   */
  of(model: string, atMs: number): Price | Unpriced | null
  /** The same of all its deployments: whichever of them answers, a call costs no more. */
  dearest(model: string, atMs: number): Price | Unpriced | null
  /** Of a call to one deployment, for this model of a client's. Null: there is no such deployment. */
  at(deployment: string, model: string, atMs: number): Price | Unpriced | null
}
