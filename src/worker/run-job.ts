/**
 * One attempt of a job, from its lease to its end.
 *
 *   opening: the log is read, the prompt is made ─┬─▶ calling: the provider answers ─┬─▶ settling ─▶ ended
 *     └ what throws, and what can't go on ────────┼──────────────────────────────────┘
 *                                                 └ stop: at once, or when the call has stopped
 *
 * Every way out is an outcome, and goes through `#settle`, once; only an attempt that is lost has none.
 */
import { foldInSteps, toMessage } from '../core/answer.ts'
import { crashpoint } from '../core/crashpoint.ts'
import { chunkBytesOf } from '../core/document.ts'
import { SluiceError } from '../core/errors.ts'
import { aboutJob, type CallMarks, failureOf } from '../core/facts.ts'
import { isMedia, type Job, type Timing, type Usage } from '../core/job.ts'
import { editObject } from '../core/json.ts'
import type { Shortfall } from '../core/limits.ts'
import { STALL_MS, type TtftParts } from '../core/measure.ts'
import { type MediaRef, mediaRecord } from '../core/media.ts'
import { Once } from '../core/once.ts'
import type { Stage } from '../core/ports/admission.ts'
import type { LogWriter } from '../core/ports/log.ts'
import type {
  Deployment,
  MinSpeed,
  Provider,
  ProviderCall,
  ProviderEnd,
  ProviderRun,
  ProviderSink,
  Upload,
} from '../core/ports/provider.ts'
import type { Claim, Lease, Outcome, Race as RaceResult } from '../core/ports/work.ts'
import { attemptRecord, type Bytes, documentRecord, resetRecord, usageRecord } from '../core/record.ts'
import { childOf, isSampled, spanIdOf } from '../core/trace.ts'
import type { UpstreamLimits } from '../core/upstream-limits.ts'
import type { Cost } from '../core/usage-record.ts'
import { wireUsage } from '../core/wire.ts'
import { AttemptLog, STOPPED } from './attempt-log.ts'
import { endOf } from './call-end.ts'
import { endsAnswer, isFiltered, rewrite } from './chunks.ts'
import { finishing } from './cut.ts'
import { msPerToken, type Pace, thousandths, ttftPartsOf, UNKNOWN } from './measured.ts'
import { MediaOut, removeLeft, uploadsOf, withFiles } from './media.ts'
import { Meter } from './meter.ts'
import { FREE, stoppedBy, withOwnKey } from './outcomes.ts'
import { beginAttempt, type Identity, lastDeployment, NOTHING_SHOWN, type Shown, shownBy } from './plan.ts'
import { type Lost, Race, type RaceEnds } from './race.ts'
import type { RunDeps } from './run-deps.ts'
import { Trial } from './trial.ts'

/** To put it together was work enough for one turn of the event loop. */
const LARGE_MESSAGE = 1 << 20

/** Progress is told this often, at most. */
const PROGRESS_MS = 500

/** Where it is handed to at once, it may be handed back at once. */
const NOT_HERE_MS = 1_000

export class Run implements ProviderSink {
  readonly lease: Lease
  readonly ended = new Once<void>()
  readonly #deps: RunDeps
  /** Where it runs: from the end of a race on, where the call that won runs. */
  #claim: Claim
  #deployment: Deployment | null
  readonly #meter: Meter
  readonly #acceptedMono: number
  readonly #leasedMono: number
  /** When its first call was made, and the one that goes on; 0: not yet. */
  #beganMono = 0
  #calledMono = 0
  /** When the provider had ended; 0: it has not. */
  #endedMono = 0
  /** What the upstream told of our limits there. */
  #quota: UpstreamLimits | undefined
  /** Where the attempt before this one ran; null: there was none. */
  #before: string | null = null
  #writer: LogWriter | null = null
  #call: ProviderRun | null = null
  #price: ((usage: Usage) => Cost) | null = null
  /** Null: it has one call, and can't have two. */
  #race: Race | null = null
  #second: Calling | null = null
  /** How the call ended that did not go on, to be told with the attempt's end. */
  #result: RaceResult | null = null
  /** What its log begins with, until it is known which call goes on. */
  #opening: ((deployment: string) => readonly Bytes[]) | null = null
  /** Between the call and this; null: its tenant has no guards of answers. */
  #stage: Stage | null = null
  /** Takes the bytes of its answer; null: it has none. */
  #media: MediaOut | null = null
  /** Of an answer with images: told once these are written. */
  #document: { readonly document: Bytes; readonly usage: unknown } | null = null
  #uploads: readonly Upload[] | undefined
  #stop: 'canceled' | 'lost' | 'released' | null = null
  /** Made when it is first read: most attempts never do. */
  #log: AttemptLog | null = null
  /** For this the answer ends where it is. */
  #cut: Shortfall | null = null
  /** It was to be cut when it had just come to its end by itself. */
  #isSpared = false
  /** What the last read brought. */
  #last: readonly Bytes[] = []
  /** Why the call was aborted, where nobody asked for it. */
  #fault: { readonly error: SluiceError; readonly retry: boolean | 'elsewhere' } | null = null
  #settled = false
  /** Its finish threw, and it was ended as failed. */
  #hasFailed = false
  /** It ended by its provider's policy before anything was shown, and another model may answer instead. */
  readonly #withheld: Bytes[] = []
  /** Holds the beginning back; null: it goes to the log as it comes. */
  #trial: Trial | null = null
  /** Later attempts' chunks take the first one's identity. */
  #identity: Identity | null = null
  /** It prolongs what earlier attempts have shown. */
  #isContinued = false
  /** The usage of this attempt, as its upstream told it; null: none is to be told, or none has come. */
  #usageTold: Bytes | null = null
  /** The log has chunks already: the upstream's opening chunk adds nothing. */
  #dropOpening = false
  #textShown = false
  /** All of it came at once: no time to a first token can be told. */
  #isWhole = false
  #firstTokenMono: number | null
  /** Where the time until then went; null: an earlier attempt gave it. */
  #parts: TtftParts | null = null
  /** 0, here and below: none came in this attempt. */
  #firstChunkMono = 0
  #shownMono = 0
  #lastTokenMono = 0
  #lastChunk: Bytes | null = null
  #toldMono = 0
  /** Tokens, as they were told last. */
  #told = 0
  /** Its pause was told, and lasts. */
  #isStalled = false
  /** Where the pace is measured from: the answer's first text, or this attempt's where nobody knows when that came. */
  #pace: Pace | null
  #answerBytes = 0
  /** The upstream is left unread until the store has caught up. */
  #paused = false

