/** A `chat.completion` in one piece, from an upstream that does not stream, as the chunks it would have sent. */
import type { Bytes } from '../../../core/record.ts'

type Json = Record<string, unknown>

const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value)

/**
 * Null when it is not a completion. Works on binary strings: what JSON.parse and JSON.stringify do to chars
 * above 0x7f, they do to none.
 */
export function chunksOf(completion: Json): readonly Bytes[] | null {
  const { choices, usage, object: _object, ...head } = completion
  if (!Array.isArray(choices) || choices.length === 0) return null
  const chunks: Bytes[] = []
  const chunk = (parts: unknown[], more: Json = {}): void =>
    void chunks.push(JSON.stringify({ ...head, object: 'chat.completion.chunk', choices: parts, ...more }))
  for (const [position, choice] of choices.entries()) {
    if (!isObject(choice) || !isObject(choice['message'])) return null
    const { message, finish_reason: finish, index: given, ...rest } = choice as Json & { message: Json }
    const index = typeof given === 'number' ? given : position
    chunk([
      {
        index,
        delta: { role: 'assistant', ...message, ...indexed(message['tool_calls']) },
        ...rest,
        finish_reason: null,
      },
    ])
    chunk([{ index, delta: {}, finish_reason: typeof finish === 'string' ? finish : 'stop' }])
  }
  if (isObject(usage)) chunk([], { usage })
  return chunks
}

/** In a delta each tool call says which one it is. */
function indexed(calls: unknown): Json {
  if (!Array.isArray(calls)) return {}
  return { tool_calls: calls.map((call, index) => (isObject(call) ? { index, ...call } : call)) }
}
