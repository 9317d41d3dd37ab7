/**
 * Jobs that share an answer (shares/, 0051), in line: who repeats whose, who is told that it can, and who makes the
 * answer when its maker is gone.
 */
import type { Cached, JobId, JobState, TenantId } from '../core/job.ts'
import type { ScheduledJob } from '../core/ports/coordinator.ts'
import type { Outcome } from '../core/ports/work.ts'
import { NO_USAGE, RELEASED, type SchedulerOutcome } from './ending.ts'
import type { HeadroomRefusal, Notes, Scheduler } from './scheduler/port.ts'
import { type ShareRules, Shares } from './shares/shares.ts'
import type { Spending } from './spending.ts'

export interface SharingOptions {
  readonly rules: (tenant: TenantId) => ShareRules | null
  readonly scheduler: Scheduler
  readonly spending: Spending
  /** Something may be leasable again; so may those that wait for one of these accounts. */
  readonly wake: (accounts: readonly string[]) => void
}

const NOBODY: readonly string[] = []

export class Sharing {
  readonly #shares: Shares<ScheduledJob>
  readonly #scheduler: Scheduler
  readonly #spending: Spending
  readonly #wake: (accounts: readonly string[]) => void
  /** Makers of answers that nobody waits for any more. */
  readonly #forsaken: JobId[] = []
  readonly #inLine = (id: JobId): ScheduledJob | null => {
    const notes = this.#scheduler.notes(id)
    return notes === null || notes.lease !== null ? null : notes.job
  }

  constructor({ rules, scheduler, spending, wake }: SharingOptions) {
    this.#shares = new Shares(rules, (job) => spending.accountsOf(job))
    this.#scheduler = scheduler
    this.#spending = spending
    this.#wake = wake
  }

  // ------------------------------------------------------------ in

  /** How it would get its answer; null: it shares none. */
  find(job: ScheduledJob, now: number): Cached | null {
    return this.#shares.find(job, now)
  }

  take(job: ScheduledJob, now: number): void {
    this.#shares.take(job, now)
  }

  /** After a restart: it runs, and repeats `source`, or makes its own answer. */
  adopt(job: ScheduledJob, source: JobId | null): void {
    this.#shares.adopt(job, source)
  }

  // ------------------------------------------------------------ lease to end

  /** Whose answer it repeats. It needs no deployment, but the answer: until that is there, or comes, it waits. */
  sourceOf(id: JobId): JobId | HeadroomRefusal {
    const { maker, state, account } = this.#shares.answerFor(id)!
    // Its maker may be under the same limits, and must not wait with it
    const blocked = { account, untilMono: Infinity, alone: true } as const
    return maker === null || state === 'waits' ? { scope: 'job', blocked } : maker
  }

  /** It was to make its own answer: who makes it by now. */
  startedBefore(job: ScheduledJob): JobId | null {
    return job.share === undefined ? null : this.#shares.startedBefore(job.id)
  }

  /** It repeats that one's, after all. */
  join(job: ScheduledJob): void {
    this.#shares.join(job)
  }

  /** It is given to a worker, to make its own answer. */
  starts(job: ScheduledJob): void {
    const forsaken = job.share === undefined ? null : this.#shares.starts(job)
    if (forsaken !== null) this.#forsaken.push(forsaken)
  }

  leased({ id, share }: ScheduledJob, now: number): void {
    if (share === undefined) return
    this.#tell(this.#shares.leased(id))
    for (const other of this.#shares.gather(id)) {
      // It has expired, which is about to be told
      if (this.#inLine(other) === null) continue
      this.#scheduler.notes(other)!.repeats = true
      this.#scheduler.regroup(other, now)
    }
  }

  /** A repeat's end. One that failed, and may be tried again, makes its own answer, or repeats another. */
  repeated(job: ScheduledJob, notes: Notes, source: JobId, outcome: Outcome): SchedulerOutcome {
    if (outcome.kind === 'failed' && outcome.retry !== false) {
      notes.repeats = this.#shares.broken(job, source)
      return RELEASED
    }
    // It costs its tenant nothing of its fair share
    if (outcome.kind === 'failed') return { ...outcome, retry: false, attemptUsage: NO_USAGE }
    return outcome.kind === 'released' ? outcome : { ...outcome, attemptUsage: NO_USAGE }
  }

  /** Its worker's end of it: of an answer that is whole and its own, others may have the same. */
  finished(job: ScheduledJob, outcome: Outcome, state: JobState, source: JobId | undefined, now: number): void {
    if (job.share === undefined) return
    const isWhole = state === 'done' && outcome.kind === 'done' && outcome.cut === undefined
    if (isWhole && source === undefined) this.#tell(this.#shares.made(job, now))
    else this.ended(job.id, now)
  }

  /** It is in line again. */
  returned(job: ScheduledJob, now: number): void {
    if (job.share !== undefined) this.#generate(this.#shares.returned(job, this.#inLine), now)
  }

  /** There may be other limits: nobody waits for those of others. */
  limitsChanged(now: number): void {
    this.#generate(this.#shares.limitsChanged(this.#inLine), now)
  }

  /** It leaves no answer to those that share it: the oldest of them in line makes it now. */
  ended(id: JobId, now: number): void {
    const { promoted, canceled } = this.#shares.ended(id, this.#inLine)
    this.#generate(promoted, now)
    if (canceled !== null) this.#forsaken.push(canceled)
  }

  /** Nobody reads it. Is it kept for others that share its answer? */
  abandon(id: JobId): boolean {
    return this.#shares.abandon(id)
  }

  /** One that nobody waits for any more: it is to be canceled. */
  takeForsaken(): JobId | undefined {
    return this.#forsaken.pop()
  }

  /** In line, they were to repeat an answer, and make it themselves: they hold its weight when they are leased. */
  #generate(ids: readonly JobId[], now: number): void {
    for (const id of ids) {
      const notes = this.#scheduler.notes(id)!
      notes.repeats = false
      this.#spending.letGo(notes, now)
      this.#scheduler.regroup(id, now)
    }
    if (ids.length > 0) this.#wake(NOBODY)
  }

  #tell(account: string | null): void {
    if (account !== null) this.#wake([account])
  }
}

export const isRepeat = (cached: Cached | null): boolean => cached === 'hit' || cached === 'joined'
