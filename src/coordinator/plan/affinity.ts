/** Where jobs were answered that begin alike: an engine that has a prompt's beginning in its cache reads the rest. */

/** Clients choose how many there are. */
const MOST = 50_000

export class Affinities {
  /** The newest last. */
  readonly #at = new Map<string, string>()

  get size(): number {
    return this.#at.size
  }

  get(affinity: string): string | null {
    return this.#at.get(affinity) ?? null
  }

  set(affinity: string, deployment: string): void {
    if (this.#at.get(affinity) === deployment) return
    this.#at.delete(affinity)
    this.#at.set(affinity, deployment)
    if (this.#at.size > MOST) this.#at.delete(this.#at.keys().next().value!)
  }
}
