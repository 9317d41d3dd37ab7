/** The answer in a log: for JSON replies, conversations and continuations. */
import { AnswerFold, type Choice } from './answer-fold.ts'
import type { Clock } from './clock.ts'
import { parseDocument } from './document.ts'
import { isObject, type JsonObject } from './fold.ts'
import { type Bytes, kindOf, payloadOf, toText } from './record.ts'

/** What a JSON reply is made of. Texts are UTF-16 here. */
export interface Answer {
  /** Members beside `object`, `choices` and `usage`: id, created, model, … */
  readonly head: JsonObject
  readonly choices: readonly Choice[]
  /** The upstream's `usage` object, as it was. */
  readonly usage: JsonObject | null
}

/** Takes a log's records, one at a time. A reset clears everything before it but the answer's identity. */
export class LogFold {
  readonly #fold = new AnswerFold()
  #token: TokenShape | null = null

  push(record: Bytes): void {
    // Most chunks differ from the one before only in their text, which is cut out, not parsed
    if (this.#token !== null) {
      const text = tokenText(record, this.#token)
      if (text !== null) return this.#fold.addText(this.#token.index, text)
    }
    this.#token = null
    const kind = kindOf(record)
    if (kind === 'reset') this.#fold.reset()
    if (kind !== 'chunk' && kind !== 'document' && kind !== 'usage') return
    const payload = payloadOf(record)
    const chunk: unknown = kind === 'document' ? parseDocument(payload) : JSON.parse(toText(payload))
    if (!isObject(chunk)) return
    this.#fold.push(chunk)
    this.#token = this.#shapeOf(record, chunk)
  }

  answer(): Answer {
    const { head, usage } = this.#fold
    return { head, choices: this.#fold.choices(), usage }
  }

  #shapeOf(record: Bytes, { choices, usage }: JsonObject): TokenShape | null {
    if (!Array.isArray(choices) || choices.length !== 1 || isObject(usage) || !isObject(choices[0])) return null
    const { index, delta, finish_reason: finish, ...rest } = choices[0]
    if (typeof finish === 'string' || !isObject(delta) || Object.keys(delta).length !== 1) return null
    if (Object.values(rest).some((value) => value !== null)) return null
    const at = typeof index === 'number' ? index : 0
    return typeof this.#fold.message(at)?.['content'] === 'string' ? shapeOf(record, at) : null
  }
}

export function foldAnswer(records: Iterable<Bytes>): Answer {
  const fold = new LogFold()
  for (const record of records) fold.push(record)
  return fold.answer()
}

/** About 10 ms of folding. */
const BYTES_A_STEP = 1 << 20

/** The same for long logs, one step in each turn of the event loop. */
export async function foldInSteps(records: Iterable<Bytes>, clock: Pick<Clock, 'soon'>): Promise<Answer> {
  const fold = new LogFold()
  let bytes = 0
  for (const record of records) {
    fold.push(record)
    bytes += record.length
    if (bytes < BYTES_A_STEP) continue
    bytes = 0
    // Also after the last one: what follows is work for another turn
    await new Promise<void>((next) => clock.soon(next))
  }
  return fold.answer()
}

/** A chunk that carries only a piece of text: what is before and after it, and its choice. */
interface TokenShape {
  readonly prefix: Bytes
  readonly suffix: Bytes
  readonly index: number
}

const CONTENT = '"content":"'
const BACKSLASH = 92

function shapeOf(record: Bytes, index: number): TokenShape | null {
  const at = record.indexOf(CONTENT)
  if (at < 0 || record.indexOf(CONTENT, at + 1) >= 0) return null
  const start = at + CONTENT.length
  let end = record.indexOf('"', start)
  while (record.charCodeAt(end - 1) === BACKSLASH) end = record.indexOf('"', end + 1)
  return end < 0 ? null : { prefix: record.slice(0, start), suffix: record.slice(end), index }
}

/** The piece of text in a chunk of this shape; null for any other. */
function tokenText(record: Bytes, { prefix, suffix }: TokenShape): string | null {
  const end = record.length - suffix.length
  if (end < prefix.length || !record.startsWith(prefix) || !record.endsWith(suffix)) return null
  const piece = record.slice(prefix.length, end)
  if (piece.includes('"') || piece.endsWith('\\')) return null
  return piece.includes('\\') ? (JSON.parse(`"${toText(piece)}"`) as string) : toText(piece)
}

/** The answer as OpenAI's `chat.completion`. Our own members win over an upstream's additions. */
export const toCompletion = (answer: Answer): JsonObject => ({
  ...answer.head,
  object: 'chat.completion',
  choices: answer.choices.map((c) => ({
    index: c.index,
    message: { role: 'assistant', content: null, ...c.message },
    logprobs: null,
    ...c.rest,
    finish_reason: c.finishReason,
  })),
  ...(answer.usage === null ? {} : { usage: answer.usage }),
})

/** The first choice's message, JSON, as a conversation remembers it. */
export const toMessage = (answer: Answer): string =>
  JSON.stringify({ role: 'assistant', content: null, ...answer.choices[0]?.message })
