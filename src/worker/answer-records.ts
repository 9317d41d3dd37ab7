/**
 * What a provider sends, as records of the answer: without what adds nothing to what earlier attempts have shown, and
 * under their identity. Pure.
 */
import { chunkBytesOf } from '../core/document.ts'
import type { Job, Usage } from '../core/job.ts'
import type { Lease } from '../core/ports/work.ts'
import { type Bytes, documentRecord, usageRecord } from '../core/record.ts'
import { wireUsage } from '../core/wire.ts'
import { endsAnswer, isFiltered, rewrite } from './chunks.ts'
import type { Meter } from './meter.ts'
import type { Identity, Shown } from './plan.ts'

export class AnswerRecords {
  readonly #lease: Pick<Lease, 'job' | 'claim'>
  readonly #meter: Meter
  readonly #hasInstead: (job: Job) => boolean
  /** Some text is in the log, of whichever attempt. */
  textShown = false
  /** What came in this attempt, media included. */
  bytes = 0
  /** As the provider sent it; null: none came in this attempt. */
  lastChunk: Bytes | null = null
  /** What the last read brought. */
  #last: readonly Bytes[] = []
  /** It ended by its provider's policy before anything was shown, and another model may answer instead. */
  readonly #withheld: Bytes[] = []
  /** Later attempts' chunks take the first one's identity. */
  #identity: Identity | null = null
  /** It prolongs what earlier attempts have shown. */
  #isContinued = false
  /** The usage of this attempt, as its upstream told it; null: none is to be told, or none has come. */
  #usageTold: Bytes | null = null
  /** The log has chunks already: the upstream's opening chunk adds nothing. */
  #dropOpening = false

  /** `hasInstead`: may another model answer it where its own one's policy does not? */
  constructor(lease: Pick<Lease, 'job' | 'claim'>, meter: Meter, hasInstead: (job: Job) => boolean) {
    this.#lease = lease
    this.#meter = meter
    this.#hasInstead = hasInstead
  }

  /** Takes up what earlier attempts left. */
  resume({ text, identity }: Shown): void {
    this.textShown = text
    this.#identity = identity
    this.#dropOpening = identity !== null
  }

  /** It begins anew: what was shown is taken back. */
  restart(): void {
    this.#dropOpening = false
    this.textShown = false
  }

  /** It goes on where the attempts before it ended. */
  continue(): void {
    this.#isContinued = true
  }

  /** The records to store now; null: none, while this may be the end of a refusal. Throws SyntaxError. */
  take(payloads: readonly Bytes[]): readonly Bytes[] | null {
    const taken: Bytes[] = []
    for (let payload of payloads) {
      this.bytes += payload.length
      const kind = this.#meter.see(payload)
      if (kind === 'usage') {
        // What is told of a continued answer is of all of it
        if (this.#isContinued) this.#usageTold = payload
        else taken.push(usageRecord(payload))
        continue
      }
      if (kind === 'opening' && this.#dropOpening) continue
      if (this.#identity !== null) payload = rewrite(payload, this.#identity)
      this.lastChunk = payload
      taken.push(payload)
    }
    return this.#released(taken, this.#meter.shown)
  }

  /** The whole of it in one piece, with the `usage` that it names; the rest as of `take`. */
  takeDocument(document: Bytes, usage: unknown): readonly Bytes[] | null {
    this.bytes += document.length
    this.#meter.seeDocument(document, usage, this.#lease.job.kind === 'chat')
    // A document is all there is of an answer: where chunks came before it, it is one more of them
    const identity = this.#identity
    const record =
      identity === null ? documentRecord(document) : chunkBytesOf(document, (chunk) => ({ ...chunk, ...identity }))
    const records = this.#released([record], false)
    if (records !== null) this.lastChunk = document
    return records
  }

  #released(records: readonly Bytes[], isShown: boolean): readonly Bytes[] | null {
    const withheld = this.#withheld
    const isWithheld = withheld.length > 0 || (!isShown && records.some(isFiltered) && this.#isReplaceable)
    if (isWithheld) {
      withheld.push(...records)
      if (!isShown) return null
      records = withheld.splice(0)
    }
    this.#last = records
    return records
  }

  /** Nothing of the answer is out, and its own model refuses it. */
  get #isReplaceable(): boolean {
    const { job, claim } = this.#lease
    const { model = job.model, source } = claim
    return !this.textShown && source === undefined && model === job.model && this.#hasInstead(job)
  }

  /** The provider refused to answer, and nothing of that is told: another model is to answer. */
  get isRefused(): boolean {
    return this.#withheld.length > 0
  }

  /** The last read brought its end: nothing but its usage is still to come. */
  get hasEnd(): boolean {
    return this.#last.some(endsAnswer)
  }

  /** The usage of all attempts, to close a continued answer; empty: it was told already, or never is. */
  closing(usage: Usage): readonly Bytes[] {
    if (this.#usageTold === null) return []
    return [usageRecord(rewrite(this.#usageTold, { ...this.#identity, usage: wireUsage(usage) }))]
  }

  /** Its usage is told with its last chunks. */
  closed(): void {
    this.#usageTold = null
  }
}
