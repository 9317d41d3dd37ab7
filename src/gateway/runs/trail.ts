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

/** Calls in these messages, oldest first, as many as are looked at; those without an id only of the last one. */
export function stepsIn({ messages }: JsonRecord): readonly Step[] {
  if (!Array.isArray(messages)) return []
  const found: Step[] = []
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
      const isNamed = typeof id === 'string' && id !== ''
      if (isNamed || isLast) found.push([digest(read.what), isNamed ? digest(id) : ''])
    }
    isLast = false
  }
  return found.reverse()
}

/** The trail with those that are new to it: requests repeat what came before. */
export function followed(trail: readonly Step[], steps: readonly Step[]): readonly Step[] {
  const known = new Set(trail.map(([what, id]) => `${what} ${id}`))
  const news = steps.filter(([what, id]) => id === '' || !known.has(`${what} ${id}`))
  return news.length === 0 ? trail : [...trail, ...news].slice(-WINDOW)
}

export function isLoop(trail: readonly Step[]): boolean {
  const last = trail.slice(-REPEATS)
  if (last.length === REPEATS && new Set(last.map(([what]) => what)).size === 1) return true
  return trail.length >= WINDOW && new Set(trail.slice(-WINDOW).map(([what]) => what)).size <= DISTINCT
}
