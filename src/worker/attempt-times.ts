/** When what of an attempt came, and what it took, by the monotonic clock. Reads no clock: pure. */
import type { CallMarks } from '../core/facts.ts'
import type { Timing } from '../core/job.ts'
import type { TtftParts } from '../core/measure.ts'
import type { Lease } from '../core/ports/work.ts'
import type { Bytes } from '../core/record.ts'
import { isSampled } from '../core/trace.ts'
import { asksForStream, type Calling } from './call.ts'
import { endOf } from './call-end.ts'
import { msPerToken, type Pace, thousandths, ttftPartsOf, UNKNOWN } from './measured.ts'
import type { Meter } from './meter.ts'

/** 0: not yet, or not in this attempt. */
export class AttemptTimes {
  readonly #lease: Lease
  readonly #meter: Meter
  readonly #acceptedMono: number
  readonly #leasedMono: number
  /** When its first call was made. */
  beganMono = 0
  /** When the provider had ended. */
  endedMono = 0
  /** All of it came at once: no time to a first token can be told. */
  isWhole = false
  #firstTokenMono: number | null
  /** Where the time until then went; null: an earlier attempt gave it. */
  #parts: TtftParts | null = null
  #firstChunkMono = 0
  #shownMono = 0
  #lastTokenMono = 0
  /** Where the pace is measured from: the answer's first text, or this attempt's where nobody knows when that came. */
  #pace: Pace | null

  constructor(lease: Lease, meter: Meter, leasedMono: number) {
    this.#lease = lease
    this.#meter = meter
    this.#leasedMono = leasedMono
    this.#acceptedMono = leasedMono - lease.sinceAcceptedMs
    this.#firstTokenMono = lease.ttftMs === null ? null : this.#acceptedMono + lease.ttftMs
    this.#pace = this.#firstTokenMono === null ? null : { ...UNKNOWN, fromMono: this.#firstTokenMono }
  }

  /** Some of its answer came. `tokens`: chunks with text among it; `isFirst`: the answer shows its first text. */
  came(now: number, tokens: number, isFirst: boolean): void {
    const meter = this.#meter
    if (isFirst || (this.#pace === null && meter.shown))
      this.#pace = { fromMono: now, chunksBefore: meter.tokens - tokens, chunks: tokens, first: meter.first }
    if (this.#firstChunkMono === 0) this.#firstChunkMono = now
    if (this.#shownMono === 0 && meter.shown) this.#shownMono = now
  }

  /** Text came. */
  token(now: number): void {
    this.#lastTokenMono = now
  }

  /** Since text came last, ms; null: none came. */
  silentMs(now: number): number | null {
    return this.#lastTokenMono === 0 ? null : now - this.#lastTokenMono
  }

  /** The answer's first text is there. */
  firstToken(now: number, { calledMono, call }: Calling): { readonly ttftMs: number; readonly parts: TtftParts } {
    const leasedMono = this.#leasedMono
    const parts = ttftPartsOf(this.#lease, { leasedMono, calledMono, sentMono: call.sentMono, firstTokenMono: now })
    this.#firstTokenMono = now
    this.#parts = parts
    return { ttftMs: now - this.#acceptedMono, parts }
  }

  /** Since the first of the answer came here, ms; 0: nothing did. */
  sinceFirstChunkMs(now: number): number {
    return this.#firstChunkMono > 0 ? now - this.#firstChunkMono : 0
  }

  /** What its call took, and what Sluice added. `lastChunk`: of its answer. */
  took(now: number, calling: Calling, lastChunk: Bytes | null) {
    const { job, attempt } = this.#lease
    const endedMono = this.endedMono || now
    const calledMs = endedMono - calling.calledMono
    const admissionMs = attempt === 1 ? (job.admissionMs ?? 0) : 0
    const overheadMs = admissionMs + now - this.#leasedMono - (endedMono - this.beganMono)
    return { calledMs, overheadMs, chunks: this.#meter.chunks, marks: this.#marks(calling, lastChunk) }
  }

  /** Of every attempt, read or not: one object, without spreads. Times that never came are undefined. */
  #marks({ calledMono, deployment }: Calling, lastChunk: Bytes | null): CallMarks {
    const { job, claim } = this.#lease
    const isShown = this.#shownMono > 0
    const marks: CallMarks = {
      kind: job.kind,
      isStream: asksForStream(deployment, job),
      isReplay: claim.source !== undefined,
      firstChunkMs: this.#firstChunkMono > 0 ? this.#firstChunkMono - calledMono : undefined,
      firstTokenMs: isShown ? this.#shownMono - calledMono : undefined,
      isOutput: isShown ? this.#meter.first.isOutput : undefined,
      lastTokenMs: this.#lastTokenMono > 0 ? this.#lastTokenMono - calledMono : undefined,
    }
    const isRead = lastChunk !== null && job.trace !== undefined && isSampled(job.trace)
    return isRead ? { ...marks, ...endOf(lastChunk) } : marks
  }

  ttft(): { readonly ttftMs?: number } {
    return this.#firstTokenMono === null || this.isWhole
      ? {}
      : { ttftMs: thousandths(this.#firstTokenMono - this.#acceptedMono) }
  }

  #tpotMs(): number | null {
    const meter = this.#meter
    return this.#pace === null ? null : msPerToken(this.#pace, this.#lastTokenMono, meter.usage(), meter.allChunks)
  }

  timing(now: number): Timing {
    const tpotMs = this.#tpotMs()
    const { queuedMs, turnMs = 0 } = this.#lease
    return {
      queuedMs: thousandths(queuedMs),
      ...(turnMs > 0 && { turnMs: thousandths(turnMs) }),
      ...this.ttft(),
      ...(this.#parts !== null && { parts: this.#parts }),
      ...(tpotMs !== null && { tpotMs: thousandths(tpotMs) }),
      totalMs: thousandths(now - this.#acceptedMono),
      attempts: this.#lease.attempt,
    }
  }
}
