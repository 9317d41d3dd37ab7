/** Chunks folded into the message that they are pieces of (the first choice's), by the same fold as the server's. */
import { isObject, type JsonObject, MessageFold, showsSomething as shows } from '../../src/core/fold.ts'
import type { WireChunk } from '../../src/core/frames.ts'

export interface Message {
  role: string
  content: string | null
  [member: string]: unknown
}

const folds = new WeakMap<Message, MessageFold>()

export const emptyMessage = (): Message => ({ role: 'assistant', content: null })

const choicesOf = ({ choices }: WireChunk): readonly JsonObject[] =>
  Array.isArray(choices) ? choices.filter(isObject) : []

const first = (chunk: WireChunk): JsonObject | undefined =>
  choicesOf(chunk).find(({ index }) => (index ?? 0) === 0 || index === '0')

/** Its text; '' when it has none. */
export function textOf(chunk: WireChunk): string {
  const { delta, message } = first(chunk) ?? {}
  const piece = isObject(delta) ? delta : isObject(message) ? message : {}
  const { content } = piece
  if (typeof content === 'string') return content
  if (!Array.isArray(content)) return ''
  return content
    .map((part) => (isObject(part) && part['type'] === 'text' && typeof part['text'] === 'string' ? part['text'] : ''))
    .join('')
}

/** Does it show anything: text, reasoning, a tool call, a refusal? */
export const showsSomething = (chunk: WireChunk): boolean =>
  choicesOf(chunk).some(({ delta, message }) => shows(isObject(delta) ? delta : isObject(message) ? message : {}))

/** Adds a piece, or a whole answer; changes `message`. */
export function fold(message: Message, chunk: WireChunk): void {
  const choice = first(chunk)
  if (choice === undefined) return
  const { delta, message: whole } = choice
  const into = folds.get(message) ?? new MessageFold(message as JsonObject)
  folds.set(message, into)
  if (isObject(delta)) into.delta(delta)
  else if (isObject(whole)) into.whole(whole)
}

/** The message so far as one piece, which folds into the same message. */
export function asDelta(message: Message): JsonObject {
  const delta = structuredClone(message) as JsonObject
  const calls = delta['tool_calls']
  if (Array.isArray(calls))
    delta['tool_calls'] = calls.map((call, index) => (isObject(call) ? { index, ...call } : call))
  return delta
}
