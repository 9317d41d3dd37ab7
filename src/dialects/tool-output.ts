/** What a tool returned. A tool's message holds text alone: what else there is comes after it, as the user's. */
import type { JsonObject } from '../core/fold.ts'

export interface ToolOutput {
  readonly text: string
  /** Parts of a user's message, to follow once all tools have answered; none: it was text. */
  readonly media: readonly JsonObject[]
}

/** `parts`: of a message in the canonical dialect. */
export function toolOutput(call: string, parts: readonly JsonObject[]): ToolOutput {
  const texts = parts.flatMap(({ type, text }) => (type === 'text' ? [text as string] : []))
  const media = parts.filter(({ type }) => type !== 'text')
  const text = texts.join('\n')
  if (media.length === 0) return { text, media }
  return {
    text: text || 'What the tool returned is in the next message.',
    media: [{ type: 'text', text: `Returned by the tool call ${call}:` }, ...media],
  }
}
