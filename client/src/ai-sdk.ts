/**
 * A `ChatTransport` for the AI SDK's `useChat`: each chat is a conversation on Sluice, each message a durable job.
 * With `resume: true` it continues after a reload. The interface and the chunks are those of the `ai` package, declared
 * here as far as they are used, so that nothing depends on it.
 */
import type { JobRequest } from '../../src/core/frames.ts'
import type { Sluice } from './connect.ts'
import { SluiceError } from './errors.ts'
import type { JobEvent } from './events.ts'
import type { Job } from './job.ts'
import type { ChatMessage } from './turn.ts'

export interface UiPart {
  readonly type: string
  readonly text?: string
  readonly url?: string
  readonly mediaType?: string
  readonly filename?: string
  readonly toolCallId?: string
  readonly state?: string
  readonly output?: unknown
  readonly errorText?: string
}

export interface UiMessage {
  readonly id: string
  readonly role: 'system' | 'user' | 'assistant'
  readonly parts: readonly UiPart[]
}

export interface SendOptions<M extends UiMessage = UiMessage> {
  readonly trigger: 'submit-message' | 'regenerate-message'
  readonly chatId: string
  readonly messageId?: string | undefined
  readonly messages: readonly M[]
  readonly abortSignal?: AbortSignal | undefined
  /** Members for the request to the model. */
  readonly body?: object | undefined
}

export interface ChatTransportOptions {
  /** Members of each request besides its messages: `{ model: 'chat' }`. */
  readonly request: Readonly<Record<string, unknown>>
  /** Options of each job: `{ priority: 'high' }`. */
  readonly job?: Partial<JobRequest>
}

/** Loosely typed, so that it fits each version's `ChatTransport<UIMessage>`. */
// biome-ignore lint/suspicious/noExplicitAny: the chunks' union is the AI SDK's, and differs from version to version
type Chunk = any

export interface SluiceChatTransport {
  /** The answer is shown from its start. */
  readonly resumeStreamIsReplay: true
  sendMessages(options: SendOptions): Promise<ReadableStream<Chunk>>
  reconnectToStream(options: {
    readonly chatId: string
    readonly abortSignal?: AbortSignal | undefined
  }): Promise<ReadableStream<Chunk> | null>
}

export function createChatTransport(sluice: Sluice, options: ChatTransportOptions): SluiceChatTransport {
  return {
    resumeStreamIsReplay: true,
    async sendMessages({ trigger, chatId, messages, abortSignal, body }) {
      if (trigger === 'regenerate-message') await truncate(sluice, chatId, messages)
      const job = sluice.submit({
        ...options.job,
        request: { ...options.request, ...body, messages: newMessages(messages) },
        conversation: chatId,
      })
      return streamOf(job, abortSignal, messages.at(-1)?.role === 'assistant')
    },
    async reconnectToStream({ chatId, abortSignal }) {
      const query = `conversation=${encodeURIComponent(chatId)}&state=queued,delayed,waiting,leased&limit=100`
      const { data } = (await sluice.http('GET', `/v1/jobs?${query}`)) as {
        readonly data: ReadonlyArray<{ id: string }>
      }
      const first = data.at(-1)
      return first === undefined ? null : streamOf(sluice.attach(first.id), abortSignal, false)
    },
  }
}

// ---------------------------------------------------------------- to Sluice

/** What the conversation lacks: the last user message, or the tools' outputs for the last answer. */
function newMessages(messages: readonly UiMessage[]): readonly ChatMessage[] {
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
            content: state === 'output-error' ? `Error: ${errorText}` : asText(output),
          },
        ],
  )
}

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

/**
 * The conversation forgets what follows the last answer that is left. An answer's id is that of its first job; each of
 * its steps is a job, and so a turn.
 */
async function truncate(sluice: Sluice, chatId: string, left: readonly UiMessage[]): Promise<void> {
  const path = `/v1/conversations?id=${encodeURIComponent(chatId)}`
  const answers = left.filter(({ role }) => role === 'assistant')
  const steps = ({ parts }: UiMessage): number => Math.max(1, parts.filter(({ type }) => type === 'step-start').length)
  const last = answers.at(-1)
  try {
    // Without a job id that we know, only the steps can be counted
    const at = last === undefined ? null : await turnOf(sluice, path, last.id)
    const keep = at === null ? answers.reduce((sum, answer) => sum + steps(answer), 0) : at + steps(last!)
    await sluice.http('PATCH', path, { keep_turns: keep })
  } catch (error) {
    // There is no turn yet: the first answer failed before it became a turn
    if (!(error instanceof SluiceError) || error.code !== 'conversation_not_found') throw error
  }
}

/** The index of this job's turn; null: there is none. Searched from the newest. */
async function turnOf(sluice: Sluice, path: string, job: string): Promise<number | null> {
  let after: string | null = null
  let before: number | null = null
  do {
    const page = (await sluice.http('GET', after === null ? path : `${path}&after=${encodeURIComponent(after)}`)) as {
      readonly turn_count: number
      readonly turns: ReadonlyArray<{ readonly job: string }>
      readonly next: string | null
    }
    before = (before ?? page.turn_count) - page.turns.length
    const at = page.turns.findIndex((turn) => turn.job === job)
    if (at >= 0) return before + at
    after = page.next
  } while (after !== null)
  return null
}

// ---------------------------------------------------------------- from Sluice

