/** A request that comes after other jobs: what they answered stands where it names them. */

import { LogFold } from '../core/answer.ts'
import { type Clock, sleep } from '../core/clock.ts'
import { SluiceError } from '../core/errors.ts'
import { isTerminal, type Job, type JobId } from '../core/job.ts'
import { isRecord } from '../core/json.ts'
import type { Jobs } from '../core/ports/jobs.ts'
import type { TokenLog } from '../core/ports/log.ts'
import { JOB_OUTPUT } from '../core/ports/work.ts'

export interface OutputDeps {
  readonly jobs: Pick<Jobs, 'get'>
  readonly log: Pick<TokenLog, 'read'>
  readonly clock: Clock
  /** Of all that is put in, as JSON. */
  readonly maxPromptBytes: number
}

const PAGE_BYTES = 256 << 10
/** A sync takes some milliseconds. Its worker's slot is held meanwhile: not for long. */
const FIRST_WAIT_MS = 2
const MAX_WAIT_MS = 250
const END_WITHIN_MS = 5_000

/**
 * The messages, as JSON texts; null: none of them names an output. Rejects with dependency_failed where one of those
 * that it comes after did not end well, or is named and its answer is not kept any more, with body_too_large where they
 * answered more than a prompt may hold, however often it stands there, and with the reason of `stopped` once it is
 * aborted.
 */
export async function withOutputs(
  deps: OutputDeps,
  job: Job,
  body: Uint8Array,
  stopped: AbortSignal,
): Promise<readonly string[] | null> {
  const { messages } = JSON.parse(Buffer.from(body).toString('utf8')) as { messages: unknown }
  const asked = Array.isArray(messages) ? outputsIn(messages) : NONE
  for (const id of new Set(job.after)) {
    const { state = null } = (await ended(deps, id, stopped)) ?? {}
    // It was done when this job came in line: only who asks for its answer has to find it
    if (state === null ? asked.has(id) : state !== 'done')
      throw failed(id, state === null ? 'is no longer kept' : `has ended as ${state}`)
  }
  if (!Array.isArray(messages) || asked.size === 0) return null
  const texts = new Map<JobId, string>()
  let left = deps.maxPromptBytes
  for (const [id, times] of asked) {
    const text = await textOf(deps, id, left, stopped)
    left -= times * Buffer.byteLength(JSON.stringify(text))
    if (left < 0) throw tooLarge()
    texts.set(id, text)
  }
  return messages.map((message) => JSON.stringify(replaced(message, texts)))
}

/**
 * It has ended, or this job would not have been leased; but what the coordinator has decided may be told a moment
 * before it is stored. Rejects with storage_unavailable where it is not for long.
 */
async function ended({ jobs, clock }: OutputDeps, id: JobId, stopped: AbortSignal): Promise<Job | null> {
  for (let waitMs = FIRST_WAIT_MS, leftMs = END_WITHIN_MS; ; waitMs = Math.min(2 * waitMs, MAX_WAIT_MS)) {
    const job = await jobs.get(id)
    if (job === null || isTerminal(job.state)) return job
    if (leftMs <= 0) throw new SluiceError('storage_unavailable', { message: `The end of ${id} is not stored yet.` })
    leftMs -= waitMs
    await sleep(clock, waitMs, stopped)
  }
}

/** How often each of them is to be put in. */
function outputsIn(messages: readonly unknown[]): ReadonlyMap<JobId, number> {
  const times = new Map<JobId, number>()
  for (const message of messages) {
    const content = isRecord(message) ? message['content'] : null
    if (!Array.isArray(content)) continue
    for (const part of content)
      if (isOutput(part) && typeof part['job'] === 'string') times.set(part['job'], (times.get(part['job']) ?? 0) + 1)
  }
  return times
}

const NONE: ReadonlyMap<JobId, number> = new Map()
const isOutput = (part: unknown): part is Record<string, unknown> => isRecord(part) && part['type'] === JOB_OUTPUT

/** Not every engine takes texts in parts: one alone is the content. */
function replaced(message: unknown, texts: ReadonlyMap<JobId, string>): unknown {
  const content = isRecord(message) ? message['content'] : null
  if (!isRecord(message) || !Array.isArray(content) || !content.some(isOutput)) return message
  const parts = content.map((part: unknown) =>
    isOutput(part) ? { type: 'text', text: texts.get(part['job'] as JobId) ?? '' } : part,
  )
  const [first] = parts
  return { ...message, content: parts.length === 1 && isRecord(first) ? first['text'] : parts }
}

/** The text of an answer; of one that only calls tools, its calls as JSON; of a refusal, what it says. */
async function textOf({ log, clock }: OutputDeps, id: JobId, maxBytes: number, stopped: AbortSignal): Promise<string> {
  const fold = new LogFold()
  let [read, bytes] = [0, 0]
  for (;;) {
    const page = await log.read(id, read, PAGE_BYTES)
    if (page === null) throw failed(id, 'has an answer that is no longer kept')
    for (const record of page.records) {
      bytes += record.length
      fold.push(record)
    }
    read += page.records.length
    if (bytes > maxBytes) throw tooLarge()
    if (read >= page.head || page.records.length === 0) break
    await new Promise<void>((next) => clock.soon(next))
    stopped.throwIfAborted()
  }
  const { content, tool_calls: calls, refusal } = fold.answer().choices[0]?.message ?? {}
  if (typeof content === 'string' && content !== '') return content
  if (calls !== undefined) return JSON.stringify(calls)
  return typeof refusal === 'string' ? refusal : ''
}

const tooLarge = (): SluiceError =>
  new SluiceError('body_too_large', {
    param: 'messages',
    message:
      'What the jobs before have answered makes the prompt larger than it may be (conversations.max_prompt_bytes): ' +
      'name less of it, and each output once.',
  })

const failed = (id: JobId, why: string): SluiceError =>
  new SluiceError('dependency_failed', { message: `${id}, which this job comes after, ${why}.` })
