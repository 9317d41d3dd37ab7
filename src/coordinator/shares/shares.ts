/**
 * Which jobs share an answer (0051). Of the jobs of one key one makes the answer; others repeat it while it is made
 * (`joined`), or once it is there (`hit`). What is repeated is always an answer that was generated: no chains.
 *
 * Nobody waits for another's limits: while the maker is in line, only those wait for it that are under the same. The
 * others stand apart, in line as if they shared nothing; the first of them all that starts is the maker.
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
  /** In line, and no longer readers: one makes the answer from now on, the others stand apart. */
  readonly promoted: readonly JobId[]
  /** Nobody waits for the answer of this one any more. */
  readonly canceled: JobId | null
}

const NOBODY: readonly JobId[] = []
const NOTHING: After = { promoted: NOBODY, canceled: null }

export class Shares<J extends SharingJob = SharingJob> {
  readonly #rulesOf: (tenant: TenantId) => ShareRules | null
  readonly #accountsOf: (job: J) => string
  /** Being made, by key. */
  readonly #making = new Table<string, SharedAnswer>()
  /** There, by tenant and key; the least recently used first. */
  readonly #made = new Map<TenantId, Map<string, SharedAnswer>>()
  /** Of makers that have not ended, and of readers. */
  readonly #byJob = new Table<JobId, SharedAnswer>()

  /** `accountsOf`: limits that may hold a job back alone, as they are now. */
  constructor(rulesOf: (tenant: TenantId) => ShareRules | null, accountsOf: (job: J) => string = () => '') {
    this.#rulesOf = rulesOf
    this.#accountsOf = accountsOf
  }

  /** Answers that are kept, those that are being made, and live jobs that make or repeat one. */
  get size(): { readonly kept: number; readonly making: number; readonly jobs: number } {
    let kept = 0
    for (const answers of this.#made.values()) kept += answers.size
    return { kept, making: this.#making.size, jobs: this.#byJob.size }
  }

  // ------------------------------------------------------------ in

  /** How it would get its answer; null: it shares none. Nothing changes. */
  find(job: J, now: number): Cached | null {
    if (job.share === undefined) return null
    const rules = this.#rulesOf(job.tenant)
    if (rules === null) return null
    if (this.#keptFor(job, rules, now) !== null) return 'hit'
    const making = this.#makingFor(job, rules)
    return making !== null && this.#mayWaitFor(making, job) ? 'joined' : 'miss'
  }

  /** It was accepted, or is there again after a restart. As `find`. */
  take(job: J, now: number): Cached | null {
    if (job.share === undefined) return null
    const rules = this.#rulesOf(job.tenant)
    if (rules === null) return null
    const kept = this.#keptFor(job, rules, now)
    if (kept !== null) {
      const answers = this.#made.get(job.tenant)!
      answers.delete(kept.key)
      answers.set(kept.key, kept)
      this.#read(job, kept)
      return 'hit'
    }
    const making = this.#makingFor(job, rules)
    if (making !== null) {
      if (this.#mayWaitFor(making, job)) {
        this.#read(job, making)
        return 'joined'
      }
      making.apart.add(job.id)
      this.#byJob.set(job.id, making)
      return 'miss'
    }
    if (rules.coalesce && mayWait(job)) this.#make(job, 'waits')
    return 'miss'
  }

  /** After a restart: it runs, and repeats `source`, or makes its own answer. */
  adopt(job: J, source: JobId | null): void {
    if (job.share === undefined) return
    const { key } = job.share
    const making = this.#making.get(key)
    if (source !== null) {
      const { tenant, priority } = job
      const known = making?.maker === source ? making : new SharedAnswer(key, tenant, source, priority, 'made', '')
      this.#read(job, known)
    } else if (making === undefined && this.#rulesOf(job.tenant)?.coalesce === true && mayWait(job))
      this.#make(job, 'runs')
  }

  #read(job: J, answer: SharedAnswer): void {
    answer.readers.add(job.id)
    answer.isMixed ||= this.#accountsOf(job) !== answer.accounts
    this.#byJob.set(job.id, answer)
  }

  #make(job: J, state: 'waits' | 'runs'): void {
    const { tenant, share, priority } = job
    const { key } = share!
    const known = this.#making.get(key)
    if (known !== undefined && known.maker !== null) return
    const answer = known ?? new SharedAnswer(key, tenant, job.id, priority, state, '')
    this.#appoint(answer, job, state)
    this.#making.set(key, answer)
    this.#byJob.set(job.id, answer)
  }

  /** It makes the answer from now on. */
  #appoint(answer: SharedAnswer, job: J, state: 'waits' | 'runs'): void {
    answer.maker = job.id
    answer.priority = job.priority
    answer.state = state
    const accounts = this.#accountsOf(job)
    answer.isMixed ||= answer.isRead && accounts !== answer.accounts
    answer.accounts = accounts
  }

  #keptFor(job: J, { ttlMs }: ShareRules, now: number): SharedAnswer | null {
    const { tenant, share } = job
    if (share!.refresh || !mayWait(job)) return null
    const kept = this.#made.get(tenant)?.get(share!.key)
    return kept !== undefined && now - kept.madeMono < ttlMs ? kept : null
  }

