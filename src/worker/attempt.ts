/** What the parts of an attempt share: where it runs, what has come of it, and why it is not to go on. */
import { SluiceError } from '../core/errors.ts'
import { aboutJob } from '../core/facts.ts'
import type { Timing, Usage } from '../core/job.ts'
import type { Shortfall } from '../core/limits.ts'
import type { MediaUnits } from '../core/media-units.ts'
import type { LogWriter } from '../core/ports/log.ts'
import type { Deployment } from '../core/ports/provider.ts'
import type { Claim, Lease, Race } from '../core/ports/work.ts'
import type { Bytes } from '../core/record.ts'
import type { UpstreamLimits } from '../core/upstream-limits.ts'
import type { Cost } from '../core/usage-record.ts'
import { AnswerRecords } from './answer-records.ts'
import { AttemptLog } from './attempt-log.ts'
import { AttemptTimes } from './attempt-times.ts'
import type { Calling } from './call.ts'
import { Meter } from './meter.ts'
import type { RunDeps } from './run-deps.ts'

/** Canceled, no longer ours, or handed back. */
export type Stop = 'canceled' | 'lost' | 'released'

/** Thrown where it waits for nothing any more. */
export const STOPPED = new Error('the attempt was stopped')

/** Why a call was aborted, where nobody asked for it. */
export interface Fault {
  readonly error: SluiceError
  readonly retry: boolean | 'elsewhere'
}

/** What an attempt came to. */
export interface Spent {
  readonly attemptUsage?: Usage
  readonly cost?: Cost
}

export class Attempt {
  readonly lease: Lease
  readonly deps: RunDeps
  readonly meter: Meter
  readonly answer: AnswerRecords
  readonly times: AttemptTimes
  /** Where its lease leads; null: nowhere, in this process. */
  readonly #leased: Deployment | null
  /** Null: none was made yet. From the end of a race on, the call that won. */
  calling: Calling | null = null
  /** How the call ended that did not go on. */
  race: Race | null = null
  /** Of images and sounds: as asked for, then as told. */
  units: MediaUnits = {}
  /** What the upstream told of our limits there. */
  quota: UpstreamLimits | undefined
  /** Null: it is opening. */
  writer: LogWriter | null = null
  stop: Stop | null = null
  fault: Fault | null = null
  /** For this the answer ends where it is. */
  cut: Shortfall | null = null
  isSettled = false
  /** Made when it is first asked for: most attempts wait for nothing but their call. */
  #stopping: AbortController | null = null
  /** Made when it is first read: most attempts never do. */
  #log: AttemptLog | null = null

  constructor(lease: Lease, deps: RunDeps) {
    const { job, body, claim } = lease
    this.lease = lease
    this.deps = deps
    this.#leased =
      claim.source === undefined ? deps.deployment(claim.deployment, job.tenant) : deps.replay(claim.source)
    this.meter = new Meter(job.promptTokens, body.length)
    this.answer = new AnswerRecords(lease, this.meter, deps.hasInstead)
    this.times = new AttemptTimes(lease, this.meter, deps.clock.monoMs())
  }

  get claim(): Claim {
    return this.calling?.claim ?? this.lease.claim
  }

  get deployment(): Deployment | null {
    return this.calling?.deployment ?? this.#leased
  }

  /** What comes now is no part of the answer. */
  get isOver(): boolean {
    return this.stop !== null || this.isSettled || this.fault !== null || this.cut !== null
  }

  /** For facts of it. */
  about() {
    const { job, attempt } = this.lease
    return { ...aboutJob(job), attempt, deployment: this.claim.deployment }
  }

  /** As an error of the table; what is none is told to the log. */
  foreseen(thrown: unknown): SluiceError {
    const error = SluiceError.from(thrown)
    if (error.code === 'internal') this.deps.onFault(thrown, this.lease.job)
    return error
  }

  /** The log so far, all committed. Throws STOPPED. */
  read(): Promise<readonly Bytes[]> {
    this.#log ??= new AttemptLog(this.deps, this.lease.job.id, this.writer!, this.stopped)
    return this.#log.read()
  }

  /** It waits for a store that is away. */
  get isReading(): boolean {
    return this.#log?.isWaiting === true
  }

  stopFor(reason: Stop): void {
    this.stop = reason
    this.#stopping?.abort(STOPPED)
  }

  /** Aborts with STOPPED. */
  get stopped(): AbortSignal {
    this.#stopping ??= new AbortController()
    if (this.stop !== null) this.#stopping.abort(STOPPED)
    return this.#stopping.signal
  }

  /** Of the job so far, and of this attempt. */
  spent(): Spent & { readonly usage?: Usage; readonly timing: Timing } {
    const usage = this.calling === null ? this.meter.earlier : this.meter.usage()
    return { ...(usage && { usage }), ...this.attemptSpent(), timing: this.timing() }
  }

  /** Nothing, where its provider was not called. */
  attemptSpent(): Spent {
    if (this.calling === null) return {}
    const attemptUsage = this.meter.attemptUsage()
    return { attemptUsage, cost: this.calling.price(attemptUsage, this.units) }
  }

  timing(): Timing {
    return this.times.timing(this.deps.clock.monoMs())
  }
}
