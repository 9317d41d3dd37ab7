/** The input of the Responses API as messages of the canonical dialect. */
import { bad, isText } from '../../core/fields.ts'
import type { JsonObject } from '../../core/fold.ts'
import { isRecord, type JsonRecord } from '../../core/json.ts'
import { JOB_OUTPUT } from '../../core/ports/work.ts'
import type { Block } from '../blocks.ts'
import { toolOutput } from '../tool-output.ts'
import { jobOfItem } from './ids.ts'
import { callOf, idOf, messageOf } from './items.ts'
import { type Thought, thoughtIn, thoughtOf } from './thought.ts'
import { nameIn } from './tools.ts'

const MAX_ITEMS = 10_000
const ROLES = new Map([
  ['user', 'user'],
  ['assistant', 'assistant'],
  ['system', 'system'],
  // Engines other than OpenAI's know it under its older name only
  ['developer', 'system'],
])
const OUTPUTS: ReadonlySet<unknown> = new Set(['function_call_output', 'custom_tool_call_output'])

/** The blocks of an earlier answer. Throws invalid_request where it can't be read. */
export type Recall = (job: string, param: string) => readonly Block[]

/** What an earlier answer sealed; null: it does not open. */
export type Open = (sealed: string) => string | null

/** Throws invalid_request for what no chat completion can carry. */
export function messagesOf(input: unknown, recall: Recall, open: Open = () => null): JsonObject[] {
  if (isText(input)) return [{ role: 'user', content: input }]
  if (!Array.isArray(input) || input.length === 0)
    throw bad('input', '"input" must be a text, or a list of at least one item.')
  if (input.length > MAX_ITEMS) throw bad('input', `"input" has ${input.length} items; the maximum is ${MAX_ITEMS}.`)
  const messages: JsonObject[] = []
  let media: JsonObject[] = []
  for (const [i, item] of input.entries()) {
    const isOutput = isRecord(item) && OUTPUTS.has(item['type'])
    if (isOutput) media.push(...addOutput(messages, item, `input[${i}]`))
    else {
      addMedia(messages, media)
      media = []
      addItem(messages, item, `input[${i}]`, recall, open)
    }
  }
  addMedia(messages, media)
  return messages
}

/** What is to follow, once all tools have answered. */
function addOutput(messages: JsonObject[], item: JsonRecord, at: string): readonly JsonObject[] {
  const { output } = item
  const id = textIn(item, 'call_id', at)
  const parts = isText(output) ? [{ type: 'text', text: output }] : partsOf(output, `${at}.output`)
  const { text, media } = toolOutput(id, parts)
  messages.push({ role: 'tool', tool_call_id: id, content: text })
  return media
}

function addMedia(messages: JsonObject[], media: JsonObject[]): void {
  if (media.length > 0) messages.push({ role: 'user', content: media })
}

function addItem(messages: JsonObject[], item: unknown, at: string, recall: Recall, open: Open): void {
  if (!isRecord(item)) throw bad(at, `${at} must be an object.`)
  const { type = 'message' } = item
  switch (type) {
    case 'message':
      return addMessage(messages, item, at)
    case 'function_call':
      return addCall(messages, callOf(textIn(item, 'call_id', at), callIn(item, 'arguments', at)))
    case 'custom_tool_call':
      return addCall(messages, callOf(textIn(item, 'call_id', at), { ...callIn(item, 'input', at), isCustom: true }))
    case 'reasoning':
      return addSealed(messages, thoughtIn(item, open))
    case 'item_reference':
      return addReferred(messages, item, at, recall)
  }
  throw bad(
    `${at}.type`,
    `${at} is of a type that only OpenAI's own servers can read (${JSON.stringify(type)}). Messages, reasoning, ` +
      'function and custom tool calls, their outputs, and references to items are served by any model.',
  )
}

function addMessage(messages: JsonObject[], item: JsonRecord, at: string): void {
  const { role: given, content } = item
  const role = isText(given) ? ROLES.get(given) : undefined
  if (role === undefined) throw bad(`${at}.role`, `${at}.role must be ${[...ROLES.keys()].join(', ')}.`)
  if (role !== 'assistant') {
    messages.push({ role, content: isText(content) ? content : partsOf(content, `${at}.content`) })
    return
  }
  const { text, refusal } = isText(content) ? { text: content, refusal: '' } : saidIn(content, `${at}.content`)
  const last = ofThisAnswer(messages)
  // Its text comes before its calls
  const isSame = last !== undefined && last['tool_calls'] === undefined && last['content'] === null
  const message: JsonObject = isSame ? last : { role }
  if (!isSame) messages.push(message)
  message['content'] = text === '' && refusal !== '' ? null : text
  if (refusal !== '') message['refusal'] = refusal
}

/** The assistant's message that goes on; undefined: another begins. */
function ofThisAnswer(messages: readonly JsonObject[]): JsonObject | undefined {
  const last = messages.at(-1)
  return last?.['role'] === 'assistant' ? last : undefined
}

function addCall(messages: JsonObject[], call: JsonObject): void {
  const last = ofThisAnswer(messages)
  if (last === undefined) messages.push({ role: 'assistant', content: null, tool_calls: [call] })
  else if (Array.isArray(last['tool_calls'])) last['tool_calls'].push(call)
  else last['tool_calls'] = [call]
}

