/**
 * How far an answer has come, and whether it ended well. Pure: it is told what came, parsed, and knows no clock or
 * socket.
 *
 *               a chunk that            text, call,             a reason for
 *               shows nothing           audio, image            every choice
 *   nothing ─────────────────▶ opening ─────────────▶ shown ─────────────────▶ finished
 *
 *   an error, in any spelling               ill, from anywhere
 *   [DONE]                                  well, if every choice that began has its reason; else ill
 *   the body ends without it                well, if finished; else ill
 *   the connection breaks, garbage comes    well, if finished; else ill
 *   nothing more comes for a while          well, if finished; else the call's own time-outs decide
 *
 * `finished` means: every choice that was asked for, or began, has its reason. Where the upstream itself sends [DONE],
 * those that began are enough: many engines answer `n: 2` with one choice.
 */
import { deltaShows, reasonOf } from '../../../core/delta.ts'
import { isObject, type JsonObject } from '../../../core/fold.ts'

export type Phase = 'nothing' | 'opening' | 'shown' | 'finished'

/** What an event was. */
export type Seen =
  /** Nothing but more of the answer: the next one of its shape need not be looked at. */
  | { readonly kind: 'ordinary' }
  | { readonly kind: 'notable' }
  | { readonly kind: 'error'; readonly error: unknown }
  | { readonly kind: 'garbage'; readonly what: string }

export type Ending = 'told' | 'end' | 'break' | 'silence'

const ORDINARY: Seen = { kind: 'ordinary' }
const NOTABLE: Seen = { kind: 'notable' }
const MAX_CHOICES = 1_024
/** Reasons of an answer that is not complete. */
const ILL_REASONS = new Set(['error', 'abort', 'aborted', 'cancelled', 'canceled', 'failed'])

export class AnswerState {
  readonly #asked: number
  /** Index of each choice that began: has it a finish reason? */
  readonly #choices = new Map<number, boolean>()
  #unfinished = 0
  #began = false
  #shown = false
  /** A choice went on after its reason (some upstreams give one with every chunk): then reasons alone end nothing. */
  #reasonsMeanNothing = false

  /** `asked`: the request's `n`. */
  constructor(asked = 1) {
    this.#asked = asked
  }

  get phase(): Phase {
    if (this.#isFinished(this.#asked)) return 'finished'
    return this.#shown ? 'shown' : this.#began ? 'opening' : 'nothing'
  }

  /** Has no choice a reason yet? As soon as one has, every event is looked at. */
  get isPlain(): boolean {
    return this.#unfinished === this.#choices.size
  }

  see(event: JsonObject): Seen {
    this.#began = true
    const error = errorIn(event)
    if (error !== null) return { kind: 'error', error }
    const { choices, usage } = event
    // Between chunks an upstream may tell what it likes
    if (!Array.isArray(choices)) return NOTABLE
    let isOrdinary = !isObject(usage)
    for (const [position, choice] of choices.entries()) {
      if (!isObject(choice)) continue
      const reason = reasonOf(choice)
      if (isSomething(choice['error'])) return { kind: 'error', error: choice['error'] }
      if (reason !== null && ILL_REASONS.has(reason.toLowerCase()))
        return { kind: 'error', error: { message: `The answer ended with the finish reason "${reason}".` } }
      const shows = deltaShows(choice)
      this.#note(
        typeof choice['index'] === 'number' ? choice['index'] : choices.length > 1 ? position : 0,
        reason,
        shows,
      )
      if (reason !== null || !shows) isOrdinary = false
    }
    if (this.#choices.size > MAX_CHOICES) return { kind: 'garbage', what: 'too many choices' }
    return isOrdinary && this.#shown ? ORDINARY : NOTABLE
  }

  #note(index: number, reason: string | null, shows: boolean): void {
    const known = this.#choices.get(index)
    if (shows) this.#shown = true
    if (known === true && shows) this.#reasonsMeanNothing = true
    const finished = reason !== null || (known === true && !shows)
    if (known === finished) return
    this.#choices.set(index, finished)
    if (finished) this.#unfinished -= known === false ? 1 : 0
    else this.#unfinished++
  }

  end(ending: Ending): 'well' | 'cut' | 'empty' {
    if (!this.#began) return 'empty'
    const enough = ending === 'told' ? 1 : this.#asked
    if (this.#reasonsMeanNothing && (ending === 'break' || ending === 'silence')) return 'cut'
    return this.#hasAll(enough) ? 'well' : 'cut'
  }

  #isFinished(choices: number): boolean {
    return !this.#reasonsMeanNothing && this.#hasAll(choices)
  }

  #hasAll(choices: number): boolean {
    return this.#choices.size >= Math.max(1, choices) && this.#unfinished === 0
  }
}

/** Not null, false, 0, nor empty in any other way: many upstreams send an empty `error` along with each chunk. */
function isSomething(value: unknown): boolean {
  if (typeof value === 'string') return value.trim() !== ''
  if (Array.isArray(value)) return value.some(isSomething)
  if (isObject(value)) return Object.values(value).some(isSomething)
  return value !== null && value !== undefined && value !== false && value !== 0
}

/**
 * The error that an event or a document is, as the object that describes it; null when it is none. `answer`: the member
 * that an answer of this kind has, and an error has not.
 */
export function errorIn(event: JsonObject, answer: 'choices' | 'data' = 'choices'): unknown {
  for (const name of ['error', 'errors']) {
    const value = event[name]
    if (isSomething(value)) return typeof value === 'object' || typeof value === 'string' ? value : event
  }
  if (event['type'] === 'error' || event['object'] === 'error') return event
  if (Array.isArray(event[answer])) return null
  if (isSomething(event['detail'])) return event
  const hasText = ['message', 'msg', 'error_msg', 'error_message'].some((name) => isSomething(event[name]))
  const hasCode = ['code', 'status', 'status_code', 'statusCode', 'error_code'].some((name) => isSomething(event[name]))
  return hasText && hasCode ? event : null
}
