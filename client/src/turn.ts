/** A turn of a conversation: the messages that were sent, and the answer. */
import type { WireError, WireJob } from '../../src/core/frames.ts'
import type { Message } from './fold.ts'
import type { Job } from './job.ts'

export interface ChatMessage {
  readonly role: string
  readonly content: unknown
}

/** A place in the text of an answer where the connection was lost; `awayMs` is null until it is back. */
export interface Cut {
  readonly tokens: number
  readonly chars: number
  readonly awayMs: number | null
}

/**
 * `sending`: not accepted yet. `waiting`: accepted, not begun. `answering`: running. `stopped`: canceled.
 * `failed`: see `error`.
 */
export type TurnState = 'sending' | 'waiting' | 'answering' | 'done' | 'stopped' | 'failed'

export interface Turn {
  /** Stable while this page shows the turn. */
  readonly key: string
  /** Its job; null until it is accepted. */
  readonly job: string | null
  readonly state: TurnState
  /** What was sent; empty until it is known. */
  readonly messages: readonly ChatMessage[]
  /** Text of the last user message. */
  readonly question: string
  /** Text of the answer so far. */
  readonly answer: string
  /** The whole answer so far, tool calls included; null: nothing yet. */
  readonly message: Readonly<Message> | null
  /** Its position in the queue, of all that wait; 1 = next. Null when it is not queued. */
  readonly place: number | null
  readonly error: Pick<WireError, 'code' | 'message'> | null
  /** Where this page lost its connection while reading the answer. */
  readonly cuts: readonly Cut[]
}

/** As the conversation keeps it. */
export interface OwnTurn extends Turn {
  job: string | null
  state: TurnState
  messages: readonly ChatMessage[]
  question: string
  answer: string
  message: Readonly<Message> | null
  place: number | null
  error: Pick<WireError, 'code' | 'message'> | null
  cuts: Cut[]
  /** Its reader, while it has one. */
  reading: Job | null
}

/** A turn that has ended, as GET /v1/conversations?id= gives it. */
export interface StoredTurn {
  readonly job: string
  readonly state: WireJob['state']
  readonly messages: readonly ChatMessage[]
  readonly answer: Message | null
}

/** In the conversation's order; `next`: of the page before it. */
export interface TurnPage {
  readonly turns: readonly StoredTurn[]
  readonly next: string | null
}

export const isOver = ({ state }: Turn): boolean => state === 'done' || state === 'stopped' || state === 'failed'

export const endOf = (state: WireJob['state']): TurnState =>
  state === 'done' ? 'done' : state === 'canceled' ? 'stopped' : 'failed'

export const newTurn = (key: string, messages: readonly ChatMessage[]): OwnTurn => ({
  key,
  job: null,
  state: 'sending',
  messages,
  question: questionOf(messages),
  answer: '',
  message: null,
  place: null,
  error: null,
  cuts: [],
  reading: null,
})

export function storedTurn({ job, state, messages, answer }: StoredTurn): OwnTurn {
  const turn = newTurn(job, messages)
  turn.job = job
  turn.state = endOf(state)
  turn.answer = textOfContent(answer?.content)
  turn.message = answer
  return turn
}

export const questionOf = (messages: readonly ChatMessage[]): string =>
  textOfContent(messages.findLast(({ role }) => role === 'user')?.content)

/** Text of a message's content: a string, or a list of parts. */
export function textOfContent(content: unknown): string {
  if (typeof content === 'string') return content
  if (!Array.isArray(content)) return ''
  return content
    .map((part: { readonly text?: unknown } | null) => (typeof part?.text === 'string' ? part.text : ''))
    .join('')
}
