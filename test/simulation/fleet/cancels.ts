/** Why a job of a simulated fleet may be canceled: its client did, or has left, or its readers may count as gone. */

export class Cancels {
  readonly #canceled = new Set<string>()
  readonly #left = new Set<string>()
  /** Of plain POSTs: may those who read them be taken for gone? */
  readonly #readers = new Map<string, Array<() => boolean>>()
  /** By tag: may the process that submits it be taken for gone? */
  readonly #submitters = new Map<string, () => boolean>()
  /** By tag: when. */
  readonly #refused = new Map<string, number>()

  /** `isHindered`: where it is submitted, so that whoever is to read it there may count as gone. */
  submits(tag: string, isHindered: () => boolean): void {
    this.#submitters.set(tag, isHindered)
  }

  /** In doubt, perhaps: then it is canceled if it was accepted. */
  refused(tag: string, at: number): void {
    this.#refused.set(tag, at)
  }

  refusedAt(tag: string): number | undefined {
    return this.#refused.get(tag)
  }

  /** A client reads it; `isHindered`: where it does, so that it may count as gone. */
  reads(id: string, isHindered: () => boolean): void {
    const readers = this.#readers.get(id)
    if (readers === undefined) this.#readers.set(id, [isHindered])
    else readers.push(isHindered)
  }

  cancels(id: string): void {
    this.#canceled.add(id)
  }

  /** It does not read any more. */
  leaves(id: string): void {
    this.#left.add(id)
  }

  mayBe(id: string, tag: string): boolean {
    if (this.#canceled.has(id) || this.#left.has(id) || this.#refused.has(tag)) return true
    if (this.#submitters.get(tag)!()) return true
    return this.#readers.get(id)?.some((isGone) => isGone()) === true
  }
}
