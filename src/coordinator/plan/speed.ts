/** How fast a deployment answers, and how often it fails, as far as its calls have told. Pure. */

/** Of one call more, in the averages. The first calls count evenly. */
const SHARE = 0.1
const SHARE_OF_ERRORS = 0.05
/** One that fails more often than this is passed by where there are others … */
const AILS_FROM = 0.05
/** … if so many calls have ended … */
const ENOUGH = 8
/** … for so long, and twice as long each time it goes on failing after that. */
const MIN_AILING_MS = 15_000
const MOST_DOUBLINGS = 4
/** So many calls in a row were slower than another one that began later: that is no chance. */
const OUTRUN_IN_A_ROW = 3
/** It is well again. */
const WELL_BELOW = 0.01

export class Speed {
  /** What made it ail last: it failed too often, or others overtook it. */
  ailsAs: 'errors' | 'outrun' = 'errors'
  /** To the first text of a stream, ms; null: nothing is known, as below. */
  ttftMs: number | null = null
  /** Of each token after it. */
  tpotMs: number | null = null
  /** Of a unit of work (`workOf`), from claim to end. */
  unitMs: number | null = null
  /** Units of work in flight beside a call, as it began. */
  load = 0
  /** Share of calls that failed, for reasons that are the deployment's. */
  errors = 0
  #calls = 0
  #answers = 0
  #texts = 0
  #ailsUntilMono = -Infinity
  #ailments = 0
  #outrun = 0

  answered(work: number, load: number, tookMs: number, now: number): void {
    this.#outrun = 0
    const share = Math.max(SHARE, 1 / ++this.#answers)
    this.unitMs = mixed(this.unitMs, tookMs / work, share)
    this.load += share * (load - this.load)
    this.#ended(0, now)
  }

  texts(ttftMs: number, tpotMs: number | undefined): void {
    const share = Math.max(SHARE, 1 / ++this.#texts)
    this.ttftMs = mixed(this.ttftMs, ttftMs, share)
    if (tpotMs !== undefined) this.tpotMs = mixed(this.tpotMs, tpotMs, share)
  }

  /** It had shown nothing after `ms`, where another one had that began later: as if all of it were as slow. */
  outrun(ms: number, now: number): void {
    const slower = this.ttftMs === null ? 1 : ms / this.ttftMs
    if (this.unitMs !== null && slower > 1) this.unitMs = mixed(this.unitMs, this.unitMs * slower, SHARE)
    if (slower >= 1) this.texts(ms, undefined)
    if (++this.#outrun >= OUTRUN_IN_A_ROW && now >= this.#ailsUntilMono) this.#ails('outrun', now)
  }

  #ails(as: 'errors' | 'outrun', now: number): void {
    this.ailsAs = as
    this.#ailsUntilMono = now + MIN_AILING_MS * 2 ** Math.min(this.#ailments++, MOST_DOUBLINGS)
  }

  failed(now: number): void {
    this.#ended(1, now)
  }

  #ended(failed: 0 | 1, now: number): void {
    const share = Math.max(SHARE_OF_ERRORS, 1 / Math.max(ENOUGH, ++this.#calls))
    this.errors += share * (failed - this.errors)
    if (failed === 0) {
      if (this.errors < WELL_BELOW) this.#ailments = 0
    } else if (now >= this.#ailsUntilMono && this.#calls >= ENOUGH && this.errors > AILS_FROM) {
      this.#ails('errors', now)
      // One more failure after that is enough
      this.errors = AILS_FROM
    }
  }

  isAiling(now: number): boolean {
    return now < this.#ailsUntilMono
  }

  /**
   * How long `work` takes beside `inFlight`, ms. `best`: of a unit, of the fastest of those that could do it. One that
   * was slow is taken to be nearly as fast as the best when it `isDue` and idle: so it is asked now and then.
   * `longestMs`: of a unit of work of a call that runs, so far.
   */
  expectedMs(work: number, inFlight: number, best: number, longestMs: number, isDue: boolean): number {
    let unitMs = Math.max(this.unitMs ?? best, longestMs)
    if (isDue && inFlight === 0) unitMs = Math.min(unitMs, best * NEARLY)
    return (unitMs * work * (inFlight + work)) / (this.load + work)
  }

  forget(): void {
    this.ttftMs = this.tpotMs = this.unitMs = null
    this.load = this.errors = this.#calls = this.#answers = this.#texts = this.#ailments = this.#outrun = 0
    this.#ailsUntilMono = -Infinity
  }
}

const NEARLY = 1.1

const mixed = (before: number | null, now: number, share: number): number =>
  before === null ? now : before + share * (now - before)

/** What a request costs whatever it weighs, in units: one is the time of a token of an answer. */
const EACH = 16
/** Prompts are read so many times faster than answers are written. */
const PROMPT_TOKENS_A_UNIT = 16

/** How much a call is to do. */
export const workOf = (promptTokens: number, outputTokens: number): number =>
  EACH + promptTokens / PROMPT_TOKENS_A_UNIT + outputTokens
