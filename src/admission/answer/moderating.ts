/** Asks moderation services about a request, while its answer is being made. */
import { SluiceError } from '../../core/errors.ts'
import type { JsonRecord } from '../../core/json.ts'
import { contentOf } from '../../core/text-request.ts'
import type { ModerationSettings } from './part.ts'
import type { Tally } from './tally.ts'

export interface Judged {
  readonly flagged: boolean
  /** Names of what it found. */
  readonly categories: readonly string[]
}

/** Rejects where there is no verdict, at the latest after the time-out of the settings. */
export type Moderate = (settings: ModerationSettings, texts: readonly string[]) => Promise<Judged>

interface Asking {
  readonly part: { readonly moderation: ModerationSettings }
  readonly isEnforced: boolean
  readonly tally: Tally
}

/** Of one call: a service has limits of its own. Longer requests are asked about in several. */
const MAX_CHARS = 256 << 10
const MAX_CALLS = 8
/** Of a text that is cut: so much of the end of one piece begins the next. */
const OVERLAP = 1_024
const CATEGORY = /^[a-z][a-z0-9_/-]{0,63}$/i

export class Moderating {
  readonly #onVerdict: (error: SluiceError | null) => void
  readonly #onLate: (tally: Tally) => void
  /** Verdicts that are still to come and may end the answer, and those of them that are waited for. */
  #open = 0
  #waited = 0
  #waitsForAll = false
  #over = false
  /** Those in the shadow whose verdicts are still to come. */
  readonly #shadows = new Set<Tally>()

  /**
   * `onVerdict`: null once nothing is waited for any more; an error where the answer is to be ended. `onLate`: a
   * verdict in the shadow that came after `close`.
   */
  constructor(
    asking: readonly Asking[],
    body: Uint8Array,
    moderate: Moderate,
    onVerdict: (error: SluiceError | null) => void,
    onLate: (tally: Tally) => void,
  ) {
    this.#onVerdict = onVerdict
    this.#onLate = onLate
    const { texts, media } = contentOf(JSON.parse(Buffer.from(body).toString('utf8')) as JsonRecord)
    const { calls, tooLong } = split(texts)
    for (const { part, isEnforced, tally } of asking) {
      const { moderation } = part
      if (media > 0) tally.missed('media')
      if (calls.length === 0) continue
      const waits = moderation.wait && isEnforced
      if (isEnforced) this.#open++
      else this.#shadows.add(tally)
      if (waits) this.#waited++
      void Promise.allSettled(calls.map((call) => moderate(moderation, call))).then((answers) => {
        const found = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []))
        const flagged = found.filter(({ flagged }) => flagged)
        for (const { categories } of flagged)
          for (const name of categories.length === 0 ? ['flagged'] : categories)
            tally.add('block', CATEGORY.test(name) ? name : 'other')
        if (tooLong) tally.missed('too_long')
        if (found.length < answers.length) tally.missed('unavailable')
        if (!isEnforced) return this.#observed(tally)
        const isJudged = !tooLong && found.length === answers.length
        const fails = !isJudged && moderation.fail === 'closed'
        this.#judged(waits, flagged.length > 0 ? blocked() : fails ? new SluiceError('moderation_failed') : null)
      })
    }
  }

  /** Is a verdict still to come that may end the answer? */
  get isOpen(): boolean {
    return this.#open > 0
  }

  /** Is nothing shown before one that is still to come? */
  get isWaitedFor(): boolean {
    return this.#waited > 0 || (this.#waitsForAll && this.#open > 0)
  }

  /** From now on for all of them. */
  waitFor(): void {
    this.#waitsForAll = true
  }

  /** Is its verdict still to come, in the shadow? Then it is told by `onLate`. */
  isLate(tally: Tally): boolean {
    return this.#shadows.has(tally)
  }

  close(): void {
    this.#over = true
  }

  #observed(tally: Tally): void {
    this.#shadows.delete(tally)
    if (this.#over) this.#onLate(tally)
  }

  #judged(waited: boolean, error: SluiceError | null): void {
    this.#open--
    if (waited) this.#waited--
    if (this.#over) return
    if (error !== null) this.#onVerdict(error)
    else if (!this.isWaitedFor) this.#onVerdict(null)
  }
}

const blocked = (): SluiceError =>
  new SluiceError('content_blocked', { message: 'A moderation service rejects the request (guard moderation).' })

interface Split {
  /** The texts of each call. */
  readonly calls: ReadonlyArray<readonly string[]>
  /** There is more than may be asked about: these are its end. */
  readonly tooLong: boolean
}

/** Texts with nothing in them are left out: services refuse them. */
function split(texts: readonly string[]): Split {
  const calls: string[][] = []
  const inOrder = (tooLong: boolean): Split => ({ calls: calls.map((call) => call.reverse()).reverse(), tooLong })
  let left = 0
  for (const text of texts.toReversed())
    for (let end = /\S/.test(text) ? text.length : 0; end > 0; ) {
      if (left === 0) {
        if (calls.length === MAX_CALLS) return inOrder(true)
        calls.push([])
        left = MAX_CHARS
      }
      const from = Math.max(0, end - left)
      calls.at(-1)!.push(text.slice(from, end))
      left -= end - from
      end = from === 0 ? 0 : Math.min(from + OVERLAP, end - 1)
    }
  return inOrder(false)
}
