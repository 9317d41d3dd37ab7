/**
 * One attempt of a job, from its lease to its end.
 *
 *   opening: the log is read, the prompt is made ─┬─▶ calling: the provider answers ─┬─▶ settling ─▶ ended
 *     └ what throws, and what can't go on ────────┼──────────────────────────────────┘
 *                                                 └ stop: at once, or when the call has stopped
 *
 * Every way out is an outcome (ending.ts), and goes through `#settle`, once; only an attempt that is lost has none.
 * Here is its course: what a provider sends is taken in answering.ts, its end is stored in settling.ts, and what all of
 * them share is the Attempt.
 */
import { crashpoint } from '../core/crashpoint.ts'
import { SluiceError } from '../core/errors.ts'
import { isMedia } from '../core/job.ts'
import type { Shortfall } from '../core/limits.ts'
import { Once } from '../core/once.ts'
import type { Stage } from '../core/ports/admission.ts'
import type { Deployment, Provider, Upload } from '../core/ports/provider.ts'
import type { Lease, Outcome } from '../core/ports/work.ts'
import { attemptRecord, type Bytes, resetRecord } from '../core/record.ts'
import { Answering } from './answering.ts'
import { Attempt, type Fault, type Stop } from './attempt.ts'
import { asksForStream, callOf, forModel, priceAt } from './call.ts'
import { LOST, mayRetry, outcomeOfStop, outcomeOfThrown, withAnswer } from './ending.ts'
import { Hedge } from './hedge.ts'
import { removeLeft, uploadsOf } from './media.ts'
import { beginAttempt, lastDeployment, NOTHING_SHOWN, type Shown, shownBy } from './plan.ts'
import type { RunDeps } from './run-deps.ts'
import { Settling } from './settling.ts'

/** Where it is handed to at once, it may be handed back at once. */
const NOT_HERE_MS = 1_000

export class Run {
  readonly ended = new Once<void>()
  readonly #attempt: Attempt
  readonly #answering: Answering
  /** Where the attempt before this one ran; null: there was none. */
  #before: string | null = null
  /** What its log begins with, until it is known which call goes on. */
  #opening: ((deployment: string) => readonly Bytes[]) | null = null
  /** Null: it has one call, and can't have two. */
  #hedge: Hedge | null = null
  /** Between the call and this; null: its tenant has no guards of answers. */
  #stage: Stage | null = null
  /** It was to be cut when it had just come to its end by itself. */
  #isSpared = false

