/**
 * The instructions that a conversation begins with; kept apart from its turns, which may be gone when a prompt needs
 * them.
 */
import { scanArray } from '../../../core/json.ts'

/** The system and developer messages at the start of a JSON array, as one; null when there are none. */
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
