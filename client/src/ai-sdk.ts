/**
 * A `ChatTransport` for the AI SDK's `useChat`: each chat is a conversation on Sluice, each message a durable job.
 * With `resume: true` it continues after a reload. The interface and the chunks are those of the `ai` package, declared
 * here as far as they are used, so that nothing depends on it.
 */
import type { JobRequest } from '../../src/core/frames.ts'
import { type Chunk, chunksOf, continuedBy, newMessages, openJobs, type UiMessage } from './ai-sdk-messages.ts'
import type { Sluice } from './connect.ts'
import { SluiceError } from './errors.ts'
import type { Job } from './job.ts'
import { turnOf } from './turn-index.ts'
import { createWriter } from './ui-writer.ts'

export {
  loadMessages,
  type StoredMessage,
  type StoredPart,
  type UiMessage,
  type UiPart,
} from './ai-sdk-messages.ts'

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
  /** The newest stream of each chat. */
  const newest = new Map<string, AbortSignal | undefined>()
  /**
   * The AI SDK aborts a stream not only for `stop`, but also when it resumes the chat anew, which it then does at once
   * (React's StrictMode mounts twice): such an abort stops nothing.
   */
  function onStop(chatId: string, signal: AbortSignal | undefined, stop: () => void): () => void {
    const aborted = (): void => queueMicrotask(() => newest.get(chatId) === signal && stop())
    if (signal?.aborted) aborted()
    signal?.addEventListener('abort', aborted, { once: true })
    return () => {
      signal?.removeEventListener('abort', aborted)
      if (newest.get(chatId) === signal) newest.delete(chatId)
    }
  }
  const follow = (job: Job, chatId: string, signal: AbortSignal | undefined, begin: readonly Chunk[] | null) =>
    streamOf(
      job,
      onStop(chatId, signal, () => void job.cancel().catch(() => {})),
      begin,
    )

  return {
    resumeStreamIsReplay: true,
    async sendMessages({ trigger, chatId, messages, abortSignal, body }) {
      newest.set(chatId, abortSignal)
      if (trigger === 'regenerate-message') await truncate(sluice, chatId, messages)
      const job = sluice.submit({
        ...options.job,
        request: { ...options.request, ...body, messages: newMessages(messages) },
        conversation: chatId,
      })
      const begin = messages.at(-1)?.role === 'assistant' ? { type: 'start' } : null
      return follow(job, chatId, abortSignal, begin && [begin])
    },
    async reconnectToStream({ chatId, abortSignal }) {
      newest.set(chatId, abortSignal)
      const [first] = await openJobs(sluice, chatId)
      if (first === undefined) return null
      const continued = await continuedBy(sluice, chatId, first.id)
      return follow(sluice.attach(first.id), chatId, abortSignal, continued && chunksOf(continued))
    },
  }
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
    const at = last === undefined ? null : await turnOf(sluice, chatId, last.id)
    const keep = at === null ? answers.reduce((sum, answer) => sum + steps(answer), 0) : at + steps(last!)
    await sluice.http('PATCH', path, { keep_turns: keep })
  } catch (error) {
    // There is no turn yet: the first answer failed before it became a turn
    if (!(error instanceof SluiceError) || error.code !== 'conversation_not_found') throw error
  }
}

// ---------------------------------------------------------------- from Sluice

const startOf = (job: string): Chunk => ({ type: 'start', messageId: job })

/** `begin`: of the message that it extends, or null: it begins one. `over` is called when the job is. */
async function streamOf(job: Job, over: () => void, begin: readonly Chunk[] | null): Promise<ReadableStream<Chunk>> {
  const { id } = await job.accepted
  const write = createWriter(id)
  const events = job[Symbol.asyncIterator]()
  const first: Chunk[] = [...(begin ?? [startOf(id)]), { type: 'start-step' }]
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
        if (job.over) over()
      } catch (error) {
        over()
        controller.enqueue({ type: 'error', errorText: SluiceError.from(error).message })
        controller.close()
      }
    },
    cancel: () => job.detach(), // the job keeps running, and can be resumed
  })
}
