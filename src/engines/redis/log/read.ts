/** Reads logs from Redis. While that is away a read waits for it, up to a bound. */
import type { Clock } from '../../../core/clock.ts'
import type { Ids } from '../../../core/ids.ts'
import type { JobId } from '../../../core/job.ts'
import type { LogHead, LogPage } from '../../../core/ports/log.ts'
import type { Bytes } from '../../../core/record.ts'
import type { Connection } from '../client/connection.ts'
import { storageError } from '../client/errors.ts'
import type { Argument, Scripts } from '../client/scripts.ts'
import { type Chunk, Decoder, readChunk } from './chunk.ts'
import { randomOf } from './flush.ts'

/** As long as readers wait for a restart of Redis, or a fail-over. */
const PATIENCE_MS = 10_000
const RETRY_MS = 100
/**
 * Thousands of readers come back in one moment when a gateway has died: logs are read many at once, and by few scripts
 * at once. What else this process asks of Redis does not wait for all of them, and Redis serves others in between.
 */
const MAX_UNDER_WAY = 4
const LOGS_AT_ONCE = 64
const BYTES_AT_ONCE = 1 << 20

/** A log that is to be read. */
interface Wanted {
  /** Those of log-read.lua. */
  readonly args: readonly Argument[]
  readonly maxBytes: number
  readonly untilMono: number
  readonly done: (answer: readonly unknown[]) => void
  readonly failed: (error: unknown) => void
}

/** What log-read.lua returns. */
export interface Stretch extends LogHead {
  /** The epoch in which the record that was read after was written; 0: there is none. */
  readonly epochBefore: number
  readonly chunks: readonly Chunk[]
}

/** How far a log goes, and the epoch of its last record. */
export interface Tip {
  readonly head: number
  readonly epoch: number
}

export interface ReadDeps {
  readonly commands: Connection
  readonly scripts: Scripts
  readonly clock: Clock
  readonly ids: Pick<Ids, 'random'>
}

export class LogReader {
  readonly #deps: ReadDeps
  /** First come, first served. */
  #wanted: Wanted[] = []
  #underWay = 0
  #closed = false

  constructor(deps: ReadDeps) {
    this.#deps = deps
  }

  /** Waits for nothing from now on. */
  close(): void {
    this.#closed = true
  }

  /**
   * Chunks with records after `afterSeq` (-1: only what is needed to decode what comes after the head), about
   * `maxBytes` of records. `decodable`: from a chunk on that needs no other. `follower`: a process that follows the
   * log from this very moment. Null: there is no such log.
   */
  async stretch(
    job: JobId,
    afterSeq: number,
    maxBytes: number,
    decodable: boolean,
    follower = '',
  ): Promise<Stretch | null> {
    const answer = await this.#read([job, afterSeq, maxBytes, decodable ? 1 : 0, follower], maxBytes)
    if (answer.length === 0) return null
    const [epoch, head, ended, epochBefore, ...chunks] = answer
    return {
      epoch: Number(epoch),
      head: Number(head),
      ended: Number(ended) === 1,
      epochBefore: Number(epochBefore),
      chunks: chunks.map((chunk) => readChunk((chunk as Buffer).toString('latin1'))),
    }
  }

  async page(job: JobId, afterSeq: number, maxBytes: number): Promise<LogPage | null> {
    const found = await this.stretch(job, afterSeq, maxBytes, true)
    if (found === null) return null
    const { epoch, head, ended, chunks } = found
    const records: Bytes[] = []
    const decoder = new Decoder()
    let bytes = 0
    let of = epoch
    for (const chunk of chunks) {
      if (records.length > 0 && bytes >= maxBytes) break
      const read = decoder.read(chunk, afterSeq + 1, maxBytes - bytes)
      if (read.length === 0) continue
      if (records.length === 0) of = chunk.epoch
      for (const record of read) {
        records.push(record)
        bytes += record.length
      }
    }
    return { epoch: of, firstSeq: afterSeq + 1, records, head, ended }
  }

  async head(job: JobId): Promise<LogHead | null> {
    const found = await this.stretch(job, Number.MAX_SAFE_INTEGER, 0, false)
    return found === null ? null : { epoch: found.epoch, head: found.head, ended: found.ended }
  }

  async commonWith(job: JobId, epoch: number): Promise<number> {
    return Number(await this.#run('log-common', [job, epoch]))
  }

  /** The epoch of logs, and whether this job has none. */
  async missing(job: JobId): Promise<{ readonly epoch: number; readonly isMissing: boolean }> {
    const [epoch, missing] = (await this.#run('log-missing', [randomOf(this.#deps.ids), job])) as number[]
    return { epoch, isMissing: missing === 1 }
  }

  /** Of each; null where there is no such log. `follower`: it follows those that have not ended. */
  async tips(jobs: readonly JobId[], follower = ''): Promise<ReadonlyArray<Tip | null>> {
    const answer = (await this.#run('log-look', [follower, ...jobs])) as number[]
    return jobs.map((_, i) => (answer[2 * i] < 0 ? null : { head: answer[2 * i], epoch: answer[2 * i + 1] }))
  }

  /** What log-read.lua returns of a log. */
  #read(args: readonly Argument[], maxBytes: number): Promise<readonly unknown[]> {
    return new Promise((done, failed) => {
      const untilMono = this.#deps.clock.monoMs() + PATIENCE_MS
      this.#wanted.push({ args, maxBytes, untilMono, done, failed })
      // All of this turn share a script; what comes while scripts are under way shares the next
      if (this.#wanted.length === 1) queueMicrotask(() => this.#readNext())
    })
  }

  #readNext(): void {
    while (this.#wanted.length > 0 && this.#underWay < MAX_UNDER_WAY) {
      let [count, bytes] = [0, 0]
      for (; count < Math.min(this.#wanted.length, LOGS_AT_ONCE) && bytes < BYTES_AT_ONCE; count++)
        bytes += this.#wanted[count].maxBytes
      this.#underWay++
      void this.#readAll(this.#wanted.splice(0, count)).finally(() => {
        this.#underWay--
        this.#readNext()
      })
    }
  }

  async #readAll(wanted: readonly Wanted[]): Promise<void> {
    const args = [randomOf(this.#deps.ids), ...wanted.flatMap((each) => each.args)]
    const untilMono = Math.min(...wanted.map((each) => each.untilMono))
    try {
      const answers = (await this.#patiently('log-read', args, true, untilMono)) as ReadonlyArray<readonly unknown[]>
      for (const [i, { done }] of wanted.entries()) done(answers[i])
    } catch (error) {
      for (const { failed } of wanted) failed(error)
    }
  }

  /** As `Scripts.run`; waits while Redis is away. Rejects with an error of the table. */
  async #patiently(script: string, args: readonly Argument[], asBytes: boolean, untilMono: number): Promise<unknown> {
    const { scripts, clock } = this.#deps
    for (;;) {
      try {
        return await (asBytes ? scripts.runBuffer(script, args) : scripts.run(script, args))
      } catch (thrown) {
        const error = storageError(thrown)
        const isOver = this.#closed || clock.monoMs() > untilMono
        if (isOver || error.code !== 'storage_unavailable') throw error
        await new Promise<void>((done) => clock.after(RETRY_MS, done))
      }
    }
  }

  #run(script: string, args: readonly Argument[]): Promise<unknown> {
    return this.#patiently(script, args, false, this.#deps.clock.monoMs() + PATIENCE_MS)
  }
}
