/**
 * A connection for TanStack AI's `useChat`: each thread is a conversation on Sluice, each message a durable job. With
 * `persistence: true` it continues after a reload, and in another tab. The interface and the events (AG-UI's) are those
 * of `@tanstack/ai-client` 0.33, declared here as far as they are used, so that nothing depends on it.
 */
import type { JobRequest } from '../../src/core/frames.ts'
import type { UiChunk } from '../../src/dialects/ui/chunks.ts'
import { loadSteps, newMessages, openJobs } from './ai-sdk-messages.ts'
import type { Sluice } from './connect.ts'
import { SluiceError } from './errors.ts'
import type { Job } from './job.ts'
import { sentMessage, shownMessage, type ThreadMessage, textOf } from './tanstack-messages.ts'
import { turnOf } from './turn-index.ts'
import { createWriter } from './ui-writer.ts'

/** Loosely typed, so that it fits each version's `StreamChunk` and `UIMessage`. */
// biome-ignore lint/suspicious/noExplicitAny: these unions are TanStack AI's, and differ from version to version
export type Loose = any

export interface ChatConnectionOptions {
  /** Members of each request besides its messages: `{ model: 'chat' }`. */
  readonly request: Readonly<Record<string, unknown>>
  /** Options of each job: `{ priority: 'high' }`. */
  readonly job?: Partial<JobRequest>
}

interface Tool {
  readonly name: string
  readonly description?: string
  readonly parameters: unknown
}

interface Run {
  readonly threadId: string
  readonly runId: string
}

export interface SluiceChatConnection {
  connect(
    messages: Loose,
    data?: Record<string, Loose>,
    signal?: AbortSignal,
    run?: Run & { readonly clientTools?: readonly Tool[] },
  ): AsyncIterable<Loose>
  joinRun(runId: string, signal?: AbortSignal): AsyncIterable<Loose>
  hydrate(threadId: string): Promise<{ messages: Loose[]; activeRun: { runId: string } | null; interrupts: null }>
  /**
   * Ends a thread's answer for good, wherever it is shown. TanStack AI's own `stop` ends the reading alone: it can't be
   * told from a view that is closed, and what nobody reads goes on.
   */
  cancel(threadId: string): Promise<void>
}

interface Reading {
  readonly job: Job
  readonly signal: AbortSignal | undefined
}

/** What is shown of a thread besides the answer that is joined. */
interface Joined {
  readonly threadId: string
  readonly messages: readonly ThreadMessage[]
}

export function createChatConnection(sluice: Sluice, options: ChatConnectionOptions): SluiceChatConnection {
  /** The newest of each thread. */
  const reading = new Map<string, Reading>()
  const joined = new Map<string, Joined>()
  /** Jobs of the user messages that were sent or loaded, by the message's id. */
  const jobs = new Map<string, string>()

  async function* follow(job: Job, run: Run, signal: AbortSignal | undefined, shown: readonly ThreadMessage[]) {
    reading.set(run.threadId, { job, signal })
    // The job keeps running, and can be joined
    const leave = (): void => job.detach()
    signal?.addEventListener('abort', leave, { once: true })
    try {
      const { id } = await job.accepted
      const write = createWriter(id)
      // What was told of this answer is void
      for await (const event of job)
        for (const chunk of write(event))
          if (chunk.type === 'reset-step') yield { type: 'MESSAGES_SNAPSHOT', messages: shown }
          else yield* tell(id, run, chunk)
    } finally {
      signal?.removeEventListener('abort', leave)
      if (job.over) {
        joined.delete(run.runId)
        if (reading.get(run.threadId)?.job === job) reading.delete(run.threadId)
      }
      leave()
    }
  }

  /** Before a user message is sent: nothing else is answered, and this message has no answer. */
  async function clear(threadId: string, messageId: string): Promise<void> {
    const before = reading.get(threadId)
    // It was stopped, or this is sent in its place
    if (before?.signal?.aborted) await end(before.job.id)
    const job = jobs.get(messageId)
    if (job === undefined) return
    await end(job)
    const turn = await turnOf(sluice, threadId, job)
    const path = `/v1/conversations?id=${encodeURIComponent(threadId)}`
    if (turn !== null) await sluice.http('PATCH', path, { keep_turns: turn })
  }

  async function end(job: string | null): Promise<void> {
    if (job === null) return
    const reader = sluice.attach(job)
    await reader.cancel()
    reader.detach()
  }

  return {
    async *connect(messages: readonly ThreadMessage[], data, signal, run) {
      if (run === undefined) throw new SluiceError('invalid_request', 'This needs @tanstack/ai-client 0.33 or later.')
      const last = messages.at(-1)
      const asked = last?.role === 'user' ? last.id : null
      if (asked !== null) await clear(run.threadId, asked)
      if (signal?.aborted) return
      const tools = (run.clientTools ?? []).map((tool) => ({ type: 'function', function: tool }))
      const job = sluice.submit({
        ...options.job,
        request: {
          ...options.request,
          ...(tools.length > 0 && { tools }),
          ...data,
          messages: newMessages(messages.map(sentMessage)),
        },
        conversation: run.threadId,
      })
      if (asked !== null) void job.accepted.then(({ id }) => jobs.set(asked, id)).catch(() => {})
      yield { type: 'RUN_STARTED', threadId: run.threadId, runId: run.runId }
      yield* follow(job, run, signal, messages)
    },

    async *joinRun(runId, signal) {
      const thread = joined.get(runId)
      if (thread === undefined)
        throw new SluiceError('job_not_found', 'Only a run that "persistence: true" has found can be joined.')
      const { threadId, messages } = thread
      const run = { threadId, runId }
      yield { type: 'RUN_STARTED', ...run }
      // The page takes an answer that is shown last for the one that it joins, and forgets it
      const last = messages.at(-1)
      if (last?.role === 'assistant') yield* tellAgain(last)
      yield* follow(sluice.attach(runId), run, signal, messages)
    },

    async hydrate(threadId) {
      const [first] = await openJobs(sluice, threadId)
      const messages = (await loadSteps(sluice, threadId)).map(shownMessage)
      for (const { id, role } of messages) if (role === 'user') jobs.set(id, id.slice(0, id.lastIndexOf('-')))
      // It may have ended meanwhile
      const isRunning = first !== undefined && !messages.some(({ id }) => id === first.id)
      if (isRunning) joined.set(first.id, { threadId, messages })
      return { messages, activeRun: isRunning ? { runId: first.id } : null, interrupts: null }
    },

    async cancel(threadId) {
      for (const { id } of await openJobs(sluice, threadId)) await end(id)
    },
  }
}

