/**
 * What is stored of token logs, and what may never be: a gap, text of two attempts that are mixed, other text under a
 * cursor that was given away, anything behind the end.
 */
import { isEnd } from '../../../src/core/record.ts'
import { Decoder, readChunk } from '../../../src/engines/redis/log/chunk.ts'
import { must } from '../ledger.ts'
import type { Database } from './database.ts'

/** A record of an attempt's text, which tells where it belongs. */
export const recordOf = (worker: string, attempt: number, k: number): string =>
  `{"attempt":${attempt},"worker":"${worker}","k":${k}}`

interface Text {
  readonly attempt: number
  readonly worker: string
  readonly k: number
}

type Holds = (attempt: number, worker: string) => boolean

interface Log {
  chunks: number
  decoder: Decoder
  seq: number
  last: Text | null
  isEnded: boolean
  readonly records: string[]
}

const empty = (): Log => ({ chunks: 0, decoder: new Decoder(), seq: 0, last: null, isEnded: false, records: [] })

export class LedgerLogs {
  readonly #logs = new Map<string, Log>()
  /** "<job> <epoch> <seq>" → record, of all that there ever was. */
  readonly #records = new Map<string, string>()

  /** What was added since it was looked at last; `holds`: who may write now. */
  judge(db: Database, key: string, id: string, holds: Holds = () => true): void {
    const chunks = db.list(`${key}:${id}`)
    const log = this.#logs.get(id) ?? empty()
    this.#logs.set(id, log)
    must(chunks.length >= log.chunks, `${id}: its log has become shorter`)
    for (; log.chunks < chunks.length; log.chunks++) {
      const chunk = readChunk(chunks[log.chunks])
      must(!log.isEnded, `${id}: text is stored behind its end`)
      must(chunk.firstSeq === log.seq + 1, `${id}: record ${chunk.firstSeq} is stored after ${log.seq}`)
      for (const record of log.decoder.read(chunk, chunk.firstSeq)) this.#record(id, log, chunk.epoch, record, holds)
    }
  }

  #record(id: string, log: Log, epoch: number, record: string, holds: Holds): void {
    log.seq++
    log.records.push(record)
    const cursor = `${id} ${epoch} ${log.seq}`
    const known = this.#records.get(cursor)
    must(known === undefined || known === record, `${cursor} was ${known}, and is ${record}`)
    this.#records.set(cursor, record)
    if (isEnd(record)) {
      log.isEnded = true
      return
    }
    const text = JSON.parse(record) as Text
    const { last } = log
    const isNext =
      last === null || text.attempt > last.attempt
        ? text.k === 1
        : text.attempt === last.attempt && text.worker === last.worker && text.k === last.k + 1
    must(holds(text.attempt, text.worker), `${id} is not ${text.worker}'s, which writes ${record}`)
    must(isNext, `${id}: after ${JSON.stringify(last)} comes ${record}`)
    log.last = text
  }

  /** The text that was stored last. */
  last(id: string): Text | null {
    return this.#logs.get(id)?.last ?? null
  }

  isEnded(id: string): boolean {
    return this.#logs.get(id)?.isEnded === true
  }

  head(id: string): number {
    return this.#logs.get(id)?.seq ?? 0
  }

  records(id: string): readonly string[] {
    return this.#logs.get(id)?.records ?? []
  }

  /**
   * The store lost its end: logs are looked at from their start again. `isAll`: its epochs too, so that they begin at 1
   * again, and only ids, which are drawn, tell what there was from what there is.
   */
  forget(isAll: boolean): void {
    this.#logs.clear()
    if (isAll) this.#records.clear()
  }
}
