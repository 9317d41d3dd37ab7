/** What one guard found in an answer. */
import type { Ruling, Unscanned, Verdict } from '../../core/ruling.ts'

export class Tally {
  readonly #guard: string
  readonly #mode: Ruling['mode']
  #verdict: Verdict = 'allow'
  readonly #rules = new Set<string>()
  #count = 0
  readonly #unscanned = new Set<Unscanned>()

  constructor(guard: string, mode: Ruling['mode']) {
    this.#guard = guard
    this.#mode = mode
  }

  add(verdict: Verdict, rule: string): void {
    if (this.#verdict !== 'block') this.#verdict = verdict
    this.#rules.add(rule)
    this.#count++
  }

  missed(what: Unscanned): void {
    this.#unscanned.add(what)
  }

  /** Null: there is nothing to tell. */
  ruling(): Ruling | null {
    if (this.#count === 0 && this.#unscanned.size === 0) return null
    return {
      guard: this.#guard,
      on: 'answer',
      mode: this.#mode,
      verdict: this.#verdict,
      rules: [...this.#rules],
      count: this.#count,
      unscanned: [...this.#unscanned],
    }
  }
}
