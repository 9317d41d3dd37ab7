/**
 * Order numbers of job ids, from one counter of the shard: no process draws a number that another has, whatever their
 * clocks say. They are drawn in blocks, so that a submit seldom waits for one. Jobs of several processes do not sort
 * by them: what orders the shard's jobs is the `seq` of the commit that accepts them.
 */
import type { Ids } from '../../../core/ids.ts'
import type { JobId } from '../../../core/job.ts'
import type { Connection } from '../client/connection.ts'
import { storageError } from '../client/errors.ts'
import type { Names } from '../client/names.ts'

const BLOCK = 64
/** A new shard begins at a random number below 2^40: ids do not reveal how many jobs there were. */
const FIRST_BYTES = 5

interface Block {
  next: number
  readonly end: number
}

export class Orders {
  readonly #commands: Connection
  readonly #names: Names
  readonly #ids: Ids
  /** Drawn and not given. */
  readonly #blocks: Block[] = []
  #left = 0
  /** The last call that waits for a block. */
  #last: Promise<unknown> | null = null
  #drawingAhead = false

  constructor(commands: Connection, names: Names, ids: Ids) {
    this.#commands = commands
    this.#names = names
    this.#ids = ids
  }

  /** Ids for `n` jobs, in the order of the calls. Rejects with storage_unavailable. */
  take(n: number): Promise<readonly JobId[]> {
    if (this.#last === null && this.#left >= n) {
      this.#drawAhead()
      return Promise.resolve(this.#give(n))
    }
    const taken = Promise.resolve(this.#last).then(async () => {
      if (this.#left < n) await this.#draw(n - this.#left)
      return this.#give(n)
    })
    const last = taken
      .catch(() => {})
      .then(() => {
        if (this.#last === last) this.#last = null
      })
    this.#last = last
    return taken
  }

  #give(n: number): readonly JobId[] {
    this.#left -= n
    return Array.from({ length: n }, () => {
      const block = this.#blocks[0]
      const order = block.next++
      if (block.next === block.end) this.#blocks.shift()
      return this.#ids.job(order)
    })
  }

  /** Half a block ahead of need. */
  #drawAhead(): void {
    if (this.#drawingAhead || this.#left >= BLOCK / 2) return
    this.#drawingAhead = true
    this.#draw(BLOCK)
      .catch(() => {}) // who needs one tries again, and is told
      .finally(() => {
        this.#drawingAhead = false
      })
  }

  async #draw(atLeast: number): Promise<void> {
    const { client } = this.#commands
    const counter = this.#names.orders()
    const size = Math.max(BLOCK, atLeast)
    try {
      let last = await client.incrby(counter, size)
      if (last === size) {
        const first = this.#ids.random(FIRST_BYTES).reduce((n, byte) => n * 256 + byte, 0)
        last = await client.incrby(counter, first)
      }
      this.#blocks.push({ next: last - size + 1, end: last + 1 })
      this.#left += size
    } catch (error) {
      throw storageError(error)
    }
  }
}
