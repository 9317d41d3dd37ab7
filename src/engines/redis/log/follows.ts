/**
 * The logs that readers of this process follow. Records come in messages, to which whoever stores them has added this
 * process; what a message lacks is read from the log. A message may be lost, with all that a connection had when it was
 * cut: so all logs are looked at when it is back, and any that was silent for a while.
 */
import type { Clock } from '../../../core/clock.ts'
import { SluiceError } from '../../../core/errors.ts'
import type { JobId } from '../../../core/job.ts'
import type { Following, LogListener } from '../../../core/ports/log.ts'
import type { Bytes } from '../../../core/record.ts'
import { Table } from '../../../core/table.ts'
import type { Connection } from '../client/connection.ts'
import { storageError } from '../client/errors.ts'
import type { Names } from '../client/names.ts'
import type { Scripts } from '../client/scripts.ts'
import { type Chunk, readFrames } from './chunk.ts'
import { ExpectedLogs } from './expected.ts'
import { type Arrival, FollowedLog } from './followed.ts'
import { Leaves } from './leaves.ts'
import type { LogReader, Stretch } from './read.ts'

const READ_BYTES = 256 << 10
/** Logs read at once: a process that was stopped has a gap in all of them. */
const MAX_READING = 16
const LOOK_EVERY_MS = 1_000
const SILENT_MS = 5_000
/** Logs of one look. */
const AT_ONCE = 256

interface Follower {
  readonly log: FollowedLog
  readonly joined: Promise<void>
}

export interface FollowsDeps {
  readonly process: string
  readonly names: Names
  readonly subscriber: Connection
  readonly scripts: Scripts
  readonly reader: LogReader
  readonly clock: Clock
}

export class Follows {
  readonly #deps: FollowsDeps
  readonly #followed = new Table<JobId, Follower>()
  readonly #expected = new ExpectedLogs()
  readonly #leaves: Leaves
  /** To be read, in order. */
  #gaps: FollowedLog[] = []
  #reading = 0
  #looking = false
  #lookAgain = false
  #stopLooks = (): void => {}
  #closed = false

  constructor(deps: FollowsDeps) {
    this.#deps = deps
    this.#leaves = new Leaves(deps)
  }

  /** Rejects with what Redis or its client throws. */
  async start(): Promise<void> {
    const { subscriber, names, process, clock } = this.#deps
    await subscriber.subscribe(names.tail(process), (message) => this.#hear(message))
    // What was published meanwhile is missed, also of jobs that were submitted meanwhile
    subscriber.onTurn((back) => {
      this.#expected.clear()
      if (back) void this.#look(() => true)
    })
    this.#stopLooks = clock.every(LOOK_EVERY_MS, () => {
      for (const job of this.#expected.expire()) this.#leaves.add(job)
      void this.#lookAtSilent()
    })
  }

  close(): void {
    this.#closed = true
    this.#leaves.close()
    this.#stopLooks()
  }

  get size(): number {
    return this.#followed.size
  }

  /** The job is being submitted, to be read here. */
  expect(job: JobId): void {
    this.#expected.add(job, this.#deps.clock.monoMs())
  }

  /** It was accepted, by a commit that made this process its follower. */
  granted(job: JobId, epoch: number): void {
    this.#expected.grant(job, epoch)
  }

