/**
 * What a provider allows one deployment: requests and tokens in any 60 s. A call counts its request and its prompt
 * when it is claimed, and what it writes as it writes it; until then the answer that is expected of it is held. That
 * is never later than a provider counts, be it as it is asked or as it answers. A prompt weighs what the last reports
 * tell that such an estimate comes to. Pure.
 */
import type { LevelUse } from '../../core/limits.ts'
import type { DeploymentUse } from '../../core/ports/operations.ts'
import { TokenRatio } from '../../core/token-ratio.ts'
import type { LimitState, UpstreamLimits } from '../../core/upstream-limits.ts'
import { LastMinute, slotOf } from '../limits/last-minute.ts'
import type { Waiting } from './waiting.ts'

/** What a call holds. */
export interface QuotaHold {
  /** Where it is counted: that of its claim, until it is known when it reached the provider. */
  slot: number
  /** As it was estimated. */
  readonly estimate: number
  /** Counted since; 0: they were counted by a coordinator before this one. */
  readonly promptTokens: number
  readonly requests: number
  /** Of its answer, and not written yet. */
  left: number
  streamed: number
}

/** What a call came to. */
export interface QuotaUse {
  /** Those that were read from the provider's cache among them: that is how most count. */
  readonly promptTokens: number
  readonly outputTokens: number
  /** Nobody reported it. Absent: the upstream did. */
  readonly isEstimate?: boolean
}

interface Told {
  /** Used there by others, as far as one can tell. */
  readonly more: number
  readonly untilMono: number
}

const NOTHING: Told = { more: 0, untilMono: -Infinity }
/** Whatever an upstream says. */
const MOST_MS = 60_000
/** Few tokens: what a minute's limit costs while nothing is known is more than what a short prompt misleads to. */
const DOUBT_TOKENS = 32
/** Whatever an upstream reports. */
const [LEAST_RATIO, MOST_RATIO] = [0.25, 16]

class Counted {
  limit = Infinity
  readonly minute = new LastMinute()
  held = 0
  told = NOTHING

  used(now: number): number {
    return this.minute.used(now) + this.held + (this.told.untilMono > now ? this.told.more : 0)
  }

  /** Of the limit, left. */
  share(now: number): number {
    return this.limit === Infinity ? 1 : Math.max(0, 1 - this.used(now) / this.limit)
  }

  /** 0: it fits. Infinity: when something that is held is given back. */
  waitMs(amount: number, now: number): number {
    if (this.limit === Infinity) return this.told.untilMono > now ? this.told.untilMono - now : 0
    // What is heavier than a minute goes when nothing else does
    const excess = this.used(now) + Math.min(amount, this.limit) - this.limit
    if (excess <= 0) return 0
    const { more, untilMono } = this.told
    const alone = this.minute.freedInMs(excess, now)
    if (untilMono <= now) return alone
    return Math.min(alone, Math.max(untilMono - now, this.minute.freedInMs(excess - more, now)))
  }

  /** `agoMs`: how old that is. */
  tell({ limit, remaining, resetMs }: LimitState, agoMs: number, now: number): void {
    if (remaining === undefined) return
    const inMs = Math.min((resetMs ?? MOST_MS) - agoMs, MOST_MS)
    if (inMs <= 0) return
    // Nobody here limits it, so only that nothing is left says something
    if (this.limit === Infinity) {
      if (remaining === 0) this.told = { more: 0, untilMono: now + inMs }
      return
    }
    // Where the upstream allows less than the settings say, as if others used the rest
    const used = Math.max(limit ?? this.limit, this.limit) - remaining
    const more = used - this.minute.used(now) - this.held
    this.told = more > 0 ? { more, untilMono: now + inMs } : NOTHING
  }
}

export class Quota implements Waiting {
  readonly seq: number
  readonly #requests = new Counted()
  readonly #tokens = new Counted()
  #ratio = new TokenRatio(DOUBT_TOKENS)
  /** What it has used is not what the store has. */
  isChanged = false
  #isStored = false
  /** A job waits for it. */
  isAwaited = false
  // Waiting: when something fits that did not
  due = Infinity
  heapAt = -1

  constructor(seq: number) {
    this.seq = seq
  }

  nextMono(): number {
    return Infinity
  }

  /** What was used stays used. */
  change(requests: number | null | undefined, tokens: number | null | undefined): void {
    this.#requests.limit = requests ?? Infinity
    this.#tokens.limit = tokens ?? Infinity
  }

  /** Nothing is limited, but an upstream may have said that nothing is left. */
  get isTold(): boolean {
    return this.#requests.told !== NOTHING || this.#tokens.told !== NOTHING
  }

  get isLimited(): boolean {
    return this.#requests.limit < Infinity || this.#tokens.limit < Infinity
  }

