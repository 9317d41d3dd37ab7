/**
 * What happened lately, for the dashboard's charts: one pass over each fact, into five rings of buckets. It begins with
 * the process, takes 3 MB, and half of one a deployment, once all is full, and computes nothing until it is read.
 */
import { isOfLine } from '../../core/batch.ts'
import type { Fact } from '../../core/facts.ts'
import { ttftOfParts } from '../../core/goals.ts'
import type { JobId } from '../../core/job.ts'
import type { TtftParts } from '../../core/measure.ts'
import type { QueueDepth } from '../../core/ports/operations.ts'
import { FROM_CACHE } from '../../core/ports/work.ts'
import { Table } from '../../core/table.ts'
import type { Observe } from '../emit.ts'
import { Deployments } from './deployments.ts'
import { Edits } from './edits.ts'
import { cellOf } from './marks.ts'
import { type Column, placeOf, Tier } from './tier.ts'

const TIERS: ReadonlyArray<readonly [stepMs: number, slots: number]> = [
  [5_000, 180],
  [15_000, 240],
  [60_000, 360],
  [300_000, 288],
  [1_800_000, 336],
]
export const PARTS: ReadonlyArray<keyof TtftParts> = [
  'admission',
  'turn',
  'queue',
  'retries',
  'routing',
  'connect',
  'upstream',
  'delivery',
]
/** Attempts whose tokens are counted while they come; those beyond are counted when they end. */
const MAX_COUNTED = 10_000

type AttemptEnded = Extract<Fact, { type: 'attempt-ended' }>
type JobEnded = Extract<Fact, { type: 'job-ended' }>

export interface HistoryOptions {
  readonly edits?: Edits
  /**
   * Do readers come to other processes than the one that has an answer? Then where the time to its first text went is
   * known here alone: it is counted here, if it is streamed, as somebody follows it; what its delivery takes is added
   * where it is known, too.
   */
  readonly isOneOfMany?: boolean
}

export class History {
  readonly edits: Edits
  readonly tiers: readonly Tier[]
  readonly deployments: Deployments
  #startAtMs: number
  /** Tokens of running attempts that are counted already. */
  readonly #counted = new Table<JobId, number>()
  readonly #isOneOfMany: boolean

  constructor(nowMs: number, { edits = new Edits(), isOneOfMany = false }: HistoryOptions = {}) {
    this.#startAtMs = nowMs
    this.edits = edits
    this.tiers = TIERS.map(([stepMs, slots]) => new Tier(stepMs, slots, edits))
    this.deployments = new Deployments(edits)
    this.#isOneOfMany = isOneOfMany
  }

  /** Before this nothing is known. A clock that is set back takes it along. */
  get startAtMs(): number {
    return this.#startAtMs
  }

  get knownFromMs(): number {
    return this.#startAtMs
  }

  get bytes(): number {
    return this.tiers.reduce((sum, { bytes }) => sum + bytes, 0)
  }

