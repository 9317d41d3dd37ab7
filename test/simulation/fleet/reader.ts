/** Reads a job's log as the delivery does: follows it, reads what there is, and begins anew where it was rewritten. */
import type { Job, JobId } from '../../../src/core/job.ts'
import { type Bytes, isEnd } from '../../../src/core/record.ts'
import type { Fleet, SimNode } from './node.ts'

const PAGE_BYTES = 200
const RETRY_MS = 300

export class SimReader {
  readonly node: SimNode
  readonly job: JobId
  readonly #fleet: Fleet
  records: Bytes[] = []
  /** Of the store, when it got the end. */
  #endedAtLoss: number | null = null
  /** Of the store, when it was told why there is no log, and what. */
  #gone: { readonly code: string; readonly losses: number } | null = null
  /** Of logs, when it was known to be there. */
  #epoch: number
  /** Told as they come; else it reads by itself. */
  #isLive = false
  /** Told while it reads. */
  #held: Array<readonly [firstSeq: number, records: readonly Bytes[]]> = []
  #stop = (): void => {}
  #round = 0

  constructor(fleet: Fleet, node: SimNode, { id, epoch }: Job) {
    this.#fleet = fleet
    this.node = node
    this.job = id
    this.#epoch = epoch
  }

  start(): Promise<void> {
    return this.#read()
  }

  #beginAnew(epoch: number): void {
    this.#fleet.log(`a reader of ${this.job} begins anew`)
    this.#epoch = epoch
    this.records = []
    this.#endedAtLoss = null
    void this.#read()
  }

  get isEnded(): boolean {
    return this.#endedAtLoss !== null
  }

  async #read(): Promise<void> {
    const round = ++this.#round
    const logs = this.node.logs!
    this.#isLive = false
    this.#held = []
    while (round === this.#round && !this.isEnded && this.#gone === null)
      try {
        this.#stop()
        const following = logs.follow(
          this.job,
          (firstSeq, records) => this.#told(firstSeq, records),
          (epoch) => this.#beginAnew(epoch),
        )
        this.#stop = following.stop
        const before = await following.ready
        if (round !== this.#round) return
        // Of a log that is followed from its start there is nothing to read
        while (before === null || before > this.records.length) {
          const page = await logs.read(this.job, this.records.length, PAGE_BYTES)
          if (round !== this.#round) return
          if (page === null) {
            const why = await logs.missing(this.job, this.#epoch)
            if (round !== this.#round) return
            if (why === null) continue
            this.#fleet.log(`a reader of ${this.job} is told ${why.code}`)
            this.#gone = { code: why.code, losses: this.#fleet.ledger.losses }
            return this.#stop()
          }
          this.#take(page.firstSeq, page.records)
          if (this.isEnded) return this.#stop()
          if (this.records.length >= page.head) break
        }
        this.#isLive = true
        for (const [firstSeq, records] of this.#held.splice(0)) this.#told(firstSeq, records)
        return
      } catch {
        // Away: again
        await new Promise<void>((again) => this.node.clock.after(RETRY_MS, again))
      }
  }

  #told(firstSeq: number, records: readonly Bytes[]): void {
    if (!this.#isLive) this.#held.push([firstSeq, records])
    else if (firstSeq > this.records.length + 1) void this.#read()
    else this.#take(firstSeq, records)
  }

  #take(firstSeq: number, records: readonly Bytes[]): void {
    for (const [i, record] of records.entries()) {
      if (this.isEnded || firstSeq + i !== this.records.length + 1) continue
      this.records.push(record)
      if (isEnd(record)) this.#endedAtLoss = this.#fleet.ledger.losses
    }
  }

  /** Null: it has what is stored, or was told that it can't. */
  missing(): string | null {
    const { ledger } = this.#fleet
    const { isLost } = ledger.jobs.get(this.job)!
    if (this.#gone !== null) {
      // Nothing is erased here; but a store that lost its epochs too can't tell what it has lost
      if (this.#gone.code !== 'job_lost') return ledger.isEmptied ? null : `${this.job} is told ${this.#gone.code}`
      return isLost || this.#gone.losses < ledger.losses ? null : `${this.job} is told to be lost`
    }
    if (this.#endedAtLoss !== null && this.#endedAtLoss !== ledger.losses) return null
    if (isLost) return this.records.length === 0 ? null : `${this.job} is lost, untold`
    const stored = ledger.logs.records(this.job)
    const at = stored.findIndex((record, i) => record !== this.records[i])
    if (at < 0 && stored.length === this.records.length) return null
    return `${this.job} has ${this.records.length} of ${stored.length} records, the same up to ${at}`
  }
}
