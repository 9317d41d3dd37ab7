/** What the attempts of a job cost, as far as this process was told. */
export class Spent {
  #isTold = false
  #nanoDollars: number | null

  /** `isWhole`: no attempt of it was told elsewhere. */
  constructor(isWhole: boolean) {
    this.#nanoDollars = isWhole ? 0 : null
  }

  add({ nanoDollars }: { readonly nanoDollars: number | null }): void {
    this.#isTold = true
    this.#nanoDollars = nanoDollars === null || this.#nanoDollars === null ? null : this.#nanoDollars + nanoDollars
  }

  /** For a fact: nothing, where no attempt was told. */
  get told(): { readonly nanoDollars?: number | null } {
    return this.#isTold ? { nanoDollars: this.#nanoDollars } : {}
  }
}