  /** One that is made no later than the job's own would be. */
  #makingFor(job: J, { coalesce }: ShareRules): SharedAnswer | null {
    if (!coalesce || job.share!.refresh || !mayWait(job)) return null
    const making = this.#making.get(job.share!.key)
    if (making === undefined || making.maker === null) return null
    return making.state === 'runs' || CLASS[making.priority] <= CLASS[job.priority] ? making : null
  }

  /** Does it wait for nothing that the job would not wait for as well? */
  #mayWaitFor(making: SharedAnswer, job: J): boolean {
    return making.state === 'runs' || making.accounts === '' || making.accounts === this.#accountsOf(job)
  }

  // ------------------------------------------------------------ which

  /** Whose answer the job repeats, or waits for; null: it makes its own. */
  answerFor(id: JobId): SharedAnswer | null {
    const answer = this.#byJob.get(id)
    return answer === undefined || answer.maker === id ? null : answer
  }

  /** It stands apart, and by now another one makes the answer: that one. */
  startedBefore(id: JobId): JobId | null {
    const answer = this.#byJob.get(id)
    return answer?.isStarting === true && answer.isApart(id) ? answer.maker : null
  }

  /** It repeats that one's. */
  join(job: J): void {
    const answer = this.#byJob.get(job.id)!
    answer.apart.delete(job.id)
    this.#read(job, answer)
  }

  // ------------------------------------------------------------ the maker

  /** It starts. Returns another that was kept for its readers alone, which have this one now. */
  starts(job: J): JobId | null {
    const answer = this.#byJob.get(job.id)
    if (answer === undefined || answer.state !== 'waits' || answer.isStarting) return null
    const before = answer.maker
    if (before !== null && before !== job.id) {
      answer.apart.delete(job.id)
      answer.apart.add(before)
    }
    const isLeft = answer.isLeft && before !== job.id
    if (isLeft) answer.isLeft = false
    this.#appoint(answer, job, 'waits')
    answer.isStarting = true
    return isLeft ? before : null
  }

  /** It runs. Returns the account of those that wait for that. */
  leased(id: JobId): string | null {
    const answer = this.#byJob.get(id)
    if (answer === undefined || answer.maker !== id) return null
    answer.state = 'runs'
    answer.isStarting = false
    return answer.isRead ? answer.account : null
  }

  /** It runs. Returns those that stood apart, and repeat it from now on. */
  gather(id: JobId): readonly JobId[] {
    const answer = this.#byJob.get(id)
    if (answer === undefined || answer.maker !== id) return NOBODY
    const ids = answer.takeApart()
    for (const other of ids) answer.readers.add(other)
    answer.isMixed ||= ids.length > 0
    return ids
  }

  /**
   * It is in line again; a reader stays one, unless nobody else makes the answer any more, or who does waits under
   * other limits. Returns those that are readers no longer.
   */
  returned(job: J, inLine: (id: JobId) => J | null): readonly JobId[] {
    const { id } = job
    const answer = this.#byJob.get(id)
    if (answer === undefined) return NOBODY
    if (answer.maker === id) {
      this.#appoint(answer, job, 'waits')
      return this.#part(answer, inLine)
    }
    if (answer.maker !== null) {
      if (answer.state !== 'waits' || this.#mayWaitFor(answer, job)) {
        answer.readers.add(id)
        return NOBODY
      }
      answer.readers.delete(id)
      answer.apart.add(id)
      return [id]
    }
    answer.readers.delete(id)
    this.#appoint(answer, job, 'waits')
    return [id, ...this.#part(answer, inLine)]
  }

  /** There may be other limits. Returns those that are readers no longer. */
  limitsChanged(inLine: (id: JobId) => J | null): readonly JobId[] {
    const parted: JobId[] = []
    for (const answer of this.#making.values()) {
      answer.isMixed = answer.isRead
      const maker = answer.state !== 'waits' || answer.maker === null ? null : inLine(answer.maker)
      if (maker === null) continue
      this.#appoint(answer, maker, 'waits')
      for (const id of this.#part(answer, inLine)) parted.push(id)
    }
    return parted
  }

  /** Its maker is in line: readers in line that are under other limits stand apart. */
  #part(answer: SharedAnswer, inLine: (id: JobId) => J | null): readonly JobId[] {
    if (!answer.isMixed || !answer.isRead) return NOBODY
    const parted: JobId[] = []
    let runs = false
    for (const id of answer.readers.ids()) {
      const job = inLine(id)
      if (job === null) runs = true
      else if (!this.#mayWaitFor(answer, job)) parted.push(id)
    }
    for (const id of parted) {
      answer.readers.delete(id)
      answer.apart.add(id)
    }
    answer.isMixed = runs
    return parted
  }

  /** It made its answer, whole. Returns the account of those that wait for it. */
  made(job: J, now: number): string | null {
    const { id, tenant, share, priority } = job
    if (share === undefined) return null
    const own = this.#byJob.get(id)
    this.#byJob.delete(id)
    const rules = this.#rulesOf(tenant)
    const answer = own ?? new SharedAnswer(share.key, tenant, id, priority, 'made', '')
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
  broken(job: J, source: JobId): boolean {
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
    this.#appoint(answer, job, 'waits')
    this.#making.set(answer.key, answer)
    return false
  }

  /** It ended, and left no answer to share; or it was a reader. */
  ended(id: JobId, inLine: (id: JobId) => J | null): After {
    const answer = this.#byJob.get(id)
    if (answer === undefined) return NOTHING
    this.#byJob.delete(id)
    if (answer.isApart(id)) {
      answer.apart.delete(id)
      return NOTHING
    }
    if (answer.maker !== id) {
      answer.readers.delete(id)
      return { promoted: NOBODY, canceled: this.#leave(answer) }
    }
    const next = answer.next(inLine)
    answer.isLeft = false
    answer.state = 'waits'
    answer.maker = null
    if (next === null) {
      if (!answer.isRead) this.#making.delete(answer.key)
      return NOTHING
    }
    const isReader = !answer.isApart(next.id)
    if (isReader) answer.readers.delete(next.id)
    else answer.apart.delete(next.id)
    this.#appoint(answer, next, 'waits')
    const parted = this.#part(answer, inLine)
    return { promoted: isReader ? [next.id, ...parted] : parted, canceled: null }
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