  constructor(lease: Lease, deps: RunDeps) {
    const { job, body, claim, sinceAcceptedMs, ttftMs } = lease
    this.lease = lease
    this.#claim = claim
    this.#deps = deps
    this.#deployment =
      claim.source === undefined ? deps.deployment(claim.deployment, job.tenant) : deps.replay(claim.source)
    this.#meter = new Meter(job.promptTokens, body.length)
    this.#leasedMono = deps.clock.monoMs()
    this.#acceptedMono = this.#leasedMono - sinceAcceptedMs
    this.#firstTokenMono = ttftMs === null ? null : this.#acceptedMono + ttftMs
    this.#pace = this.#firstTokenMono === null ? null : { ...UNKNOWN, fromMono: this.#firstTokenMono }
  }

  isUsing(provider: Provider): boolean {
    return this.#deployment?.provider === provider || this.#second?.deployment.provider === provider
  }

  // ------------------------------------------------------------ opening

  start(): void {
    try {
      crashpoint('after-lease')
      this.#open()
    } catch (thrown) {
      this.#settle(this.#failedBy(thrown))
    }
  }

  /** What `next` throws ends the attempt. */
  #after<T>(work: Promise<T>, next: (value: T) => void): void {
    work.then(next).catch((thrown: unknown) => this.#settle(this.#failedBy(thrown)))
  }

