/** Who starts now, on which worker, with what claim: in fair order, as far as slots, room and deployments go. */
import type { SluiceError } from '../core/errors.ts'
import type { JobId } from '../core/job.ts'
import type { ScheduledJob, WorkerSeat } from '../core/ports/coordinator.ts'
import { FROM_CACHE } from '../core/ports/work.ts'
import type { Plan } from './plan/plan.ts'
import type { Results } from './results.ts'
import type { Headroom, HeadroomRefusal, Notes, Scheduler } from './scheduler/port.ts'
import { Seats } from './seats.ts'
import type { Sharing } from './sharing.ts'
import { amountsOf, type Spending } from './spending.ts'

/** What starts and ends of leases are decided with. */
export interface Parts {
  readonly scheduler: Scheduler
  readonly plan: Plan
  readonly spending: Spending
  readonly sharing: Sharing
  readonly results: Results
}

/** Jobs leased in one call: few enough that none waits long for the others to be stored and started. */
const LEASE_BATCH = 64

export class Leasing {
  readonly #scheduler: Scheduler
  readonly #plan: Plan
  readonly #spending: Spending
  readonly #sharing: Sharing
  readonly #results: Results
  readonly #seats = new Seats()
  #leasable = false

  constructor({ scheduler, plan, spending, sharing, results }: Parts) {
    this.#scheduler = scheduler
    this.#plan = plan
    this.#spending = spending
    this.#sharing = sharing
    this.#results = results
  }

  get leasable(): boolean {
    return this.#leasable
  }

  /** Something may be leasable again. */
  wake(): void {
    this.#leasable = true
  }

  /** Of all workers. */
  get slots(): number {
    return this.#seats.slots
  }

  /** Of the workers that serve this pool. */
  free(pool: string, now: number): number {
    let free = 0
    for (const { pools, slots, held } of this.#seats.free(now))
      if (pools.length === 0 || pools.includes(pool)) free += slots - held
    return free
  }

  // ------------------------------------------------------------ workers

  attach(worker: WorkerSeat): void {
    this.#seats.attach(worker)
    this.#leasable = true
  }

  leave(worker: string): void {
    this.#seats.leave(worker)
  }

  /** A lease that a restart found. */
  adopt(worker: string): void {
    this.#seats.take(worker)
  }

  /** A lease is over. */
  giveBack(worker: string): void {
    if (this.#seats.giveBack(worker)) this.#leasable = true
  }

  /** It hands back what it can't run: others come first until then. */
  last(worker: string, untilMono: number): void {
    this.#seats.last(worker, untilMono)
  }

  // ------------------------------------------------------------ lease

  lease(now: number): void {
    this.#leasable = false
    let left = LEASE_BATCH
    for (let hasMore = true; hasMore && left > 0; ) {
      hasMore = false
      const free = this.#seats.free(now)
      // Several workers get a few each per round, so that the least loaded comes first again
      const share = free.length === 1 ? left : Math.ceil(left / (4 * free.length))
      for (const seat of free) {
        const max = Math.min(share, left, seat.slots - seat.held)
        const leased = this.#leaseTo(seat, max, now)
        left -= leased
        // It got as many as it could take, so there may be more
        if (leased === max) hasMore = true
      }
    }
    if (left === 0) this.#leasable = true
  }

  #leaseTo({ id: worker, pools }: WorkerSeat, max: number, now: number): number {
    const over: Array<readonly [id: JobId, error: SluiceError]> = []
    const headroom: Headroom = (job, notes) => {
      const refusal = room(job, notes)
      if (refusal?.ends !== undefined) over.push([job.id, refusal.ends])
      return refusal
    }
    const room: Headroom = (job, notes) => {
      if (notes.repeats) {
        const source = this.#sharing.sourceOf(job.id)
        return typeof source === 'string' ? this.#repeat(notes, source, now) : source
      }
      const source = this.#sharing.startedBefore(job)
      return source === null ? this.#generate(job, notes, now) : this.#join(job, notes, source, now)
    }
    const leased = this.#scheduler.lease(worker, pools, max, headroom, now)
    for (const { id, attempt, crashes } of leased) {
      const { job, claim, ranMs, turnMs, ttftMs } = this.#scheduler.notes(id)!
      this.#sharing.leased(job, now)
      this.#seats.take(worker)
      const sinceAcceptedMs = now - job.acceptedMono
      const queuedMs = Math.max(0, sinceAcceptedMs - ranMs)
      const times = { sinceAcceptedMs, queuedMs, turnMs: Math.min(turnMs ?? 0, queuedMs), ttftMs }
      this.#results.change({ type: 'leased', id, worker, attempt, crashes, claim: claim!, ...times })
    }
    for (const [id, error] of over) this.#scheduler.fail(id, error, now)
    return leased.length
  }

  #generate(job: ScheduledJob, notes: Notes, now: number): HeadroomRefusal | null {
    const wasHeld = notes.hold !== null
    const short = this.#spending.start(notes, now)
    if (short !== null) return short
    let unpaid: HeadroomRefusal | null = null
    const found = this.#plan.claim(notes, now, (instead) => {
      if (this.#spending.isHopeless(notes, instead, now)) return 'never'
      const lack = this.#spending.replace(notes, instead, now)
      unpaid ??= lack
      return lack === null ? 'yes' : 'later'
    })
    if ('scope' in found) {
      this.#spending.unstart(notes, wasHeld, now)
      return unpaid ?? found
    }
    this.#sharing.starts(job)
    notes.claim = { ...found, reservation: amountsOf(notes.hold) }
    notes.streamed = 0
    return null
  }

  #repeat(notes: Notes, source: JobId, now: number): HeadroomRefusal | null {
    const short = this.#spending.start(notes, now)
    if (short !== null) return short
    notes.claim = { deployment: FROM_CACHE, source, reservation: amountsOf(notes.hold) }
    notes.streamed = 0
    return null
  }

  #join(job: ScheduledJob, notes: Notes, source: JobId, now: number): HeadroomRefusal | null {
    notes.repeats = true
    const short = this.#repeat(notes, source, now)
    if (short === null) this.#sharing.join(job)
    else notes.repeats = false
    return short
  }
}
