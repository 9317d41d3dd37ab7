/**
 * One attempt's way into its log: what was taken and not yet stored. Records are encoded as they come; what came since
 * the last flush becomes one chunk, and one chunk is under way at a time.
 */
import { SluiceError } from '../../../core/errors.ts'
import type { JobId } from '../../../core/job.ts'
import type { LogWriter } from '../../../core/ports/log.ts'
import type { Bytes } from '../../../core/record.ts'
import { Encoder } from '../../shared/codec.ts'
import { writeChunk } from './chunk.ts'

/** A log can be read from about every so many encoded bytes, and every so many chunks. */
const RUN_BYTES = 16 << 10
const RUN_CHUNKS = 512
/** Templates that take more than this are learned anew. */
const MAX_DEFINITIONS = 2 << 10

const NOTHING: readonly Bytes[] = []
const NO_NOTES: readonly Note[] = []

/** Chunk under way. */
export interface Flight {
  readonly chunk: Bytes
  readonly number: number
  readonly epoch: number
  readonly firstSeq: number
  readonly records: readonly Bytes[]
  readonly isOpening: boolean
  /** The same under another epoch. */
  readonly body: Bytes
  readonly back: number
  readonly bytes: number
}

export type Stored = 'stored' | 'fenced'

/** What is stored after the text. */
export interface Note {
  readonly kind: 'command' | 'ttft'
  readonly text: string
  /** The log's last seq before it: a command is refused where what it follows is not there. */
  readonly head: number
  readonly told: ReadonlyArray<(stored: Stored) => void>
}

/** A first text is stored at once, an end at the end of this turn, or by the next beat; all else has a window. */
export type When = 'now' | 'soon' | 'later'

/** What an attempt needs of its process. */
export interface AttemptHost {
  /** It has something to store. */
  touch(attempt: AttemptLog, when: When): void
  charge(job: JobId, attempt: number, tokens: number): void
}

export class AttemptLog implements LogWriter {
  readonly job: JobId
  readonly attempt: number
  readonly epoch: number
  readonly head: number
  readonly #host: AttemptHost
  readonly #encoder = new Encoder()
  /** Waits in the host's list for the next flush. */
  isDirty = false
  /** And for no window. */
  isDue = false
  /** Processes that follow the log, as far as is known here. */
  followers = ''
  /** A command that is stored after the text, and who waits for that. */
  #entry: string | null = null
  #ttftMs: number | null = null
  #told: Array<(stored: Stored) => void> = []
  /** Nothing more is taken. */
  #isClosed = false
  /** Nothing is stored any more; and why, where that is no usual end. */
  #isOver = false
  #reason: SluiceError | undefined
  /** Last seq taken, and stored. */
  #taken: number
  #stored: number
  /** Taken for the next chunk: as records, encoded, and their bytes. */
  #run = NOTHING
  #body: Bytes = ''
  #bytes = 0
  #flight: Flight | null = null
  /** Of the next chunk. */
  #number = 0
  #chunkEpoch: number
  #isOpening = true
  #back = 0
  /** Encoded bytes since the log could be read from somewhere. */
  #runBytes = 0
  #waiters: Array<{ readonly seq: number; readonly done: () => void; readonly fail: (error: SluiceError) => void }> = []

  constructor(job: JobId, attempt: number, log: { readonly epoch: number; readonly head: number }, host: AttemptHost) {
    this.job = job
    this.attempt = attempt
    this.epoch = this.#chunkEpoch = log.epoch
    this.head = this.#taken = this.#stored = log.head
    this.#host = host
  }

  // ------------------------------------------------------------ the worker's side

  append(records: readonly Bytes[], outputTokens: number, urgent: boolean): void {
    if (this.#isClosed || records.length === 0) return
    if (this.#run.length === 0) this.#begin()
    let body = this.#body
    let bytes = 0
    for (const record of records) {
      body += this.#encoder.encode(record)
      bytes += record.length
    }
    this.#body = body
    this.#bytes += bytes
    this.#run = this.#run.length === 0 ? records : this.#run.concat(records)
    this.#taken += records.length
    this.#host.touch(this, urgent ? 'now' : 'later')
    if (outputTokens > 0) this.#host.charge(this.job, this.attempt, outputTokens)
  }

  noteFirstText(ttftMs: number): void {
    if (this.#isClosed) return
    this.#ttftMs = ttftMs
    this.#host.touch(this, 'later')
  }

  /** A chunk of it is: the next one departs when that has arrived. */
  get isUnderWay(): boolean {
    return this.#flight !== null
  }

  /** Last seq that it wrote, or found. */
  get taken(): number {
    return this.#taken
  }

  get pendingBytes(): number {
    return this.#bytes + (this.#flight?.bytes ?? 0)
  }

  flushed(): Promise<void> {
    if (this.#stored === this.#taken) return Promise.resolve()
    if (this.#isOver) return Promise.reject(this.#why())
    return new Promise((done, fail) => void this.#waiters.push({ seq: this.#taken, done, fail }))
  }

  // ------------------------------------------------------------ the engine's side

  /** Takes nothing more. */
  close(): void {
    this.#isClosed = true
  }

  /** Stores a command for the coordinator after all that was taken; it replaces one that is not yet under way. */
  store(entry: string): Promise<Stored> {
    this.close()
    if (this.#isOver) return Promise.resolve('fenced')
    this.#entry = entry
    this.#host.touch(this, 'soon')
    return new Promise((told) => void this.#told.push(told))
  }

  /** Another attempt, or none, may write: what was not stored is dropped. */
  fence(reason?: SluiceError): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#reason = reason
    this.close()
    this.#run = NOTHING
    this.#body = ''
    this.#bytes = 0
    this.#flight = null
    this.#entry = null
    for (const { fail } of this.#waiters.splice(0)) fail(this.#why())
    for (const told of this.#told.splice(0)) told('fenced')
  }

  /** Every attempt ends; an error is made only for who waits. */
  #why(): SluiceError {
    return (
      this.#reason ?? new SluiceError('worker_lost', { message: `Attempt ${this.attempt} is no longer this job's.` })
    )
  }

  // ------------------------------------------------------------ flushes

  /**
   * The next chunk, under way from now on; null: there is nothing to store. Not called while one is. `epoch`: the
   * current one, where that is known.
   */
  depart(epoch: number | null = null): Flight | null {
    if (this.#run.length === 0) return null
    if (epoch !== null) this.#chunkEpoch = epoch
    const flight = {
      number: this.#number,
      epoch: this.#chunkEpoch,
      firstSeq: this.#taken - this.#run.length + 1,
      records: this.#run,
      isOpening: this.#isOpening,
      body: this.#body,
      back: this.#back,
      bytes: this.#bytes,
    }
    this.#runBytes += flight.body.length
    this.#run = NOTHING
    this.#body = ''
    this.#bytes = 0
    this.#flight = { ...flight, chunk: written(flight) }
    return this.#flight
  }

  /** What is to follow the chunk; taken once. */
  takeNotes(): readonly Note[] {
    if (this.#ttftMs === null && this.#entry === null) return NO_NOTES
    const notes: Note[] = []
    if (this.#ttftMs !== null) notes.push({ kind: 'ttft', text: String(Math.round(this.#ttftMs)), head: 0, told: [] })
    if (this.#entry !== null)
      notes.push({ kind: 'command', text: this.#entry, head: this.#taken, told: this.#told.splice(0) })
    this.#ttftMs = this.#entry = null
    return notes
  }

  /** The chunk under way is stored as this number. */
  arrived(number: number): void {
    const flight = this.#flight
    if (flight === null) return
    this.#flight = null
    this.#isOpening = false
    this.#number = number + 1
    this.#stored = flight.firstSeq + flight.records.length - 1
    if (this.#waiters.length === 0) return
    const waiters = this.#waiters
    this.#waiters = waiters.filter(({ seq }) => seq > this.#stored)
    for (const { seq, done } of waiters) if (seq <= this.#stored) done()
  }

  /** The chunk under way, of this epoch now: history may have been lost before it is stored. */
  rewritten(epoch: number): Flight | null {
    if (this.#flight === null) return null
    this.#chunkEpoch = epoch
    const flight = { ...this.#flight, epoch }
    this.#flight = { ...flight, chunk: written(flight) }
    return this.#flight
  }

  /** A new chunk: now and then one from which the log can be read. */
  #begin(): void {
    if (this.#isOpening && this.#flight === null) return
    this.#back++
    if (this.#runBytes < RUN_BYTES && this.#back < RUN_CHUNKS) return
    this.#back = 0
    this.#body = this.#encoder.definitions()
    if (this.#body.length > MAX_DEFINITIONS) {
      this.#encoder.reset()
      this.#body = ''
    }
    this.#runBytes = 0
  }
}

const written = (flight: Omit<Flight, 'chunk'>): Bytes =>
  writeChunk({ ...flight, isEnd: false, count: flight.records.length })
