/** An answer that jobs share: one of them makes it, the others repeat it. */
import type { JobId, Priority, TenantId } from '../../core/job.ts'
import { Table } from '../../core/table.ts'

/** `waits`: its maker is in line; `runs`: it is being made; `made`: it is there, whole. */
export type AnswerState = 'waits' | 'runs' | 'made'

export class SharedAnswer {
  readonly key: string
  readonly tenant: TenantId
  /** The job that makes it, or made it; null: the last one failed, and a reader that comes back makes it. */
  maker: JobId | null
  priority: Priority
  state: AnswerState
  /** Its maker's limits that may hold it back alone. */
  accounts: string
  /** Some readers may have others. */
  isMixed = false
  /** It is given to a worker in this call. */
  isStarting = false
  madeMono = 0
  /** Its maker is read by nobody, and runs for its readers alone. */
  isLeft = false
  #readers: Readers | null = null
  #apart: Readers | null = null

  constructor(key: string, tenant: TenantId, maker: JobId, priority: Priority, state: AnswerState, accounts: string) {
    this.key = key
    this.tenant = tenant
    this.maker = maker
    this.priority = priority
    this.state = state
    this.accounts = accounts
  }

  /** Readers wait for it under this name: see HeadroomRefusal. */
  get account(): string {
    return `share\n${this.key}`
  }

  /** Live jobs that repeat it. */
  get readers(): Readers {
    this.#readers ??= new Readers()
    return this.#readers
  }

  /** In line, under other limits than the maker: they make it themselves, unless one of them all runs before. */
  get apart(): Readers {
    this.#apart ??= new Readers()
    return this.#apart
  }

  isApart(id: JobId): boolean {
    return this.#apart?.has(id) === true
  }

  /** Those that were. */
  takeApart(): readonly JobId[] {
    if (this.#apart === null) return NOBODY
    const ids = this.#apart.ids()
    this.#apart = null
    return ids
  }

  /** The oldest reader in line; where there is none, of those that stand apart. */
  next<T>(inLine: (id: JobId) => T | null): T | null {
    return this.#readers?.next(inLine) ?? this.#apart?.next(inLine) ?? null
  }

  get isRead(): boolean {
    return this.#readers !== null && this.#readers.size > 0
  }
}

const NOBODY: readonly JobId[] = []

/** Thousands may ask the same at once: nothing here looks at all of them twice. */
class Readers {
  readonly #ids = new Table<JobId, true>()
  /** In the order they came; those before `#next` have left, or ran when it was their turn. */
  #order: JobId[] = []
  #next = 0

  get size(): number {
    return this.#ids.size
  }

  has(id: JobId): boolean {
    return this.#ids.has(id)
  }

  /** In the order they came. */
  ids(): readonly JobId[] {
    return [...this.#ids.keys()]
  }

  add(id: JobId): void {
    this.#ids.set(id, true)
    this.#order.push(id)
    if (this.#order.length <= 2 * this.#ids.size + 64) return
    this.#order = this.#order.slice(this.#next).filter((other) => this.#ids.has(other))
    this.#next = 0
  }

  delete(id: JobId): void {
    this.#ids.delete(id)
  }

  /** The oldest that is in line. Those that run come back by `add`. */
  next<T>(inLine: (id: JobId) => T | null): T | null {
    for (; this.#next < this.#order.length; this.#next++) {
      const id = this.#order[this.#next]
      const found = this.#ids.has(id) ? inLine(id) : null
      if (found !== null) return found
    }
    return null
  }
}
