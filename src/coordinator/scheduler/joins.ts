/**
 * J4: which job an SDK's own retry of a POST joins. The newest live job of its key; else one that ended well a short
 * while ago. Jobs that failed, were canceled or are being canceled are not joined.
 */
import type { JobId } from '../../core/job.ts'
import { Table } from '../../core/table.ts'

/** Good ends are remembered in two generations of at most this many each, whatever their age. */
const GENERATION = 50_000

type Ended = Map<string, { readonly id: JobId; readonly untilMono: number }>

export class Joins {
  readonly #keptMs: number
  /** Nearly always one id a key. */
  readonly #live = new Table<string, JobId | Twins>()
  #ended: Ended = new Map()
  #endedEarlier: Ended = new Map()
  #nextGenerationMono = -Infinity

  constructor(keptMs: number) {
    this.#keptMs = keptMs
  }

  /** Good ends that are remembered. */
  get remembered(): number {
    return this.#ended.size + this.#endedEarlier.size
  }

  add(key: string | null, id: JobId): void {
    if (key === null) return
    const known = this.#live.get(key)
    if (known === undefined) this.#live.set(key, id)
    else if (typeof known === 'string') this.#live.set(key, new Twins(known, id))
    else known.add(id)
  }

  /** It no longer runs, or won't end well. Safe to repeat. */
  remove(key: string | null, id: JobId): void {
    if (key === null) return
    const known = this.#live.get(key)
    if (known === id || (typeof known === 'object' && known.remove(id))) this.#live.delete(key)
  }

  endedWell(key: string | null, id: JobId, now: number): void {
    this.remove(key, id)
    if (key === null || this.#keptMs <= 0) return
    if (now >= this.#nextGenerationMono || this.#ended.size >= GENERATION) {
      this.#endedEarlier = this.#ended
      this.#ended = new Map()
      this.#nextGenerationMono = now + this.#keptMs
    }
    this.#ended.set(key, { id, untilMono: now + this.#keptMs })
  }

  find(key: string | null, now: number): JobId | null {
    if (key === null) return null
    const live = this.#live.get(key)
    if (live !== undefined) return typeof live === 'string' ? live : live.newest()
    const ended = this.#ended.get(key) ?? this.#endedEarlier.get(key)
    return ended !== undefined && now < ended.untilMono ? ended.id : null
  }
}

/** Live jobs of one key. A caller may send the same bytes many thousand times: nothing here looks at all of them. */
class Twins {
  readonly #ids = new Table<JobId, true>()
  /** In the order they came; some have ended. */
  #order: JobId[]

  constructor(...ids: JobId[]) {
    this.#order = ids
    for (const id of ids) this.#ids.set(id, true)
  }

  add(id: JobId): void {
    this.#ids.set(id, true)
    this.#order.push(id)
  }

  /** True: none is left. */
  remove(id: JobId): boolean {
    this.#ids.delete(id)
    if (this.#order.length > 2 * this.#ids.size + 8) this.#order = this.#order.filter((other) => this.#ids.has(other))
    return this.#ids.size === 0
  }

  newest(): JobId {
    while (!this.#ids.has(this.#order[this.#order.length - 1])) this.#order.pop()
    return this.#order[this.#order.length - 1]
  }
}
