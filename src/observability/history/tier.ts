/** Columns of numbers over time, in a ring of buckets of one width; one is cleared when its place is used again. */
import { type Edited, Edits, sparse, unpack } from './edits.ts'
import { Marks, type PackedMarks } from './marks.ts'

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
  // Last, as other versions know the columns before it by their places: of first tokens, a sum of ms
  'turn',
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
  ttft(bucket: number): Marks | null
  tpot(bucket: number): Marks | null
  /** A column added up over buckets, the last one included. */
  total(from: number, to: number, column: Column): number
  /** Those of several buckets together. */
  marks(from: number, to: number, of: 'ttft' | 'tpot'): Marks
}

/** A bucket: its number, its columns, its marks of TTFT and of TPOT. */
export type PackedBucket = readonly [bucket: number, values: number[], ttft: PackedMarks, tpot: PackedMarks]

export class Tier implements TierView {
  readonly stepMs: number
  readonly slots: number
  /** Which bucket a slot holds; -1: none. */
  readonly #held: Float64Array
  readonly #values: Float64Array
  readonly #ttft: readonly Marks[]
  readonly #tpot: readonly Marks[]
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
    this.#ttft = Array.from({ length: slots }, () => new Marks())
    this.#tpot = Array.from({ length: slots }, () => new Marks())
    this.#edited = new Float64Array(slots)
    this.#edits = edits
  }

  get bytes(): number {
    const marks = [...this.#ttft, ...this.#tpot].reduce((sum, { bytes }) => sum + bytes, 0)
    return [this.#held, this.#values, this.#edited].reduce((sum, { byteLength }) => sum + byteLength, marks)
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
    this.#ttft[slot].clear()
    this.#tpot[slot].clear()
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
      this.#ttft[slot].pack(),
      this.#tpot[slot].pack(),
    ]
  }

  /** In place of what is here of this bucket. */
  put([bucket, values, ttft, tpot]: PackedBucket): void {
    if (!Number.isSafeInteger(bucket) || bucket < 0) return
    const slot = this.#slotOf(bucket)
    unpack(values, this.#values.subarray(slot * WIDTH, (slot + 1) * WIDTH))
    this.#ttft[slot].put(ttft)
    this.#tpot[slot].put(tpot)
  }

  /** `place`: of a column. */
  add(atMs: number, place: number, n: number): void {
    this.#values[this.#slotAt(atMs) * WIDTH + place] += n
  }

  addTtft(atMs: number, ms: number, cell: number): void {
    this.#ttft[this.#slotAt(atMs)].add(ms, cell)
  }

  addTpot(atMs: number, ms: number, cell: number): void {
    this.#tpot[this.#slotAt(atMs)].add(ms, cell)
  }

  has(bucket: number): boolean {
    return bucket >= 0 && this.#held[bucket % this.slots] === bucket
  }

  value(bucket: number, column: Column): number {
    return this.has(bucket) ? this.#values[(bucket % this.slots) * WIDTH + PLACE[column]] : 0
  }

  ttft(bucket: number): Marks | null {
    return this.has(bucket) ? this.#ttft[bucket % this.slots] : null
  }

  tpot(bucket: number): Marks | null {
    return this.has(bucket) ? this.#tpot[bucket % this.slots] : null
  }

  total(from: number, to: number, column: Column): number {
    let sum = 0
    for (let bucket = from; bucket <= to; bucket++) sum += this.value(bucket, column)
    return sum
  }

  marks(from: number, to: number, of: 'ttft' | 'tpot'): Marks {
    const sum = new Marks()
    for (let bucket = from; bucket <= to; bucket++) {
      const marks = this[of](bucket)
      if (marks !== null) sum.addAll(marks)
    }
    return sum
  }
}
