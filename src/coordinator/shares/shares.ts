/**
 * Which jobs share an answer (0051). Of the jobs of one key one makes the answer; others repeat it while it is made
 * (`joined`), or once it is there (`hit`). What is repeated is always an answer that was generated: no chains.
 *
 *   take ─▶ maker: waits ─ leased ─▶ runs ─ made ─▶ kept, until it is too old or others are used more
 *             ▲  └─ returned ◀────────┘ │
 *             └─ the oldest reader ◀────┘ ended otherwise
 *
 * Pure: times are monotonic ms.
 */
import type { Cached, JobId, Priority, Share, TenantId } from '../../core/job.ts'
import { Table } from '../../core/table.ts'
import { CLASS } from '../scheduler/flow.ts'
import { SharedAnswer } from './answer.ts'

/** What a tenant's jobs may share. */
export interface ShareRules {
  /** How long an answer is repeated once it is there; 0: not at all. */
  readonly ttlMs: number
  /** Answers that are kept for that; those used the longest ago go first. */
  readonly maxEntries: number
  /** Do they share answers that are being made? */
  readonly coalesce: boolean
}

/** What is looked at of a job. */
export interface SharingJob {
  readonly id: JobId
  readonly tenant: TenantId
  readonly share?: Share
  readonly lane: string | null
  readonly priority: Priority
  readonly acceptedMono: number
  readonly notBeforeMono: number
}

/** What follows from a job's end. */
export interface After {
  /** Who waits for this account may try again. */
  readonly freed: string | null
  /** In line, and the one that makes the answer from now on. */
  readonly promoted: JobId | null
  /** Nobody waits for the answer of this one any more. */
  readonly canceled: JobId | null
}

const NOTHING: After = { freed: null, promoted: null, canceled: null }

export class Shares {
  readonly #rulesOf: (tenant: TenantId) => ShareRules | null
  /** Being made, by key. */
  readonly #making = new Table<string, SharedAnswer>()
  /** There, by tenant and key; the least recently used first. */
  readonly #made = new Map<TenantId, Map<string, SharedAnswer>>()
  /** Of makers that have not ended, and of readers. */
  readonly #byJob = new Table<JobId, SharedAnswer>()

  constructor(rulesOf: (tenant: TenantId) => ShareRules | null) {
    this.#rulesOf = rulesOf
  }

  /** Answers that are kept, those that are being made, and live jobs that make or repeat one. */
  get size(): { readonly kept: number; readonly making: number; readonly jobs: number } {
    let kept = 0
    for (const answers of this.#made.values()) kept += answers.size
    return { kept, making: this.#making.size, jobs: this.#byJob.size }
  }

  // ------------------------------------------------------------ in

  /** How it would get its answer; null: it shares none. Nothing changes. */
  find(job: SharingJob, now: number): Cached | null {
    if (job.share === undefined) return null
    const rules = this.#rulesOf(job.tenant)
    if (rules === null) return null
    if (this.#keptFor(job, rules, now) !== null) return 'hit'
    return this.#makingFor(job, rules) !== null ? 'joined' : 'miss'
  }

  /** It was accepted, or is there again after a restart. As `find`. */
  take(job: SharingJob, now: number): Cached | null {
    if (job.share === undefined) return null
    const rules = this.#rulesOf(job.tenant)
    if (rules === null) return null
    const kept = this.#keptFor(job, rules, now)
    if (kept !== null) {
      const answers = this.#made.get(job.tenant)!
      answers.delete(kept.key)
      answers.set(kept.key, kept)
      this.#read(job.id, kept)
      return 'hit'
    }
    const making = this.#makingFor(job, rules)
    if (making !== null) {
      this.#read(job.id, making)
      return 'joined'
    }
    if (rules.coalesce && mayWait(job)) this.#make(job, 'waits')
    return 'miss'
  }

  /** After a restart: it runs, and repeats `source`, or makes its own answer. */
  adopt(job: SharingJob, source: JobId | null): void {
    if (job.share === undefined) return
    const { key } = job.share
    const making = this.#making.get(key)
    if (source !== null) {
      const known = making?.maker === source ? making : new SharedAnswer(key, job.tenant, source, job.priority, 'made')
      this.#read(job.id, known)
    } else if (making === undefined && this.#rulesOf(job.tenant)?.coalesce === true && mayWait(job))
      this.#make(job, 'runs')
  }

  #read(id: JobId, answer: SharedAnswer): void {
    answer.readers.add(id)
    this.#byJob.set(id, answer)
  }

  #make({ id, tenant, share, priority }: SharingJob, state: 'waits' | 'runs'): void {
    const { key } = share!
    const known = this.#making.get(key)
    if (known !== undefined && known.maker !== null) return
    const answer = known ?? new SharedAnswer(key, tenant, id, priority, state)
    answer.maker = id
    answer.priority = priority
    answer.state = state
    this.#making.set(key, answer)
    this.#byJob.set(id, answer)
  }

  #keptFor(job: SharingJob, { ttlMs }: ShareRules, now: number): SharedAnswer | null {
    const { tenant, share } = job
    if (share!.refresh || !mayWait(job)) return null
    const kept = this.#made.get(tenant)?.get(share!.key)
    return kept !== undefined && now - kept.madeMono < ttlMs ? kept : null
  }

  /** One that is made no later than the job's own would be. */
  #makingFor(job: SharingJob, { coalesce }: ShareRules): SharedAnswer | null {
    if (!coalesce || job.share!.refresh || !mayWait(job)) return null
    const making = this.#making.get(job.share!.key)
    if (making === undefined || making.maker === null) return null
    return making.state === 'runs' || CLASS[making.priority] <= CLASS[job.priority] ? making : null
  }

