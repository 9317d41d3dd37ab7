/**
 * A token log in memory that does what a distant one may: it is followed only after a while, records can be read before
 * they are told of, reads take their time, and the log may lose its tail and begin a new epoch.
 */
import { SluiceError } from '../../src/core/errors.ts'
import type { LogListener, LogPage, TokenLog } from '../../src/core/ports/log.ts'
import { type Bytes, isEnd } from '../../src/core/record.ts'

export interface ScriptedLog extends TokenLog {
  /** Readable; listeners hear of it with the next `tell`. */
  write(records: readonly Bytes[]): void
  tell(): void
  /** No listener hears of what was written. */
  lose(): void
  /** Followers hear of what is told from now on. */
  connect(): void
  /** A new epoch, which nothing was lost before. */
  renew(): void
  /** A new epoch, of which the first `kept` records are those of before. `isNoticed`: followers are told. */
  rewrite(kept: number, records: readonly Bytes[], isNoticed?: boolean): void
  /** The store has lost all of it, and begins a new epoch; followers are told. */
  vanish(): void
  /** What was lost is there again. */
  returns(records: readonly Bytes[]): void
  /** As after a DELETE. */
  erase(): void
  readonly followers: number
  /** Pages that were read. */
  readonly pages: number
}

export function scriptedLog({ connected = true, pageRecords = 3 } = {}): ScriptedLog {
  let records: Bytes[] | null = []
  let epoch = 1
  let told = 0
  let pages = 0
  let isConnected = connected
  /** By epoch: how far the log of today is still that one. */
  const common = new Map<number, number>()
  const listeners = new Map<LogListener, ((epoch: number) => void) | undefined>()
  const connecting: Array<() => void> = []
  const soon = (): Promise<void> => new Promise((next) => setImmediate(next))
  const tellRewritten = (of = epoch): void => {
    for (const rewritten of [...listeners.values()]) rewritten?.(of)
  }
  const hasEnded = (): boolean => records !== null && records.length > 0 && isEnd(records.at(-1)!)

  return {
    open() {
      throw new Error('Nobody writes to this log but the test.')
    },
    async head() {
      await soon()
      return records === null ? null : { epoch, head: records.length, ended: hasEnded() }
    },
    async commonWith(_job, other) {
      await soon()
      return common.get(other) ?? 0
    },
    async read(_job, afterSeq, maxBytes): Promise<LogPage | null> {
      // What is there when it is asked for; the answer takes a while
      if (records === null) return null
      const page: Bytes[] = []
      for (let i = afterSeq, bytes = 0; i < records.length && page.length < pageRecords; i++) {
        bytes += records[i].length
        if (bytes > maxBytes && page.length > 0) break
        page.push(records[i])
      }
      pages++
      const answer = { epoch, firstSeq: afterSeq + 1, records: page, head: records.length, ended: hasEnded() }
      await soon()
      return answer
    },
    async missing(_job, since) {
      await soon()
      return records === null ? new SluiceError(since === epoch ? 'job_gone' : 'job_lost') : null
    },
    follow(_job, listener, rewritten) {
      const start = (): number | null => {
        listeners.set(listener, rewritten)
        return records === null || hasEnded() ? null : records.length
      }
      const ready = isConnected
        ? Promise.resolve(start())
        : new Promise<void>((done) => {
            connecting.push(done)
          }).then(start)
      return { ready, stop: () => void listeners.delete(listener) }
    },
    write(more) {
      records!.push(...more)
    },
    tell() {
      if (records === null || told === records.length) return
      const first = told + 1
      told = records.length
      const run = records.slice(first - 1)
      if (isConnected) for (const listener of [...listeners.keys()]) listener(first, run, epoch)
    },
    lose() {
      told = records?.length ?? 0
    },
    connect() {
      isConnected = true
      for (const done of connecting.splice(0)) done()
    },
    renew() {
      common.set(epoch, records!.length)
      epoch++
    },
    rewrite(kept, more, isNoticed = true) {
      for (const [other, last] of common) common.set(other, Math.min(last, kept))
      common.set(epoch, kept)
      epoch++
      records = [...records!.slice(0, kept), ...more]
      told = records.length
      if (isNoticed) tellRewritten()
    },
    vanish() {
      records = null
      const since = epoch++
      tellRewritten(since)
    },
    returns(more) {
      records = [...more]
      told = records.length
    },
    erase() {
      records = null
    },
    get followers() {
      return listeners.size
    },
    get pages() {
      return pages
    },
  }
}
