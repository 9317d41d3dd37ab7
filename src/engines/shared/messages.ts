/** What an engine stores of a request's messages. */
import { memberText, scanArray } from '../../core/json.ts'

/** The request's `messages` as they were sent, JSON. */
export const messagesOf = (body: Uint8Array): string => memberText(body, 'messages') ?? '[]'

/**
 * The instructions that a conversation begins with: the system and developer messages at the start of a JSON array, as
 * one; null when there are none. They are kept apart from its turns, which may be gone when a prompt needs them.
 */
export function leadingInstructions(messages: string): string | null {
  const bytes = Buffer.from(messages, 'utf8')
  const end = leadingInstructionsEnd(bytes)
  return end === 0 ? null : `${bytes.toString('utf8', 0, end)}]`
}

/** Bytes of a JSON array up to the end of those instructions; 0: it begins with none. */
export function leadingInstructionsEnd(messages: Uint8Array): number {
  const bytes = Buffer.from(messages.buffer, messages.byteOffset, messages.byteLength)
  let last = 0
  for (const { start, end } of scanArray(bytes)) {
    const role = (JSON.parse(bytes.toString('utf8', start, end)) as { readonly role?: unknown } | null)?.role
    if (role !== 'system' && role !== 'developer') break
    last = end
  }
  return last
}
