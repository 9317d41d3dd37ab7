/** How fast a deployment answers, and how often it fails, as far as its calls have told. Pure. */

/** Of one call more, in the averages. The first calls count evenly. */
const SHARE = 0.1
/** What was learned so long ago counts half: what was slow, or failed, is tried again. */
const HALF_LIFE_MS = 30_000
/** A deployment that fails more often than this is passed by where there are others. */
const AILS_FROM = 0.05
/** Calls without which nothing is said of failures. */
const ENOUGH = 8

export class Speed {
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
  #atMono = -Infinity

  answered(work: number, load: number, tookMs: number, now: number): void {
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

  failed(now: number): void {
    this.#ended(1, now)
  }

  #ended(failed: 0 | 1, now: number): void {
    const before = this.errorsAt(now)
    this.errors = before + Math.max(SHARE, 1 / ++this.#calls) * (failed - before)
    this.#atMono = now
  }

  errorsAt(now: number): number {
    return this.errors === 0 ? 0 : this.errors * this.#faded(now)
  }

  isAiling(now: number): boolean {
    return this.#calls >= ENOUGH && this.errors > AILS_FROM && this.errorsAt(now) > AILS_FROM
  }

  /** What one of it counts, when nothing was learned since: of 1. */
  #faded(now: number): number {
    const agoMs = now - this.#atMono
    return agoMs <= 1_000 ? 1 : 2 ** (-agoMs / HALF_LIFE_MS)
  }

  /**
   * How long `work` takes beside `inFlight`, ms. `best`: of a unit, of the fastest of those that could do it. One that
   * is idle, and was slow, is taken to be faster the longer that was ago: never as fast as the best, which therefore is
   * asked first as long as it has nothing to do.
   */
  expectedMs(work: number, inFlight: number, best: number, now: number): number {
    let unitMs = this.unitMs ?? best
    if (inFlight === 0 && unitMs > best * NEARLY) unitMs = Math.max(best * NEARLY, unitMs * this.#faded(now))
    return (unitMs * work * (inFlight + work)) / (this.load + work)
  }

  forget(): void {
    this.ttftMs = this.tpotMs = this.unitMs = null
    this.load = this.errors = this.#calls = this.#answers = this.#texts = 0
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
