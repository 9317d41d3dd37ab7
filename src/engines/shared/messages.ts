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
  const texts: string[] = []
  for (const { start, end } of scanArray(bytes)) {
    const text = bytes.toString('utf8', start, end)
    const role = (JSON.parse(text) as { readonly role?: unknown } | null)?.role
    if (role !== 'system' && role !== 'developer') break
    texts.push(text)
  }
  return texts.length === 0 ? null : `[${texts.join(',')}]`
}