  constructor(lease: Lease, deps: RunDeps) {
    this.#attempt = new Attempt(lease, deps)
    this.#answering = new Answering(this.#attempt, {
      giveUp: (thrown, retry) => this.#giveUp(thrown, retry),
      tooSlow: (error) => this.#break({ error, retry: 'elsewhere' }),
      ended: (outcome) => this.#settle(outcome),
    })
  }

  get lease(): Lease {
    return this.#attempt.lease
  }

  isUsing(provider: Provider): boolean {
    return this.#attempt.deployment?.provider === provider || this.#hedge?.isUsing(provider) === true
  }

  // ------------------------------------------------------------ opening

  start(): void {
    try {
      crashpoint('after-lease')
      this.#open()
    } catch (thrown) {
      this.#settle(outcomeOfThrown(this.#attempt, thrown))
    }
  }

  /** What `next` throws ends the attempt. */
  #after<T>(work: Promise<T>, next: (value: T) => void): void {
    work.then(next).catch((thrown: unknown) => this.#settle(outcomeOfThrown(this.#attempt, thrown)))
  }

  #open(): void {
    const { lease, deps, deployment } = this.#attempt
    const { job, attempt, log, damaged } = lease
    // Taken out since, or not in force in this process: it goes where the plan sends it by then
    if (deployment === null) return this.#settle({ kind: 'released', inMs: NOT_HERE_MS })
    this.#attempt.writer = deps.open(lease)
    if (damaged !== undefined) throw damaged
    const begin = (): void => {
      if (log.head === 0) this.#begin(deployment, NOTHING_SHOWN)
      else this.#after(this.#attempt.read(), (records) => this.#begin(deployment, this.#resume(records)))
    }
    if (attempt === 1 || !isMedia(job.kind)) begin()
    else this.#after(removeLeft(deps.media.files, job), begin)
  }

  /** Takes up what earlier attempts left. */
  #resume(records: readonly Bytes[]): Shown {
    const shown = shownBy(records)
    this.#before = lastDeployment(records)
    this.#attempt.meter.replay(records)
    this.#attempt.answer.resume(shown)
    return shown
  }

  #begin(deployment: Deployment, shown: Shown): void {
    const { lease, deps, answer, meter } = this.#attempt
    const { job, attempt, claim } = lease
    const begin = beginAttempt(job, shown, deployment.provider.continues)
    if (begin.mode === 'fail')
      return this.#settle({ kind: 'failed', error: new SluiceError('worker_lost'), retry: false })
    const { mode } = begin
    this.#opening = (name) => {
      const record = attemptRecord({ n: attempt, mode, deployment: name })
      return mode === 'restart' ? [resetRecord('worker_lost'), record] : [record]
    }
    if (mode === 'restart') answer.restart()
    const mayRace =
      mode === 'first' && !isMedia(job.kind) && claim.hedgeAfterMs !== undefined && asksForStream(deployment, job)
    if (!mayRace) this.#writeOpening()
    const isFallback = this.#before !== null && this.#before !== deployment.name
    const { tokens: fromTokens } = meter
    deps.emit({ ...this.#attempt.about(), type: 'attempt-started', mode, isFallback, fromTokens })
    const prefix = begin.mode === 'continue' ? begin.prefix : undefined
    if (prefix !== undefined) answer.continue()
    if (job.kind === 'transcription' || job.kind === 'image')
      return this.#after(uploadsOf(deps.media.files, job, lease.body), (uploads) =>
        this.#ask(deployment, lease.body, undefined, uploads),
      )
    const body = deps.prompt(lease, deployment, () => this.#attempt.stopped)
    if (body instanceof Promise) this.#after(body, (made) => this.#ask(deployment, made, prefix))
    else this.#ask(deployment, body, prefix)
  }

  #writeOpening(): void {
    const opening = this.#opening
    this.#opening = null
    if (opening !== null) this.#attempt.writer!.append(opening(this.#attempt.deployment!.name), 0, false)
  }

  #ask(deployment: Deployment, made: Uint8Array, prefix: string | undefined, uploads?: readonly Upload[]): void {
    const { lease, deps, stop, times } = this.#attempt
    if (stop !== null) return this.#settle(outcomeOfStop(this.#attempt, stop))
    const { job, attempt, claim } = lease
    const body = forModel(made, job, deployment, claim)
    const price = priceAt(deps, lease, deployment, claim)
    const asked = { job, attempt, deployment: deployment.name, body, prefix }
    const stage = deps.guards.stand(asked, this.#answering, () => this.#attempt.calling?.call.abort())
    this.#stage = stage
    if (isMedia(job.kind)) {
      if (stage !== null) throw unguarded()
      this.#answering.toFiles(body, uploads)
    } else {
      const { minSpeed, name } = deployment
      if (minSpeed !== null && this.#before === null && deps.hasOther(job, name)) this.#answering.onTrial(minSpeed)
    }
    const calledMono = deps.clock.monoMs()
    times.beganMono = calledMono
    // Of two calls, guards would have to follow both
    if (stage === null && this.#opening !== null) this.#hedge = this.#hedged(claim.hedgeAfterMs!)
    else this.#writeOpening()
    const sent = { name: `${job.id}.${attempt}`, body: stage?.body ?? body, prefix: (stage ?? asked).prefix, uploads }
    const sink = stage ?? this.#hedge?.first ?? this.#answering
    const call = deployment.provider.start(callOf(job, deployment, sent), sink)
    this.#attempt.calling = { claim, deployment, price, calledMono, call }
    this.#hedge?.began(call)
  }

  #hedged(afterMs: number): Hedge {
    return new Hedge(this.#attempt, this.#answering, afterMs, {
      decided: (second) => {
        if (second !== null) {
          this.#attempt.calling = second
          // It is the other deployment already
          this.#answering.dropTrial()
        }
        this.#writeOpening()
      },
      threw: (thrown) => this.#giveUp(thrown),
    })
  }

  // ------------------------------------------------------------ looking

  /** From time to time: one that brings nothing has nobody else to tell of it. */
  look(now: number): void {
    this.#answering.look(now)
  }

  /** It began, and brought nothing for so long. */
  isSilent(forMs: number): boolean {
    return this.#answering.isSilent(forMs)
  }

  // ------------------------------------------------------------ stopping

  /** Stop at once: canceled, no longer ours, or handed back. */
  stop(reason: Stop): void {
    const { stop, isSettled, isReading } = this.#attempt
    if (stop !== null || (isSettled && !isReading)) return
    this.#attempt.stopFor(reason)
    if (!isSettled) this.#abort() // while it is opening, `#ask` sees it
  }

  /** The answer ends where it is. One that has come to its end is left to its usage, which is still to come. */
  cut(cause: Shortfall): void {
    const { isOver, answer } = this.#attempt
    // Of a refusal nothing more comes
    if (isOver || answer.isRefused) return
    try {
      const isSpared = this.#isSpared
      this.#isSpared = answer.hasEnd
      if (this.#isSpared && !isSpared) return
      this.#answering.passTrial()
      this.#attempt.cut = cause
      this.#abort()
    } catch (thrown) {
      this.#giveUp(thrown)
    }
  }

  /** Its call ends as if the upstream had cut it: what follows is the job's policy. False: nothing is being called. */
  breakCall(): boolean {
    if (this.#attempt.isOver || this.#attempt.calling === null) return false
    const error = new SluiceError('provider_cut', { message: 'An operator broke this call.' })
    this.#break({ error, retry: true })
    return true
  }

  /** Nothing more of this answer can be taken: its call ends, and with it the attempt. */
  #giveUp(thrown: unknown, retry = false): void {
    const error = this.#attempt.foreseen(thrown)
    this.#break(this.#attempt.fault ?? { error, retry: retry && mayRetry(error) })
  }

  #break(fault: Fault): void {
    this.#attempt.fault = fault
    this.#abort()
  }

  #abort(): void {
    this.#hedge?.stop()
    this.#attempt.calling?.call.abort()
    this.#stage?.stop()
  }

  // ------------------------------------------------------------ settling

  #settle(found: Outcome | typeof LOST): void {
    const { isSettled, lease } = this.#attempt
    if (isSettled) return
    this.#attempt.isSettled = true
    this.#answering.stop()
    if (found === LOST) return this.ended.tell()
    this.#writeOpening()
    crashpoint('before-finish')
    const isTurn = lease.job.options.conversation !== undefined && found.kind !== 'released'
    if (!isTurn) this.#finish(found)
    else void withAnswer(this.#attempt, found).then((outcome) => this.#finish(outcome))
  }

  #finish(outcome: Outcome | typeof LOST): void {
    if (outcome === LOST) return this.ended.tell()
    new Settling(this.#attempt, () => this.ended.tell()).finish(outcome)
  }
}

const unguarded = (): SluiceError =>
  new SluiceError('modality_not_allowed', {
    message: "This tenant's guards look at answers, which they can't do with images, sounds and transcriptions.",
  })
