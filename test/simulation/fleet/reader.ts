/** Reads a job's log as the delivery does: follows it, reads what there is, and begins anew where it was rewritten. */
import type { JobId } from '../../../src/core/job.ts'
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
  isGone = false
  /** Told as they come; else it reads by itself. */
  #isLive = false
  /** Told while it reads. */
  #held: Array<readonly [firstSeq: number, records: readonly Bytes[]]> = []
  #stop = (): void => {}
  #round = 0

  constructor(fleet: Fleet, node: SimNode, job: JobId) {
    this.#fleet = fleet
    this.node = node
    this.job = job
  }

  async start(): Promise<void> {
    const logs = this.node.logs!
    const stopEpochs = logs.onEpoch((job) => {
      if (job !== this.job) return
      this.#fleet.log(`a reader of ${job} begins anew`)
      this.records = []
      this.#endedAtLoss = null
      void this.#read()
    })
    this.#stop = () => stopEpochs()
    await this.#read()
  }

  get isEnded(): boolean {
    return this.#endedAtLoss !== null
  }

  async #read(): Promise<void> {
    const round = ++this.#round
    const logs = this.node.logs!
    this.#isLive = false
    this.#held = []
    while (round === this.#round && !this.isEnded && !this.isGone)
      try {
        const following = logs.follow(this.job, (firstSeq, records) => this.#told(firstSeq, records))
        const before = await following.ready
        if (round !== this.#round) return following.stop()
        // Of a log that is followed from its start there is nothing to read
        while (before === null || before > this.records.length) {
          const page = await logs.read(this.job, this.records.length, PAGE_BYTES)
          if (round !== this.#round) return following.stop()
          if (page === null) {
            this.isGone = true
            this.#stop()
            return following.stop()
          }
          this.#take(page.firstSeq, page.records)
          if (this.isEnded) return following.stop()
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
    // What was lost may come back: a submit of which only what came of it was lost is taken again
    if (this.isGone && ledger.losses > 0) return null
    if (this.#endedAtLoss !== null && this.#endedAtLoss !== ledger.losses) return null
    if (ledger.jobs.get(this.job)!.isLost) return this.records.length === 0 ? null : `${this.job} is lost, untold`
    const stored = ledger.logs.records(this.job)
    const at = stored.findIndex((record, i) => record !== this.records[i])
    if (at < 0 && stored.length === this.records.length) return null
    return `${this.job} has ${this.records.length} of ${stored.length} records, the same up to ${at}`
  }
}
