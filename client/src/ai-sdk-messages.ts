/**
 * Messages as the AI SDK has them, and as Sluice stores them: a conversation's turns. An answer that called tools is
 * one message of several steps there, and a turn for each step here. Its id is that of its first job.
 */
import type { WireJob } from '../../src/core/frames.ts'
import { blocksOfMessage } from '../../src/dialects/ui/chunks.ts'
import type { Sluice } from './connect.ts'
import { SluiceError } from './errors.ts'
import { type ChatMessage, type StoredTurn, type TurnPage, textOfContent } from './turn.ts'

export interface UiPart {
  readonly type: string
  readonly text?: string
  readonly url?: string
  readonly mediaType?: string
  readonly filename?: string
  readonly toolCallId?: string
  readonly toolName?: string
  readonly state?: string
  readonly input?: unknown
  readonly output?: unknown
  readonly errorText?: string
}

export interface UiMessage {
  readonly id: string
  readonly role: 'system' | 'user' | 'assistant'
  readonly parts: readonly UiPart[]
}

interface CalledTool {
  type: 'dynamic-tool'
  toolCallId: string
  toolName: string
  input: unknown
}

/** A part as each version's `UIMessage` has it. */
export type StoredPart =
  | { type: 'text' | 'reasoning'; text: string; state?: 'done' }
  | { type: 'file'; url: string; mediaType: string; filename?: string }
  | { type: 'step-start' }
  | (CalledTool & { state: 'input-available' })
  | (CalledTool & { state: 'output-available'; output: unknown })
  | (CalledTool & { state: 'output-error'; errorText: string })

export interface StoredMessage {
  id: string
  role: 'user' | 'assistant'
  parts: StoredPart[]
}

/** A `UIMessage` of any version, with metadata, data and tools of its own. */
interface AnyMessage {
  id: string
  role: 'system' | 'user' | 'assistant'
  parts: Array<{ type: string }>
}

/** Loosely typed, so that it fits each version's `ChatTransport<UIMessage>`. */
// biome-ignore lint/suspicious/noExplicitAny: the chunks' union is the AI SDK's, and differs from version to version
export type Chunk = any

// ---------------------------------------------------------------- to Sluice

/** What the conversation lacks: the last user message, or the tools' outputs for the last answer. */
export function newMessages(messages: readonly UiMessage[]): readonly ChatMessage[] {
  const last = messages.at(-1)
  if (last === undefined) throw new SluiceError('invalid_request', 'There is no message to send.')
  if (last.role !== 'assistant') return [{ role: last.role, content: contentOf(last.parts) }]
  const step = last.parts.slice(last.parts.findLastIndex(({ type }) => type === 'step-start') + 1)
  return step.flatMap(({ toolCallId, state, output, errorText }) =>
    toolCallId === undefined || (state !== 'output-available' && state !== 'output-error')
      ? []
      : [
          {
            role: 'tool',
            tool_call_id: toolCallId,
            content: state === 'output-error' ? ERROR + errorText : asText(output),
          },
        ],
  )
}

/** How a tool's failure begins. */
const ERROR = 'Error: '
const asText = (output: unknown): string => (typeof output === 'string' ? output : (JSON.stringify(output) ?? ''))

function contentOf(parts: readonly UiPart[]): string | readonly object[] {
  const files = parts.filter(({ type, url }) => type === 'file' && url !== undefined)
  const text = parts.map((part) => (part.type === 'text' ? (part.text ?? '') : '')).join('')
  if (files.length === 0) return text
  return [
    ...(text === '' ? [] : [{ type: 'text', text }]),
    ...files.map(({ url, mediaType, filename = 'file' }) =>
      mediaType?.startsWith('image/')
        ? { type: 'image_url', image_url: { url } }
        : { type: 'file', file: { filename, file_data: url } },
    ),
  ]
}

// ---------------------------------------------------------------- from Sluice

const PATH = '/v1/conversations?id='

/**
 * The messages that a chat has, to begin with: those of its last 100 turns, and what waits for an answer. The answer
 * that is running is not among them: `resume: true` brings it, from its start. `M`: the application's `UIMessage`; they
 * have the parts that are in each one (texts, files, `dynamic-tool`), no data and no metadata.
 */
export async function loadMessages<M extends AnyMessage = StoredMessage>(sluice: Sluice, chatId: string): Promise<M[]> {
  return (await messagesOf(sluice, chatId, addTurn)) as AnyMessage[] as M[]
}

/** As `loadMessages`, but each step of an answer is a message of its own, with its job's id. */
export const loadSteps = (sluice: Sluice, chatId: string): Promise<StoredMessage[]> =>
  messagesOf(sluice, chatId, addStep)

async function messagesOf(
  sluice: Sluice,
  chatId: string,
  add: (messages: StoredMessage[], turn: StoredTurn) => void,
): Promise<StoredMessage[]> {
  // In this order: a job that ends meanwhile is in both
  const open = await openJobs(sluice, chatId)
  const turns = await turnsOf(sluice, chatId)
  const messages: StoredMessage[] = []
  for (const turn of turns) add(messages, turn)
  for (const { id } of open) if (!turns.some(({ job }) => job === id)) addAsked(messages, id, await askedBy(sluice, id))
  return messages
}

/** The answer that this job goes on with, as it called tools before. Null: it begins one. */
export async function continuedBy(sluice: Sluice, chatId: string, job: string): Promise<UiMessage | null> {
  const asked = await askedBy(sluice, job)
  if (asked.at(-1)?.role !== 'tool') return null
  const messages: StoredMessage[] = []
  for (const turn of await turnsOf(sluice, chatId)) {
    if (turn.job === job) break // it has ended meanwhile
    addTurn(messages, turn)
  }
  addAsked(messages, job, asked)
  const last = messages.at(-1)
  return last?.role === 'assistant' ? last : null
}

