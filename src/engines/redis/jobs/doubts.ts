/**
 * Submits of which nobody knows whether they were accepted: their clients were refused, and may have sent them again.
 * As soon as the store can tell, what was accepted all the same is canceled.
 */
import type { JobId } from '../../../core/job.ts'
import type { Ground } from '../bus/ground.ts'

const LOOK_MS = 1_000

interface Doubtful {
  readonly ids: readonly JobId[]
  /** From then on, by Redis's clock, it is decided. */
  readonly fromMs: number
}

export class Doubts {
  readonly #ground: Ground
  readonly #cancel: (id: JobId) => Promise<unknown>
  #doubtful: Doubtful[] = []
  #stopLooks: (() => void) | null = null
  #closed = false

  constructor(ground: Ground, cancel: (id: JobId) => Promise<unknown>) {
    this.#ground = ground
    this.#cancel = cancel
  }

  add(ids: readonly JobId[], fromMs: number): void {
    if (this.#closed) return
    this.#doubtful.push({ ids, fromMs })
    this.#stopLooks ??= this.#ground.clock.every(LOOK_MS, () => void this.#resolve())
  }

  /** Those that were accepted; of the others nothing is left. Null: the store can't tell. */
  async taken(ids: readonly JobId[]): Promise<ReadonlySet<JobId> | null> {
    try {
      return new Set((await this.#ground.scripts.run('submit-end', ids)) as readonly JobId[])
    } catch {
      return null
    }
  }

  close(): void {
    this.#closed = true
    this.#stopLooks?.()
  }

  async #resolve(): Promise<void> {
    const now = this.#ground.time.nowMs()
    const due = this.#doubtful.filter(({ fromMs }) => fromMs <= now)
    if (due.length === 0 || this.#ground.commands.away) return
    this.#doubtful = this.#doubtful.filter(({ fromMs }) => fromMs > now)
    for (const doubtful of due) {
      const taken = await this.taken(doubtful.ids)
      if (taken === null) this.#doubtful.push(doubtful)
      else for (const id of taken) await this.#cancel(id).catch(() => this.#doubtful.push({ ids: [id], fromMs: now }))
    }
    if (this.#doubtful.length > 0) return
    this.#stopLooks?.()
    this.#stopLooks = null
  }
}
