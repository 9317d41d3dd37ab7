/** What a provider sends for an attempt, on its way to the log, until its end. */
import { crashpoint } from '../core/crashpoint.ts'
import { parseDocument } from '../core/document.ts'
import { SluiceError } from '../core/errors.ts'
import { isObject } from '../core/fold.ts'
import type { JsonRecord } from '../core/json.ts'
import { type MediaRef, mediaEvent, mediaRecord } from '../core/media.ts'
import { inTokens, unitsAsked, unitsMade } from '../core/media-units.ts'
import type { LogWriter } from '../core/ports/log.ts'
import type { MinSpeed, ProviderEnd, ProviderSink, Upload } from '../core/ports/provider.ts'
import type { Outcome } from '../core/ports/work.ts'
import type { Bytes } from '../core/record.ts'
import type { Attempt } from './attempt.ts'
import { LOST, outcomeOf, outcomeOfThrown } from './ending.ts'
import { MediaAnswer } from './media-answer.ts'
import { Progress } from './progress.ts'
import { Trial } from './trial.ts'

/** In what tells how long a sound was. */
const SECONDS = '"seconds"'

export interface AnsweringEnds {
  /** Nothing more of this answer can be taken. `retry`: it may be asked for again, where the error may. */
  readonly giveUp: (thrown: unknown, retry?: boolean) => void
  /** Its upstream is too slow to go on with. */
  readonly tooSlow: (error: SluiceError) => void
  /** Its call is over. */
  readonly ended: (outcome: Outcome | typeof LOST) => void
}

export class Answering implements ProviderSink {
  readonly #attempt: Attempt
  readonly #ends: AnsweringEnds
  readonly #progress: Progress
  /** Takes the bytes of its answer; null: it has none. */
  #media: MediaAnswer | null = null
  /** Of what goes with a request for media. */
  #soundBytes = 0
  /** Holds the beginning back; null: it goes to the log as it comes. */
  #trial: Trial | null = null
  /** The upstream is left unread until the store has caught up. */
  #paused = false

  constructor(attempt: Attempt, ends: AnsweringEnds) {
    this.#attempt = attempt
    this.#ends = ends
    this.#progress = new Progress(attempt.meter, (told) => attempt.deps.emit({ ...attempt.about(), ...told }))
  }

  // ------------------------------------------------------------ how it is taken

  /** What is held back has been counted: a deployment that is left for another has cost what it made. */
  onTrial(speed: MinSpeed): void {
    this.#trial = new Trial(speed, this.#attempt.deps.clock, {
      passed: (records, tokens) => {
        this.#trial = null
        if (!this.#attempt.isOver) this.#append(records, tokens)
      },
      threw: (thrown) => this.#ends.giveUp(thrown),
      failed: (error) => {
        if (!this.#attempt.isOver) this.#ends.tooSlow(error)
      },
    })
  }

  /** `body`: of its request. */
  toFiles(body: Uint8Array, uploads: readonly Upload[] = []): void {
    const { deps, lease } = this.#attempt
    this.#soundBytes = uploads.reduce((sum, { bytes }) => sum + bytes, 0)
    const request = JSON.parse(Buffer.from(body).toString('utf8')) as JsonRecord
    this.#attempt.units = unitsAsked(lease.job.kind, request, this.#soundBytes)
    this.#media = new MediaAnswer(deps.media, lease.job, {
      pause: () => this.#attempt.calling?.call.pause(),
      resume: () => this.#attempt.calling?.call.resume(),
      grew: (ref) => {
        if (!this.#attempt.isOver) this.#grew(ref)
      },
      told: (event) => {
        if (!this.#attempt.isOver) this.#told(event)
      },
      threw: (thrown) => this.#ends.giveUp(thrown, true),
    })
  }

