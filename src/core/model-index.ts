/** Finds models by the names that clients ask for: exact names first, then the longest pattern ("gpt-*"). */

/** Clients choose the names that match patterns. */
const MAX_REMEMBERED = 10_000

export class ModelIndex<M extends { readonly name: string }> {
  readonly models: readonly M[]
  readonly #exact: ReadonlyMap<string, M>
  /** The longest first. */
  readonly #patterns: readonly M[]
  readonly #matched = new Map<string, M>()

  constructor(models: readonly M[]) {
    this.models = models
    this.#exact = new Map(models.filter(({ name }) => !name.endsWith('*')).map((model) => [model.name, model]))
    this.#patterns = models.filter(({ name }) => name.endsWith('*')).sort((a, b) => b.name.length - a.name.length)
  }

  find(name: string): M | null {
    const known = this.#exact.get(name) ?? this.#matched.get(name)
    if (known !== undefined) return known
    const match = this.#patterns.find((pattern) => name.startsWith(pattern.name.slice(0, -1)))
    if (match === undefined) return null
    if (this.#matched.size >= MAX_REMEMBERED) this.#matched.clear()
    this.#matched.set(name, match)
    return match
  }
}

/** Is it the name, or one that begins as a name with "*" says? */
export const isWithin = (name: string, pattern: string): boolean =>
  pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern
