/**
 * The rhythm of appends: what all attempts of this process took since the last flush is stored by one script (one for
 * each 256 jobs), with a window that grows with how much comes. Tokens that come while one is under way share the next.
 * An answer's first text waits for none of that: it is stored at once, by a small script of its own, unless its own log
 * is under way. What Redis did not answer is sent again as it was, until it answers: a chunk's number says whether it
 * is in.
 */
import type { Clock, Wheel } from '../../../core/clock.ts'
import type { SluiceError } from '../../../core/errors.ts'
import type { Ids } from '../../../core/ids.ts'
import type { JobId } from '../../../core/job.ts'
import type { Bytes } from '../../../core/record.ts'
import type { Connection } from '../client/connection.ts'
import { storageError } from '../client/errors.ts'
import type { Argument, Scripts } from '../client/scripts.ts'
import type { AttemptLog, Flight, Note, When } from './attempt.ts'
import { writeFrame } from './chunk.ts'

/** Jobs of one script, and about how many bytes: Redis serves nobody else meanwhile. */
const MAX_FRAMES = 256
const MAX_BYTES = 1 << 20
/** Few streams are flushed at once; many share a flush, which costs about what 10 of them do. */
const MIN_WINDOW_MS = 5
const MAX_WINDOW_MS = 60
/** For each frame in a millisecond: 200 streams that are gathered for 60 ms bring 3.3, which makes 17 ms. */
const WINDOW_MS = 5
const RETRY_MS = 250
/** What Redis refuses for no reason that passes is tried so often. */
const MAX_TRIES = 3
/** Attempts are given up after so long without Redis. */
const PATIENCE_MS = 300_000
/** Scripts of first texts under way; beyond them such texts share the next. */
const MAX_FIRSTS = 4
const NOTHING = (): void => {}

interface LoadedNote {
  readonly log: AttemptLog
  readonly note: Note
}

interface Loaded {
  readonly log: AttemptLog
  flight: Flight
}

interface Batch {
  /** In order of their followers. */
  readonly frames: Loaded[]
  readonly notes: LoadedNote[]
  bytes: number
}

export interface FlushDeps {
  readonly process: string
  readonly commands: Connection
  readonly scripts: Scripts
  readonly clock: Clock
  readonly wheel: Wheel
  readonly ids: Ids
  /** These records are stored. */
  stored(job: JobId, epoch: number, firstSeq: number, records: readonly Bytes[]): void
  /** The attempt lost its job. */
  fenced(job: JobId, attempt: number): void
}

export class Flush {
  readonly #deps: FlushDeps
  #dirty: AttemptLog[] = []
  /** To be stored at once. */
  #first: AttemptLog[] = []
  /** Scripts of first texts, and of a flush. */
  #firstsUnderWay = 0
  #underWay = 0
  /** A flush is to come: by a beat, a timer, the end of this turn, or that of what is under way. */
  #isPlanned = false
  #isDue = false
  #dueMono = 0
  #flushedMono = -Infinity
  #windowMs = MIN_WINDOW_MS
  /** Called when Redis is back. */
  #waiting: Array<() => void> = []
  /** What it was closed with. */
  #closed: SluiceError | null = null
  /** Of logs, at the server of this connection; null: it may be another server than before. */
  #epoch: number | null = null
  /** Why nothing can be stored; null when it can. */
  down: SluiceError | null = null

  constructor(deps: FlushDeps) {
    this.#deps = deps
    deps.wheel.onBeat(() => {
      if (this.#isPlanned && deps.clock.monoMs() >= this.#dueMono) this.#flush()
    })
    deps.commands.onTurn((back) => {
      this.#epoch = null
      if (back) for (const again of this.#waiting.splice(0)) again()
    })
  }

  /** Its attempt has something to store. */
  touch(log: AttemptLog, when: When): void {
    if (this.#closed !== null) return log.fence(this.#closed)
    if (!log.isDirty) {
      log.isDirty = true
      this.#dirty.push(log)
    }
    if (when === 'later') {
      if (!this.#isPlanned) this.#plan()
      return
    }
    log.isDue = true
    if (when === 'now') {
      this.#first.push(log)
      if (this.#first.length === 1) queueMicrotask(() => this.#flushFirst())
    } else if (!log.isUnderWay) this.#soon()
  }

  /** What is not stored by now is dropped. */
  close(error: SluiceError): void {
    this.#closed = error
    for (const log of this.#dirty.splice(0)) log.fence(error)
    for (const again of this.#waiting.splice(0)) again()
  }

  /** At the end of this turn; or, while the wheel turns, with its next beat, so that ends share a script, too. */
  #soon(): void {
    if (this.#isDue) return
    this.#isDue = this.#isPlanned = true
    if (this.#underWay > 0) return
    const { clock, wheel } = this.#deps
    this.#dueMono = clock.monoMs()
    if (wheel.turning) wheel.in(wheel.beatMs, NOTHING)
    else clock.soon(() => this.#flush())
  }

  #plan(): void {
    this.#isPlanned = true
    if (this.#underWay > 0) return
    const { clock, wheel } = this.#deps
    const now = clock.monoMs()
    // As beats come: the one nearest to the time
    this.#dueMono = this.#flushedMono + this.#windowMs - wheel.beatMs / 2
    // It turns until then: nothing else may be there to keep it turning
    if (wheel.turning) return wheel.in(this.#dueMono - now, NOTHING)
    if (now >= this.#dueMono) this.#soon()
    else clock.after(this.#dueMono - now, () => this.#isPlanned && this.#flush())
  }

  #flushFirst(): void {
    if (this.#firstsUnderWay >= MAX_FIRSTS || this.#closed !== null) return
    const first = this.#first.filter((log) => log.isDirty && !log.isUnderWay)
    this.#first = []
    for (const batch of batchesOf(first, this.#epoch)) {
      this.#firstsUnderWay++
      void this.#store(batch).finally(() => {
        this.#firstsUnderWay--
        if (this.#first.length > 0) this.#flushFirst()
        if (this.#dirty.some((log) => log.isDirty && log.isDue && !log.isUnderWay)) this.#soon()
        else if (this.#dirty.length > 0 && !this.#isPlanned) this.#plan()
      })
    }
  }

  #flush(): void {
    if (this.#underWay > 0 || this.#closed !== null) return
    this.#isPlanned = this.#isDue = false
    const dirty: AttemptLog[] = []
    const later: AttemptLog[] = []
    // One chunk of a log at a time; what was stored as a first text is clean
    for (const log of this.#dirty) if (log.isDirty) (log.isUnderWay ? later : dirty).push(log)
    this.#dirty = later
    if (dirty.length === 0) return
    const now = this.#deps.clock.monoMs()
    const framesAMs = dirty.length / Math.max(MIN_WINDOW_MS, now - this.#flushedMono)
    this.#windowMs = Math.min(MAX_WINDOW_MS, Math.max(MIN_WINDOW_MS, WINDOW_MS * framesAMs))
    this.#flushedMono = now
    for (const batch of batchesOf(dirty, this.#epoch)) {
      this.#underWay++
      void this.#store(batch).finally(() => {
        if (--this.#underWay > 0) return
        this.#isPlanned = this.#isDue = false
        if (this.#dirty.length === 0) return
        if (this.#dirty.some((log) => log.isDirty && log.isDue && !log.isUnderWay)) this.#flush()
        else this.#plan()
      })
    }
  }

  async #store(batch: Batch): Promise<void> {
    const startedMono = this.#deps.clock.monoMs()
    for (let tries = 1; ; tries++) {
      try {
        const answer = (await this.#deps.scripts.run('append', this.#argumentsOf(batch))) as Array<number | string>
        this.down = null
        if (this.#settle(batch, answer)) break
      } catch (thrown) {
        const error = storageError(thrown)
        this.down = error
        const isHopeless = error.code === 'internal' && tries >= MAX_TRIES
        if (isHopeless || this.#closed !== null || this.#deps.clock.monoMs() - startedMono > PATIENCE_MS) {
          this.#giveUp(batch, error)
          // Nothing is tried any more: the next one tells
          if (isHopeless) this.down = null
          break
        }
        await this.#pause()
        if (this.#closed !== null) {
          this.#giveUp(batch, error)
          break
        }
      }
    }
  }

  /** Until Redis is back, or for a while where it is not away. */
  #pause(): Promise<void> {
    return new Promise((done) => {
      const again = (): void => {
        cancel()
        this.#waiting = this.#waiting.filter((other) => other !== again)
        done()
      }
      const cancel = this.#deps.clock.after(RETRY_MS, again)
      this.#waiting.push(again)
    })
  }

  #argumentsOf({ frames, notes }: Batch): Argument[] {
    const { process, ids } = this.#deps
    const groups: Argument[] = []
    for (let i = 0; i < frames.length; ) {
      const { followers } = frames[i].log
      let text = ''
      for (; i < frames.length && frames[i].log.followers === followers; i++) {
        const { log, flight } = frames[i]
        text += writeFrame(log.job, log.attempt, flight.number, flight.chunk)
      }
      groups.push(followers, Buffer.from(text, 'latin1'))
    }
    const args: Argument[] = [process, this.#epoch === null ? randomOf(ids) : '', groups.length / 2, ...groups]
    for (const { log, note } of notes) args.push(log.job, log.attempt, note.kind, note.text, note.head)
    return args
  }

  /** Takes what the script returned, in threes. False: some is to be sent again. */
  #settle(batch: Batch, answer: ReadonlyArray<number | string>): boolean {
    const { frames, notes } = batch
    const numbers = frames.map(({ flight }) => flight.number)
    const refused = new Set<number>()
    const again: Loaded[] = []
    for (let i = 0; i < answer.length; i += 3) {
      const [at, what, value] = [Number(answer[i]) - 1, answer[i + 1], answer[i + 2]]
      if (what === 'x') refused.add(at)
      else if (what === 'n') numbers[at] = Number(value)
      else if (what === 'f') frames[at].log.followers = String(value)
      else if (what === 'e' && at < 0) this.#epoch = Number(value)
      else if (what === 'e') {
        refused.add(at)
        const flight = frames[at].log.rewritten(Number(value))
        if (flight !== null) again.push({ log: frames[at].log, flight })
      }
    }
    const logsAgain = new Set(again.map(({ log }) => log))
    // First all are brought up to date, then readers are told: what they do may come back here
    for (const [i, { log }] of frames.entries()) {
      if (!refused.has(i)) log.arrived(numbers[i])
      else if (!logsAgain.has(log)) this.#fence(log)
    }
    const notesAgain: LoadedNote[] = []
    for (const [i, one] of notes.entries()) {
      const isRefused = refused.has(frames.length + i)
      if (isRefused && logsAgain.has(one.log)) notesAgain.push(one)
      else for (const told of one.note.told) told(isRefused ? 'fenced' : 'stored')
    }
    for (const [i, { flight }] of frames.entries())
      if (!refused.has(i)) this.#deps.stored(frames[i].log.job, flight.epoch, flight.firstSeq, flight.records)
    batch.frames.splice(0, frames.length, ...again)
    batch.notes.splice(0, notes.length, ...notesAgain)
    return again.length === 0
  }

  #fence(log: AttemptLog, error?: SluiceError): void {
    log.fence(error)
    this.#deps.fenced(log.job, log.attempt)
  }

  #giveUp({ frames, notes }: Batch, error: SluiceError): void {
    for (const { log } of frames) this.#fence(log, error)
    for (const { note } of notes) for (const told of note.told) told('fenced')
  }
}

/** A draw for log_epoch (lua/log.lua). */
export const randomOf = (ids: Pick<Ids, 'random'>): number => Buffer.from(ids.random(4)).readUInt32BE() >>> 4

/** What each has for this flush. Those with the same followers are together, so that their frames are one message. */
function batchesOf(dirty: readonly AttemptLog[], epoch: number | null): Batch[] {
  const groups = new Map<string, AttemptLog[]>()
  for (const log of dirty) {
    log.isDirty = log.isDue = false
    const group = groups.get(log.followers)
    if (group === undefined) groups.set(log.followers, [log])
    else group.push(log)
  }
  const batches: Batch[] = []
  let batch: Batch | null = null
  for (const group of groups.values())
    for (const log of group) {
      if (batch === null || batch.frames.length + batch.notes.length >= MAX_FRAMES || batch.bytes >= MAX_BYTES) {
        batch = { frames: [], notes: [], bytes: 0 }
        batches.push(batch)
      }
      const flight = log.depart(epoch)
      if (flight !== null) {
        batch.frames.push({ log, flight })
        batch.bytes += flight.chunk.length
      }
      for (const note of log.takeNotes()) batch.notes.push({ log, note })
    }
  return batches
}
