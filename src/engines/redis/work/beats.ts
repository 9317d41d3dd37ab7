/** Heartbeats of this process: each second, and at once for a new coordinator. They may be lost. */
import type { JobId } from '../../../core/job.ts'
import { Table } from '../../../core/table.ts'
import type { Ground } from '../bus/ground.ts'
import type { Beat } from '../protocol/messages.ts'
import { VERSION } from '../protocol/version.ts'
import { attemptKey } from './held.ts'

const BEAT_MS = 1_000
/**
 * What streams fast is charged sooner than with the next beat: an answer that is to be cut goes on for no longer than
 * these tokens, or a beat, and the way there and back.
 */
const EARLY_TOKENS = 128
const EARLY_MS = 100
/**
 * A new coordinator, or one that could not hear for a while, is told so often who reads here: plain POSTs that it takes
 * for unread are canceled.
 */
const READING_BEATS = 3

type Charges = Beat['charges']

export class Beats {
  readonly #ground: Ground
  readonly #workers: () => Beat['workers']
  readonly #streamed: () => Charges
  readonly #reading: () => readonly JobId[]
  readonly #charges = new Table<string, number>()
  /** Who coordinates, in which term; and whether it could hear ever since. */
  #hearer = ''
  #isDue = false
  #readingBeats = 0
  #closed = false
  #cancelEarly: (() => void) | null = null
  readonly #stop: () => void

  /** `streamed`: all that what is held has stored. `reading`: all plain POSTs that have a reader here. */
  constructor(
    ground: Ground,
    workers: () => Beat['workers'],
    streamed: () => Charges,
    reading: () => readonly JobId[],
  ) {
    this.#ground = ground
    this.#workers = workers
    this.#streamed = streamed
    this.#reading = reading
    ground.bus.onControl((control) => {
      if (control.type !== 'coordinator') return
      const hearer = `${control.term} ${control.wakes ?? 0}`
      if (hearer === this.#hearer) return
      this.#hearer = hearer
      this.#readingBeats = READING_BEATS
      this.#beatWithReaders()
    })
    this.#stop = ground.clock.every(BEAT_MS, () => this.#beatWithReaders())
  }

  /** Output tokens that an attempt has stored. */
  charge(id: JobId, attempt: number, tokens: number): void {
    const key = attemptKey(id, attempt)
    const sum = (this.#charges.get(key) ?? 0) + tokens
    this.#charges.set(key, sum)
    if (sum >= EARLY_TOKENS) this.#cancelEarly ??= this.#ground.clock.after(EARLY_MS, () => this.#tell([], [], []))
  }

  /** All of a turn in one. */
  soon(): void {
    if (this.#isDue) return
    this.#isDue = true
    queueMicrotask(() => {
      this.#isDue = false
      this.#beat(false)
    })
  }

  close(): void {
    this.#closed = true
    this.#cancelEarly?.()
    this.#stop()
  }

  #beatWithReaders(): void {
    const isNew = this.#readingBeats > 0
    if (isNew) this.#readingBeats--
    this.#beat(isNew)
  }

  /** `toNew`: also what a new coordinator does not know. */
  #beat(toNew: boolean): void {
    // What it holds is lost then, and made again by those that can read it
    if (this.#closed || this.#ground.bus.outdated !== null) return
    const workers = this.#workers()
    const reading = toNew ? this.#reading() : []
    if (workers.length > 0 || reading.length > 0) this.#tell(workers, toNew ? this.#streamed() : [], reading)
  }

  /** With all that was charged since. */
  #tell(workers: Beat['workers'], streamed: Charges, reading: readonly JobId[]): void {
    this.#cancelEarly?.()
    this.#cancelEarly = null
    if (this.#closed || this.#ground.bus.outdated !== null) return
    const { bus, commands, names, time } = this.#ground
    const charges = [...this.#charges.entries()].map(([key, tokens]) => {
      this.#charges.delete(key)
      const [id, attempt] = key.split(' ')
      return [id, Number(attempt), tokens] as const
    })
    const of = { ...(streamed.length > 0 && { streamed }), ...(reading.length > 0 && { reading, atMs: time.nowMs() }) }
    const told = { workers, charges, ...of }
    const beat: Beat = { type: 'beat', version: VERSION, process: bus.process, ...told }
    commands.publish(names.beats(), JSON.stringify([beat])).catch(() => {
      for (const [id, attempt, tokens] of charges) this.charge(id, attempt, tokens)
    })
  }
}
