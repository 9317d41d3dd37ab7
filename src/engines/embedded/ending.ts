/** The one end of a job: its record, its state and its turn in one commit; told once power-safe. */
import { SluiceError } from '../../core/errors.ts'
import { aboutJob, failureOf } from '../../core/facts.ts'
import type { Change } from '../../core/ports/coordinator.ts'
import { type Bytes, type End, endRecordOf } from '../../core/record.ts'
import { errorOf } from '../shared/scheduled.ts'
import type { Write } from './disk/store.ts'
import { bodyOrNone } from './jobs/jobs.ts'
import type { LiveJob } from './jobs/live-job.ts'
import type { Parts } from './parts.ts'

export type Ended = Extract<Change, { type: 'ended' }>

export class Ending implements Write {
  readonly keep = true
  readonly #parts: Parts
  readonly #live: LiveJob
  readonly #ended: Ended
  readonly #end: End
  /** The end as it is stored: with the job, and as the last record of its log. */
  readonly #json: string
  readonly #record: Bytes
  readonly #endedAtMs: number
  readonly #endedAge: number
  #withTurn: boolean
  #written = 0

  constructor(parts: Parts, live: LiveJob, ended: Ended) {
    const { state, error, usage, timing, cut } = ended
    this.#parts = parts
    this.#live = live
    this.#ended = ended
    this.#end = error === null ? { state, usage, timing, cut } : { state, ...errorOf(error), usage, timing }
    this.#json = JSON.stringify(this.#end)
    this.#record = endRecordOf(this.#json)
    this.#endedAtMs = Math.floor(parts.clock.wallMs())
    this.#endedAge = parts.age.now()
    this.#withTurn = live.job.options.conversation !== undefined
  }

  begin(): void {
    const { log } = this.#live
    this.#live.isEnding = true
    log.attempt = 0
    this.#parts.logs.takeEnd(log, this.#record)
    this.#parts.store.write(this)
  }

  apply(): void {
    const { jobs, conversations } = this.#parts
    const { job, log, attempts, canceling, answer } = this.#live
    const { state } = this.#end
    this.#written = jobs.insertResult(log, attempts, state, this.#json, this.#endedAtMs, this.#endedAge)
    if (log.held) {
      jobs.insert(this.#live, true)
      this.#written += this.#live.body.length
    }
    if (canceling !== null) jobs.forgetCancel(log.order)
    if (this.#withTurn) conversations.addTurn(job, log.order, this.#body(), state, answer, this.#endedAtMs)
  }

  #body(): Uint8Array {
    const { leasedBody, body, log } = this.#live
    return leasedBody ?? (body.length > 0 ? body : bodyOrNone(this.#parts.jobs, log.order))
  }

  done(error: SluiceError | null): void {
    const { store } = this.#parts
    if (error === null) {
      store.wrote(this.#written)
      this.#live.log.held = false
      store.whenSynced((failure) => (failure === null ? this.#tell() : this.#fail(failure)))
    } else if (this.#withTurn && error.code === 'internal') {
      // Its readers wait for the end, its lane for the next turn: rather a turn less
      this.#withTurn = false
      const { id } = this.#live.job
      store.warn('row_damaged', `The turn of ${id} can't be stored: its conversation goes on without it.`)
      store.write(this)
    } else this.#fail(error)
  }

  /** The store says through health that it failed. Anything else is unforeseen, and ends the process. */
  #fail(error: SluiceError): void {
    if (!(error instanceof SluiceError)) throw error
    this.#live.ended.tell(error)
  }

  #tell(): void {
    const { live: all, logs, conversations, emit, onEnded } = this.#parts
    const { job, log, attempts, ended, spent } = this.#live
    const { state, error, usage, timing, deployment } = this.#ended
    all.delete(this.#live)
    onEnded(job, log)
    logs.end(log, this.#record)
    const { conversation } = job.options
    if (conversations.news.isWatched(job.tenant, conversation))
      conversations.news.tell(job.tenant, conversation, {
        type: 'ended',
        job: { ...job, attempts, state, endedAtMs: this.#endedAtMs, ...(error !== null && { error: error.wire }) },
      })
    emit({ ...aboutJob(job), type: 'job-ended', deployment, state, ...failureOf(error), usage, timing, ...spent.told })
    ended.tell(null)
  }
}