  follow(job: JobId, listener: LogListener, rewritten?: (epoch: number) => void): Following {
    let found = this.#followed.get(job)
    if (found === undefined) {
      const expected = this.#expected.take(job)
      const log = expected ?? new FollowedLog(job, this.#deps.clock.monoMs())
      this.#leaves.delete(job)
      // What was held is told after whoever follows has its `Following`
      found = { log, joined: expected === null ? this.#join(log) : Promise.resolve().then(() => this.#goOn(log)) }
      this.#followed.set(job, found)
    }
    const { log, joined } = found
    log.add(listener, rewritten)
    const ready = joined.then(() => (this.#isFollowed(log) && log.since > 0 ? log.seq : null))
    ready.catch(() => {}) // told by whoever waits for it
    const stop = (): void => {
      log.delete(listener, rewritten)
      if (log.listeners.length === 0 && this.#forget(log)) this.#leaves.add(job)
    }
    return { ready, stop }
  }

  /** A log that was missing is there again: from now on this process is sent what is stored. */
  again(job: JobId): void {
    const log = this.#followed.get(job)?.log
    if (log?.state === 'live') this.#mend(log, null)
  }

  /** Records that an attempt of this process has stored. */
  stored(job: JobId, epoch: number, firstSeq: number, records: readonly Bytes[]): void {
    const found = this.#followed.get(job)
    const arrival = { epoch, firstSeq, count: records.length, what: records }
    if (found !== undefined) this.#take(found.log, arrival)
    else this.#expected.hold(job, arrival)
  }

  // ------------------------------------------------------------ what arrives

  #hear(message: Buffer): void {
    const now = this.#deps.clock.monoMs()
    try {
      readFrames(message.toString('latin1'), ({ job, chunk }) => {
        const found = this.#followed.get(job)
        const arrival = { epoch: chunk.epoch, firstSeq: chunk.firstSeq, count: chunk.count, what: chunk }
        if (found === undefined) {
          if (!this.#expected.hold(job, arrival)) this.#leaves.add(job)
          return
        }
        found.log.heardMono = now
        this.#take(found.log, arrival)
      })
    } catch {
      // What is damaged is missed; the next look finds that out
    }
  }

  #take(log: FollowedLog, arrival: Arrival): void {
    if (log.state !== 'live') {
      log.hold(arrival)
      return
    }
    try {
      const taken = log.take(arrival)
      if (taken === 'ended') this.#forget(log)
      else if (taken === 'gap') this.#mend(log, arrival)
    } catch {
      this.#mend(log, arrival)
    }
  }

  #forget(log: FollowedLog): boolean {
    if (this.#followed.get(log.job)?.log !== log) return false
    return this.#followed.delete(log.job)
  }

  #isFollowed(log: FollowedLog): boolean {
    return !this.#closed && this.#followed.get(log.job)?.log === log
  }

  // ------------------------------------------------------------ join and leave

  async #join(log: FollowedLog): Promise<void> {
    try {
      const found = await this.#prepare(log)
      if (!this.#isFollowed(log)) return
      // One that is not there may be taken again: those who follow it find out, and leave where it is not
      if (found?.ended === true) this.#forget(log)
      else this.#goOn(log)
    } catch (error) {
      this.#forget(log)
      throw error
    }
  }

  /** From now on this process is sent what is stored; what is there already is told by others. */
  async #prepare(log: FollowedLog): Promise<Stretch | null> {
    const found = await this.#deps.reader.stretch(log.job, -1, 0, true, this.#deps.process)
    if (found === null) return null
    log.since = found.epoch
    log.startAt(found.head, found.epochBefore)
    for (const chunk of found.chunks) log.decoder.read(chunk, found.head + 1)
    return found
  }

  /** It was read: what arrived meanwhile follows. */
  #goOn(log: FollowedLog): void {
    log.state = 'live'
    for (const arrival of log.release()) if (this.#isFollowed(log)) this.#take(log, arrival)
  }

  // ------------------------------------------------------------ gaps

  /** Reads what is missing before `arrival`. */
  #mend(log: FollowedLog, arrival: Arrival | null): void {
    if (arrival !== null) log.hold(arrival)
    log.state = 'reading'
    this.#gaps.push(log)
    this.#readNext()
  }

  #readNext(): void {
    while (this.#reading < MAX_READING && this.#gaps.length > 0 && !this.#closed) {
      const log = this.#gaps.shift()!
      if (!this.#isFollowed(log)) continue
      this.#reading++
      void this.#readUp(log).finally(() => {
        this.#reading--
        this.#readNext()
      })
    }
  }

  async #readUp(log: FollowedLog): Promise<void> {
    const { reader, process } = this.#deps
    try {
      for (;;) {
        const { seq } = log
        const decodable = !log.decoder.isAt(seq + 1)
        const found = await reader.stretch(log.job, seq, READ_BYTES, decodable, process)
        if (!this.#isFollowed(log)) return
        if (found === null || (seq > 0 && found.epochBefore !== log.epoch)) return await this.#tellLost(log)
        log.since = found.epoch
        if (this.#tell(log, found.chunks)) return
        if (log.seq >= found.head) break
        if (log.seq === seq) throw new SluiceError('job_damaged')
      }
    } catch (error) {
      // Away: it is looked at when Redis is back. Damaged: its readers find out when they read it themselves
      if (storageError(error).code !== 'storage_unavailable') return this.#restart(log, log.epoch)
      log.release()
    }
    log.heardMono = this.#deps.clock.monoMs()
    this.#goOn(log)
  }

  /** True when it has ended. */
  #tell(log: FollowedLog, chunks: readonly Chunk[]): boolean {
    for (const chunk of chunks) {
      const { epoch, firstSeq, count } = chunk
      if (firstSeq + count - 1 <= log.seq) log.decoder.read(chunk, firstSeq + count)
      else if (log.take({ epoch, firstSeq, count, what: chunk }, true) === 'ended') return this.#forget(log)
    }
    return false
  }

  /** It is not the log any more whose records were told: its readers begin anew. */
  async #tellLost(log: FollowedLog): Promise<void> {
    const found = await this.#prepare(log)
    if (!this.#isFollowed(log)) return
    // It may be taken again: its submit was not lost. Its readers find out, and leave where it is not
    if (found === null) log.startAt(0, 0)
    if (log.since > 0) this.#restart(log, log.since)
    if (found?.ended === true) this.#forget(log)
    else this.#goOn(log)
  }

  #restart(log: FollowedLog, epoch: number): void {
    for (const fn of log.rewritten) fn(epoch)
  }

  // ------------------------------------------------------------ looks

  #lookAtSilent(): Promise<void> {
    const silentSince = this.#deps.clock.monoMs() - SILENT_MS
    return this.#look((log) => log.heardMono <= silentSince)
  }

  async #look(isMeant: (log: FollowedLog) => boolean): Promise<void> {
    if (this.#looking) {
      this.#lookAgain = true
      return
    }
    this.#looking = true
    try {
      const now = this.#deps.clock.monoMs()
      const logs: FollowedLog[] = []
      for (const { log } of this.#followed.values()) if (log.state === 'live' && isMeant(log)) logs.push(log)
      for (let i = 0; i < logs.length && !this.#closed; i += AT_ONCE)
        await this.#lookAt(logs.slice(i, i + AT_ONCE), now)
    } catch {
      // Away: there is a look when it is back
    } finally {
      this.#looking = false
    }
    if (!this.#lookAgain || this.#closed) return
    this.#lookAgain = false
    await this.#look(() => true)
  }

  async #lookAt(logs: readonly FollowedLog[], now: number): Promise<void> {
    const jobs = logs.map(({ job }) => job)
    const tips = await this.#deps.reader.tips(jobs, this.#deps.process)
    for (const [i, log] of logs.entries()) {
      if (!this.#isFollowed(log) || log.state !== 'live') continue
      log.heardMono = now
      const tip = tips[i]
      if (tip === null || tip.head !== log.seq || tip.epoch !== log.epoch) this.#mend(log, null)
    }
  }
}
