/**
 * One job, from its lease to its settlement: open the log (fence), call the provider, append what comes, finish.
 * Every exit (done, failed, canceled, lost, drained) goes through `#settle`, once.
 */
import { foldInSteps, toMessage } from '../core/answer.ts'
import type { Clock } from '../core/clock.ts'
import { crashpoint } from '../core/crashpoint.ts'
import { chunkBytesOf } from '../core/document.ts'
import { SluiceError } from '../core/errors.ts'
import { aboutJob, type Emit, failureOf } from '../core/facts.ts'
import type { Job, Timing, Usage } from '../core/job.ts'
import type { LogWriter, TokenLog } from '../core/ports/log.ts'
import type { Deployment, ProviderEnd, ProviderRun, ProviderSink } from '../core/ports/provider.ts'
import type { Finished, Lease, Outcome, Work } from '../core/ports/work.ts'
import { attemptRecord, type Bytes, documentRecord, resetRecord, toBytes, toText, usageRecord } from '../core/record.ts'
import type { FirstTokens } from './first-tokens.ts'
import { Meter } from './meter.ts'
import { beginAttempt, type Identity, NOTHING_SHOWN, type Shown, shownBy } from './plan.ts'

export interface RunDeps {
  readonly work: Work
  readonly log: TokenLog
  readonly clock: Clock
  readonly emit: Emit
  readonly router: {
    claimed(job: string): Deployment
    acceptedMono(job: string): number
    elsewhereInMs(job: string, model: string): number | null
    release(job: string, report: SlotReport): number
    forget(job: string): void
  }
  readonly firstTokens: FirstTokens
  /** The request as the upstream gets it: a conversation's with all that was said before. */
  readonly prompt: (job: Job, deployment: Deployment) => Promise<Uint8Array>
  readonly maxAnswerBytes: number
  /** Bytes not yet committed above which the upstream is left unread. */
  readonly maxPendingBytes: number
}

export interface SlotReport {
  readonly code: SluiceError['code'] | null
  readonly stopped?: boolean
  readonly retryAfterMs?: number | undefined
  readonly elsewhere?: boolean
}

type Failed = Extract<ProviderEnd, { kind: 'failed' }>

/** Failures by which the upstream did no work, unless something came before. */
const FREE: ReadonlySet<SluiceError['code']> = new Set([
  'provider_unreachable',
  'provider_rejected',
  'provider_auth',
  'provider_rate_limited',
  'provider_error',
  'overloaded',
])

export class Run implements ProviderSink {
  readonly lease: Lease
  readonly ended: Promise<void>
  readonly #deps: RunDeps
  readonly #deployment: Deployment
  readonly #meter: Meter
  readonly #acceptedMono: number
  readonly #leasedMono: number
  #resolveEnded!: () => void
  #writer: LogWriter | null = null
  #call: ProviderRun | null = null
  /** Later attempts' chunks take the first one's identity. */
  #identity: Identity | null = null
  /** The log has chunks already: the upstream's opening chunk says nothing new. */
  #dropOpening = false
  #textShown = false
  #firstTokenMono: number | null
  #lastTokenMono = 0
  /** Where the pace is measured from: the first token, or this attempt's where the first was another process's. */
  #paceMono = 0
  #paceTokens = 0
  #answerBytes = 0
  #waiting = false
  /** What makes an answer of the upstream no answer of ours. */
  #fault: SluiceError | null = null
  #stop: 'canceled' | 'lost' | 'released' | null = null
  #settled = false

