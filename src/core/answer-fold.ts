/**
 * Folds chunks, or a whole answer among them, into all choices of an answer and the members around them. A choice's
 * `delta` is folded by fold.ts; outside it nothing is a piece: values are set, objects merged, and only `logprobs` and
 * `token_ids` are lists that grow. At the top level the first `id`, `model` and `created` with a value count, and the
 * last of all other members; our own members win.
 */
import { choiceIndex, isObject, type Json, type JsonObject, MessageFold, own, saysNothing } from './fold.ts'

const GROWING = new Set(['logprobs', 'token_ids'])
const IDENTITY = new Set(['id', 'model', 'created'])
const OWN_IN_CHOICE = new Set(['index', 'delta', 'message', 'finish_reason', '__proto__'])

interface OpenChoice {
  readonly fold: MessageFold
  finishReason: string | null
  readonly rest: JsonObject
}

export interface Choice {
  readonly index: number
  readonly message: JsonObject
  readonly finishReason: string | null
  /** Members beside `delta`: logprobs, content_filter_results, … */
  readonly rest: JsonObject
}

/** All choices, and the members around them. Takes chunks and whole answers alike. */
export class AnswerFold {
  head: JsonObject = {}
  /** The upstream's last `usage` object. */
  usage: JsonObject | null = null
  #choices = new Map<number, OpenChoice>()

  push(chunk: JsonObject): void {
    for (const key of Object.keys(chunk)) {
      const value = chunk[key]
      if (key === 'choices' || key === 'object' || key === '__proto__') continue
      if (key === 'usage') {
        if (isObject(value)) this.usage = value
      } else if (saysNothing(value) || (key === 'created' && value === 0)) this.head[key] ??= value
      else if (!IDENTITY.has(key) || saysNothing(own(this.head, key)) || this.head[key] === 0) this.head[key] = value
    }
    const { choices } = chunk
    if (!Array.isArray(choices)) return
    for (const [position, choice] of choices.entries())
      if (isObject(choice)) this.#addChoice(choice, choiceIndex(choice, position, choices.length))
  }

  #addChoice(piece: JsonObject, index: number): void {
    const choice = this.#choices.get(index) ?? { fold: new MessageFold(), finishReason: null, rest: {} }
    this.#choices.set(index, choice)
    const { delta, message, finish_reason: finish } = piece
    if (isObject(delta)) choice.fold.delta(delta)
    else if (isObject(message)) choice.fold.whole(message)
    if (typeof finish === 'string' && finish !== '') choice.finishReason = finish
    for (const key of Object.keys(piece))
      if (!OWN_IN_CHOICE.has(key)) set(choice.rest, key, piece[key], GROWING.has(key))
  }

  /** Appends text to the content of a choice that has some. */
  addText(index: number, text: string): void {
    const { message } = this.#choices.get(index)!.fold
    message['content'] += text
  }

  /** Clears everything but the answer's identity. */
  reset(): void {
    this.#choices = new Map()
    this.usage = null
    this.head = Object.fromEntries(Object.entries(this.head).filter(([key]) => IDENTITY.has(key)))
  }

  message(index: number): JsonObject | undefined {
    return this.#choices.get(index)?.fold.message
  }

  /** By index, in order. */
  choices(): Choice[] {
    return [...this.#choices]
      .sort(([a], [b]) => a - b)
      .map(([index, { fold, finishReason, rest }]) => ({ index, message: fold.message, finishReason, rest }))
  }
}

function set(into: JsonObject, key: string, value: Json, grows: boolean): void {
  const old = own(into, key)
  if (saysNothing(value)) into[key] = old ?? value
  else if (isObject(value) && isObject(old)) {
    for (const name of Object.keys(value)) if (name !== '__proto__') set(old, name, value[name], grows)
  } else if (grows && Array.isArray(value) && Array.isArray(old)) for (const item of value) old.push(item)
  else into[key] = value
}
