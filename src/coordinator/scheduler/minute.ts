/** What somebody was served in the last minute, a second at a time. */
const SECONDS = 60
/** Rates are of the last few: of one alone they would jump. */
const RATE_SECONDS = 5

const secondOf = (now: number): number => Math.floor(now / 1_000)
const placeOf = (second: number): number => second - SECONDS * Math.floor(second / SECONDS)

export class Minute {
  readonly #service = new Float64Array(SECONDS)
  readonly #output = new Float64Array(SECONDS)
  /** Of `#service`. */
  #sum = 0
  /** The last second that is cleared, and the last one in which something was added. */
  #second = -Infinity
  #added = -Infinity

  /** `service`: weighted tokens; negative takes back. */
  add(service: number, outputTokens: number, now: number): void {
    this.#clearUntil(secondOf(now))
    const place = placeOf(this.#second)
    this.#service[place] += service
    this.#output[place] += outputTokens
    this.#sum += service
    this.#added = this.#second
  }

  isOver(now: number): boolean {
    return secondOf(now) - this.#added >= SECONDS
  }

  /** Weighted tokens. */
  service(now: number): number {
    this.#clearUntil(secondOf(now))
    return Math.max(0, this.#sum)
  }

  /** Output tokens a second. */
  rate(now: number): number {
    this.#clearUntil(secondOf(now))
    let tokens = 0
    for (let second = this.#second; second > this.#second - RATE_SECONDS; second--)
      tokens += this.#output[placeOf(second)]
    return Math.max(0, tokens) / (RATE_SECONDS - 1 + (now / 1_000 - secondOf(now)))
  }

  #clearUntil(second: number): void {
    if (second <= this.#second) return
    for (let at = Math.max(this.#second + 1, second - SECONDS + 1); at <= second; at++) {
      const place = placeOf(at)
      this.#sum -= this.#service[place]
      this.#service[place] = this.#output[place] = 0
    }
    this.#second = second
  }
}