function addSealed(messages: JsonObject[], thought: Thought): void {
  const calls = ofThisAnswer(messages)?.['tool_calls']
  for (const call of Array.isArray(calls) ? (calls as Array<Record<string, unknown>>) : []) {
    const id = call['id'] as string
    if (Object.hasOwn(thought.more, id)) Object.assign(call, thought.more[id])
  }
  addThought(messages, thoughtOf([thought]))
}

/** Thought comes before what it led to; a thought in several parts is one message's. */
function addThought(messages: JsonObject[], thought: JsonObject): void {
  if (Object.keys(thought).length === 0) return
  const last = ofThisAnswer(messages)
  const isSame = last !== undefined && last['content'] === null && !last['tool_calls'] && !last['refusal']
  if (!isSame) messages.push({ role: 'assistant', content: null, ...thought })
  else messages[messages.length - 1] = { ...last, ...joined(last, thought) }
}

function joined(before: JsonObject, thought: JsonObject): JsonObject {
  const text = [before['reasoning_content'], thought['reasoning_content']].filter(isText).join('')
  const details = [before['reasoning_details'], thought['reasoning_details']].flatMap(
    (one) => (one ?? []) as JsonObject[],
  )
  return {
    ...(text !== '' && { reasoning_content: text }),
    ...(details.length > 0 && { reasoning_details: details }),
  }
}

/** An item of an earlier answer, by its id. */
function addReferred(messages: JsonObject[], item: JsonRecord, at: string, recall: Recall): void {
  const id = textIn(item, 'id', at)
  const job = jobOfItem(id)
  if (job === null) throw unknownItem(id, at)
  const block = recall(job, `${at}.id`).find((one) => idOf(job, one) === id)
  if (block === undefined) throw unknownItem(id, at)
  const message = messageOf(job, [block])!
  const { tool_calls: calls, content, refusal } = message
  if (Array.isArray(calls)) for (const call of calls) addCall(messages, call as JsonObject)
  else if (block.kind === 'reasoning') addThought(messages, thoughtOf([block]))
  else addMessage(messages, { role: 'assistant', content: [partIn(content, refusal)] }, at)
}

const partIn = (content: unknown, refusal: unknown): JsonRecord =>
  isText(content) ? { type: 'output_text', text: content } : { type: 'refusal', refusal }

const unknownItem = (id: string, at: string) =>
  bad(`${at}.id`, `There is no item "${id.slice(0, 64)}": send the item itself in its place.`)

// ---------------------------------------------------------------- parts

function saidIn(content: unknown, at: string): { readonly text: string; readonly refusal: string } {
  if (!Array.isArray(content)) throw bad(at, `${at} must be a text, or a list of parts.`)
  let [text, refusal] = ['', '']
  for (const [i, part] of content.entries()) {
    if (!isRecord(part)) throw bad(`${at}[${i}]`, `${at}[${i}] must be an object.`)
    if (isText(part['text'])) text += part['text']
    else if (isText(part['refusal'])) refusal += part['refusal']
    else throw bad(`${at}[${i}]`, `${at}[${i}] of an assistant's message must be an output_text or a refusal.`)
  }
  return { text, refusal }
}

function partsOf(content: unknown, at: string): JsonObject[] {
  if (!Array.isArray(content)) throw bad(at, `${at} must be a text, or a list of parts.`)
  return content.map((part: unknown, i) => partOfInput(part, `${at}[${i}]`))
}

const ADDRESS = /^https?:\/\//i

function partOfInput(part: unknown, at: string): JsonObject {
  if (!isRecord(part)) throw bad(at, `${at} must be an object.`)
  const { type } = part
  switch (type) {
    case 'input_text':
    case 'output_text':
    case 'text':
      return { type: 'text', text: textIn(part, 'text', at) }
    case 'input_image': {
      if (part['image_url'] === undefined || part['image_url'] === null) throw noFiles(at, 'image_url')
      const { detail } = part
      return { type: 'image_url', image_url: { url: textIn(part, 'image_url', at), ...(isText(detail) && { detail }) } }
    }
    case 'input_file': {
      const { filename, file_data: data, file_url: url } = part
      if (isText(url) || (isText(data) && ADDRESS.test(data)))
        throw bad(at, `${at} is an address, which no chat completion can carry for a file: send it as "file_data".`)
      if (!isText(data)) throw noFiles(at, 'file_data')
      return { type: 'file', file: { ...(isText(filename) && { filename }), file_data: data } }
    }
    case 'input_audio':
      if (!isRecord(part['input_audio'])) throw bad(`${at}.input_audio`, `${at}.input_audio must be an object.`)
      return { type: 'input_audio', input_audio: part['input_audio'] as JsonObject }
    case JOB_OUTPUT:
      return { type: JOB_OUTPUT, job: textIn(part, 'job', at) }
  }
  throw bad(`${at}.type`, `${at}.type must be input_text, input_image, input_file or input_audio.`)
}

const noFiles = (at: string, instead: string) =>
  bad(at, `${at} names a file that only OpenAI has: send its content as "${instead}" (a data URL will do).`)

// ---------------------------------------------------------------- members

function textIn(item: JsonRecord, name: string, at: string): string {
  const value = item[name]
  if (!isText(value)) throw bad(`${at}.${name}`, `${at}.${name} must be a string.`)
  return value
}

const callIn = (item: JsonRecord, input: 'arguments' | 'input', at: string) => ({
  name: nameIn(item['namespace'], textIn(item, 'name', at)),
  text: textIn(item, input, at),
  isCustom: false,
})