async function askedBy(sluice: Sluice, job: string): Promise<readonly ChatMessage[]> {
  const { messages = [] } = (await sluice.http('GET', `/v1/jobs/${job}/request`)) as {
    readonly messages?: readonly ChatMessage[]
  }
  return messages
}

async function turnsOf(sluice: Sluice, chatId: string): Promise<readonly StoredTurn[]> {
  try {
    return ((await sluice.http('GET', PATH + encodeURIComponent(chatId))) as TurnPage).turns
  } catch (error) {
    if (error instanceof SluiceError && error.code === 'conversation_not_found') return []
    throw error
  }
}

/** Those that have not ended, in order. */
export async function openJobs(sluice: Sluice, chatId: string): Promise<readonly WireJob[]> {
  const query = `conversation=${encodeURIComponent(chatId)}&state=queued,delayed,waiting,leased&limit=100`
  const { data } = (await sluice.http('GET', `/v1/jobs?${query}`)) as { readonly data: readonly WireJob[] }
  return data.toReversed()
}

function addTurn(messages: StoredMessage[], turn: StoredTurn): void {
  addStep(messages, turn)
  const last = messages.at(-2)
  if (turn.answer === null || turn.messages.at(-1)?.role !== 'tool' || last?.role !== 'assistant') return
  last.parts.push(...messages.pop()!.parts)
}

function addStep(messages: StoredMessage[], { job, messages: asked, answer }: StoredTurn): void {
  addAsked(messages, job, asked)
  if (answer !== null)
    messages.push({ id: job, role: 'assistant', parts: [{ type: 'step-start' }, ...partsOf(job, answer)] })
}

/** Tools' outputs belong to the answer that called them. */
function addAsked(messages: StoredMessage[], job: string, asked: readonly ChatMessage[]): void {
  for (const [i, message] of asked.entries()) {
    if (message.role === 'user')
      messages.push({ id: `${job}-${i}`, role: 'user', parts: partsOfContent(message.content) })
    if (message.role === 'tool') setOutput(messages.at(-1)?.parts ?? [], message)
  }
}

function setOutput(parts: StoredPart[], message: ChatMessage & { readonly tool_call_id?: unknown }): void {
  const at = parts.findLastIndex((part) => part.type === 'dynamic-tool' && part.toolCallId === message.tool_call_id)
  const called = parts[at]
  if (called?.type !== 'dynamic-tool') return
  const { type, toolCallId, toolName, input } = called
  const text = textOfContent(message.content)
  const output: StoredPart = text.startsWith(ERROR)
    ? { type, toolCallId, toolName, input, state: 'output-error', errorText: text.slice(ERROR.length) }
    : { type, toolCallId, toolName, input, state: 'output-available', output: asOutput(text) }
  parts[at] = output
}

/** An object or a list, if it is one: what wasn't a text was sent as JSON. */
function asOutput(text: string): unknown {
  if (!/^\s*[{[]/.test(text)) return text
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

const partsOf = (job: string, answer: unknown): readonly StoredPart[] =>
  blocksOfMessage(job, answer).map((block) =>
    block.type === 'call' ? { ...block, type: 'dynamic-tool' } : { ...block, state: 'done' },
  )

function partsOfContent(content: unknown): StoredPart[] {
  if (!Array.isArray(content)) return [{ type: 'text', text: textOfContent(content) }]
  return (content as readonly ContentPart[]).flatMap((part): readonly StoredPart[] => {
    if (typeof part?.text === 'string') return [{ type: 'text', text: part.text }]
    const url = part?.image_url?.url ?? part?.file?.file_data
    if (typeof url !== 'string') return []
    const mediaType = /^data:([^;,]+)/.exec(url)?.[1] ?? (part.image_url ? 'image/*' : 'application/octet-stream')
    return [{ type: 'file', url, mediaType, ...(part.file?.filename && { filename: part.file.filename }) }]
  })
}

interface ContentPart {
  readonly text?: unknown
  readonly image_url?: { readonly url?: unknown }
  readonly file?: { readonly filename?: string; readonly file_data?: unknown }
}

/**
 * A message's finished steps as chunks, for an answer that goes on. No `tool-input-available`: the AI SDK would call
 * the tools again.
 */
export function chunksOf({ id, parts }: UiMessage): readonly Chunk[] {
  const chunks: Chunk[] = [{ type: 'start', messageId: id }]
  for (const [i, part] of parts.entries()) {
    if (part.type === 'step-start') chunks.push(...(i === 0 ? [] : [{ type: 'finish-step' }]), { type: 'start-step' })
    else if (part.toolCallId !== undefined) chunks.push(...chunksOfTool(part))
    else
      chunks.push(
        { type: `${part.type}-start`, id: `past-${i}` },
        { type: `${part.type}-delta`, id: `past-${i}`, delta: part.text },
        { type: `${part.type}-end`, id: `past-${i}` },
      )
  }
  return [...chunks, { type: 'finish-step' }]
}

function chunksOfTool({ toolCallId, toolName, input, state, output, errorText }: UiPart): readonly Chunk[] {
  const ended =
    state === 'output-error' ? { type: 'tool-output-error', errorText } : { type: 'tool-output-available', output }
  return [
    { type: 'tool-input-start', toolCallId, toolName, dynamic: true },
    { type: 'tool-input-delta', toolCallId, inputTextDelta: asText(input) },
    { ...ended, toolCallId, dynamic: true },
  ]
}
