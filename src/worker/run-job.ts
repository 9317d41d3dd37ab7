/**
 * One job, from its lease to its settlement: open the log (fence), call the provider, append what comes, finish.
 * Every exit (done, failed, canceled, lost, drained) goes through `#settle`, once.
 */
import { foldAnswer, toMessage } from '../core/answer.ts'
import type { Clock } from '../core/clock.ts'
import { crashpoint } from '../core/crashpoint.ts'
import { SluiceError } from '../core/errors.ts'
import type { Emit } from '../core/facts.ts'
import type { Job, Timing, Usage } from '../core/job.ts'
import type {
  Conversations,
  Deployment,
  Finished,
  Lease,
  LogWriter,
  Outcome,
  ProviderEnd,
  ProviderRun,
  ProviderSink,
  Queue,
  TokenLog,
  Turn,
} from '../core/ports.ts'
import { attemptRecord, type Bytes, resetRecord, toBytes, toText, usageRecord } from '../core/record.ts'
import { Meter } from './meter.ts'
import { beginAttempt, type Identity, NOTHING_SHOWN, type Shown, shownBy, showsText } from './plan.ts'

export interface RunDeps {
  readonly queue: Queue
  readonly log: TokenLog
  readonly conversations: Conversations
  readonly clock: Clock
  readonly emit: Emit
  readonly router: {
    claimed(job: string): Deployment
    release(job: string, report: { code: SluiceError['code'] | null; retryAfterMs?: number }): void
    forget(job: string): void
  }
  /** Called once a job has ended, with what it used: the settle hook. */
  readonly settled: (job: Job, usage: Usage | undefined) => void
  /** The messages of a conversation's next prompt, JSON. `budgetTokens`: what the model can take in. */
  readonly compose: (turns: readonly Turn[], own: string, budgetTokens: number) => string
  /** The request as the upstream gets it. */
  readonly editBody: (body: Uint8Array, edits: Readonly<Record<string, string | null>>) => Uint8Array
  readonly maxAnswerBytes: number
  /** Bytes not yet committed above which the upstream is left unread. */
  readonly maxPendingBytes: number
}

export class Run implements ProviderSink {
  readonly lease: Lease
  readonly ended: Promise<void>
  readonly #deps: RunDeps
  readonly #deployment: Deployment
  readonly #meter = new Meter()
  readonly #leasedAtMs: number
  #resolveEnded!: () => void
  #writer: LogWriter | null = null
  #call: ProviderRun | null = null
  #shown: Shown = NOTHING_SHOWN
  /** Later attempts' chunks take the first one's identity. */
  #identity: Identity | null = null
  /** Continuing: the upstream's opening chunk says nothing new. */
  #dropOpening = false
  #textShown = false
  #firstTokenAtMs: number | null = null
  #lastTokenAtMs = 0
  #answerBytes = 0
  #waiting = false
  #overflow: SluiceError | null = null
  #stop: 'canceled' | 'lost' | 'released' | null = null
  #settled = false

