/** A value that comes once; whoever asks is told when it is there, at once if it is: no promise, no turn between. */
export class Once<T> {
  #value: T | undefined
  #isThere = false
  // Nearly always one asks
  #first: ((value: T) => void) | null = null
  #others: Array<(value: T) => void> | null = null

  tell(value: T): void {
    this.#value = value
    this.#isThere = true
    const [first, others] = [this.#first, this.#others]
    this.#first = this.#others = null
    first?.(value)
    if (others !== null) for (const told of others) told(value)
  }

  when(told: (value: T) => void): void {
    if (this.#isThere) told(this.#value as T)
    else if (this.#first === null) this.#first = told
    else if (this.#others === null) this.#others = [told]
    else this.#others.push(told)
  }
}
