/** What is paused: a few selectors, which survive restarts. */
import type { Selector } from '../../core/ports/operations.ts'
import type { Store } from './disk/store.ts'

export class Pauses {
  readonly #store: Store
  readonly #selectors = new Map<string, Selector>()

  constructor(store: Store) {
    this.#store = store
    for (const { selector } of store.db.prepare('SELECT selector FROM pauses').all() as Array<{ selector: string }>)
      try {
        this.#selectors.set(selector, JSON.parse(selector) as Selector)
      } catch {
        store.warn('row_damaged', 'What is paused is damaged on disk in one row, which is ignored: pause it again.')
      }
  }

  list(): readonly Selector[] {
    return [...this.#selectors.values()]
  }

  async add(selector: Selector): Promise<void> {
    const key = canonical(selector)
    this.#selectors.set(key, JSON.parse(key) as Selector)
    await this.#store.run(() => void this.#store.db.prepare('INSERT OR IGNORE INTO pauses VALUES (?)').run(key), true)
    await this.#store.synced()
  }

  async remove(selector: Selector): Promise<void> {
    const key = canonical(selector)
    this.#selectors.delete(key)
    await this.#store.run(() => void this.#store.db.prepare('DELETE FROM pauses WHERE selector = ?').run(key), true)
    await this.#store.synced()
  }
}

export const canonical = ({ tenant, lane, model }: Selector): string => JSON.stringify({ tenant, lane, model })