  #told(event: JsonRecord): void {
    const { meter } = this.#attempt
    try {
      const record = mediaEvent(event)
      const { usage } = event
      if (isObject(usage)) meter.seeDocument(record, inTokens(usage), false)
      meter.shown = true
      this.#append([record], 0)
    } catch (thrown) {
      this.#ends.giveUp(thrown)
    }
  }

  /** What is held back is fast enough, as it is all there is. */
  passTrial(): void {
    this.#trial?.pass()
  }

  /** It goes on at another deployment, or not at all: what is held back is let go. */
  dropTrial(): void {
    this.#trial?.stop()
    this.#trial = null
  }

  /** The attempt is over. */
  stop(): void {
    this.dropTrial()
    const { times, deps } = this.#attempt
    this.#progress.ended(times.silentMs(deps.clock.monoMs()))
  }

  // ------------------------------------------------------------ what comes

  events(payloads: readonly Bytes[]): void {
    const { isOver, meter, answer, lease } = this.#attempt
    if (isOver) return
    // Bytes that they refer to are written first
    if (lease.job.kind === 'image') {
      for (const each of payloads) this.#media?.event(each)
      return
    }
    try {
      const before = meter.tokens
      if (this.#media !== null) for (const each of payloads) if (each.includes(SECONDS)) this.#count(each)
      const records = answer.take(payloads)
      if (records === null) return
      const tokens = meter.tokens - before
      if (this.#trial === null) this.#append(records, tokens)
      else this.#trial.take(records, tokens)
    } catch (thrown) {
      this.#ends.giveUp(thrown)
    }
  }

  document(document: Bytes, usage: unknown): void {
    if (this.#attempt.isOver) return
    this.#count(document)
    if (this.#attempt.lease.job.kind === 'image') this.#media?.hold(document, usage)
    else this.#takeDocument(document, usage)
  }

  #count(document: Bytes): void {
    if (this.#media === null) return
    const { lease, units } = this.#attempt
    this.#attempt.units = unitsMade(lease.job.kind, parseDocument(document), units, this.#soundBytes)
  }

  #takeDocument(document: Bytes, usage: unknown): void {
    const { isOver, meter, answer, times } = this.#attempt
    if (isOver) return
    try {
      const before = meter.tokens
      const records = answer.takeDocument(document, usage)
      if (records === null) return
      times.isWhole = !answer.textShown
      this.#append(records, meter.tokens - before, true)
    } catch (thrown) {
      this.#ends.giveUp(thrown)
    }
  }

  part(type: string): void {
    if (!this.#attempt.isOver) this.#media?.part(type)
  }

  bytes(chunk: Uint8Array): void {
    const { isOver, meter, answer } = this.#attempt
    if (isOver) return
    answer.bytes += chunk.length
    meter.seeBytes(chunk.length)
    this.#media?.bytes(chunk)
  }

  #grew(ref: MediaRef): void {
    try {
      this.#attempt.meter.shown = true
      this.#append([mediaRecord(ref)], 0)
    } catch (thrown) {
      this.#ends.giveUp(thrown)
    }
  }

  #append(records: readonly Bytes[], tokens: number, isDocument = false): void {
    const { deps, meter, answer, times } = this.#attempt
    const writer = this.#attempt.writer!
    const isFirst = !answer.textShown && meter.shown
    const now = deps.clock.monoMs()
    times.came(now, tokens, isFirst)
    if (tokens > 0) {
      const silentMs = times.silentMs(now)
      times.token(now)
      this.#progress.came(now, silentMs, isDocument)
    }
    const ttftMs = isFirst ? this.#tellFirst(now) : 0
    crashpoint('mid-stream')
    if (records.length > 0) writer.append(records, tokens, isFirst)
    if (isFirst) writer.noteFirstText(ttftMs)
    if (answer.bytes > deps.maxAnswerBytes) this.#ends.giveUp(new SluiceError('result_too_large'))
    else if (writer.pendingBytes > deps.maxPendingBytes && !this.#paused) this.#pause(writer)
  }

  #tellFirst(now: number): number {
    const { deps, answer, times } = this.#attempt
    answer.textShown = true
    const first = times.firstToken(now, this.#attempt.calling!)
    const about = { ...this.#attempt.about(), type: 'first-token-received' } as const
    deps.emit({ ...about, ...first, ...(times.isWhole && { isWhole: true }) })
    return first.ttftMs
  }

  /** The store is slower than the upstream: leave the upstream unread. */
  #pause(writer: LogWriter): void {
    this.#paused = true
    this.#attempt.calling?.call.pause()
    writer.flushed().then(
      () => {
        this.#paused = false
        this.#attempt.calling?.call.resume()
      },
      (thrown) => this.#ends.giveUp(thrown, true), // what follows could not be kept
    )
  }

  /** From time to time: one that brings nothing has nobody else to tell of it. */
  look(now: number): void {
    const silentMs = this.#attempt.times.silentMs(now)
    if (silentMs !== null && !this.#attempt.isOver && !this.#paused) this.#progress.look(now, silentMs)
  }

  /** It began, and brought nothing for so long. */
  isSilent(forMs: number): boolean {
    const { times, deps } = this.#attempt
    return this.#progress.isStalled && times.silentMs(deps.clock.monoMs())! >= forMs
  }

  end(end: ProviderEnd): void {
    this.#attempt.times.endedMono = this.#attempt.deps.clock.monoMs()
    if (end.kind !== 'aborted') this.#attempt.quota = end.limits
    let outcome: Outcome | typeof LOST | Promise<Outcome | typeof LOST>
    try {
      const isWhole = end.kind === 'done' && !this.#attempt.isOver
      if (isWhole) this.#trial?.pass()
      const media = this.#media
      if (media !== null && isWhole) outcome = this.#filed(media)
      else {
        void media?.drop()
        outcome = outcomeOf(this.#attempt, end)
      }
    } catch (thrown) {
      outcome = outcomeOfThrown(this.#attempt, thrown)
    }
    if (!(outcome instanceof Promise)) this.#ends.ended(outcome)
    else outcome.catch((thrown: unknown) => outcomeOfThrown(this.#attempt, thrown)).then(this.#ends.ended)
  }

  /** Its bytes are whole, and safe, before its end is told. */
  async #filed(media: MediaAnswer): Promise<Outcome | typeof LOST> {
    let outcome: Outcome | typeof LOST = LOST
    try {
      await media.finish((document, usage) => this.#takeDocument(document, usage))
      outcome = await outcomeOf(this.#attempt, { kind: 'done' })
      return outcome
    } finally {
      if (outcome === LOST || outcome.kind !== 'done') void media.drop()
    }
  }
}
