/** Columns of numbers over time, in a ring of buckets of one width; one is cleared when its place is used again. */
import { type Edited, Edits, sparse, unpack } from './edits.ts'
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

/** What is read of a tier, or of those of several nodes as one. */
export interface TierView {
  readonly stepMs: number
  readonly slots: number
  bucketAt(atMs: number): number
  /** Is anything known of this bucket? */
  has(bucket: number): boolean
  /** 0 where nothing is known. */
  value(bucket: number, column: Column): number
  /** Null where nothing is known. */
  ttft(bucket: number): ArrayLike<number> | null
  tpot(bucket: number): ArrayLike<number> | null
  /** A column added up over buckets, the last one included. */
  total(from: number, to: number, column: Column): number
  /** The cells of several buckets together. */
  cells(from: number, to: number, of: 'ttft' | 'tpot'): Float64Array
}

/** A bucket: its number, its columns, its cells of TTFT and of TPOT. */
export type PackedBucket = readonly [bucket: number, values: number[], ttft: number[], tpot: number[]]

export class Tier implements TierView {
  readonly stepMs: number
  readonly slots: number
  /** Which bucket a slot holds; -1: none. */
  readonly #held: Float64Array
  readonly #values: Float64Array
  readonly #ttft: Uint32Array
  readonly #tpot: Uint32Array
  /** By slot. */
  readonly #edited: Float64Array
  readonly #edits: Edits
  /** Of the last moment that was asked for: a fact is added to many columns at once. */
  #lastAtMs = -1
  #lastSlot = 0

  constructor(stepMs: number, slots: number, edits = new Edits()) {
    this.stepMs = stepMs
    this.slots = slots
    this.#held = new Float64Array(slots).fill(-1)
    this.#values = new Float64Array(slots * WIDTH)
    this.#ttft = new Uint32Array(slots * CELLS)
    this.#tpot = new Uint32Array(slots * CELLS)
    this.#edited = new Float64Array(slots)
    this.#edits = edits
  }

  get bytes(): number {
    const rings = [this.#held, this.#values, this.#ttft, this.#tpot, this.#edited]
    return rings.reduce((sum, { byteLength }) => sum + byteLength, 0)
  }

  bucketAt(atMs: number): number {
    return Math.floor(atMs / this.stepMs)
  }

  /** The slot of this moment's bucket, which is changed; cleared if it held another one. */
  #slotAt(atMs: number): number {
    if (atMs !== this.#lastAtMs) {
      this.#lastAtMs = atMs
      this.#lastSlot = this.#slotOf(this.bucketAt(atMs))
    }
    this.#edited[this.#lastSlot] = this.#edits.next()
    return this.#lastSlot
  }

  #slotOf(bucket: number): number {
    const slot = bucket % this.slots
    if (this.#held[slot] === bucket) return slot
    this.#held[slot] = bucket
    this.#values.fill(0, slot * WIDTH, (slot + 1) * WIDTH)
    this.#ttft.fill(0, slot * CELLS, (slot + 1) * CELLS)
    this.#tpot.fill(0, slot * CELLS, (slot + 1) * CELLS)
    return slot
  }

  /** Buckets that were changed after this edit. */
  editedAfter(edit: number): Array<Edited<PackedBucket>> {
    const edited: Array<Edited<PackedBucket>> = []
    for (let slot = 0; slot < this.slots; slot++)
      if (this.#edited[slot] > edit) edited.push({ edit: this.#edited[slot], pack: () => this.#pack(slot) })
    return edited
  }

  #pack(slot: number): PackedBucket {
    return [
      this.#held[slot],
      sparse(this.#values.subarray(slot * WIDTH, (slot + 1) * WIDTH)),
      sparse(this.#ttft.subarray(slot * CELLS, (slot + 1) * CELLS)),
      sparse(this.#tpot.subarray(slot * CELLS, (slot + 1) * CELLS)),
    ]
  }

  /** In place of what is here of this bucket. */
  put([bucket, values, ttft, tpot]: PackedBucket): void {
    if (!Number.isSafeInteger(bucket) || bucket < 0) return
    const slot = this.#slotOf(bucket)
    unpack(values, this.#values.subarray(slot * WIDTH, (slot + 1) * WIDTH))
    unpack(ttft, this.#ttft.subarray(slot * CELLS, (slot + 1) * CELLS))
    unpack(tpot, this.#tpot.subarray(slot * CELLS, (slot + 1) * CELLS))
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

  has(bucket: number): boolean {
    return bucket >= 0 && this.#held[bucket % this.slots] === bucket
  }

  value(bucket: number, column: Column): number {
    return this.has(bucket) ? this.#values[(bucket % this.slots) * WIDTH + PLACE[column]] : 0
  }

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

  total(from: number, to: number, column: Column): number {
    let sum = 0
    for (let bucket = from; bucket <= to; bucket++) sum += this.value(bucket, column)
    return sum
  }

  cells(from: number, to: number, of: 'ttft' | 'tpot'): Float64Array {
    const sum = new Float64Array(CELLS)
    for (let bucket = from; bucket <= to; bucket++) {
      const cells = of === 'ttft' ? this.ttft(bucket) : this.tpot(bucket)
      if (cells !== null) for (let i = 0; i < CELLS; i++) sum[i] += cells[i]
    }
    return sum
  }
}
