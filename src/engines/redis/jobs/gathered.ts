/** Calls of one turn of the event loop made as one: many look up a job at once when their connections were cut. */
export class Gathered<K, V> {
  readonly #most: number
  readonly #all: (keys: readonly K[]) => Promise<readonly V[]>
  #waiting: Array<{ readonly key: K; readonly done: (value: V) => void; readonly failed: (error: unknown) => void }> =
    []

  /** `all` gets at most `most` keys, and gives a value for each, in their order. */
  constructor(most: number, all: (keys: readonly K[]) => Promise<readonly V[]>) {
    this.#most = most
    this.#all = all
  }

  get(key: K): Promise<V> {
    return new Promise((done, failed) => {
      this.#waiting.push({ key, done, failed })
      if (this.#waiting.length === 1) queueMicrotask(() => this.#flush())
    })
  }

  #flush(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (let i = 0; i < waiting.length; i += this.#most) {
      const some = waiting.slice(i, i + this.#most)
      this.#all(some.map(({ key }) => key)).then(
        (values) => some.forEach(({ done }, n) => void done(values[n])),
        (error: unknown) => {
          for (const { failed } of some) failed(error)
        },
      )
    }
  }
}
