/**
 * What happened lately, for the dashboard's charts: one pass over each fact, into five rings of buckets. It begins with
 * the process, takes 2 MB and 85 KB for each deployment, whatever the load, and computes nothing until it is read.
 */
import type { Fact } from '../../core/facts.ts'
import { ttftOfParts } from '../../core/goals.ts'
import type { JobId } from '../../core/job.ts'
import type { TtftParts } from '../../core/measure.ts'
import type { QueueDepth } from '../../core/ports/operations.ts'
import { FROM_CACHE } from '../../core/ports/work.ts'
import { Table } from '../../core/table.ts'
import type { Observe } from '../emit.ts'
import { Deployments } from './deployments.ts'
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

export class History {
  readonly tiers: readonly Tier[] = TIERS.map(([stepMs, slots]) => new Tier(stepMs, slots))
  readonly deployments = new Deployments()
  #startAtMs: number
  /** Tokens of running attempts that are counted already. */
  readonly #counted = new Table<JobId, number>()

  constructor(nowMs: number) {
    this.#startAtMs = nowMs
  }

  /** Before this nothing is known. A clock that is set back takes it along. */
  get startAtMs(): number {
    return this.#startAtMs
  }

  get bytes(): number {
    return this.tiers.reduce((sum, { bytes }) => sum + bytes, 0)
  }

  readonly observe: Observe = (fact) => {
    if (fact.atMs < this.#startAtMs) this.#startAtMs = fact.atMs
    switch (fact.type) {
      case 'first-token-delivered':
        return this.#firstToken(fact.atMs, fact.parts)
      case 'first-token-received':
        return fact.isWhole
          ? undefined
          : this.deployments.ttft(fact.deployment, fact.atMs, fact.parts.connect + fact.parts.upstream)
      case 'attempt-progressed':
        if (fact.deployment !== FROM_CACHE) this.#progressed(fact.job, fact.tokens, fact.atMs)
        return
      case 'attempt-ended':
        return this.#attemptEnded(fact)
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
    const cell = cellOf(ttftOfParts(parts))
    for (const part of PARTS) this.#add(atMs, part, parts[part])
    this.#add(atMs, 'firstTokens', 1)
    for (const tier of this.tiers) tier.addTtft(atMs, cell)
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

  #jobEnded({ atMs, job, state, good, timing, deployment }: JobEnded): void {
    this.#counted.delete(job)
    if (state === 'done' || state === 'failed' || state === 'canceled' || state === 'expired') this.#add(atMs, state, 1)
    if (good != null) {
      this.#add(atMs, 'judged', 1)
      if (good) this.#add(atMs, 'good', 1)
    }
    const tpotMs = timing?.tpotMs
    if (tpotMs === undefined) return
    const cell = cellOf(tpotMs)
    for (const tier of this.tiers) tier.addTpot(atMs, cell)
    if (deployment !== null) this.deployments.tpot(deployment, atMs, tpotMs)
  }
}
