/**
 * Finds agents that go in circles, by the tool calls and results that each request repeats: nothing is remembered
 * between requests. What a user says begins anew, as somebody is steering.
 */
import { SluiceError } from '../../core/errors.ts'
import { isRecord, type JsonRecord } from '../../core/json.ts'
import { readToolCall, type ToolCall } from '../../core/tool-calls.ts'
import { count, flag } from '../../settings/fields.ts'
import { defineGuard } from './guard.ts'
import { names, onList } from './names.ts'

/** A window in which an agent that gets on makes more than two different calls. */
const WINDOW = 12
/** Shorter results (an "ok") are alike without meaning anything. */
const MIN_RESULT_CHARS = 40

interface Call extends ToolCall {
  result: string | null
}

export const loopGuard = defineGuard(
  'loop-guard',
  'Finds agents that repeat themselves: the same tool call in a row, two calls in turn, the same result again.',
  {
    repeats: count({ min: 2 }).prefault(5).describe('Equal calls, or equal results of a tool, that are flagged.'),
    limit: count({ min: 2 })
      .prefault(8)
      .describe('From so many on the request is blocked: `loop_detected`, which clients do not repeat.'),
    exempt: names().prefault([]).describe('Tools that are meant to be called again, such as polls; `*` at the end.'),
    reset: flag().prefault(true).describe('A user’s message begins anew. False: only what the whole request shows.'),
  },
  ({ repeats, limit, exempt, reset }) => {
    const isExempt = onList(exempt)
    return ({ request }) => {
      if (request === undefined) return null
      const calls = callsIn(request()['messages'], reset).filter(({ tool }) => !isExempt(tool))
      const seen: Readonly<Record<string, number>> = {
        'same-call': trailing(calls, ({ what }) => what),
        'same-result': trailing(calls, ({ tool, result }) => (result === null ? null : `${tool}\n${result}`)),
        // As many more than the window as the others are above what is flagged
        'two-calls': inTurn(calls) - WINDOW + repeats,
      }
      const rules = Object.keys(seen).filter((rule) => seen[rule] >= repeats)
      if (rules.length === 0) return null
      const most = Math.max(...rules.map((rule) => seen[rule]))
      const found = { rules, count: most }
      return most < Math.max(limit, repeats)
        ? { ...found, verdict: 'flag' }
        : {
            ...found,
            verdict: 'block',
            error: new SluiceError('loop_detected', {
              message: 'The agent repeats the same tool calls without getting on (guard loop-guard): end it.',
            }),
          }
    }
  },
)

/** In order; of what came after the last message of a user, if that begins anew. */
function callsIn(messages: unknown, reset: boolean): readonly Call[] {
  if (!Array.isArray(messages)) return []
  const from = reset ? messages.findLastIndex((message) => isRecord(message) && message['role'] === 'user') + 1 : 0
  const calls: Call[] = []
  const byId = new Map<unknown, Call>()
  for (const message of messages.slice(from)) {
    if (!isRecord(message)) continue
    const { tool_calls: made, tool_call_id: answered, content } = message
    for (const call of Array.isArray(made) ? made : []) {
      const made = isRecord(call) ? readToolCall(call) : null
      if (made === null) continue
      const read: Call = { ...made, result: null }
      calls.push(read)
      byId.set((call as JsonRecord)['id'], read)
    }
    const call = byId.get(answered)
    if (call !== undefined) call.result = resultOf(content)
  }
  return calls
}

function resultOf(content: unknown): string | null {
  const text = typeof content === 'string' ? content : (JSON.stringify(content) ?? '')
  return text.length < MIN_RESULT_CHARS ? null : text
}

/** How many of the last are equal. */
function trailing(calls: readonly Call[], of: (call: Call) => string | null): number {
  const last = calls.length === 0 ? null : of(calls[calls.length - 1])
  if (last === null) return 0
  const other = calls.findLastIndex((call) => of(call) !== last)
  return calls.length - 1 - other
}

/** How many of the last are one of two. */
function inTurn(calls: readonly Call[]): number {
  const seen = new Set<string>()
  for (let i = calls.length - 1; i >= 0; i--) {
    seen.add(calls[i].what)
    if (seen.size > 2) return calls.length - 1 - i
  }
  return calls.length
}