  // ------------------------------------------------------------ which

  /** Whose answer the job repeats, or waits for; null: it makes its own. */
  answerFor(id: JobId): SharedAnswer | null {
    const answer = this.#byJob.get(id)
    return answer === undefined || answer.maker === id ? null : answer
  }

  // ------------------------------------------------------------ the maker

  /** It runs. Returns the account of those that wait for that. */
  leased(id: JobId): string | null {
    const answer = this.#byJob.get(id)
    if (answer === undefined || answer.maker !== id) return null
    answer.state = 'runs'
    return answer.isRead ? answer.account : null
  }

  /** It is in line again; a reader stays one, unless nobody else makes the answer any more. Was that so? */
  returned({ id, priority }: SharingJob): boolean {
    const answer = this.#byJob.get(id)
    if (answer === undefined) return false
    if (answer.maker === id) answer.state = 'waits'
    else if (answer.maker !== null) answer.readers.add(id)
    else {
      answer.readers.delete(id)
      answer.maker = id
      answer.priority = priority
      return true
    }
    return false
  }

  /** It made its answer, whole. Returns the account of those that wait for it. */
  made(job: SharingJob, now: number): string | null {
    const { id, tenant, share, priority } = job
    if (share === undefined) return null
    const own = this.#byJob.get(id)
    this.#byJob.delete(id)
    const rules = this.#rulesOf(tenant)
    const answer = own ?? new SharedAnswer(share.key, tenant, id, priority, 'made')
    answer.state = 'made'
    answer.madeMono = now
    answer.isLeft = false
    if (own !== undefined && this.#making.get(share.key) === own) this.#making.delete(share.key)
    if (rules !== null && rules.ttlMs > 0 && rules.maxEntries > 0) this.#keep(answer, rules, now)
    return answer.isRead ? answer.account : null
  }

  #keep(answer: SharedAnswer, { ttlMs, maxEntries }: ShareRules, now: number): void {
    const answers = this.#made.get(answer.tenant) ?? new Map<string, SharedAnswer>()
    this.#made.set(answer.tenant, answers)
    answers.delete(answer.key)
    answers.set(answer.key, answer)
    for (const [key, oldest] of answers) {
      if (answers.size <= maxEntries && now - oldest.madeMono < ttlMs) break
      answers.delete(key)
    }
  }

  // ------------------------------------------------------------ ends

  /**
   * A reader could not repeat `source`, and is to come back. Does it repeat another one? Else it makes its own answer.
   */
  broken(job: SharingJob, source: JobId): boolean {
    const answer = this.#byJob.get(job.id)
    if (answer === undefined) return false
    // Another reader came back first
    if (answer.maker !== null && answer.maker !== source) return true
    const isThere = answer.maker === null || answer.state === 'made'
    const kept = this.#made.get(answer.tenant)
    if (isThere && kept?.get(answer.key) === answer) kept.delete(answer.key)
    const other = this.#making.get(answer.key)
    const canMake = isThere && mayWait(job) && (other === undefined || other === answer)
    answer.readers.delete(job.id)
    if (!canMake || this.#rulesOf(job.tenant)?.coalesce !== true) {
      this.#byJob.delete(job.id)
      this.#leave(answer)
      return false
    }
    answer.maker = job.id
    answer.priority = job.priority
    answer.state = 'waits'
    this.#making.set(answer.key, answer)
    return false
  }

  /** It ended, and left no answer to share; or it was a reader. */
  ended(id: JobId, inLine: (id: JobId) => SharingJob | null): After {
    const answer = this.#byJob.get(id)
    if (answer === undefined) return NOTHING
    this.#byJob.delete(id)
    if (answer.maker !== id) {
      answer.readers.delete(id)
      return { ...NOTHING, canceled: this.#leave(answer) }
    }
    const next = answer.isRead ? answer.readers.next(inLine) : null
    answer.isLeft = false
    answer.state = 'waits'
    answer.maker = next === null ? null : next.id
    if (next !== null) {
      answer.priority = next.priority
      answer.readers.delete(next.id)
    } else if (!answer.isRead) this.#making.delete(answer.key)
    return { freed: null, promoted: answer.maker, canceled: null }
  }

  /** A reader is gone. Returns the maker, where it ran for that reader alone. */
  #leave(answer: SharedAnswer): JobId | null {
    if (answer.isRead || answer.state === 'made') return null
    if (answer.maker === null) this.#making.delete(answer.key)
    return answer.isLeft ? answer.maker : null
  }

  /** Nobody reads it. Is it kept for others that share its answer? */
  abandon(id: JobId): boolean {
    const answer = this.#byJob.get(id)
    if (answer === undefined || answer.maker !== id || !answer.isRead) return false
    answer.isLeft = true
    return true
  }
}

/**
 * Others may wait for it, and it for others. One in a lane could wait for itself, by way of others: it only makes
 * answers.
 */
const mayWait = ({ lane, acceptedMono, notBeforeMono }: SharingJob): boolean =>
  lane === null && notBeforeMono <= acceptedMono
