/** The response object: as the answer to its request, and as a resource. */

import { isText } from '../../core/fields.ts'
import type { JsonObject } from '../../core/fold.ts'
import { isRecord, type JsonRecord } from '../../core/json.ts'
import type { Rendering, Reply, Resource, WholeAnswer } from '../../core/ports/dialect.ts'
import { type Bytes, type End, isEnd, parseEnd, toBytes } from '../../core/record.ts'
import { errorJson } from '../../core/wire.ts'
import { wholeAnswer } from '../whole.ts'
import { itemId, jobOfResponse, responseId } from './ids.ts'
import { responseOf, statusOf } from './object.ts'
import { advance, finish, NO_PROGRESS, outputOf } from './progress.ts'

class Answer {
  readonly #job: Rendering
  #progress = NO_PROGRESS

  constructor(job: Rendering) {
    this.#job = job
  }

  push(record: Bytes): void {
    this.#progress = advance(this.#job.id, this.#progress, record).progress
  }

  body(end: End): Bytes {
    const { finish: reason } = this.#progress.blocks
    const status = statusOf(end, reason)
    const { progress } = finish(this.#job.id, this.#progress, status)
    return toBytes(JSON.stringify(responseOf(this.#job, { status, output: outputOf(progress), end, finish: reason })))
  }
}

export function whole(job: Rendering): WholeAnswer {
  const answer = new Answer(job)
  return wholeAnswer(errorJson, {
    passesDocuments: false,
    push: (record) => answer.push(record),
    body: (end) => answer.body(end),
  })
}

/** However it ended. */
function ended(job: Rendering): WholeAnswer {
  const answer = new Answer(job)
  let end: End | null = null
  return {
    take(records) {
      for (const record of records)
        if (isEnd(record)) end = parseEnd(record)
        else answer.push(record)
    },
    reply: (): Reply => ({ status: 200, headers: {}, body: answer.body(end ?? { state: 'failed' }) }),
  }
}

const NO_OUTPUT = { output: [], end: null, finish: null }

export const resource: Resource = {
  what: 'response',
  idOf: responseId,
  jobOf: jobOfResponse,
  isKept: ({ shownAs }) => shownAs?.['store'] !== false,
  streamed: 'stream',
  after: 'starting_after',
  query: ['include', 'include[]', 'include_obfuscation'],
  // Their numbers begin at 0
  known: (after) => after + 1,
  pending: (job, state) =>
    toBytes(JSON.stringify(responseOf(job, { ...NO_OUTPUT, status: state === 'leased' ? 'in_progress' : 'queued' }))),
  ended,
  deleted: (job) => toBytes(JSON.stringify({ id: responseId(job), object: 'response', deleted: true })),
  inputs: (job, request) => toBytes(JSON.stringify(inputsOf(job, request))),
}

/** Its messages, instructions left out. What came before it is among them: it was sent to the model. */
function inputsOf({ id, shownAs }: Rendering, { messages }: JsonRecord): object {
  const lead = Number(shownAs?.['lead'] ?? 0)
  const data = (Array.isArray(messages) ? messages.slice(lead) : []).flatMap((message: unknown, i) =>
    isRecord(message) ? itemsOfMessage(message, itemId('msg', id, INPUT + i)) : [],
  )
  return {
    object: 'list',
    data,
    first_id: data[0]?.['id'] ?? null,
    last_id: data.at(-1)?.['id'] ?? null,
    has_more: false,
  }
}

/** Items of the input are numbered after any of the answer. */
const INPUT = 100_000_000

function itemsOfMessage(message: JsonRecord, id: string): JsonObject[] {
  const { role, content, tool_calls: calls, tool_call_id: call } = message
  if (role === 'tool')
    return [{ id, type: 'function_call_output', call_id: isText(call) ? call : '', output: outputIn(content) }]
  const isAnswer = role === 'assistant'
  const parts = isText(content) ? [{ type: 'text', text: content }] : Array.isArray(content) ? content : []
  const said = parts.map((part: unknown): JsonObject => {
    if (!isRecord(part)) return {}
    if (part['type'] === 'text') return { type: isAnswer ? 'output_text' : 'input_text', text: part['text'] as string }
    const { url, detail = 'auto' } = isRecord(part['image_url']) ? part['image_url'] : {}
    if (part['type'] === 'image_url') return { type: 'input_image', image_url: url as string, detail: detail as string }
    if (part['type'] === 'file') return { type: 'input_file', ...(part['file'] as JsonObject) }
    return part as JsonObject
  })
  const own: JsonObject[] =
    said.length === 0 && Array.isArray(calls)
      ? []
      : [{ id, type: 'message', status: 'completed', role: role as string, content: said }]
  for (const [i, one] of (Array.isArray(calls) ? calls : []).entries()) {
    const called = isRecord(one) && isRecord(one['function']) ? one['function'] : {}
    const { name, arguments: input } = called as { name?: string; arguments?: string }
    const { id: callId } = one as { id?: string }
    const about = { call_id: callId ?? '', name: name ?? '', arguments: input ?? '', status: 'completed' }
    own.push({ id: `${id.replace('msg', 'fc')}${String(i).padStart(3, '0')}`, type: 'function_call', ...about })
  }
  return own
}

const outputIn = (content: unknown): string => (isText(content) ? content : JSON.stringify(content ?? ''))
