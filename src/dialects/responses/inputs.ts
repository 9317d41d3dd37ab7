/** What a response was asked, as items: the messages that were sent to the model, instructions left out. */
import { isText } from '../../core/fields.ts'
import type { JsonObject } from '../../core/fold.ts'
import type { JobId } from '../../core/job.ts'
import { isRecord, type JsonRecord } from '../../core/json.ts'
import type { InputPage, Rendering } from '../../core/ports/dialect.ts'
import { type ItemPrefix, itemId } from './ids.ts'
import { namedIn } from './items.ts'

/** Items of the input are numbered after any of the answer. */
const INPUT = 100_000_000

/** What came before the request is among them: it was sent to the model. */
export function inputsOf(job: Rendering, { messages }: JsonRecord, { order, limit, after }: InputPage): JsonObject {
  const lead = Number(job.shownAs?.['lead'] ?? 0)
  let count = 0
  const idOf: NewId = (prefix) => itemId(prefix, job.id, INPUT + count++)
  const items = (Array.isArray(messages) ? messages.slice(lead) : []).flatMap((message: unknown) =>
    isRecord(message) ? itemsOf(message, job, idOf) : [],
  )
  const all = order === 'asc' ? items : items.reverse()
  const from = after === undefined ? 0 : all.findIndex((item) => item['id'] === after) + 1
  const data = all.slice(from, from + limit)
  return {
    object: 'list',
    data,
    first_id: data[0]?.['id'] ?? null,
    last_id: data.at(-1)?.['id'] ?? null,
    has_more: from + data.length < all.length,
  }
}

/** Its answer included; instructions, which are no items, left out. */
export function turnItems(job: JobId, messages: readonly unknown[]): readonly JsonObject[] {
  let count = 0
  const idOf: NewId = (prefix) => itemId(prefix, job, INPUT + count++)
  const from = messages.findIndex((message) => !isRecord(message) || message['role'] !== 'system')
  const said = from < 0 ? [] : messages.slice(from)
  return said.flatMap((message) => (isRecord(message) ? itemsOf(message, NO_NAMESPACES, idOf) : []))
}

const NO_NAMESPACES = { shownAs: undefined }

type NewId = (prefix: ItemPrefix) => string

/** In the order in which they make the message: thought, text, calls. */
function itemsOf(message: JsonRecord, job: Pick<Rendering, 'shownAs'>, idOf: NewId): JsonObject[] {
  const { role, content, refusal, reasoning_content: thought, tool_calls: calls, tool_call_id: call } = message
  if (role === 'tool') {
    const output = isText(content) ? content : Array.isArray(content) ? content.map((part) => inputPart(part)) : ''
    return [{ id: idOf('fco'), type: 'function_call_output', status: 'completed', call_id: textOr(call), output }]
  }
  const items: JsonObject[] = []
  if (isText(thought) && thought !== '')
    items.push({ id: idOf('rs'), type: 'reasoning', summary: [{ type: 'summary_text', text: thought }] })
  const isCallAlone = content === '' && Array.isArray(calls)
  const parts =
    isText(content) && !isCallAlone ? [{ type: 'text', text: content }] : Array.isArray(content) ? content : []
  const said = role === 'assistant' ? parts.map((part) => outputPart(part)) : parts.map((part) => inputPart(part))
  if (isText(refusal) && refusal !== '') said.push({ type: 'refusal', refusal })
  if (said.length > 0)
    items.push({ id: idOf('msg'), type: 'message', status: 'completed', role: textOr(role), content: said })
  for (const one of Array.isArray(calls) ? calls : []) if (isRecord(one)) items.push(callItem(one, job, idOf))
  return items
}

function callItem(
  { id, function: called, custom }: JsonRecord,
  job: Pick<Rendering, 'shownAs'>,
  idOf: NewId,
): JsonObject {
  const isCustom = isRecord(custom)
  const { name, arguments: args, input } = (isCustom ? custom : isRecord(called) ? called : {}) as JsonRecord
  const about = { status: 'completed', call_id: textOr(id), ...namedIn(job.shownAs, textOr(name)) }
  return isCustom
    ? { id: idOf('ctc'), type: 'custom_tool_call', ...about, input: textOr(input) }
    : { id: idOf('fc'), type: 'function_call', ...about, arguments: textOr(args) }
}

const textOr = (value: unknown): string => (isText(value) ? value : '')

const outputPart = (part: unknown): JsonObject =>
  isRecord(part) && part['type'] === 'text'
    ? { type: 'output_text', text: textOr(part['text']), annotations: [] }
    : (part as JsonObject)

function inputPart(part: unknown): JsonObject {
  if (!isRecord(part)) return {}
  const { type, text, image_url: image, file } = part
  if (type === 'text') return { type: 'input_text', text: textOr(text) }
  if (type === 'image_url' && isRecord(image))
    return { type: 'input_image', image_url: textOr(image['url']), detail: textOr(image['detail']) || 'auto' }
  if (type === 'file' && isRecord(file)) return { type: 'input_file', ...(file as JsonObject) }
  return part as JsonObject
}
