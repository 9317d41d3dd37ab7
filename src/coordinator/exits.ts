/**
 * How jobs leave: an attempt's end teaches the plan, becomes a verdict, and is told. Whatever ends a lease (finished,
 * handed back, lost, given up), the scheduler calls `settle`, the one place where a claim is given back.
 */
import type { SluiceError } from '../core/errors.ts'
import type { Instead, JobId } from '../core/job.ts'
import { type Claim, FENCED, type Finished, type Outcome } from '../core/ports/work.ts'
import {
  cameTo,
  type Ending,
  endingOf,
  endOf,
  lostOf,
  RELEASED,
  type SchedulerOutcome,
  ttftOf,
  UNTOLD,
} from './ending.ts'
import type { Hedging } from './hedging.ts'
import type { Leasing, Parts } from './leasing.ts'
import type { Plan } from './plan/plan.ts'
import type { Results } from './results.ts'
import type { Notes, Scheduler, SchedulerEvent } from './scheduler/port.ts'
import type { Sharing } from './sharing.ts'
import type { Spending } from './spending.ts'
import { refusedBy, verdictOn } from './verdict.ts'

/** A deployment that cools for this long or longer is worth a line in the log. */
const NOTICED_COOL_MS = 5_000

export class Exits {
  readonly #scheduler: Scheduler
  readonly #plan: Plan
  readonly #spending: Spending
  readonly #sharing: Sharing
  readonly #results: Results
  readonly #leasing: Leasing
  readonly #hedging: Hedging
  /** Of the attempt that is being ended; null: its worker is lost. */
  #ending: Ending | null = null

  constructor({ scheduler, plan, spending, sharing, results }: Parts, leasing: Leasing, hedging: Hedging) {
    this.#scheduler = scheduler
    this.#plan = plan
    this.#spending = spending
    this.#sharing = sharing
    this.#results = results
    this.#leasing = leasing
    this.#hedging = hedging
  }

  /** Its worker reports. */
  finish(id: JobId, attempt: number, outcome: Outcome, now: number): Finished {
    const notes = this.#scheduler.notes(id)
    if (notes === null || notes.claim === null || notes.attempt !== attempt) return FENCED
    if (outcome.race !== undefined) this.#hedging.raced(notes, outcome.race, now)
    const { job, claim } = notes
    const { source } = claim
    // Still so when the job is ready again
    if (outcome.kind === 'released' && outcome.inMs !== undefined)
      this.#leasing.last(notes.lease!.worker.id, now + 2 * outcome.inMs)
    notes.ttftMs = ttftOf(outcome) ?? notes.ttftMs
    const verdict =
      source === undefined
        ? this.#learn(notes, claim, outcome, now)
        : this.#sharing.repeated(job, notes, source, outcome)
    this.#ending = endingOf(verdict === RELEASED ? verdict : outcome)
    const finished = this.#scheduler.finish(id, attempt, verdict, now)
    this.#ending = null
    if (finished.kind === 'ended') {
      this.#results.change(endOf(id, finished.state, verdict, claim))
      this.#sharing.finished(job, outcome, finished.state, source, now)
    } else if (finished.kind === 'again') this.returned(id, finished.notBeforeMono, now)
    return finished
  }

