/**
 * Order numbers of job ids, from one counter of the shard: no process draws a number that another has, whatever their
 * clocks say. They are drawn in blocks, so that a submit seldom waits for one. Jobs of several processes do not sort
 * by them: what orders the shard's jobs is the `seq` of the commit that accepts them.
 */
import { sleep } from '../../../core/clock.ts'
import type { JobId } from '../../../core/job.ts'
import type { Ground } from '../bus/ground.ts'
import { storageError, unavailable } from '../client/errors.ts'

const BLOCK = 64
/** A new shard begins at a random number below 2^40: ids do not reveal how many jobs there were. */
const FIRST_BYTES = 5
/** While Redis is away a submit waits for its ids, as it would for its answer. */
const DRAW_WITHIN_MS = 10_000
const RETRY_MS = 100

interface Block {
  next: number
  readonly end: number
}

export class Orders {
  readonly #ground: Pick<Ground, 'commands' | 'names' | 'ids' | 'clock'>
  /** Drawn and not given. */
  readonly #blocks: Block[] = []
  #left = 0
  /** The last call that waits for a block. */
  #last: Promise<unknown> | null = null
  #drawingAhead = false

  constructor(ground: Pick<Ground, 'commands' | 'names' | 'ids' | 'clock'>) {
    this.#ground = ground
  }

  /** Ids for `n` jobs, in the order of the calls. Rejects with storage_unavailable, within 15 s. */
  take(n: number): Promise<readonly JobId[]> {
    if (this.#last === null && this.#left >= n) {
      this.#drawAhead()
      return Promise.resolve(this.#give(n))
    }
    const untilMono = this.#untilMono()
    const taken = Promise.resolve(this.#last).then(async () => {
      if (this.#left < n) await this.#draw(n - this.#left, untilMono)
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
      return this.#ground.ids.job(order)
    })
  }

  /** Half a block ahead of need. */
  #drawAhead(): void {
    if (this.#drawingAhead || this.#left >= BLOCK / 2) return
    this.#drawingAhead = true
    this.#draw(BLOCK, this.#untilMono())
      .catch(() => {}) // who needs one tries again, and is told
      .finally(() => {
        this.#drawingAhead = false
      })
  }

  readonly #untilMono = (): number => this.#ground.clock.monoMs() + DRAW_WITHIN_MS

  /** Nobody's time begins when those before him have failed: they may be many. */
  async #draw(atLeast: number, untilMono: number): Promise<void> {
    const { clock } = this.#ground
    while (clock.monoMs() <= untilMono)
      try {
        return await this.#drawOnce(Math.max(BLOCK, atLeast))
      } catch (thrown) {
        const error = storageError(thrown)
        if (error.code !== 'storage_unavailable') throw error
        await sleep(clock, RETRY_MS)
      }
    throw unavailable()
  }

  async #drawOnce(size: number): Promise<void> {
    const { commands, names, ids } = this.#ground
    let last = await commands.client.incrby(names.orders(), size)
    if (last === size) {
      const first = ids.random(FIRST_BYTES).reduce((n, byte) => n * 256 + byte, 0)
      last = await commands.client.incrby(names.orders(), first)
    }
    this.#blocks.push({ next: last - size + 1, end: last + 1 })
    this.#left += size
  }
}
