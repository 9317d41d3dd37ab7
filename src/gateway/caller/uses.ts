/**
 * When each key was last used. A call costs a look-up and a number; what is new is stored once a minute at most, so a
 * process that dies takes a minute of it along.
 */
import type { Clock } from '../../core/clock.ts'
import type { Keys } from '../../core/ports/keys.ts'
import { Table } from '../../core/table.ts'

const STORED_EVERY_MS = 60_000

interface Use {
  readonly id: string
  atMs: number
  isStored: boolean
}

export class KeyUses {
  readonly #keys: Pick<Keys, 'noteUses' | 'lastUses'>
  readonly #clock: Clock
  readonly #uses = new Table<string, Use>()
  /** Those that are not stored as they are. */
  #fresh: Use[] = []
  #stop: (() => void) | null = null

  constructor(keys: Pick<Keys, 'noteUses' | 'lastUses'>, clock: Clock) {
    this.#keys = keys
    this.#clock = clock
  }

  used(id: string): void {
    const use = this.#uses.get(id)
    if (use === undefined) {
      const made: Use = { id, atMs: this.#clock.wallMs(), isStored: false }
      this.#uses.set(id, made)
      this.#add(made)
      return
    }
    use.atMs = this.#clock.wallMs()
    if (!use.isStored) return
    use.isStored = false
    this.#add(use)
  }

  #add(use: Use): void {
    this.#fresh.push(use)
    this.#stop ??= this.#clock.after(STORED_EVERY_MS, () => void this.store())
  }

  /** What can't be stored now is tried again with what follows. */
  async store(): Promise<void> {
    this.#stop?.()
    this.#stop = null
    const uses = this.#fresh
    if (uses.length === 0) return
    this.#fresh = []
    for (const use of uses) use.isStored = true
    try {
      await this.#keys.noteUses(uses.map(({ id, atMs }) => [id, atMs]))
    } catch {
      for (const use of uses)
        if (use.isStored) {
          use.isStored = false
          this.#add(use)
        }
    }
  }

  /** By this process, or as any has stored it. Rejects as the store does. */
  async last(): Promise<ReadonlyMap<string, number>> {
    const all = new Map(await this.#keys.lastUses())
    for (const { id, atMs } of this.#uses.values()) all.set(id, Math.max(atMs, all.get(id) ?? 0))
    return all
  }

  close(): void {
    this.#stop?.()
    this.#stop = null
  }
}