  #open(): void {
    const { job, attempt, log, damaged } = this.lease
    const deployment = this.#deployment
    // Taken out since, or not in force in this process: it goes where the plan sends it by then
    if (deployment === null) return this.#settle({ kind: 'released', inMs: NOT_HERE_MS })
    this.#writer = this.#deps.open(this.lease)
    if (damaged !== undefined) throw damaged
    const begin = (): void => {
      if (log.head === 0) this.#begin(deployment, NOTHING_SHOWN)
      else this.#after(this.#read(), (records) => this.#begin(deployment, this.#resume(records)))
    }
    if (attempt === 1 || !isMedia(job.kind)) begin()
    else this.#after(removeLeft(this.#deps.media.files, job), begin)
  }

  #begin(deployment: Deployment, shown: Shown): void {
    const { job, attempt, claim } = this.lease
    const { emit, prompt } = this.#deps
    const begin = beginAttempt(job, shown, deployment.provider.continues)
    if (begin.mode === 'fail')
      return this.#settle({ kind: 'failed', error: new SluiceError('worker_lost'), retry: false })
    const { mode } = begin
    this.#opening = (name) => {
      const record = attemptRecord({ n: attempt, mode, deployment: name })
      return mode === 'restart' ? [resetRecord('worker_lost'), record] : [record]
    }
    if (mode === 'restart') {
      this.#dropOpening = false
      this.#textShown = false
    }
    const mayRace =
      mode === 'first' && !isMedia(job.kind) && claim.hedgeAfterMs !== undefined && asksForStream(deployment, job)
    if (!mayRace) this.#writeOpening()
    const isFallback = this.#before !== null && this.#before !== deployment.name
    const about = { ...aboutJob(job), attempt, deployment: claim.deployment }
    emit({ ...about, type: 'attempt-started', mode: begin.mode, isFallback, fromTokens: this.#meter.tokens })
    const prefix = begin.mode === 'continue' ? begin.prefix : undefined
    this.#isContinued = prefix !== undefined
    if (job.kind === 'transcription' || job.kind === 'image') return this.#askWithFiles(deployment)
    const body = prompt(this.lease, deployment)
    if (body instanceof Promise) this.#after(body, (made) => this.#ask(deployment, made, prefix))
    else this.#ask(deployment, body, prefix)
  }

  #askWithFiles(deployment: Deployment): void {
    const { job, body } = this.lease
    this.#after(uploadsOf(this.#deps.media.files, job, body), (uploads) => {
      this.#uploads = uploads
      this.#ask(deployment, body, undefined)
    })
  }

  #writeOpening(): void {
    const opening = this.#opening
    this.#opening = null
    if (opening !== null) this.#writer!.append(opening(this.#deployment!.name), 0, false)
  }

  #ask(deployment: Deployment, body: Uint8Array, prefix: string | undefined): void {
    if (this.#stop !== null) return this.#settle(this.#stopped(this.#stop))
    const { job, attempt, claim } = this.lease
    body = this.#forModel(body, deployment, claim)
    this.#price = this.#priceAt(deployment, claim)
    const call = { job, attempt, deployment: deployment.name, body, prefix }
    const stage = this.#deps.guards.stand(call, this, () => this.#call?.abort())
    this.#stage = stage
    if (isMedia(job.kind)) {
      if (stage !== null) throw unguarded()
      this.#media = this.#mediaOut()
    }
    const { minSpeed } = deployment
    if (minSpeed !== null && this.#media === null && this.#before === null && this.#deps.hasOther(job, deployment.name))
      this.#trial = this.#onTrial(minSpeed)
    this.#beganMono = this.#calledMono = this.#deps.clock.monoMs()
    // Of two calls, guards would have to follow both
    if (stage === null && this.#opening !== null)
      this.#race = new Race(this, claim.hedgeAfterMs!, this.#deps.clock, this.#raceEnds())
    else this.#writeOpening()
    this.#call = deployment.provider.start(
      this.#callOf(`${job.id}.${attempt}`, deployment, stage?.body ?? body, stage === null ? prefix : stage.prefix),
      stage ?? this.#race?.first ?? this,
    )
    this.#race?.began(this.#call)
  }

  /** It may answer in place of the model that the request names. */
  #forModel(body: Uint8Array, { upstreamModel }: Deployment, { model }: Claim): Uint8Array {
    const named = model === undefined || model === this.lease.job.model || upstreamModel !== null
    return named ? body : editObject(body, { model: JSON.stringify(model) })
  }

  #priceAt({ isOwnKey, name }: Deployment, { model = this.lease.job.model }: Claim): (usage: Usage) => Cost {
    return isOwnKey ? withOwnKey : this.#deps.price(name, model, this.lease.job.kind)
  }

  #callOf(name: string, deployment: Deployment, body: Uint8Array, prefix: string | undefined): ProviderCall {
    const { job } = this.lease
    return {
      kind: job.kind,
      body,
      stream: asksForStream(deployment, job),
      requestId: name,
      trace: job.trace === undefined ? undefined : childOf(job.trace, spanIdOf(name)),
      timeouts: deployment.timeouts,
      prefix,
      uploads: this.#uploads,
    }
  }

  // ------------------------------------------------------------ two calls

  #raceEnds(): RaceEnds {
    return {
      ask: () => this.#deps.hedge(this.lease),
      prepare: (claim) => this.#prepare(claim),
      decided: (lost) => this.#decided(lost),
      unused: (lost) => this.#tellRace(lost),
      threw: (thrown) => this.#giveUp(thrown),
    }
  }

  async #prepare(claim: Claim): Promise<((sink: ProviderSink) => ProviderRun) | null> {
    const { job, attempt } = this.lease
    const deployment = this.#deps.deployment(claim.deployment, job.tenant)
    if (deployment === null || !asksForStream(deployment, job)) return null
    const body = this.#forModel(await this.#deps.prompt(this.lease, deployment), deployment, claim)
    return (sink) => {
      const price = this.#priceAt(deployment, claim)
      const calledMono = this.#deps.clock.monoMs()
      const call = deployment.provider.start(
        this.#callOf(`${job.id}.${attempt}.hedge`, deployment, body, undefined),
        sink,
      )
      this.#second = { claim, deployment, price, calledMono, call }
      return call
    }
  }

  #decided(lost: Lost | null): void {
    const second = this.#second
    if (lost !== null && second !== null) {
      const cost = lost.won === 'first' ? second.price : this.#price!
      this.#tellRace(lost, cost)
      if (lost.won === 'second') {
        this.#claim = second.claim
        this.#deployment = second.deployment
        this.#price = second.price
        this.#calledMono = second.calledMono
        this.#call = second.call
        // It is the other deployment already
        this.#trial?.stop()
        this.#trial = null
      }
    }
    this.#writeOpening()
  }

  #tellRace({ won, end, told, held }: Lost, price?: (usage: Usage) => Cost): void {
    const { job, attempt, claim } = this.lease
    const failure = told?.kind === 'failed' ? told : null
    const usage = held === null ? undefined : this.#usageOf(held, failure?.error.code)
    const cost = usage && price?.(usage)
    this.#result = {
      won,
      end,
      ...(failure !== null && { failure: raceFailure(failure) }),
      ...(usage && { usage }),
      ...(cost && { cost }),
    }
    if (this.#stop === 'lost') return
    this.#deps.raced(this.lease, this.#result)
    const second = this.#second
    if (second === null || usage === undefined) return
    this.#deps.emit({
      ...aboutJob(job),
      type: 'attempt-hedged',
      attempt,
      ...(won === 'first'
        ? { deployment: second.claim.deployment, other: claim.deployment }
        : { deployment: claim.deployment, other: second.claim.deployment }),
      code: failure?.error.code ?? null,
      won,
      end,
      afterMs: second.calledMono - this.#beganMono,
      tookMs: this.#deps.clock.monoMs() - second.calledMono,
      usage,
      ...(cost && { cost }),
    })
  }

  /** Of a call that is not the attempt. */
  #usageOf(held: readonly Bytes[], code?: SluiceError['code']): Usage {
    const { job, body } = this.lease
    const meter = new Meter(job.promptTokens, body.length)
    for (const record of held) meter.see(record)
    if (code !== undefined && FREE.has(code)) meter.refused()
    return meter.attemptUsage()
  }

  /** Takes up what earlier attempts left. */
  #resume(records: readonly Bytes[]): Shown {
    const shown = shownBy(records)
    this.#before = lastDeployment(records)
    this.#meter.replay(records)
    this.#textShown = shown.text
    this.#identity = shown.identity
    this.#dropOpening = shown.identity !== null
    return shown
  }

  // ------------------------------------------------------------ calling

  /** What comes now is no part of the answer. */
  get #isOver(): boolean {
    return this.#stop !== null || this.#settled || this.#fault !== null || this.#cut !== null
  }

  events(payloads: readonly Bytes[]): void {
    if (this.#isOver) return
    try {
      this.#take(payloads)
    } catch (thrown) {
      this.#giveUp(thrown)
    }
  }

  #take(payloads: readonly Bytes[]): void {
    const before = this.#meter.tokens
    const taken: Bytes[] = []
    for (let payload of payloads) {
      this.#answerBytes += payload.length
      const kind = this.#meter.see(payload)
      if (kind === 'usage') {
        // What is told of a continued answer is of all of it
        if (this.#isContinued) this.#usageTold = payload
        else taken.push(usageRecord(payload))
        continue
      }
      if (kind === 'opening' && this.#dropOpening) continue
      if (this.#identity !== null) payload = rewrite(payload, this.#identity)
      this.#lastChunk = payload
      taken.push(payload)
    }
    const records = this.#released(taken, this.#meter.shown)
    if (records === null) return
    this.#last = records
    const tokens = this.#meter.tokens - before
    if (this.#trial === null) this.#append(records, tokens)
    else this.#trial.take(records, tokens)
  }

  /** What goes on to the log now; null: nothing does, while this may be the end of a refusal. */
  #released(records: readonly Bytes[], isShown: boolean): readonly Bytes[] | null {
    const withheld = this.#withheld
    if (withheld.length === 0 && (isShown || !records.some(isFiltered) || !this.#isReplaceable)) return records
    withheld.push(...records)
    return isShown ? withheld.splice(0) : null
  }

  /** Nothing of the answer is out, and its own model refuses it. */
  get #isReplaceable(): boolean {
    const { job, claim } = this.lease
    const { model = job.model, source } = claim
    return !this.#textShown && source === undefined && model === job.model && this.#deps.hasInstead(job)
  }

  /** What is held back has been counted: a deployment that is left for another has cost what it made. */
  #onTrial(speed: MinSpeed): Trial {
    return new Trial(speed, this.#deps.clock, {
      passed: (records, tokens) => {
        this.#trial = null
        if (!this.#isOver) this.#append(records, tokens)
      },
      threw: (thrown) => this.#giveUp(thrown),
      failed: (error) => {
        if (this.#isOver) return
        this.#fault = { error, retry: 'elsewhere' }
        this.#abort()
      },
    })
  }

  document(document: Bytes, usage: unknown): void {
    if (this.#isOver) return
    if (this.lease.job.kind === 'image' && this.#document !== WRITTEN) {
      this.#document = { document, usage }
      return
    }
    try {
      const before = this.#meter.tokens
      this.#answerBytes += document.length
      this.#meter.seeDocument(document, usage, this.lease.job.kind === 'chat')
      // A document is all there is of an answer: where chunks came before it, it is one more of them
      const identity = this.#identity
      const record =
        identity === null ? documentRecord(document) : chunkBytesOf(document, (chunk) => ({ ...chunk, ...identity }))
      const records = this.#released([record], false)
      if (records === null) return
      this.#last = records
      this.#lastChunk = document
      this.#isWhole = !this.#textShown
      this.#append(records, this.#meter.tokens - before, true)
    } catch (thrown) {
      this.#giveUp(thrown)
    }
  }

  // ------------------------------------------------------------ media

  part(type: string): void {
    if (!this.#isOver) this.#media?.part(type)
  }

  bytes(chunk: Uint8Array): void {
    if (this.#isOver) return
    this.#answerBytes += chunk.length
    this.#meter.seeBytes(chunk.length)
    this.#media?.bytes(chunk)
  }

  #mediaOut(): MediaOut {
    const isSound = this.lease.job.kind === 'speech'
    return new MediaOut(this.#deps.media, this.lease.job, {
      pause: () => this.#call?.pause(),
      resume: () => this.#call?.resume(),
      // Of an image nobody reads a part
      grew: (ref) => {
        if (isSound && !this.#isOver) this.#grew(ref)
      },
      threw: (thrown) => this.#giveUp(thrown, true),
    })
  }

  #grew(ref: MediaRef): void {
    try {
      this.#meter.shown = true
      this.#append([mediaRecord(ref)], 0)
    } catch (thrown) {
      this.#giveUp(thrown)
    }
  }

  /** Its bytes are whole, and safe, before its end is told. */
  async #filed(media: MediaOut): Promise<Outcome | typeof LOST> {
    let outcome: Outcome | typeof LOST = LOST
    try {
      const files = await media.finish()
      const whole = this.#document
      this.#document = WRITTEN
      if (whole !== null && !this.#isOver) this.document(withFiles(whole.document, files), whole.usage)
      outcome = await this.#outcomeOf({ kind: 'done' })
      return outcome
    } finally {
      if (outcome === LOST || outcome.kind !== 'done') void media.drop()
    }
  }

  #append(records: readonly Bytes[], tokens: number, isDocument = false): void {
    const { clock, emit, maxAnswerBytes, maxPendingBytes } = this.#deps
    const writer = this.#writer!
    const isFirst = !this.#textShown && this.#meter.shown
    const now = clock.monoMs()
    if (isFirst || (this.#pace === null && this.#meter.shown))
      this.#pace = {
        fromMono: now,
        chunksBefore: this.#meter.tokens - tokens,
        chunks: tokens,
        first: this.#meter.first,
      }
    if (this.#firstChunkMono === 0) this.#firstChunkMono = now
    if (this.#shownMono === 0 && this.#meter.shown) this.#shownMono = now
    if (tokens > 0) this.#progressed(now, isDocument)
    if (isFirst) {
      this.#textShown = true
      this.#firstTokenMono = now
      this.#parts = ttftPartsOf(this.lease, {
        leasedMono: this.#leasedMono,
        calledMono: this.#calledMono,
        sentMono: this.#call!.sentMono,
        firstTokenMono: this.#firstTokenMono,
      })
      emit({
        ...aboutJob(this.lease.job),
        type: 'first-token-received',
        attempt: this.lease.attempt,
        deployment: this.#claim.deployment,
        ttftMs: this.#firstTokenMono - this.#acceptedMono,
        parts: this.#parts,
        ...(this.#isWhole && { isWhole: true }),
      })
    }
    crashpoint('mid-stream')
    if (records.length > 0) writer.append(records, tokens, isFirst)
    if (isFirst) writer.noteFirstText(this.#firstTokenMono! - this.#acceptedMono)
    if (this.#answerBytes > maxAnswerBytes) this.#giveUp(new SluiceError('result_too_large'))
    else if (writer.pendingBytes > maxPendingBytes && !this.#paused) {
      // The store is slower than the upstream: leave the upstream unread
      this.#paused = true
      this.#call?.pause()
      writer.flushed().then(
        () => {
          this.#paused = false
          this.#call?.resume()
        },
        (thrown) => this.#giveUp(thrown, true), // what follows could not be kept
      )
    }
  }

  /** More of the answer came. `isDocument`: all of it, so that its end is told next. */
  #progressed(now: number, isDocument: boolean): void {
    const isOver = this.#lastTokenMono > 0 && now - this.#lastTokenMono >= STALL_MS
    if (isOver) this.#resumed(now)
    this.#lastTokenMono = now
    if (isOver || (!isDocument && now - this.#toldMono >= PROGRESS_MS)) this.#tellProgress(now)
  }

  #tellProgress(now: number): void {
    this.#toldMono = now
    this.#told = this.#meter.attemptTokens
    this.#deps.emit({ ...this.#about(), type: 'attempt-progressed', tokens: this.#told })
  }

  /** From time to time: one that brings nothing has nobody else to tell of it. */
  look(now: number): void {
    if (this.#lastTokenMono === 0 || this.#isOver || this.#paused) return
    if (this.#told !== this.#meter.attemptTokens && now - this.#toldMono >= PROGRESS_MS) this.#tellProgress(now)
    if (now - this.#lastTokenMono >= STALL_MS) this.#stalled(now)
  }

  /** It began, and brought nothing for so long. */
  isSilent(forMs: number): boolean {
    return this.#isStalled && this.#deps.clock.monoMs() - this.#lastTokenMono >= forMs
  }

  #stalled(now: number): void {
    if (this.#isStalled) return
    this.#isStalled = true
    this.#deps.emit({ ...this.#about(), type: 'answer-stalled', ms: now - this.#lastTokenMono })
  }

  #resumed(now: number): void {
    this.#stalled(now)
    this.#isStalled = false
    this.#deps.emit({ ...this.#about(), type: 'answer-resumed', ms: now - this.#lastTokenMono })
  }

  #about() {
    const { job, attempt } = this.lease
    return { ...aboutJob(job), attempt, deployment: this.#claim.deployment }
  }

  /** Nothing more of this answer can be taken: its call ends, and with it the attempt. */
  #giveUp(thrown: unknown, retry = false): void {
    const error = this.#foreseen(thrown)
    this.#fault ??= { error, retry: retry && mayRetry(error) }
    this.#abort()
  }

  end(end: ProviderEnd): void {
    this.#endedMono = this.#deps.clock.monoMs()
    if (end.kind !== 'aborted') this.#quota = end.limits
    let outcome: Outcome | typeof LOST | Promise<Outcome | typeof LOST>
    try {
      if (end.kind === 'done' && !this.#isOver) this.#trial?.pass()
      const media = this.#media
      if (media !== null && end.kind === 'done' && !this.#isOver) outcome = this.#filed(media)
      else {
        void media?.drop()
        outcome = this.#outcomeOf(end)
      }
    } catch (thrown) {
      outcome = this.#failedBy(thrown)
    }
    if (!(outcome instanceof Promise)) this.#settle(outcome)
    else outcome.catch((thrown: unknown) => this.#failedBy(thrown)).then((found) => this.#settle(found))
  }

  /** Stop at once: canceled, no longer ours, or handed back. */
  stop(reason: 'canceled' | 'lost' | 'released'): void {
    if (this.#stop !== null || (this.#settled && this.#log?.isWaiting !== true)) return
    this.#stop = reason
    this.#log?.stop()
    if (!this.#settled) this.#abort() // while it is opening, `#ask` sees it
  }

  /** The answer ends where it is. One that has come to its end is left to its usage, which is still to come. */
  cut(cause: Shortfall): void {
    // Of a refusal nothing more comes
    if (this.#isOver || this.#withheld.length > 0) return
    try {
      const isSpared = this.#isSpared
      this.#isSpared = this.#last.some(endsAnswer)
      if (this.#isSpared && !isSpared) return
      this.#trial?.pass()
      this.#cut = cause
      this.#abort()
    } catch (thrown) {
      this.#giveUp(thrown)
    }
  }

  /** Its call ends as if the upstream had cut it: what follows is the job's policy. False: nothing is being called. */
  breakCall(): boolean {
    if (this.#isOver || this.#call === null) return false
    this.#fault = { error: new SluiceError('provider_cut', { message: 'An operator broke this call.' }), retry: true }
    this.#abort()
    return true
  }

  #abort(): void {
    // A lost lease is nobody's to tell of
    this.#race?.stop(this.#stop === 'lost' ? null : this.#stop === 'released' ? 'released' : 'canceled')
    this.#call?.abort()
    this.#stage?.stop()
  }

  // ------------------------------------------------------------ outcomes

  #outcomeOf(end: ProviderEnd): Outcome | typeof LOST | Promise<Outcome> {
    if (this.#stop !== null) return this.#stopped(this.#stop)
    if (this.#fault !== null) return { kind: 'failed', ...this.#fault, ...this.#spent() }
    if (this.#cut !== null && end.kind === 'aborted') return this.#endCut(this.#cut)
    switch (end.kind) {
      case 'done':
        return this.#withheld.length === 0 ? this.#done() : this.#refused()
      case 'aborted':
        return this.#failedBy(new Error('the provider aborted a call that nobody had stopped'))
      case 'failed':
        return this.#failed(end)
    }
  }

  /** What it cost its provider told. */
  #refused(): Outcome {
    const message = "The model provider's policy ended the answer before it began."
    const error = new SluiceError('provider_rejected', { upstreamCode: 'content_filter', message })
    return { kind: 'failed', error, retry: false, textShown: false, ...this.#spent() }
  }

  /** After text was shown it is tried again only as the job's policy allows. */
  async #failed({ error, retry }: ProviderEnd & { kind: 'failed' }): Promise<Outcome> {
    if (FREE.has(error.code)) this.#meter.refused()
    const textShown = this.#textShown
    if (retry !== false && textShown) {
      const shown = shownBy(await this.#read())
      const { mode } = beginAttempt(this.lease.job, shown, this.#deployment!.provider.continues)
      if (mode === 'fail') return { kind: 'failed', error, retry: false, textShown, ...this.#spent() }
    }
    return { kind: 'failed', error, retry, textShown, ...this.#spent() }
  }

  /** Every choice that has no end gets one. A cut that came when all had theirs changes nothing (E1). */
  async #endCut(cause: Shortfall): Promise<Outcome> {
    const { clock, emit } = this.#deps
    const { job, body, attempt } = this.lease
    const missing = finishing(await foldInSteps(await this.#read(), clock), job, body, cause, this.#meter.usage())
    if (missing.length === 0) return this.#done()
    this.#writer!.append(missing, 0, false)
    this.#usageTold = null
    const { level: limitLevel, unit, window = null } = cause
    emit({
      ...aboutJob(job),
      type: 'answer-cut',
      attempt,
      deployment: this.#claim.deployment,
      limitLevel,
      unit,
      window,
    })
    return { ...this.#done(), cut: cause }
  }

  #done(): Outcome & { readonly kind: 'done' } {
    const usage = this.#meter.usage()
    if (this.#usageTold !== null) {
      const whole = rewrite(this.#usageTold, { ...this.#identity, usage: wireUsage(usage) })
      this.#writer!.append([usageRecord(whole)], 0, false)
    }
    return { kind: 'done', usage, ...this.#attemptSpent(), timing: this.#timing() }
  }

  #stopped(reason: 'canceled' | 'lost' | 'released'): Outcome | typeof LOST {
    if (reason === 'lost') return LOST
    if (reason === 'canceled') return { kind: 'canceled', ...this.#spent() }
    return { kind: 'released', ...this.#attemptSpent(), ...this.#ttft() }
  }

  // ------------------------------------------------------------ settling

  #settle(found: Outcome | typeof LOST): void {
    if (this.#settled) return
    this.#settled = true
    this.#trial?.stop()
    if (this.#isStalled) this.#resumed(this.#deps.clock.monoMs())
    if (found === LOST) return this.ended.tell()
    this.#writeOpening()
    crashpoint('before-finish')
    const isTurn = this.lease.job.options.conversation !== undefined && found.kind !== 'released'
    if (!isTurn) this.#finish(found)
    else void this.#withAnswer(found).then((outcome) => (outcome === LOST ? this.ended.tell() : this.#finish(outcome)))
  }

  #finish(outcome: Outcome): void {
    try {
      this.#tellEnd(outcome)
      this.#deps
        .finish(this.lease, this.#withRace(this.#withQuota(this.#withSent(outcome))))
        .then(this.#finished, this.#unfinished)
    } catch (thrown) {
      this.#unfinished(thrown)
    }
  }

  #withRace(outcome: Outcome): Outcome {
    return this.#result === null ? outcome : { ...outcome, race: this.#result }
  }

  /** With when its provider counted it, where that is of interest. */
  #withSent(outcome: Outcome): Outcome {
    const sentMono = this.#call?.sentMono ?? null
    if (sentMono === null || this.#deployment === null || !isLimited(this.#deployment)) return outcome
    if (outcome.kind !== 'done' && outcome.kind !== 'failed') return outcome
    return { ...outcome, sentAgoMs: Math.max(0, Math.round(this.#deps.clock.monoMs() - sentMono)) }
  }

  /** With what the upstream told of its limits: it was true when its head came. */
  #withQuota(outcome: Outcome): Outcome {
    if (this.#quota === undefined || (outcome.kind !== 'done' && outcome.kind !== 'failed')) return outcome
    const agoMs = this.#firstChunkMono > 0 ? this.#deps.clock.monoMs() - this.#firstChunkMono : 0
    return { ...outcome, quota: { ...this.#quota, agoMs: Math.max(0, Math.round(agoMs)) } }
  }

  readonly #finished = (): void => {
    crashpoint('after-finish')
    this.ended.tell()
  }

  /** Where the store failed the lease stays open, and a restart takes the job up again. */
  readonly #unfinished = (thrown: unknown): void => {
    const error = this.#foreseen(thrown)
    if (error.code !== 'internal' || this.#hasFailed) return this.ended.tell()
    // A fault of ours: without an end the job would stay leased for as long as this process runs
    this.#hasFailed = true
    const outcome: Outcome = { kind: 'failed', error, retry: false, ...this.#spent() }
    this.#deps.finish(this.lease, this.#withRace(outcome)).then(this.#finished, this.#unfinished)
  }

  #tellEnd(outcome: Outcome): void {
    const { job, attempt } = this.lease
    const { attemptUsage: usage, cost } = outcome
    this.#deps.emit({
      ...aboutJob(job),
      type: 'attempt-ended',
      attempt,
      deployment: this.#claim.deployment,
      ...stoppedBy(outcome),
      ...(this.#claim.isHedge && { isHedge: true }),
      ...failureOf(outcome.kind === 'failed' ? outcome.error : null),
      ...(usage && { usage }),
      ...(cost && { cost }),
      ...(this.#quota !== undefined && { quota: this.#quota }),
      ...(this.#call !== null && this.#took()),
    })
  }

  #failedBy(thrown: unknown): Outcome | typeof LOST {
    // A read of the log was given up for this
    if (this.#stop !== null && thrown === STOPPED) return this.#stopped(this.#stop)
    const error = this.#foreseen(thrown)
    return { kind: 'failed', error, retry: mayRetry(error), ...this.#spent() }
  }

  /** As an error of the table; what is none is told to the log. */
  #foreseen(thrown: unknown): SluiceError {
    const error = SluiceError.from(thrown)
    if (error.code === 'internal') this.#deps.onFault(thrown, this.lease.job)
    return error
  }

  /** Of a conversation. What can't be put together ends the job: it would end every later reader the same way. */
  async #withAnswer(outcome: Exclude<Outcome, { kind: 'released' }>): Promise<Outcome | typeof LOST> {
    try {
      const { clock } = this.#deps
      const answer = await foldInSteps(await this.#read(), clock)
      if (answer.choices.length === 0) return outcome
      const message = toMessage(answer)
      if (message.length > LARGE_MESSAGE) await new Promise<void>((next) => clock.soon(next))
      return { ...outcome, answer: message }
    } catch (cause) {
      if (this.#stop !== null && cause === STOPPED) return this.#stopped(this.#stop)
      if (outcome.kind !== 'done') return outcome
      const error = cause instanceof SluiceError ? cause : new SluiceError('provider_garbage', { cause })
      return { kind: 'failed', error, retry: false, ...this.#spent() }
    }
  }

  /** The log so far, all committed. Throws STOPPED. */
  #read(): Promise<readonly Bytes[]> {
    this.#log ??= new AttemptLog(this.#deps, this.lease.job.id, this.#writer!, () => this.#stop !== null)
    return this.#log.read()
  }

  // ------------------------------------------------------------ numbers

  /** Of the job so far, and of this attempt. */
  #spent(): Spent & { readonly usage?: Usage; readonly timing: Timing } {
    const usage = this.#call === null ? this.#meter.earlier : this.#meter.usage()
    return { ...(usage && { usage }), ...this.#attemptSpent(), timing: this.#timing() }
  }

  /** Nothing, where its provider was not called. */
  #attemptSpent(): Spent {
    if (this.#call === null) return {}
    const attemptUsage = this.#meter.attemptUsage()
    return { attemptUsage, ...(this.#price !== null && { cost: this.#price(attemptUsage) }) }
  }

  #took() {
    const { job, attempt } = this.lease
    const now = this.#deps.clock.monoMs()
    const endedMono = this.#endedMono || now
    const calledMs = endedMono - this.#calledMono
    const admissionMs = attempt === 1 ? (job.admissionMs ?? 0) : 0
    const overheadMs = admissionMs + now - this.#leasedMono - (endedMono - this.#beganMono)
    return { calledMs, overheadMs, chunks: this.#meter.chunks, marks: this.#marks() }
  }

  /** Of every attempt, read or not: one object, without spreads. Times that never came are undefined. */
  #marks(): CallMarks {
    const { job, claim } = this.lease
    const calledMono = this.#calledMono
    const isShown = this.#shownMono > 0
    const marks: CallMarks = {
      kind: job.kind,
      isStream: this.#deployment !== null && asksForStream(this.#deployment, job),
      isReplay: claim.source !== undefined,
      firstChunkMs: this.#firstChunkMono > 0 ? this.#firstChunkMono - calledMono : undefined,
      firstTokenMs: isShown ? this.#shownMono - calledMono : undefined,
      isOutput: isShown ? this.#meter.first.isOutput : undefined,
      lastTokenMs: this.#lastTokenMono > 0 ? this.#lastTokenMono - calledMono : undefined,
    }
    const isRead = this.#lastChunk !== null && job.trace !== undefined && isSampled(job.trace)
    return isRead ? { ...marks, ...endOf(this.#lastChunk!) } : marks
  }

  #ttft(): { readonly ttftMs?: number } {
    return this.#firstTokenMono === null || this.#isWhole
      ? {}
      : { ttftMs: thousandths(this.#firstTokenMono - this.#acceptedMono) }
  }

  #tpotMs(): number | null {
    const meter = this.#meter
    return this.#pace === null ? null : msPerToken(this.#pace, this.#lastTokenMono, meter.usage(), meter.allChunks)
  }

  #timing(): Timing {
    const tpotMs = this.#tpotMs()
    return {
      queuedMs: thousandths(this.lease.queuedMs),
      ...this.#ttft(),
      ...(this.#parts !== null && { parts: this.#parts }),
      ...(tpotMs !== null && { tpotMs: thousandths(tpotMs) }),
      totalMs: thousandths(this.#deps.clock.monoMs() - this.#acceptedMono),
      attempts: this.lease.attempt,
    }
  }
}

/** A second call of an attempt. */
interface Calling {
  readonly claim: Claim
  readonly deployment: Deployment
  readonly price: (usage: Usage) => Cost
  readonly calledMono: number
  readonly call: ProviderRun
}

const raceFailure = ({ error: { code, retryAfterMs }, retry }: ProviderEnd & { kind: 'failed' }) => ({
  code,
  ...(retryAfterMs !== undefined && { retryAfterMs }),
  elsewhere: retry === 'elsewhere',
})

/** What has no room now has none for the next answer: it would be bought to be thrown away. */
const mayRetry = ({ code, retryable }: SluiceError): boolean => retryable && code !== 'storage_full'

/** Its files are there: what comes now is the document that refers to them. */
const WRITTEN = { document: '', usage: null }

const unguarded = (): SluiceError =>
  new SluiceError('modality_not_allowed', {
    message: "This tenant's guards look at answers, which they can't do with images, sounds and transcriptions.",
  })

/** What an attempt came to. */
interface Spent {
  readonly attemptUsage?: Usage
  readonly cost?: Cost
}

/** No outcome: nothing may be stored of it. */
const LOST = null

const isLimited = ({ requestsPerMinute, tokensPerMinute }: Deployment): boolean =>
  requestsPerMinute != null || tokensPerMinute != null

const asksForStream = ({ stream }: Deployment, job: Job): boolean =>
  stream === 'always' || (stream === 'as_asked' && job.document !== true)
