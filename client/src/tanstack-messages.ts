/** Messages as TanStack AI has them, and as the AI SDK does: from there it is one way to Sluice. */
import type { UiMessage, UiPart } from './ai-sdk-messages.ts'

interface ContentSource {
  readonly type: 'data' | 'url'
  readonly value: string
  readonly mimeType?: string
}

export interface ThreadPart {
  readonly type: string
  readonly content?: unknown
  readonly source?: ContentSource
  readonly metadata?: { readonly filename?: string }
  // Of a tool's call, and of its result
  readonly id?: string
  readonly name?: string
  readonly arguments?: string
  readonly input?: unknown
  readonly output?: unknown
  readonly toolCallId?: string
  readonly state?: string
  readonly error?: string
}

/** Each step of an answer is a message of its own: its id is its job's. */
export interface ThreadMessage {
  readonly id: string
  readonly role: 'system' | 'user' | 'assistant'
  readonly parts: readonly ThreadPart[]
}

export const textOf = (value: unknown): string => (typeof value === 'string' ? value : (JSON.stringify(value) ?? ''))

// ---------------------------------------------------------------- to Sluice

export const sentMessage = ({ id, role, parts }: ThreadMessage): UiMessage => ({
  id,
  role,
  parts: parts.flatMap((part): readonly UiPart[] => {
    if (part.type === 'text') return [{ type: 'text', text: textOf(part.content) }]
    if (part.source !== undefined) return [filePart(part, part.source)]
    return part.type === 'tool-call' ? [callPart(part, parts)] : []
  }),
})

function filePart({ metadata }: ThreadPart, { type, value, mimeType = '' }: ContentSource): UiPart {
  const url = type === 'data' ? `data:${mimeType};base64,${value}` : value
  return { type: 'file', url, mediaType: mimeType, ...(metadata?.filename && { filename: metadata.filename }) }
}

function callPart({ id = '', name = '', output }: ThreadPart, parts: readonly ThreadPart[]): UiPart {
  const call = { type: 'dynamic-tool', toolCallId: id, toolName: name }
  const result = parts.find(({ type, toolCallId }) => type === 'tool-result' && toolCallId === id)
  if (result?.state === 'error')
    return { ...call, state: 'output-error', errorText: result.error ?? textOf(result.content) }
  if (output === undefined && result === undefined) return { ...call, state: 'input-available' }
  return { ...call, state: 'output-available', output: output ?? result?.content }
}

// ---------------------------------------------------------------- from Sluice

export const shownMessage = ({ id, role, parts }: UiMessage): ThreadMessage => ({
  id,
  role,
  parts: parts.flatMap(shownPart),
})

function shownPart(part: UiPart): readonly ThreadPart[] {
  const { type, text = '', url = '', mediaType, filename } = part
  if (type === 'text') return [{ type: 'text', content: text }]
  if (type === 'reasoning') return [{ type: 'thinking', content: text }]
  if (type === 'file') {
    const source: ContentSource = { type: 'url', value: url, ...(mediaType && { mimeType: mediaType }) }
    const kind = mediaType?.startsWith('image/') ? 'image' : 'document'
    return [{ type: kind, source, ...(filename && { metadata: { filename } }) }]
  }
  return type === 'dynamic-tool' ? shownCall(part) : []
}

function shownCall({ toolCallId = '', toolName = '', input, state, output, errorText = '' }: UiPart) {
  const call = { type: 'tool-call', id: toolCallId, name: toolName, arguments: textOf(input), input }
  const result = { type: 'tool-result', toolCallId }
  if (state === 'output-available')
    return [
      { ...call, state: 'complete', output },
      { ...result, state: 'complete', content: textOf(output) },
    ]
  if (state === 'output-error')
    return [
      { ...call, state: 'error' },
      { ...result, state: 'error', content: errorText, error: errorText },
    ]
  return [{ ...call, state: 'input-complete' }]
}
