/** Holds the content of each choice against a JSON Schema, while it arrives and when it is complete. */
import { reasonOf } from '../../core/delta.ts'
import { choiceIndex, isObject, type JsonObject } from '../../core/fold.ts'
import type { JsonCheck } from '../schema/json-check.ts'
import type { PrefixCheck } from '../schema/prefix.ts'

interface Content {
  readonly beginning: PrefixCheck
  text: string
}

/** The rule of a schema that the beginning of an answer breaks already. */
const PREFIX = 'prefix'

export class Matching {
  readonly #check: JsonCheck
  readonly #contents = new Map<number, Content>()

  constructor(check: JsonCheck) {
    this.#check = check
  }

  /** Text of a choice. Returns the rule that it breaks, or null. */
  add(index: number, text: string): string | null {
    let content = this.#contents.get(index)
    if (content === undefined) {
      content = { beginning: this.#check.begin(), text: '' }
      this.#contents.set(index, content)
    }
    content.text += text
    return content.beginning.push(text) ? null : PREFIX
  }

  chunk({ choices }: JsonObject): string | null {
    if (!Array.isArray(choices)) return null
    for (const [i, choice] of choices.entries()) {
      if (!isObject(choice)) continue
      const index = choiceIndex(choice, i, choices.length)
      const { delta, message } = choice
      const content = isObject(delta) ? delta['content'] : isObject(message) ? message['content'] : null
      const broken =
        (typeof content === 'string' ? this.add(index, content) : null) ??
        // One that was cut at its limit is told as such
        (reasonOf(choice) === 'stop' ? this.#whole(index) : null)
      if (broken !== null) return broken
    }
    return null
  }

  /** A refusal, or a call, has no content that could match. */
  #whole(index: number): string | null {
    const text = this.#contents.get(index)?.text ?? ''
    return text === '' ? null : this.#check.problemOf(text)
  }
}