  /** In the last minute, and what running calls hold besides. */
  used(now: number): DeploymentUse {
    const { minute, held } = this.#tokens
    return { requests: this.#requests.minute.used(now), tokens: minute.used(now), heldTokens: held }
  }

  /** Shares of what there is that are left, 0 to 1: of requests, or of tokens, whichever is smaller. */
  headroom(now: number): number {
    return Math.min(this.#requests.share(now), this.#tokens.share(now))
  }

  /** How long until a call fits: 0, it does; Infinity, when one that runs has ended. */
  waitMs(promptTokens: number, outputTokens: number, now: number): number {
    const tokens = this.#weight(promptTokens) + outputTokens
    return Math.max(this.#requests.waitMs(1, now), this.#tokens.waitMs(tokens, now))
  }

  #weight(estimate: number): number {
    return Math.ceil(estimate * this.#ratio.value)
  }

  /** Within bounds each, and so is what they come to together, however wrong one is. */
  #learn(estimate: number, reported: number): void {
    if (estimate <= 0 || reported <= 0) return
    this.#ratio.learn(estimate, Math.min(estimate * MOST_RATIO, Math.max(estimate * LEAST_RATIO, reported)))
  }

  /** Something else answers there from now on. */
  forgetRatio(): void {
    this.#ratio = new TokenRatio(DOUBT_TOKENS)
  }

  /** Takes it, whether it fits or not. `estimate`: of its prompt, tokens. */
  take(estimate: number, outputTokens: number, now: number): QuotaHold {
    this.isChanged = true
    const promptTokens = this.#weight(estimate)
    this.#requests.minute.add(1, now)
    this.#tokens.minute.add(promptTokens, now)
    this.#tokens.held += outputTokens
    return { slot: slotOf(now), estimate, promptTokens, requests: 1, left: outputTokens, streamed: 0 }
  }

  /** Of a call that runs already: a coordinator before this one counted it. */
  adopt(estimate: number, outputTokens: number, now: number): QuotaHold {
    this.#tokens.held += outputTokens
    return { slot: slotOf(now), estimate, promptTokens: 0, requests: 0, left: outputTokens, streamed: 0 }
  }

  /** Its provider has counted it at about that time, which may be long after the claim. */
  #arrived(hold: QuotaHold, slot: number, now: number): void {
    if (slot === hold.slot) return
    for (const [{ minute }, amount] of [
      [this.#requests, hold.requests],
      [this.#tokens, hold.promptTokens],
    ] as const) {
      minute.add(-amount, now, hold.slot)
      minute.add(amount, now, slot)
    }
    hold.slot = slot
  }

  streamed(hold: QuotaHold, tokens: number, now: number): void {
    if (hold.streamed === 0) this.#arrived(hold, slotOf(now), now)
    const held = Math.min(hold.left, tokens)
    hold.left -= held
    hold.streamed += tokens
    this.#tokens.held -= held
    this.#tokens.minute.add(tokens, now)
    this.isChanged = true
  }

  /** Its call is over. `used` null: it came to nothing there, or was never made. `sentMono`: when it was, if known. */
  settle(hold: QuotaHold, used: QuotaUse | null, now: number, sentMono: number | null): void {
    this.isChanged = true
    this.#tokens.held -= hold.left
    hold.left = 0
    if (used === null) {
      this.#requests.minute.add(-hold.requests, now, hold.slot)
      this.#tokens.minute.add(-hold.promptTokens, now, hold.slot)
      return
    }
    if (sentMono !== null) this.#arrived(hold, slotOf(sentMono), now)
    else if (hold.streamed === 0) this.#arrived(hold, slotOf(now), now)
    const counted = used.promptTokens - hold.promptTokens
    if (used.isEstimate !== true) this.#learn(hold.estimate, used.promptTokens)
    // Of one that was adopted nobody knows how much was counted before, and an estimate takes nothing back
    const more = hold.requests === 0 ? 0 : used.isEstimate === true ? Math.max(0, counted) : counted
    this.#tokens.minute.add(more, now, more < 0 ? hold.slot : slotOf(now))
    this.#tokens.minute.add(Math.max(0, used.outputTokens - hold.streamed), now)
  }

  /** Of a call that nobody held anything for. */
  spend(estimate: number, outputTokens: number, now: number): void {
    this.isChanged = true
    this.#requests.minute.add(1, now)
    this.#tokens.minute.add(this.#weight(estimate) + outputTokens, now)
  }

  /** What the upstream's headers said. `agoMs`: before now. */
  tell({ requests, tokens }: UpstreamLimits, agoMs: number, now: number): void {
    if (requests !== undefined) this.#requests.tell(requests, agoMs, now)
    if (tokens !== undefined) this.#tokens.tell(tokens, agoMs, now)
  }

  // ------------------------------------------------------------ for the store

  /** Without what is held. Undefined: as the store has it; null: nothing. */
  changed(now: number): LevelUse | null | undefined {
    if (!this.isChanged) return undefined
    this.isChanged = false
    const requests = this.#requests.minute.used(now)
    const tokens = this.#tokens.minute.used(now)
    const isUsed = this.isLimited && (requests > 0 || tokens > 0)
    if (!isUsed && !this.#isStored) return undefined
    this.#isStored = isUsed
    return isUsed ? { atMono: now, rates: { requests, tokens }, spent: {} } : null
  }

  /** When in the minute before it was used nobody knows: as late as can be. */
  restore({ atMono, rates }: LevelUse, now: number): void {
    this.#isStored = true
    const slot = slotOf(Math.min(atMono, now))
    this.#requests.minute.add(Math.max(0, rates.requests ?? 0), now, slot)
    this.#tokens.minute.add(Math.max(0, rates.tokens ?? 0), now, slot)
  }
}
