/**
 * A second call of an attempt that has shown nothing for long. Both are held and booked as calls of their own, each
 * once: when one of them is over, by what its worker tells; else when the lease ends, however it does.
 */
import type { JobId } from '../core/job.ts'
import type { Claim, Race } from '../core/ports/work.ts'
import { cameTo, type Ending } from './ending.ts'
import type { Parts } from './leasing.ts'
import type { Plan } from './plan/plan.ts'
import type { Planned } from './plan/planned.ts'
import type { Results } from './results.ts'
import type { Notes, Scheduler, SecondCall } from './scheduler/port.ts'
import { amountsOf, type Spending } from './spending.ts'

export class Hedging {
  readonly #scheduler: Scheduler
  readonly #plan: Plan
  readonly #spending: Spending
  readonly #results: Results

  constructor({ scheduler, plan, spending, results }: Parts) {
    this.#scheduler = scheduler
    this.#plan = plan
    this.#spending = spending
    this.#results = results
  }

  /** Null: it goes on alone. */
  start(id: JobId, attempt: number, now: number): Claim | null {
    const notes = this.#scheduler.notes(id)
    if (notes === null || notes.lease === null || notes.attempt !== attempt) return null
    const { job, claim, call, second, failedAt } = notes
    if (second !== null) return second.claim
    // Once for each attempt; what repeats an answer calls nobody, and a fallback is none of the job's own model
    if (claim === null || call === null || claim.isHedge || notes.streamed > 0) return null
    if (claim.model !== undefined || notes.hedgedIn === attempt) return null
    const hold = this.#spending.holdSecond(job, now)
    if (hold === 'lacking') return null
    const planned: Planned = { job, failedAt, call: null }
    const found = this.#plan.hedge(notes, planned, now)
    if (found === null) {
      this.#spending.giveUpSecond(hold, now)
      return null
    }
    const own: Claim = { ...found, isHedge: true, reservation: amountsOf(hold) }
    notes.second = { claim: own, hold, call: planned.call! }
    notes.hedgedIn = attempt
    this.#change(notes, { ...claim, hedge: own })
    return own
  }

  /** Its worker tells which of the two is the attempt from now on. */
  raced(notes: Notes, race: Race, now: number): void {
    const { second, claim, call: firstCall, job, failedAt } = notes
    if (second === null) return
    const first = alone(claim!)
    const isSecond = race.won === 'second'
    if (isSecond) notes.call = second.call
    const lost: Planned = { job, failedAt, call: isSecond ? firstCall : second.call }
    this.#teach(notes, lost, race, now)
    const { end, usage, cost } = race
    this.#end(notes, second, isSecond ? first : second.claim, lost, { end, usage, cost }, now)
    this.#change(notes, isSecond ? { ...second.claim, reservation: first.reservation } : first)
  }

  #teach(notes: Notes, lost: Planned, { end, failure }: Race, now: number): void {
    if (end === 'outrun') this.#plan.outrun(lost, now)
    if (failure === undefined) return
    const { code, retryAfterMs, elsewhere } = failure
    notes.failedAt = this.#plan.failed(lost, { code, retryAfterMs, elsewhere }, now).failedAt
  }

  /** Its lease is over, and nobody told of a race. */
  settle(notes: Notes, ending: Ending, now: number): void {
    const { second, job, failedAt } = notes
    if (second !== null) this.#end(notes, second, second.claim, { job, failedAt, call: second.call }, ending, now)
  }

  /** What is held for one of the two is worth as much as for the other: the attempt keeps what it began with. */
  #end(notes: Notes, { hold }: SecondCall, claim: Claim, lost: Planned, ending: Ending, now: number): void {
    notes.second = null
    this.#plan.release(lost, cameTo(ending), now)
    this.#spending.settleCall(notes, claim, hold, ending, now, true)
  }

  /** What a restart found of it. */
  adopt(notes: Notes, claim: Claim, now: number): void {
    const { hedge } = claim
    if (hedge === undefined) return
    const { job, failedAt } = notes
    notes.hedgedIn = notes.attempt
    const planned: Planned = { job, failedAt, call: null }
    this.#plan.adopt(planned, hedge, now)
    const hold = this.#spending.adoptSecond(job, hedge.reservation, now)
    notes.second = { claim: { ...hedge, isHedge: true }, hold, call: planned.call! }
  }

  #change(notes: Notes, claim: Claim): void {
    notes.claim = claim
    this.#results.change({ type: 'hedged', id: notes.job.id, attempt: notes.attempt, claim })
  }
}

const alone = ({ hedge: _, ...claim }: Claim): Claim => claim