  /** Updates the deployment's health by how the attempt went, and decides what becomes of the job. */
  #learn(notes: Notes, { deployment }: Claim, told: Outcome, now: number): SchedulerOutcome {
    const { job } = notes
    if ((told.kind === 'done' || told.kind === 'failed') && told.quota !== undefined)
      this.#plan.tell(notes, told.quota, now)
    if (told.kind === 'done') this.#plan.answered(notes, told.attemptUsage ?? told.usage, told.timing, now)
    if (told.kind !== 'failed') return told
    const refused = told.textShown === true ? null : refusedBy(told.error)
    const isTooLong = refused === 'contextWindow' && this.#plan.elsewhere.hasLarger(notes)
    const isInstead = !isTooLong && refused !== null && this.#plan.elsewhere.hasInstead(notes, refused)
    const outcome: typeof told = isInstead || isTooLong ? { ...told, retry: 'elsewhere' } : told
    const { code, retryAfterMs } = outcome.error
    const elsewhere = outcome.retry === 'elsewhere'
    const failure = { code, retryAfterMs, elsewhere, refused: isInstead ? refused : null, isTooLong }
    const { failedAt, coolingMs } = this.#plan.failed(notes, failure, now)
    notes.failedAt = failedAt
    if (coolingMs !== null && coolingMs >= NOTICED_COOL_MS)
      this.#results.notice({ type: 'cooling', deployment, model: job.model, code, ms: coolingMs })
    const may = (instead: Instead) => (this.#spending.isHopeless(notes, instead, now) ? 'never' : 'later')
    this.#noteRefusal(notes, outcome.error, now)
    const verdict = verdictOn(outcome, {
      alone: notes.refusedAlone,
      hereInMs: this.#plan.coolsForMs(notes, now),
      elsewhereInMs: this.#plan.elsewhere.inMs(notes, now, may),
      roomMs: job.deadlineMono - now,
    })
    if (verdict.kind !== 'failed' || !verdict.retry) return verdict
    const untried = this.#plan.elsewhere.untried(notes, now, may)
    const isUntried = untried !== null && told.textShown !== true
    // Where something works it is no storm on what fails
    const budgetMs = untried?.works === true ? 0 : this.#plan.retriesInMs(notes, now)
    const roomMs = job.deadlineMono - now
    const ownKeyMs = isUntried ? 0 : notes.ownKeyMono - now
    const waitMs = Math.max(Math.min(budgetMs, roomMs / 2), ownKeyMs)
    const { error } = verdict
    if (ownKeyMs >= roomMs) return { ...verdict, retry: false, error: error.with({ retryAfterMs: ownKeyMs }) }
    return waitMs > (error.retryAfterMs ?? 0)
      ? { ...verdict, isUntried, error: error.with({ retryAfterMs: waitMs }) }
      : { ...verdict, isUntried }
  }

  /** For being too many, of all calls or of its tenant's own key. */
  #noteRefusal(notes: Notes, { code, retryAfterMs = 0 }: SluiceError, now: number): void {
    if (code === 'own_key_rate_limited') notes.ownKeyMono = now + retryAfterMs
    if (code !== 'provider_rate_limited') return
    notes.refusedAlone = this.#plan.hasAnsweredSince(notes, notes.refusedMono) ? notes.refusedAlone + 1 : 0
    notes.refusedMono = now
  }

  /** It is back in line. */
  returned(id: JobId, notBeforeMono: number, now: number): void {
    const { failedAt, job } = this.#scheduler.notes(id)!
    this.#sharing.returned(job, now)
    this.#results.change({ type: 'returned', id, notBeforeMono, tally: this.#scheduler.tally(id)!, failedAt })
  }

  /** Without a word from a worker. */
  endedAlone({ id, state, error }: Extract<SchedulerEvent, { type: 'ended' }>, now: number): void {
    this.#results.change({ type: 'ended', id, state, error, deployment: null })
    this.#sharing.ended(id, now)
  }

  /** It was not stored. If it was leased, nobody was told. */
  withdraw(id: JobId, now: number): void {
    this.#ending = UNTOLD
    this.#scheduler.withdraw(id)
    this.#ending = null
    this.#sharing.ended(id, now)
  }

  /** Its lease is over. */
  settle(notes: Notes, worker: string, now: number): void {
    const ending = this.#ending ?? lostOf(notes.job, notes.streamed)
    // A worker that ends its attempt without a word of its second call has not made it
    this.#hedging.settle(notes, this.#ending === null ? lostOf(notes.job, 0) : UNTOLD, now)
    if (notes.call !== null) {
      const { sentAgoMs } = ending
      this.#plan.release(notes, cameTo(ending), now, sentAgoMs === undefined ? null : now - sentAgoMs)
    }
    this.#spending.settle(notes, ending, now)
    notes.claim = null
    this.#leasing.giveBack(worker)
  }
}
