/** Columns of numbers over time, in a ring of buckets of one width; one is cleared when its place is used again. */
import { CELLS } from './marks.ts'

/** What is added up in each bucket. */
export const COLUMNS = [
  // Where the time of first tokens went: sums of ms, and of how many
  'admission',
  'queue',
  'retries',
  'routing',
  'connect',
  'upstream',
  'delivery',
  'firstTokens',
  'stalls',
  'done',
  'failed',
  'canceled',
  'expired',
  'refused',
  'tokensOut',
  'tokensIn',
  'tokensCached',
  'good',
  'judged',
  'nanoUsd',
  'estimated',
  // Sums over looks at the queue, and how often it was looked at
  'waiting',
  'running',
  'looks',
] as const
export type Column = (typeof COLUMNS)[number]
const PLACE = Object.fromEntries(COLUMNS.map((name, i) => [name, i])) as Readonly<Record<Column, number>>
const WIDTH = COLUMNS.length
/** Looked up once for all tiers: a fact is added to many columns. */
export const placeOf = (column: Column): number => PLACE[column]

export class Tier {
  readonly stepMs: number
  readonly slots: number
  /** Which bucket a slot holds; -1: none. */
  readonly #held: Float64Array
  readonly #values: Float64Array
  readonly #ttft: Uint32Array
  readonly #tpot: Uint32Array
  /** Of the last moment that was asked for: a fact is added to many columns at once. */
  #lastAtMs = -1
  #lastSlot = 0

  constructor(stepMs: number, slots: number) {
    this.stepMs = stepMs
    this.slots = slots
    this.#held = new Float64Array(slots).fill(-1)
    this.#values = new Float64Array(slots * WIDTH)
    this.#ttft = new Uint32Array(slots * CELLS)
    this.#tpot = new Uint32Array(slots * CELLS)
  }

  get bytes(): number {
    return this.#held.byteLength + this.#values.byteLength + this.#ttft.byteLength + this.#tpot.byteLength
  }

  bucketAt(atMs: number): number {
    return Math.floor(atMs / this.stepMs)
  }

  /** The slot of this moment's bucket, cleared if it held another one. */
  #slotAt(atMs: number): number {
    if (atMs === this.#lastAtMs) return this.#lastSlot
    const bucket = this.bucketAt(atMs)
    const slot = bucket % this.slots
    this.#lastAtMs = atMs
    this.#lastSlot = slot
    if (this.#held[slot] === bucket) return slot
    this.#held[slot] = bucket
    this.#values.fill(0, slot * WIDTH, (slot + 1) * WIDTH)
    this.#ttft.fill(0, slot * CELLS, (slot + 1) * CELLS)
    this.#tpot.fill(0, slot * CELLS, (slot + 1) * CELLS)
    return slot
  }

  /** `place`: of a column. */
  add(atMs: number, place: number, n: number): void {
    this.#values[this.#slotAt(atMs) * WIDTH + place] += n
  }

  addTtft(atMs: number, cell: number): void {
    this.#ttft[this.#slotAt(atMs) * CELLS + cell]++
  }

  addTpot(atMs: number, cell: number): void {
    this.#tpot[this.#slotAt(atMs) * CELLS + cell]++
  }

  /** Is anything known of this bucket? */
  has(bucket: number): boolean {
    return bucket >= 0 && this.#held[bucket % this.slots] === bucket
  }

  /** 0 where nothing is known. */
  value(bucket: number, column: Column): number {
    return this.has(bucket) ? this.#values[(bucket % this.slots) * WIDTH + PLACE[column]] : 0
  }

  /** Null where nothing is known. */
  ttft(bucket: number): Uint32Array | null {
    return this.has(bucket) ? this.#cells(this.#ttft, bucket) : null
  }

  tpot(bucket: number): Uint32Array | null {
    return this.has(bucket) ? this.#cells(this.#tpot, bucket) : null
  }

  #cells(of: Uint32Array, bucket: number): Uint32Array {
    const slot = bucket % this.slots
    return of.subarray(slot * CELLS, (slot + 1) * CELLS)
  }

  /** A column added up over buckets, the last one included. */
  total(from: number, to: number, column: Column): number {
    let sum = 0
    for (let bucket = from; bucket <= to; bucket++) sum += this.value(bucket, column)
    return sum
  }

  /** The cells of several buckets together. */
  cells(from: number, to: number, of: 'ttft' | 'tpot'): Float64Array {
    const sum = new Float64Array(CELLS)
    for (let bucket = from; bucket <= to; bucket++) {
      const cells = of === 'ttft' ? this.ttft(bucket) : this.tpot(bucket)
      if (cells !== null) for (let i = 0; i < CELLS; i++) sum[i] += cells[i]
    }
    return sum
  }
}