/** `isContinued`: it extends an existing message. */
async function streamOf(
  job: Job,
  signal: AbortSignal | undefined,
  isContinued: boolean,
): Promise<ReadableStream<Chunk>> {
  const cancel = (): void => void job.cancel().catch(() => {})
  if (signal?.aborted) cancel()
  signal?.addEventListener('abort', cancel, { once: true })
  const { id } = await job.accepted
  const write = createWriter(job)
  const events = job[Symbol.asyncIterator]()
  const first: Chunk[] = [isContinued ? { type: 'start' } : { type: 'start', messageId: id }, { type: 'start-step' }]
  return new ReadableStream<Chunk>({
    start(controller) {
      for (const chunk of first) controller.enqueue(chunk)
    },
    async pull(controller) {
      try {
        for (;;) {
          const { done, value } = await events.next()
          const chunks = done ? [] : write(value)
          for (const chunk of chunks) controller.enqueue(chunk)
          if (done || value.type === 'end') controller.close()
          if (done || value.type === 'end' || chunks.length > 0) break
        }
        if (job.over) signal?.removeEventListener('abort', cancel)
      } catch (error) {
        controller.enqueue({ type: 'error', errorText: SluiceError.from(error).message })
        controller.close()
      }
    },
    cancel: () => job.detach(), // the job keeps running, and can be resumed
  })
}

const FINISH: Readonly<Record<string, string>> = { stop: 'stop', length: 'length', tool_calls: 'tool-calls' }

/** Events of a job as UI message chunks. */
function createWriter(job: Job): (event: JobEvent) => readonly Chunk[] {
  let part: 'text' | 'reasoning' | null = null
  let parts = 0
  /** What was written of each tool call's arguments. */
  let calls: number[] = []
  let finish = 'stop'

  const close = (): readonly Chunk[] => {
    const open = part
    part = null
    return open === null ? [] : [{ type: `${open}-end`, id: `${open}-${parts}` }]
  }
  const say = (kind: 'text' | 'reasoning', delta: unknown): readonly Chunk[] => {
    if (typeof delta !== 'string' || delta === '') return []
    const opening: Chunk[] = part === kind ? [] : [...close(), { type: `${kind}-start`, id: `${kind}-${++parts}` }]
    part = kind
    return [...opening, { type: `${kind}-delta`, id: `${kind}-${parts}`, delta }]
  }
  /** The fold knows which call a piece belongs to; what it has beyond what was written is new. */
  const tools = (): readonly Chunk[] =>
    callsOf(job).flatMap(({ id, function: called }, i): readonly Chunk[] => {
      if (!id || !called?.name) return []
      const begins: readonly Chunk[] =
        calls[i] === undefined
          ? [...close(), { type: 'tool-input-start', toolCallId: id, toolName: called.name, dynamic: true }]
          : []
      const written = calls[i] ?? 0
      const { arguments: all = '' } = called
      calls[i] = all.length
      return all.length === written
        ? begins
        : [...begins, { type: 'tool-input-delta', toolCallId: id, inputTextDelta: all.slice(written) }]
    })

  return (event) => {
    if (event.type === 'chunk') {
      const choice = firstChoice(event.chunk)
      if (choice?.finish_reason) finish = FINISH[choice.finish_reason] ?? 'other'
      const delta = choice?.delta ?? choice?.message ?? {} // a whole answer is one chunk
      return [
        ...say('reasoning', delta['reasoning_content'] ?? delta['reasoning']),
        ...say('text', delta['content'] ?? delta['refusal']),
        ...('tool_calls' in delta ? tools() : []),
      ]
    }
    if (event.type === 'reset' || event.type === 'gap') {
      part = null
      calls = []
      return [{ type: 'reset-step' }]
    }
    if (event.type !== 'end') return []
    if (event.state === 'canceled') return [...close(), { type: 'abort' }]
    if (event.state !== 'done')
      return [...close(), { type: 'error', errorText: event.error?.message ?? `The job ended: ${event.state}.` }]
    const inputs = callsOf(job).flatMap(({ id, function: called }): readonly Chunk[] =>
      id && called?.name ? [inputOf(id, called.name, called.arguments ?? '')] : [],
    )
    return [...close(), ...inputs, { type: 'finish-step' }, { type: 'finish', finishReason: finish }]
  }
}

interface Call {
  readonly id?: string
  readonly function?: { readonly name?: string; readonly arguments?: string }
}
const callsOf = (job: Job): readonly Call[] =>
  ((job.message as { readonly tool_calls?: readonly Call[] }).tool_calls ?? []).filter((call) => call !== undefined)

function inputOf(toolCallId: string, toolName: string, text: string): Chunk {
  const about = { toolCallId, toolName, dynamic: true }
  try {
    return { type: 'tool-input-available', ...about, input: text === '' ? {} : JSON.parse(text) }
  } catch {
    return { type: 'tool-input-error', ...about, input: text, errorText: 'The arguments are not JSON.' }
  }
}

interface Choice {
  readonly index?: number
  readonly delta?: Readonly<Record<string, unknown>>
  readonly message?: Readonly<Record<string, unknown>>
  readonly finish_reason?: string | null
}
const firstChoice = (chunk: Readonly<Record<string, unknown>>): Choice | undefined =>
  ((chunk['choices'] ?? []) as readonly Choice[]).find(({ index = 0 }) => index === 0)
