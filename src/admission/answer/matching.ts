/** Holds the content of each choice against a JSON Schema, while it arrives and when the answer is complete. */
import { reasonOf } from '../../core/delta.ts'
import { choiceIndex, isObject, type Json, type JsonObject } from '../../core/fold.ts'
import type { Unscanned } from '../../core/ruling.ts'
import { Redactor, type Seeker } from '../scan/redactor.ts'
import { type JsonCheck, TOO_LONG } from '../schema/json-check.ts'
import type { PrefixCheck } from '../schema/prefix.ts'

interface Content {
  readonly beginning: PrefixCheck
  /** Takes placeholders back; null: there are none. */
  readonly restored: Redactor | null
  text: string
  /** The last one: some upstreams give one with every chunk. */
  reason: string | null
  calls: boolean
  isBroken: boolean
}

/** The rule of a schema that the beginning of an answer breaks already. */
const PREFIX = 'prefix'
/** An answer that was cut is told as such; the second and third are other upstreams' spellings of the first. */
const CUT = new Set(['length', 'max_tokens', 'model_length', 'content_filter'])

export class Matching {
  readonly #check: JsonCheck
  readonly #restoring: Seeker | null
  readonly #onMissed: (what: Unscanned) => void
  readonly #contents = new Map<number, Content>()

  /** `restoring`: what was hidden from the provider. `onMissed`: a content can't be checked. */
  constructor(check: JsonCheck, restoring: Seeker | null, onMissed: (what: Unscanned) => void) {
    this.#check = check
    this.#restoring = restoring
    this.#onMissed = onMissed
  }

  /** Text of a choice. Returns the rule that it breaks, or null; once one is broken, null. */
  add(index: number, piece: string): string | null {
    const content = this.#contentOf(index)
    return this.#goesOn(content, content.restored?.push(piece) ?? piece)
  }

  chunk({ choices }: JsonObject): string | null {
    if (!Array.isArray(choices)) return null
    for (const [i, choice] of choices.entries()) {
      if (!isObject(choice)) continue
      const { delta, message } = choice
      const index = choiceIndex(choice, i, choices.length)
      const broken = this.#piece(index, isObject(delta) ? delta : isObject(message) ? message : {})
      if (broken !== null) return broken
      const reason = reasonOf(choice)
      if (reason !== null) this.#contentOf(index).reason = reason
    }
    return null
  }

  /** The answer is complete: its contents, each as a whole. */
  end(): string | null {
    const contents = [...this.#contents.values()]
    this.#contents.clear()
    for (const content of contents) {
      const left = content.restored?.end() ?? ''
      // A refusal, or a call, has no content that could match
      if (content.isBroken || content.calls || CUT.has(content.reason ?? '')) continue
      const broken = this.#goesOn(content, left)
      if (broken !== null) return broken
      const problem = content.text === '' ? null : this.#check.problemOf(content.text)
      if (problem === TOO_LONG) this.#onMissed('too_long')
      else if (problem !== null) return problem
    }
    return null
  }

  #piece(index: number, { content, tool_calls: calls, function_call: call }: JsonObject): string | null {
    if ((Array.isArray(calls) && calls.length > 0) || isObject(call)) this.#contentOf(index).calls = true
    if (isParts(content)) this.#onMissed('parts')
    return typeof content === 'string' ? this.add(index, content) : null
  }

  #goesOn(content: Content, text: string): string | null {
    if (content.isBroken) return null
    content.text += text
    content.isBroken = !content.beginning.push(text)
    return content.isBroken ? PREFIX : null
  }

  #contentOf(index: number): Content {
    let content = this.#contents.get(index)
    if (content === undefined) {
      const restored = this.#restoring && new Redactor([this.#restoring])
      content = { beginning: this.#check.begin(), restored, text: '', reason: null, calls: false, isBroken: false }
      this.#contents.set(index, content)
    }
    return content
  }
}

const isParts = (content: Json | undefined): boolean =>
  (Array.isArray(content) && content.length > 0) || isObject(content)
