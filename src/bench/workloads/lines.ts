/** Files of prompts: JSON, one a line. */
import { isRecord } from '../../core/json.ts'
import type { Message } from '../apis.ts'
import { type Prompt, type Workload, WorkloadError } from './workload.ts'

const MAX_LINES = 1_000_000
const ROLES: readonly unknown[] = ['system', 'user', 'assistant']

/** `{"messages": […]}`, `{"prompt": "…"}`, or a request as it was posted; `max_tokens`: the length of the answer. */
export function promptLines(text: string, name = 'file'): Workload {
  const prompts = jsonLines(text).map(({ value, number }) => promptOf(value, number))
  return listed(name, prompts, ({ messages }) => messages)
}

export function jsonLines(text: string): Array<{ value: Readonly<Record<string, unknown>>; number: number }> {
  const found: Array<{ value: Readonly<Record<string, unknown>>; number: number }> = []
  text.split('\n').forEach((line, i) => {
    if (line.trim() === '') return
    let value: unknown
    try {
      value = JSON.parse(line)
    } catch {
      throw new WorkloadError(`line ${i + 1} is not JSON: the file needs one JSON object a line`)
    }
    if (!isRecord(value)) throw new WorkloadError(`line ${i + 1} is not a JSON object`)
    if (found.length === MAX_LINES) throw new WorkloadError(`the file has more than ${MAX_LINES} lines`)
    found.push({ value, number: i + 1 })
  })
  if (found.length === 0) throw new WorkloadError('the file is empty')
  return found
}

function promptOf(value: Readonly<Record<string, unknown>>, number: number): Prompt {
  const request = isRecord(value['request']) ? value['request'] : isRecord(value['body']) ? value['body'] : value
  const length = request['max_tokens'] ?? request['max_completion_tokens'] ?? value['output_length'] ?? null
  if (length !== null && !(Number.isSafeInteger(length) && (length as number) > 0))
    throw new WorkloadError(`line ${number}: max_tokens must be a whole number above 0`)
  return { messages: messagesOf(request, number), maxTokens: length as number | null, atMs: null }
}

function messagesOf(request: Readonly<Record<string, unknown>>, number: number): Message[] {
  const prompt = request['prompt'] ?? request['text']
  if (typeof prompt === 'string' && prompt !== '') return [{ role: 'user', content: prompt }]
  const messages = request['messages']
  if (!Array.isArray(messages) || messages.length === 0)
    throw new WorkloadError(`line ${number} needs "messages" or "prompt"`)
  return (messages as unknown[]).map((message) => {
    if (!isRecord(message) || !ROLES.includes(message['role']) || typeof message['content'] !== 'string')
      throw new WorkloadError(
        `line ${number}: each message needs a role (system, user, assistant) and a text as content`,
      )
    return { role: message['role'] as Message['role'], content: message['content'] }
  })
}

/**
 * One after another, over all rounds; from the start again when they are used up. What is asked is made for those that
 * are sent: of a trace of a million rows only the lengths are kept.
 */
export function listed<R extends Omit<Prompt, 'messages'>>(
  name: string,
  rows: readonly R[],
  messagesOf: (row: R) => readonly Message[],
): Workload {
  const hasTimes = rows.every(({ atMs }) => atMs !== null)
  return {
    name,
    hasTimes,
    size: rows.length,
    prompts(round, count) {
      const from = round * count
      const some = Array.from({ length: count }, (_, i): Prompt => {
        const row = rows[(from + i) % rows.length]
        return { messages: messagesOf(row), maxTokens: row.maxTokens, atMs: row.atMs }
      })
      return hasTimes ? fromTheirFirst(some) : some
    },
  }
}

/** Where a list begins again, so does its time, a mean gap later. */
function fromTheirFirst(prompts: readonly Prompt[]): Prompt[] {
  let offset = 0
  let last = prompts[0].atMs!
  const times = prompts.map(({ atMs }) => {
    if (atMs! + offset < last) offset = last - atMs!
    last = atMs! + offset
    return last
  })
  return prompts.map((prompt, i) => ({ ...prompt, atMs: times[i] - times[0] }))
}