  constructor(lease: Lease, deps: RunDeps) {
    const { job } = lease
    this.lease = lease
    this.#deps = deps
    this.#deployment = deps.router.claimed(job.id)
    this.#meter = new Meter(job.promptTokens, job.body.length)
    this.#leasedMono = deps.clock.monoMs()
    this.#acceptedMono = Math.min(deps.router.acceptedMono(job.id), this.#leasedMono)
    this.#firstTokenMono = deps.firstTokens.of(job.id)
    this.ended = new Promise((resolve) => (this.#resolveEnded = resolve))
  }

  async start(): Promise<void> {
    const { job, attempt } = this.lease
    try {
      crashpoint('after-lease')
      this.#writer = this.#deps.log.open(this.lease)
      if (this.lease.damaged !== undefined) throw this.lease.damaged
      const shown = this.#writer.head > 0 ? this.#resume(await this.#read()) : NOTHING_SHOWN
      const begin = beginAttempt(job, shown, this.#deployment.provider.continues)
      if (begin.mode === 'fail')
        return await this.#settle({ kind: 'failed', error: new SluiceError('worker_lost'), retry: false })
      const opening = [attemptRecord({ n: attempt, mode: begin.mode, deployment: this.#deployment.name })]
      if (begin.mode === 'restart') {
        opening.unshift(resetRecord('worker_lost'))
        this.#dropOpening = false
        this.#textShown = false
      }
      this.#writer.append(opening, 0, false)
      this.#deps.emit({
        type: 'attempt-started',
        ...aboutJob(job),
        attempt,
        deployment: this.#deployment.name,
        mode: begin.mode,
      })
      const body = await this.#deps.prompt(job, this.#deployment)
      if (this.#stop !== null) return await this.#stopped()
      this.#call = this.#deployment.provider.start(
        {
          kind: job.kind,
          body,
          stream: this.#asksForStream,
          requestId: `${job.id}.${attempt}`,
          ...(job.trace === undefined ? {} : { trace: job.trace }),
          timeouts: this.#deployment.timeouts,
          ...(begin.mode === 'continue' ? { prefix: begin.prefix } : {}),
        },
        this,
      )
    } catch (thrown) {
      await this.#settleThrown(thrown)
    }
  }

  #settleThrown(thrown: unknown): Promise<void> {
    const error = SluiceError.from(thrown)
    return this.#settle({ kind: 'failed', error, retry: error.retryable })
  }

  /** Takes up what earlier attempts left. */
  #resume(records: readonly Bytes[]): Shown {
    const shown = shownBy(records)
    this.#meter.replay(records)
    this.#paceTokens = this.#firstTokenMono === null ? this.#meter.tokens : 0
    this.#textShown = shown.text
    this.#identity = shown.identity
    this.#dropOpening = shown.identity !== null
    return shown
  }

  get #asksForStream(): boolean {
    const { stream } = this.#deployment
    return stream === 'always' || (stream === 'as_asked' && this.lease.job.document !== true)
  }

  events(payloads: readonly Bytes[]): void {
    if (this.#stop !== null || this.#settled || this.#fault !== null) return
    try {
      this.#take(payloads)
    } catch (thrown) {
      this.#giveUp(SluiceError.from(thrown))
    }
  }

  #take(payloads: readonly Bytes[]): void {
    const before = this.#meter.tokens
    const records: Bytes[] = []
    for (let payload of payloads) {
      this.#answerBytes += payload.length
      const kind = this.#meter.see(payload)
      if (kind === 'usage') {
        records.push(usageRecord(payload))
        continue
      }
      if (kind === 'opening' && this.#dropOpening) continue
      if (this.#identity !== null) payload = rewrite(payload, this.#identity)
      records.push(payload)
    }
    this.#append(records, this.#meter.tokens - before)
  }

  document(document: Bytes, usage: unknown): void {
    if (this.#stop !== null || this.#settled || this.#fault !== null) return
    try {
      const before = this.#meter.tokens
      this.#answerBytes += document.length
      this.#meter.seeDocument(document, usage, this.lease.job.kind === 'chat')
      // A document is all there is of an answer: where chunks came before it, it is one more of them
      const identity = this.#identity
      const record =
        identity === null ? documentRecord(document) : chunkBytesOf(document, (chunk) => ({ ...chunk, ...identity }))
      this.#append([record], this.#meter.tokens - before)
    } catch (thrown) {
      this.#giveUp(SluiceError.from(thrown))
    }
  }

  #append(records: readonly Bytes[], tokens: number): void {
    const { clock, emit, maxAnswerBytes, maxPendingBytes } = this.#deps
    const writer = this.#writer!
    const isFirst = !this.#textShown && this.#meter.shown
    this.#lastTokenMono = clock.monoMs()
    if (this.#paceMono === 0 && this.#meter.shown) this.#paceMono = this.#lastTokenMono
    if (isFirst) {
      this.#textShown = true
      this.#firstTokenMono = this.#lastTokenMono
      emit({
        type: 'first-token-received',
        ...aboutJob(this.lease.job),
        attempt: this.lease.attempt,
        deployment: this.#deployment.name,
        ttftMs: this.#firstTokenMono - this.#acceptedMono,
      })
    }
    crashpoint('mid-stream')
    if (records.length > 0) writer.append(records, tokens, isFirst)
    if (this.#answerBytes > maxAnswerBytes) this.#giveUp(new SluiceError('result_too_large'))
    else if (writer.pendingBytes > maxPendingBytes && !this.#waiting) {
      // The store is slower than the upstream: leave the upstream unread
      this.#waiting = true
      this.#call?.pause()
      writer.flushed().then(
        () => {
          this.#waiting = false
          this.#call?.resume()
        },
        () => this.#call?.abort(), // the store failed: what follows could not be kept
      )
    }
  }

  /** The upstream's answer can't be ours: its call ends, and with it the attempt, for good. */
  #giveUp(error: SluiceError): void {
    this.#fault = error
    this.#call?.abort()
  }

  end(end: ProviderEnd): void {
    this.#settleEnd(end).catch((thrown: unknown) => this.#settleThrown(thrown))
  }

  async #settleEnd(end: ProviderEnd): Promise<void> {
    if (this.#stop !== null) return this.#stopped()
    if (this.#fault !== null)
      return this.#settle({ kind: 'failed', error: this.#fault, retry: false, ...this.#spent() })
    switch (end.kind) {
      case 'done':
        return this.#settle({ kind: 'done', ...this.#spent() })
      case 'aborted':
        return this.#settle({ kind: 'failed', error: new SluiceError('internal'), retry: true })
      case 'failed':
        return this.#failed(end)
    }
  }

  /** May this answer go on elsewhere? After text was shown only as the job's policy says. */
  async #failed(end: Failed): Promise<void> {
    const { job } = this.lease
    if (FREE.has(end.error.code)) this.#meter.refused()
    const elsewhereInMs = this.#deps.router.elsewhereInMs(job.id, job.model)
    const hasElsewhere = elsewhereInMs !== null
    const isBusy = end.error.code === 'provider_rate_limited' || end.error.code === 'overloaded'
    // The upstream (or this machine) is full, not the job broken: back in line, without an attempt used, until its
    // deadline
    if (isBusy && end.retry !== false && !this.#textShown) {
      const waitMs = Math.min(elsewhereInMs ?? Infinity, this.#release(end))
      if (this.#sinceAcceptedMs() + waitMs < job.options.deadlineMs) return this.#settle({ kind: 'released' }, end)
      const error = end.error.with({ retryAfterMs: Math.max(end.error.retryAfterMs ?? 0, waitMs) })
      return this.#settle({ kind: 'failed', error, retry: false, ...this.#spent() }, end)
    }
    let retry = end.retry === 'elsewhere' ? hasElsewhere : end.retry
    if (retry && this.#textShown) {
      const shown = shownBy(await this.#read())
      retry = beginAttempt(job, shown, this.#deployment.provider.continues).mode !== 'fail'
    }
    const hereInMs = retry ? Math.max(end.error.retryAfterMs ?? 0, this.#release(end)) : 0
    const waitMs = Math.min(elsewhereInMs ?? Infinity, hereInMs)
    const isTooLong = waitMs > 0 && this.#sinceAcceptedMs() + waitMs >= job.options.deadlineMs
    // Another deployment need not wait until this one is free again
    const retryAfterMs = isTooLong ? waitMs : retry && hasElsewhere ? undefined : end.error.retryAfterMs
    const error = end.error.with({ retryAfterMs })
    return this.#settle({ kind: 'failed', error, retry: retry && !isTooLong, ...this.#spent() }, end)
  }

  /** Stop at once: canceled, no longer ours, or handed back. */
  stop(reason: 'canceled' | 'lost' | 'released'): void {
    if (this.#stop !== null || this.#settled) return
    this.#stop = reason
    if (this.#call) this.#call.abort()
    // Not called yet: `start` sees it
  }

  #stopped(): Promise<void> {
    switch (this.#stop) {
      case 'canceled':
        return this.#settle({ kind: 'canceled', ...this.#spent() })
      case 'released':
        return this.#settle({ kind: 'released' })
      default:
        return this.#leave()
    }
  }

  async #settle(outcome: Outcome, end?: Failed): Promise<void> {
    if (this.#settled) return
    this.#settled = true
    const { job, attempt } = this.lease
    const { router, firstTokens, emit } = this.#deps
    try {
      const error = outcome.kind === 'failed' ? outcome.error : (end?.error ?? null)
      const usage = 'usage' in outcome ? outcome.usage : undefined
      this.#release(end, error?.code ?? null)
      if (this.#firstTokenMono !== null) firstTokens.keep(job.id, this.#firstTokenMono)
      const finished = await this.#finish(outcome)
      emit({
        type: 'attempt-ended',
        ...aboutJob(job),
        attempt,
        deployment: this.#deployment.name,
        ...failureOf(error),
        ...(usage ? { usage: this.#meter.attemptUsage() } : {}),
      })
      if (finished.kind !== 'ended') return
      router.forget(job.id)
      firstTokens.forget(job.id)
      const timing = 'timing' in outcome ? outcome.timing : undefined
      emit({
        type: 'job-ended',
        ...aboutJob(job),
        deployment: this.#deployment.name,
        state: finished.state,
        ...failureOf(error),
        ...(usage ? { usage } : {}),
        ...(timing ? { timing } : {}),
      })
    } finally {
      this.#resolveEnded()
    }
  }

  /** Returns how long this deployment can't be called. */
  #release(end: Failed | undefined, code = end?.error.code ?? null): number {
    return this.#deps.router.release(this.lease.job.id, {
      code,
      stopped: this.#stop !== null,
      retryAfterMs: end?.error.retryAfterMs,
      elsewhere: end?.retry === 'elsewhere',
    })
  }

  async #finish(outcome: Outcome): Promise<Finished> {
    const { work } = this.#deps
    try {
      crashpoint('before-finish')
      const finished = await work.finish(this.lease, await this.#withAnswer(outcome))
      crashpoint('after-finish')
      return finished
    } catch {
      // The store failed and says so through health; the lease stays open, and a restart takes the job up again
      return { kind: 'fenced' }
    }
  }

  /** The attempt is no longer ours: nothing is stored, the slot comes free. */
  async #leave(): Promise<void> {
    if (this.#settled) return
    this.#settled = true
    this.#deps.router.release(this.lease.job.id, { code: null, stopped: true })
    this.#resolveEnded()
  }

  /** An answer that can't be put together ends the job: it would end every later reader the same way. */
  async #withAnswer(outcome: Outcome): Promise<Outcome> {
    if (this.lease.job.options.conversation === undefined || outcome.kind === 'released') return outcome
    const records = await this.#read()
    try {
      const answer = await foldInSteps(records, this.#deps.clock)
      return answer.choices.length === 0 ? outcome : { ...outcome, answer: toMessage(answer) }
    } catch (cause) {
      if (outcome.kind !== 'done') return outcome
      const error = new SluiceError('provider_garbage', { cause })
      return { kind: 'failed', error, retry: false, ...this.#spent() }
    }
  }

  /** The log so far, all committed. */
  async #read(): Promise<readonly Bytes[]> {
    await this.#writer!.flushed()
    const all: Bytes[] = []
    for (;;) {
      const page = await this.#deps.log.read(this.lease.job.id, all.length, 4 << 20)
      if (page === null) return all
      for (const record of page.records) all.push(record)
      if (all.length >= page.head) return all
    }
  }

  #sinceAcceptedMs(): number {
    return this.#deps.clock.monoMs() - this.#acceptedMono
  }

  #spent(): { readonly usage: Usage; readonly attemptUsage: Usage; readonly timing: Timing } {
    return { usage: this.#meter.usage(), attemptUsage: this.#meter.attemptUsage(), timing: this.#timing() }
  }

  #timing(): Timing {
    const tokens = this.#meter.tokens - this.#paceTokens
    const from = this.#paceTokens === 0 ? (this.#firstTokenMono ?? 0) : this.#paceMono
    return {
      queuedMs: this.#leasedMono - this.#acceptedMono,
      ...(this.#firstTokenMono === null ? {} : { ttftMs: this.#firstTokenMono - this.#acceptedMono }),
      ...(from === 0 || tokens < 2 || this.#lastTokenMono <= from
        ? {}
        : { tpotMs: (this.#lastTokenMono - from) / (tokens - 1) }),
      totalMs: this.#sinceAcceptedMs(),
      attempts: this.lease.attempt,
    }
  }
}

/** `id`, `created` and `model` are the first attempt's. */
function rewrite(chunk: Bytes, identity: Identity): Bytes {
  return toBytes(JSON.stringify({ ...(JSON.parse(toText(chunk)) as object), ...identity }))
}
