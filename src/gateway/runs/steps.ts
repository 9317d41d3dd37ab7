/** The steps of an agent that a request shows, by which one that goes in circles is found. */
import { hash } from 'node:crypto'
import { isRecord, type JsonRecord } from '../../core/json.ts'
import { readToolCall } from '../../core/tool-calls.ts'

/** So many equal ones in a row … */
const REPEATS = 5
/** … or no more than two different ones among so many. */
const WINDOW = 12
const DISTINCT = 2

/** The calls of one message, and what they returned: an agent whose results differ gets on. */
interface Step {
  readonly digest: string
  readonly tools: readonly string[]
}

/** Since a user's last message that began anew; oldest first, as many as are looked at. */
function stepsIn(messages: readonly unknown[]): readonly Step[] {
  const steps: Step[] = []
  let results: unknown[] = []
  let spoke = false
  for (let i = messages.length - 1; i >= 0 && steps.length < WINDOW; i--) {
    const message = messages[i]
    if (!isRecord(message)) continue
    const { role, content, tool_calls: calls } = message
    if (role === 'user') {
      spoke = true
      continue
    }
    // After results it is the agent's own word: a reminder, a "Continue."
    if (spoke && role !== 'tool') break
    spoke = false
    if (role === 'tool') results.push(content)
    if (!Array.isArray(calls) || calls.length === 0) continue
    const made = calls.flatMap((call) => (isRecord(call) ? [readToolCall(call)] : [])).filter((call) => call !== null)
    const text = JSON.stringify([made.map(({ what }) => what), results])
    steps.push({ digest: hash('sha256', text, 'base64url'), tools: made.map(({ tool }) => tool) })
    results = []
  }
  return steps.reverse()
}

/** Does an agent with these messages go in circles? How it does, in words; null: it gets on. */
export function loopIn(messages: unknown): string | null {
  if (!Array.isArray(messages)) return null
  const steps = stepsIn(messages)
  const isOver = (count: number, distinct: number): boolean =>
    steps.length >= count && new Set(steps.slice(-count).map(({ digest }) => digest)).size <= distinct
  const count = isOver(REPEATS, 1) ? REPEATS : isOver(WINDOW, DISTINCT) ? WINDOW : null
  if (count === null) return null
  const tools = [...new Set(steps.slice(-count).flatMap((step) => step.tools))].map((name) => JSON.stringify(name))
  return `The last ${count} steps called ${listed(tools)} with the same arguments and got the same results.`
}

const MOST_TOOLS = 3
const listed = (tools: readonly string[]): string =>
  tools.slice(0, MOST_TOOLS).join(', ') + (tools.length > MOST_TOOLS ? ', …' : '')

/** Is what was said before in the conversation needed to see a step? Clients send the results of its calls alone. */
export function isCutOff({ messages }: JsonRecord): boolean {
  const first = Array.isArray(messages)
    ? messages.find((message) => isRecord(message) && !isInstruction(message))
    : null
  return isRecord(first) && first['role'] === 'tool'
}

const isInstruction = ({ role }: JsonRecord): boolean => role === 'system' || role === 'developer'
