/** The tool calls that the jobs of a run have led to, by which an agent that goes in circles is found. */
import { hash } from 'node:crypto'
import { isRecord, type JsonRecord } from '../../core/json.ts'
import { readToolCall } from '../../core/tool-calls.ts'

/** So many equal ones in a row … */
const REPEATS = 5
/** … or no more than two different ones among so many. */
const WINDOW = 12
const DISTINCT = 2

/** Digests of a call and of its id; without an id it is told apart by nothing. */
export type Step = readonly [what: string, id: string]

const digest = (text: string): string => hash('sha256', text, 'base64url').slice(0, 16)

/** Calls in these messages, oldest first, as many as are looked at. */
function callsIn({ messages }: JsonRecord): readonly Call[] {
  if (!Array.isArray(messages)) return []
  const found: Call[] = []
  let isLast = true
  for (let i = messages.length - 1; i >= 0 && found.length < WINDOW; i--) {
    const message: unknown = messages[i]
    const calls = isRecord(message) ? message['tool_calls'] : undefined
    if (!Array.isArray(calls) || calls.length === 0) continue
    for (let k = calls.length - 1; k >= 0 && found.length < WINDOW; k--) {
      const call: unknown = calls[k]
      const read = isRecord(call) ? readToolCall(call) : null
      if (read === null) continue
      const { id } = call as JsonRecord
      found.push({ what: digest(read.what), id: typeof id === 'string' && id !== '' ? digest(id) : '', isLast })
    }
    isLast = false
  }
  return found.reverse()
}

interface Call {
  readonly what: string
  /** '': none. */
  readonly id: string
  /** In the last message that has any. */
  readonly isLast: boolean
}

/** Those by which the trail goes on: without an id only those of the last message, which no request had before. */
export const stepsIn = (value: JsonRecord): readonly Step[] =>
  callsIn(value).flatMap(({ what, id, isLast }) => (id !== '' || isLast ? [[what, id] as const] : []))

/** The trail with those that are new to it: requests repeat what came before. */
export function followed(trail: readonly Step[], steps: readonly Step[]): readonly Step[] {
  const known = new Set(trail.map(([what, id]) => `${what} ${id}`))
  const news = steps.filter(([what, id]) => id === '' || !known.has(`${what} ${id}`))
  return news.length === 0 ? trail : [...trail, ...news].slice(-WINDOW)
}

/**
 * Do these messages lead the run round in a circle? They do by themselves, too: a model that gives all of its calls one
 * id, or none, repeats them in messages where each call stands once.
 */
export const isLoop = (trail: readonly Step[], value: JsonRecord): boolean =>
  circles(callsIn(value)) || circles(followed(trail, stepsIn(value)).map(([what]) => ({ what })))

function circles(calls: ReadonlyArray<Pick<Call, 'what'>>): boolean {
  const distinct = (of: ReadonlyArray<Pick<Call, 'what'>>): number => new Set(of.map(({ what }) => what)).size
  if (calls.length >= REPEATS && distinct(calls.slice(-REPEATS)) === 1) return true
  return calls.length >= WINDOW && distinct(calls.slice(-WINDOW)) <= DISTINCT
}