  constructor(lease: Lease, deps: RunDeps) {
    this.lease = lease
    this.#deps = deps
    this.#deployment = deps.router.claimed(lease.job.id)
    this.#leasedAtMs = deps.clock.wallMs()
    this.ended = new Promise((resolve) => (this.#resolveEnded = resolve))
  }

  async start(): Promise<void> {
    const { job, attempt } = this.lease
    try {
      crashpoint('after-lease')
      this.#writer = this.#deps.log.open(this.lease)
      if (this.#writer.head > 0) this.#shown = shownBy(await this.#read())
      const begin = beginAttempt(job, this.#shown, this.#deployment.provider.continues)
      this.#textShown = this.#shown.text
      if (begin.mode === 'fail')
        return await this.#settle({ kind: 'failed', error: new SluiceError('worker_lost'), retry: false })
      this.#identity = this.#shown.identity
      this.#dropOpening = this.#identity !== null
      const opening = [attemptRecord({ n: attempt, mode: begin.mode, deployment: this.#deployment.name })]
      if (begin.mode === 'restart') {
        opening.unshift(resetRecord('worker_lost'))
        this.#dropOpening = false
        this.#textShown = false
      }
      this.#writer.append(opening, 0, false)
      this.#deps.emit({
        type: 'attempt-started',
        job: job.id,
        attempt,
        deployment: this.#deployment.name,
        mode: begin.mode,
      })
      const body = await this.#body()
      if (this.#stop !== null) return await this.#stopped()
      this.#call = this.#deployment.provider.start(
        {
          kind: job.kind,
          body,
          requestId: `${job.id}.${attempt}`,
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

  /** A conversation's prompt is what was said so far, and the job's own messages. */
  async #body(): Promise<Uint8Array> {
    const { job } = this.lease
    const { conversation } = job.options
    if (conversation === undefined) return job.body
    const known = await this.#deps.conversations.read(job.tenant, conversation)
    if (known === null || known.turns.length === 0) return job.body
    const request = JSON.parse(Buffer.from(job.body).toString('utf8')) as {
      messages: unknown
      max_tokens?: number
      max_completion_tokens?: number
    }
    const budget = this.#deployment.contextTokens - (request.max_completion_tokens ?? request.max_tokens ?? 0)
    return this.#deps.editBody(job.body, {
      messages: this.#deps.compose(known.turns, JSON.stringify(request.messages), budget),
    })
  }

  events(payloads: readonly Bytes[]): void {
    if (this.#stop !== null || this.#settled) return
    const before = this.#meter.tokens
    const records: Bytes[] = []
    let first = false
    for (let payload of payloads) {
      this.#answerBytes += payload.length
      if (this.#meter.see(payload) === 'usage') {
        records.push(usageRecord(payload))
        continue
      }
      if (!this.#textShown) {
        if (showsText(payload)) {
          this.#textShown = true
          first = true
        } else if (this.#dropOpening) continue
      } else if (this.#dropOpening && !showsText(payload)) continue
      if (this.#identity !== null) payload = rewrite(payload, this.#identity)
      records.push(payload)
    }
    const now = this.#deps.clock.monoMs()
    if (first) {
      this.#firstTokenAtMs = this.#deps.clock.wallMs()
      this.#deps.emit({
        type: 'first-token',
        job: this.lease.job.id,
        ttftMs: this.#firstTokenAtMs - this.lease.job.acceptedAtMs,
      })
      this.#firstTokenMono = now
    }
    this.#lastTokenAtMs = now
    crashpoint('mid-stream')
    if (records.length > 0) this.#writer!.append(records, this.#meter.tokens - before, first)
    if (this.#answerBytes > this.#deps.maxAnswerBytes) {
      this.#overflow = new SluiceError('result_too_large')
      this.#call?.abort()
    } else if (this.#writer!.pendingBytes > this.#deps.maxPendingBytes && !this.#waiting) {
      // The store is slower than the upstream: leave the upstream unread
      this.#waiting = true
      this.#call?.pause()
      this.#writer!.flushed().then(
        () => {
          this.#waiting = false
          this.#call?.resume()
        },
        () => this.#call?.abort(), // the store failed: what follows could not be kept
      )
    }
  }
  #firstTokenMono = 0

  end(end: ProviderEnd): void {
    this.#settleEnd(end).catch((thrown: unknown) => this.#settleThrown(thrown))
  }

  async #settleEnd(end: ProviderEnd): Promise<void> {
    if (this.#stop !== null) return this.#stopped()
    if (this.#overflow !== null) return this.#settle({ kind: 'failed', error: this.#overflow, retry: false })
    switch (end.kind) {
      case 'done':
        return this.#settle({ kind: 'done', usage: this.#usage(), timing: this.#timing() })
      case 'aborted':
        return this.#settle({ kind: 'failed', error: new SluiceError('internal'), retry: true })
      case 'failed':
        return this.#failed(end)
    }
  }

  /** May this answer go on elsewhere? After text was shown only as the job's policy says. */
  async #failed(end: ProviderEnd & { kind: 'failed' }): Promise<void> {
    const { job } = this.lease
    if (end.error.code === 'provider_rate_limited' && !this.#textShown && end.retry) {
      // The upstream is full, not the job broken: back in line, without an attempt used, until its deadline
      if (this.#deps.clock.wallMs() - job.acceptedAtMs < job.options.deadlineMs)
        return this.#settle({ kind: 'released' }, end)
    }
    let retry = end.retry
    if (retry && this.#textShown) {
      const shown = shownBy(await this.#read())
      retry = beginAttempt(job, shown, this.#deployment.provider.continues).mode !== 'fail'
    }
    const error =
      end.retryAfterMs === undefined || end.error.retryAfterMs !== undefined
        ? end.error
        : new SluiceError(end.error.code, { ...end.error, message: end.error.message, retryAfterMs: end.retryAfterMs })
    return this.#settle({ kind: 'failed', error, retry, usage: this.#usage(), timing: this.#timing() }, end)
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
        return this.#settle({ kind: 'canceled', usage: this.#usage(), timing: this.#timing() })
      case 'released':
        return this.#settle({ kind: 'released' })
      default:
        return this.#leave(null)
    }
  }

  async #settle(outcome: Outcome, end?: ProviderEnd & { kind: 'failed' }): Promise<void> {
    if (this.#settled) return
    this.#settled = true
    const { job, attempt } = this.lease
    const code = outcome.kind === 'failed' ? outcome.error.code : (end?.error.code ?? null)
    const usage = 'usage' in outcome ? outcome.usage : undefined
    this.#deps.router.release(job.id, {
      code,
      ...(end?.retryAfterMs === undefined ? {} : { retryAfterMs: end.retryAfterMs }),
    })
    let finished: Finished = { kind: 'fenced' }
    try {
      crashpoint('before-finish')
      finished = await this.#deps.queue.finish(this.lease, await this.#withAnswer(outcome))
      crashpoint('after-finish')
    } catch {
      // The store failed and says so through health; the lease stays open, and a restart takes the job up again
    }
    this.#deps.emit({
      type: 'attempt-ended',
      job: job.id,
      attempt,
      deployment: this.#deployment.name,
      code,
      ...(usage ? { usage } : {}),
    })
    if (finished.kind === 'ended') {
      this.#deps.router.forget(job.id)
      this.#deps.settled(job, usage)
      const timing = 'timing' in outcome ? outcome.timing : undefined
      this.#deps.emit({
        type: 'job-ended',
        job: job.id,
        tenant: job.tenant,
        model: job.model,
        state: finished.state,
        code,
        ...(usage ? { usage } : {}),
        ...(timing ? { timing } : {}),
      })
    }
    this.#resolveEnded()
  }

  /** The attempt is no longer ours: nothing is stored, the slot comes free. */
  async #leave(code: SluiceError['code'] | null): Promise<void> {
    if (this.#settled) return
    this.#settled = true
    this.#deps.router.release(this.lease.job.id, { code })
    this.#resolveEnded()
  }

  async #withAnswer(outcome: Outcome): Promise<Outcome> {
    if (this.lease.job.options.conversation === undefined || outcome.kind === 'released') return outcome
    const answer = foldAnswer(await this.#read())
    return answer.choices.length === 0 ? outcome : { ...outcome, answer: toMessage(answer) }
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

  #usage(): Usage {
    return this.#meter.usage(this.lease.job.promptTokens)
  }

  #timing(): Timing {
    const { job, attempt } = this.lease
    const tokens = this.#meter.tokens
    return {
      queuedMs: Math.max(0, this.#leasedAtMs - job.acceptedAtMs),
      ...(this.#firstTokenAtMs === null ? {} : { ttftMs: Math.max(0, this.#firstTokenAtMs - job.acceptedAtMs) }),
      ...(this.#firstTokenAtMs === null || tokens < 2
        ? {}
        : { tpotMs: (this.#lastTokenAtMs - this.#firstTokenMono) / (tokens - 1) }),
      totalMs: Math.max(0, this.#deps.clock.wallMs() - job.acceptedAtMs),
      attempts: attempt,
    }
  }
}

/** `id`, `created` and `model` are the first attempt's. */
function rewrite(chunk: Bytes, identity: Identity): Bytes {
  return toBytes(JSON.stringify({ ...(JSON.parse(toText(chunk)) as object), ...identity }))
}
