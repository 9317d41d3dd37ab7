/**
 * How far an answer has come, and whether it ended well. Pure: it gets parsed events, and knows no clock or socket.
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
 * those that began are enough: many engines answer `n: 2` with one choice. A reason in the chunk of a text is uncertain
 * until something confirms it: some upstreams give one with every chunk.
 */
import { MAX_CHOICES, MAX_TOOL_CALLS } from '../../../core/answer-limits.ts'
import { deltaShows, reasonOf, usageOf } from '../../../core/delta.ts'
import { choiceIndex, isObject, type Json, type JsonObject } from '../../../core/fold.ts'
import { errorIn, isSomething } from './error-in.ts'

export type Phase = 'nothing' | 'opening' | 'shown' | 'finished'

/** What an event was. */
export type Seen =
  /** Only more of the answer: the next one of its shape need not be examined. */
  | { readonly kind: 'ordinary' }
  | { readonly kind: 'notable' }
  | { readonly kind: 'error'; readonly error: unknown }
  /** More than any answer may have. */
  | { readonly kind: 'excess'; readonly what: string }

export type Ending = 'told' | 'end' | 'break' | 'silence'

const ORDINARY: Seen = { kind: 'ordinary' }
const NOTABLE: Seen = { kind: 'notable' }
/** Reasons of an answer that is not complete. There is no list of them: each engine names its failures itself. */
const ILL_REASON = new RegExp(
  'error|abort|cancel|fail|exception|interrupt|time_?d?[-_ ]?out|time_?limit|unavailable|overload|insufficient|' +
    'network|connection|disconnect|unspecified|preempt|evict|crash|kill',
  'i',
)

interface Choice {
  hasReason: boolean
  /** Did a delta show something? */
  shown: boolean
  /** Null: none yet, as in most answers. */
  calls: { readonly ids: Set<Json>; readonly indexes: Set<Json> } | null
}

export class AnswerState {
  readonly #asked: number
  readonly #choices = new Map<number, Choice>()
  #unfinished = 0
  #began = false
  #shown = false
  /** A choice continued after its reason (some upstreams give one with every chunk): then reasons alone end nothing. */
  #reasonsMeanNothing = false
  #isCertain = false

  /** `asked`: the request's `n`. */
  constructor(asked = 1) {
    this.#asked = asked
  }

  get phase(): Phase {
    if (this.#isFinished(this.#asked)) return 'finished'
    return this.#shown ? 'shown' : this.#began ? 'opening' : 'nothing'
  }

  /** Once finished: did the last reason, or the usage, come without a text beside it? */
  get isCertain(): boolean {
    return this.#isCertain
  }

  /** Has no choice a reason yet? Once one has, every event is examined. */
  get isPlain(): boolean {
    return this.#unfinished === this.#choices.size
  }

  /** Is a whole message nothing new of this choice: did deltas show it, or did it end? */
  isTold(index: number): boolean {
    const choice = this.#choices.get(index)
    return choice !== undefined && (choice.shown || choice.hasReason)
  }

  /** `isWhole`: its deltas are whole messages, whose reasons are certain. */
  see(event: JsonObject, isWhole = false): Seen {
    this.#began = true
    const error = errorIn(event)
    if (error !== null) return { kind: 'error', error }
    const { choices } = event
    const hasUsage = usageOf(event) !== null
    // Between chunks an upstream may send anything
    if (!Array.isArray(choices)) {
      if (hasUsage) this.#isCertain = true
      return NOTABLE
    }
    let isOrdinary = !hasUsage
    let [showsAny, endsAny] = [false, false]
    for (let position = 0; position < choices.length; position++) {
      const choice = choices[position]
      if (!isObject(choice)) continue
      const reason = reasonOf(choice)
      if (isSomething(choice['error'])) return { kind: 'error', error: choice['error'] }
      if (reason !== null && ILL_REASON.test(reason))
        return { kind: 'error', error: { message: `The answer ended with the finish reason "${reason}".` } }
      const shows = deltaShows(choice)
      const known = this.#note(choiceIndex(choice, position, choices.length), reason, shows, isWhole)
      if (known === null) return { kind: 'excess', what: `${MAX_CHOICES} choices` }
      if (countCalls(choice, known) > MAX_TOOL_CALLS) return { kind: 'excess', what: `${MAX_TOOL_CALLS} tool calls` }
      showsAny ||= shows
      endsAny ||= reason !== null
    }
    if (showsAny && endsAny) this.#isCertain = isWhole
    else if (!showsAny && (endsAny || hasUsage)) this.#isCertain = true
    if (endsAny || !showsAny) isOrdinary = false
    return isOrdinary && this.#shown ? ORDINARY : NOTABLE
  }

  #note(index: number, reason: string | null, shows: boolean, isWhole: boolean): Choice | null {
    let choice = this.#choices.get(index)
    if (choice === undefined) {
      if (this.#choices.size >= MAX_CHOICES) return null
      choice = { hasReason: false, shown: false, calls: null }
      this.#choices.set(index, choice)
      this.#unfinished++
    }
    if (shows) this.#shown = true
    if (shows && !isWhole) choice.shown = true
    if (choice.hasReason && shows) this.#reasonsMeanNothing = true
    if (reason !== null && !choice.hasReason) {
      choice.hasReason = true
      this.#unfinished--
    }
    return choice
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

/** How many calls a choice has at least, after this chunk of it. */
function countCalls({ delta }: JsonObject, choice: Choice): number {
  const calls = isObject(delta) ? delta['tool_calls'] : undefined
  if (!Array.isArray(calls)) return 0
  choice.calls ??= { ids: new Set(), indexes: new Set() }
  const { ids, indexes } = choice.calls
  let unnamed = 0
  for (const call of calls) {
    if (!isObject(call)) continue
    const { id, index } = call
    if (isSomething(id)) ids.add(id)
    if (index !== undefined && index !== null) indexes.add(index)
    else if (!isSomething(id)) unnamed++
  }
  return Math.max(ids.size, indexes.size, unnamed)
}
