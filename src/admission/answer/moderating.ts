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

/** Of one request: a service has its own limits, and is told the end of a long one. */
const MAX_CHARS = 256 << 10
const CATEGORY = /^[a-z][a-z0-9_/-]{0,63}$/i

export class Moderating {
  readonly #onVerdict: (error: SluiceError | null) => void
  /** Verdicts that are still to come, and those of them that are waited for. */
  #open = 0
  #waited = 0
  #waitsForAll = false
  #over = false

  /** `onVerdict`: null once nothing is waited for any more; an error where the answer is to be ended. */
  constructor(
    asking: readonly Asking[],
    body: Uint8Array,
    moderate: Moderate,
    onVerdict: (error: SluiceError | null) => void,
  ) {
    this.#onVerdict = onVerdict
    const { texts, media } = contentOf(JSON.parse(Buffer.from(body).toString('utf8')) as JsonRecord)
    const { kept, tooLong } = lastOf(texts)
    for (const { part, isEnforced, tally } of asking) {
      const { moderation } = part
      if (tooLong) tally.missed('too_long')
      if (media > 0) tally.missed('media')
      const waits = moderation.wait && isEnforced
      this.#open++
      if (waits) this.#waited++
      moderate(moderation, kept).then(
        ({ flagged, categories }) => {
          if (flagged)
            for (const name of categories.length === 0 ? ['flagged'] : categories)
              tally.add('block', CATEGORY.test(name) ? name : 'other')
          this.#judged(waits, flagged && isEnforced ? blocked() : null)
        },
        () => {
          tally.missed('unavailable')
          this.#judged(waits, moderation.fail === 'closed' && isEnforced ? new SluiceError('moderation_failed') : null)
        },
      )
    }
  }

  /** Is a verdict still to come? */
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

  close(): void {
    this.#over = true
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

function lastOf(texts: readonly string[]): { readonly kept: readonly string[]; readonly tooLong: boolean } {
  const kept: string[] = []
  let left = MAX_CHARS
  for (const text of texts.toReversed()) {
    if (left <= 0) return { kept: kept.reverse(), tooLong: true }
    kept.push(text.slice(-left))
    left -= text.length
  }
  return { kept: kept.reverse(), tooLong: left < 0 }
}