  readonly observe: Observe = (fact) => {
    if (fact.atMs < this.#startAtMs) this.#startAtMs = fact.atMs
    switch (fact.type) {
      case 'first-token-delivered':
        if (this.#isOneOfMany) return this.#add(fact.atMs, 'delivery', fact.parts.delivery)
        return this.#firstToken(fact.atMs, fact.parts)
      case 'first-token-received':
        if (fact.isWhole) return
        // Lines of batches wait for as long as others need
        if (this.#isOneOfMany && !isOfLine(fact.requestId)) this.#firstToken(fact.atMs, fact.parts)
        return this.deployments.ttft(fact.deployment, fact.atMs, fact.parts.connect + fact.parts.upstream)
      case 'attempt-progressed':
        if (fact.deployment !== FROM_CACHE) this.#progressed(fact.job, fact.tokens, fact.atMs)
        return
      case 'attempt-ended':
        return this.#attemptEnded(fact)
      case 'attempt-hedged':
        return this.#callEnded(fact)
      case 'answer-stalled':
        return this.#add(fact.atMs, 'stalls', 1)
      case 'job-refused':
        return this.#add(fact.atMs, 'refused', 1)
      case 'job-ended':
        return this.#jobEnded(fact)
      default:
    }
  }

  /** The queue, as it is at this moment. */
  looked(atMs: number, { queued, waiting, leased }: QueueDepth): void {
    if (atMs < this.#startAtMs) this.#startAtMs = atMs
    this.#add(atMs, 'waiting', queued + waiting)
    this.#add(atMs, 'running', leased)
    this.#add(atMs, 'looks', 1)
  }

  #add(atMs: number, column: Column, n: number): void {
    const place = placeOf(column)
    for (const tier of this.tiers) tier.add(atMs, place, n)
  }

  #firstToken(atMs: number, parts: TtftParts): void {
    const ms = ttftOfParts(parts)
    const cell = cellOf(ms)
    for (const part of PARTS) this.#add(atMs, part, parts[part] ?? 0)
    this.#add(atMs, 'firstTokens', 1)
    for (const tier of this.tiers) tier.addTtft(atMs, ms, cell)
  }

  #progressed(job: JobId, tokens: number, atMs: number): void {
    const before = this.#counted.get(job)
    if (before === undefined && this.#counted.size >= MAX_COUNTED) return
    this.#counted.set(job, tokens)
    const more = tokens - (before ?? 0)
    if (more > 0) this.#add(atMs, 'tokensOut', more)
  }

  #attemptEnded({ job, deployment, atMs, code, usage, cost, quota }: AttemptEnded): void {
    const counted = this.#counted.get(job) ?? 0
    this.#counted.delete(job)
    this.deployments.ended(deployment, atMs, code, cost?.nanoDollars ?? 0)
    if (quota !== undefined) this.deployments.quota(deployment, atMs, quota)
    // From the cache: its tokens were counted when they were made
    if (usage === undefined || deployment === FROM_CACHE) return
    // What was counted while it ran was an estimate, which may have been too high
    this.#add(atMs, 'tokensOut', usage.completionTokens - counted)
    this.#add(atMs, 'tokensIn', usage.promptTokens)
    if (usage.cachedTokens !== undefined) this.#add(atMs, 'tokensCached', usage.cachedTokens)
    if (cost?.nanoDollars) this.#add(atMs, 'nanoUsd', cost.nanoDollars)
    if (usage.estimated) this.#add(atMs, 'estimated', 1)
  }

  /** The one of an attempt's two calls that did not go on: it has shown nothing. */
  #callEnded({ deployment, atMs, code, usage, cost }: Extract<Fact, { type: 'attempt-hedged' }>): void {
    this.deployments.ended(deployment, atMs, code, cost?.nanoDollars ?? 0)
    this.#add(atMs, 'tokensIn', usage.promptTokens)
    if (cost?.nanoDollars) this.#add(atMs, 'nanoUsd', cost.nanoDollars)
    if (usage.estimated) this.#add(atMs, 'estimated', 1)
  }

  #jobEnded({ atMs, job, state, good, timing, deployment }: JobEnded): void {
    // Where it ends in another process than it ran in, or in another thread, its attempt may end after it
    if (!this.#isOneOfMany) this.#counted.delete(job)
    if (state === 'done' || state === 'failed' || state === 'canceled' || state === 'expired') this.#add(atMs, state, 1)
    if (good != null) {
      this.#add(atMs, 'judged', 1)
      if (good) this.#add(atMs, 'good', 1)
    }
    const tpotMs = timing?.tpotMs
    if (tpotMs === undefined) return
    const cell = cellOf(tpotMs)
    for (const tier of this.tiers) tier.addTpot(atMs, tpotMs, cell)
    if (deployment !== null) this.deployments.tpot(deployment, atMs, tpotMs)
  }
}
