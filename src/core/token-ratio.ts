/** How many tokens a provider counts for each that was estimated, over its last reports. */

/** Of each observation, what is left at the next one. */
const KEPT = 15 / 16

export class TokenRatio {
  #reported: number
  #estimated: number

  /** `doubtTokens`: the weight of not knowing anything, more than 0: a short prompt tells little. `begins`: first. */
  constructor(doubtTokens: number, begins = 1) {
    this.#reported = doubtTokens * begins
    this.#estimated = doubtTokens
  }

  get value(): number {
    return this.#reported / this.#estimated
  }

  learn(estimated: number, reported: number): void {
    this.#reported = this.#reported * KEPT + reported
    this.#estimated = this.#estimated * KEPT + estimated
  }
}