// ---------------------------------------------------------------- events

/** A chunk of the AI SDK's UI message stream as AG-UI's events; what these lack is left out. */
function* tell(job: string, run: Run, chunk: UiChunk): Generator<Loose> {
  const { type, id, delta, toolCallId, toolName, inputTextDelta, input, errorText, finishReason } = chunk as Loose
  const began = { type: 'TEXT_MESSAGE_START', messageId: job, role: 'assistant' }
  const thought = `${job}-${id}`
  if (type === 'text-start') yield began
  else if (type === 'text-delta') yield { type: 'TEXT_MESSAGE_CONTENT', messageId: job, delta }
  else if (type === 'reasoning-start')
    // A thought and a call belong to the message that has begun
    yield* [began, { type: 'REASONING_MESSAGE_START', messageId: thought, role: 'reasoning' }]
  else if (type === 'reasoning-delta') yield { type: 'REASONING_MESSAGE_CONTENT', messageId: thought, delta }
  else if (type === 'reasoning-end') yield { type: 'REASONING_MESSAGE_END', messageId: thought }
  else if (type === 'tool-input-start')
    yield* [began, { type: 'TOOL_CALL_START', toolCallId, toolCallName: toolName, parentMessageId: job }]
  else if (type === 'tool-input-delta') yield { type: 'TOOL_CALL_ARGS', toolCallId, delta: inputTextDelta }
  else if (type === 'tool-input-available') {
    yield { type: 'TOOL_CALL_END', toolCallId }
    yield { type: 'CUSTOM', name: 'tool-input-available', value: { toolCallId, toolName, input } }
  } else if (type === 'tool-input-error') yield { type: 'TOOL_CALL_END', toolCallId }
  else if (type === 'error') yield { type: 'RUN_ERROR', ...run, message: errorText }
  else if (type === 'abort') yield { type: 'RUN_FINISHED', ...run, finishReason: 'stop' }
  else if (type === 'finish') yield { type: 'RUN_FINISHED', ...run, finishReason: FINISH[finishReason] ?? 'stop' }
}

const FINISH: Readonly<Record<string, string>> = {
  length: 'length',
  'tool-calls': 'tool_calls',
  'content-filter': 'content_filter',
}

/** A message that has ended. */
function* tellAgain({ id, parts }: ThreadMessage): Generator<Loose> {
  yield { type: 'TEXT_MESSAGE_START', messageId: id, role: 'assistant' }
  for (const [i, { type, content, state, toolCallId, ...part }] of parts.entries()) {
    if (type === 'text') yield { type: 'TEXT_MESSAGE_CONTENT', messageId: id, delta: content }
    else if (type === 'thinking')
      yield { type: 'REASONING_MESSAGE_CONTENT', messageId: `${id}-past-${i}`, delta: content }
    else if (type === 'tool-call') {
      yield { type: 'TOOL_CALL_START', toolCallId: part.id, toolCallName: part.name, parentMessageId: id }
      yield { type: 'TOOL_CALL_ARGS', toolCallId: part.id, delta: part.arguments }
      yield { type: 'TOOL_CALL_END', toolCallId: part.id }
    } else if (type === 'tool-result') {
      const failed = state === 'error' && { state: 'output-error' }
      yield { type: 'TOOL_CALL_RESULT', messageId: id, toolCallId, content: textOf(content), ...failed }
    }
  }
}
