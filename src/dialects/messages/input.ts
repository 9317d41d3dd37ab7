/** Messages of Anthropic's API as messages of the canonical dialect. */

import type { CacheHint } from '../../core/cache-hints.ts'
import { bad, isText } from '../../core/fields.ts'
import type { JsonObject } from '../../core/fold.ts'
import { isRecord, type JsonRecord } from '../../core/json.ts'
import { JOB_OUTPUT } from '../../core/ports/work.ts'
import { toolOutput } from '../tool-output.ts'
import { UNSIGNED } from './message.ts'

const MAX_MESSAGES = 10_000
const MAX_BLOCKS = 100_000
const SYSTEM_AT = 'system'
/** A line for Anthropic's accounts, which is another with each request, and would keep engines from their caches. */
const BILLING = 'x-anthropic-billing-header:'

/** What was read of a request. */
interface Reading {
  blocks: number
  /** Where it is to be cached. */
  readonly hints: CacheHint[]
}

/** Of a block, a tool or a request. */
export const cacheControlIn = ({ cache_control: control }: JsonRecord): JsonObject | null =>
  isRecord(control) ? (control as JsonObject) : null

function hint(read: Reading, block: JsonRecord, ...path: ReadonlyArray<string | number>): void {
  const control = cacheControlIn(block)
  if (control !== null) read.hints.push([path, control])
}

/** The system prompt before all others. Throws invalid_request. */
export function messagesOf({ system, messages }: JsonRecord, hints: CacheHint[]): JsonObject[] {
  if (!Array.isArray(messages) || messages.length === 0)
    throw bad('messages', '"messages" must be a list of at least one message.')
  if (messages.length > MAX_MESSAGES)
    throw bad('messages', `"messages" has ${messages.length} messages; the maximum is ${MAX_MESSAGES}.`)
  const read: Reading = { blocks: 0, hints }
  const all: JsonObject[] = []
  if (system !== undefined && system !== null) addSystem(all, system, SYSTEM_AT, read)
  for (let i = 0; i < messages.length; i++) addMessage(all, messages[i], `messages[${i}]`, read)
  return all
}

function addMessage(all: JsonObject[], message: unknown, at: string, read: Reading): void {
  if (!isRecord(message)) throw bad(at, `${at} must be an object.`)
  const { role, content } = message
  if (role === 'user') addUser(all, content, `${at}.content`, read)
  else if (role === 'assistant') addAssistant(all, content, `${at}.content`, read)
  else if (role === 'system') addSystem(all, content, `${at}.content`, read)
  else throw bad(`${at}.role`, `${at}.role must be "user" or "assistant"; instructions go to "system".`)
}

/** A text, or a list of blocks. */
function blocksIn(content: unknown, at: string, read: Reading): readonly JsonRecord[] {
  if (isText(content)) return [{ type: 'text', text: content }]
  if (!Array.isArray(content)) throw bad(at, `${at} must be a text, or a list of content blocks.`)
  read.blocks += content.length
  if (read.blocks > MAX_BLOCKS) throw bad(at, `The request has more than ${MAX_BLOCKS} content blocks.`)
  for (let i = 0; i < content.length; i++)
    if (!isRecord(content[i])) throw bad(`${at}[${i}]`, `${at}[${i}] must be a content block, an object with a "type".`)
  return content as JsonRecord[]
}

function textIn(block: JsonRecord, name: string, at: string): string {
  const text = block[name]
  if (!isText(text)) throw bad(`${at}.${name}`, `${at}.${name} must be a string.`)
  return text
}

function addSystem(all: JsonObject[], content: unknown, at: string, read: Reading): void {
  const blocks = blocksIn(content, at, read)
  const texts = blocks
    .map((block, i) => {
      if (block['type'] !== 'text') throw bad(`${at}[${i}].type`, `${at}[${i}] must be a text block.`)
      return textIn(block, 'text', `${at}[${i}]`)
    })
    .filter((text) => text !== '' && !text.startsWith(BILLING))
  if (texts.length === 0) return
  all.push({ role: 'system', content: texts.join('\n\n') })
  // They are one text now, which ends with the last of them
  const last = blocks.findLast((block) => cacheControlIn(block) !== null)
  if (last !== undefined) hint(read, last, 'messages', all.length - 1)
}

// ---------------------------------------------------------------- user

function addUser(all: JsonObject[], content: unknown, at: string, read: Reading): void {
  const parts: JsonObject[] = []
  const hinted: Array<readonly [part: number, block: JsonRecord]> = []
  let results = 0
  for (const [i, block] of blocksIn(content, at, read).entries()) {
    const here = `${at}[${i}]`
    if (block['type'] === 'tool_result') {
      addResult(all, parts, block, here, read)
      hint(read, block, 'messages', all.length - 1)
      results++
    } else {
      parts.push(...partsOf(block, here, read))
      if (cacheControlIn(block) !== null) hinted.push([parts.length - 1, block])
    }
  }
  if (parts.length > 0) {
    const said = contentOf(parts)
    all.push({ role: 'user', content: said })
    for (const [part, block] of hinted)
      hint(read, block, 'messages', all.length - 1, ...(isText(said) ? [] : ['content', part]))
  }
  if (parts.length === 0 && results === 0) throw bad(at, `${at} must not be empty.`)
}

/** Not every engine takes texts in parts. */
function contentOf(parts: readonly JsonObject[]): JsonObject[] | string {
  const [first] = parts
  return parts.length === 1 && first['type'] === 'text' ? (first['text'] as string) : [...parts]
}

/** `parts`: of the user's message that follows. */
function addResult(all: JsonObject[], parts: JsonObject[], block: JsonRecord, at: string, read: Reading): void {
  const id = textIn(block, 'tool_use_id', at)
  const { content = '', is_error: isError } = block
  const blocks = blocksIn(content ?? '', `${at}.content`, read)
  const { text, media } = toolOutput(
    id,
    blocks.flatMap((one, i) => partsOf(one, `${at}.content[${i}]`, read)),
  )
  parts.push(...media)
  all.push({ role: 'tool', tool_call_id: id, content: isError === true ? `Error: ${text}` : text })
}

const TYPES = 'text, image, document, search_result or tool_result'

function partsOf(block: JsonRecord, at: string, read: Reading): readonly JsonObject[] {
  switch (block['type']) {
    case 'text':
      return [{ type: 'text', text: textIn(block, 'text', at) }]
    case 'image':
      return [{ type: 'image_url', image_url: { url: locationOf(block['source'], `${at}.source`) } }]
    case 'document':
      return documentOf(block, at, read)
    case 'search_result': {
      const head = [block['title'], block['source']].filter(isText).join('\n')
      return [{ type: 'text', text: `${head}\n${plainText(block['content'], `${at}.content`, read)}` }]
    }
    // Tools that were found: their definitions are in "tools"
    case 'tool_reference':
      return [{ type: 'text', text: `Tool: ${String(block['tool_name'])}` }]
    case JOB_OUTPUT:
      return [{ type: JOB_OUTPUT, job: textIn(block, 'job', at) }]
  }
  throw bad(`${at}.type`, `${at} is of a type that no chat completion can carry; send ${TYPES}.`)
}

/** Data, or where it is. */
function locationOf(source: unknown, at: string): string {
  if (isRecord(source) && source['type'] === 'url') return textIn(source, 'url', at)
  return dataOf(source, at, '"base64" or "url"')
}

/** `forms`: in which it can be sent, for the message. */
function dataOf(source: unknown, at: string, forms: string): string {
  if (!isRecord(source)) throw bad(at, `${at} must be an object.`)
  if (source['type'] === 'base64')
    return `data:${textIn(source, 'media_type', at)};base64,${textIn(source, 'data', at)}`
  if (source['type'] === 'url')
    throw bad(at, `${at} is an address, which no chat completion can carry for a document: send it as ${forms}.`)
  throw bad(at, `${at} names what only Anthropic has: send it as ${forms}.`)
}

function documentOf({ source, title, context }: JsonRecord, at: string, read: Reading): readonly JsonObject[] {
  const about = [title, context].filter(isText).filter((text) => text !== '')
  const lead = about.map((text): JsonObject => ({ type: 'text', text }))
  if (!isRecord(source)) throw bad(`${at}.source`, `${at}.source must be an object.`)
  if (source['type'] === 'text') return [...lead, { type: 'text', text: textIn(source, 'data', `${at}.source`) }]
  if (source['type'] === 'content') {
    const { content } = source
    const blocks = blocksIn(content, `${at}.source.content`, read)
    // Texts and images, as Anthropic has it: a document in a document could go on for ever
    const parts = blocks.flatMap((block, i) => {
      const here = `${at}.source.content[${i}]`
      if (block['type'] !== 'text' && block['type'] !== 'image') throw bad(here, `${here} must be a text or an image.`)
      return partsOf(block, here, read)
    })
    return [...lead, ...parts]
  }
  const filename = isText(title) && title !== '' ? title : 'document.pdf'
  return [
    ...lead,
    { type: 'file', file: { filename, file_data: dataOf(source, `${at}.source`, '"base64" or "text"') } },
  ]
}

function plainText(content: unknown, at: string, read: Reading): string {
  return blocksIn(content, at, read)
    .map((block, i) => textIn(block, 'text', `${at}[${i}]`))
    .join('\n')
}

// ---------------------------------------------------------------- assistant

function addAssistant(all: JsonObject[], content: unknown, at: string, read: Reading): void {
  const texts: string[] = []
  const thoughts: string[] = []
  const details: JsonObject[] = []
  const calls: JsonObject[] = []
  const blocks = blocksIn(content, at, read)
  for (const [i, block] of blocks.entries()) {
    const here = `${at}[${i}]`
    switch (block['type']) {
      case 'text':
        texts.push(textIn(block, 'text', here))
        break
      case 'tool_use':
        calls.push(callOf(block, here))
        break
      case 'thinking': {
        const { thinking, signature } = block
        const text = isText(thinking) ? thinking : ''
        // What is signed is for its provider alone
        if (isText(signature) && signature !== '' && signature !== UNSIGNED)
          details.push({ type: 'reasoning.text', text, signature })
        else if (text !== '') thoughts.push(text)
        break
      }
      case 'redacted_thinking':
        details.push({ type: 'reasoning.encrypted', data: textIn(block, 'data', here) })
        break
      // Of tools that Anthropic runs, in a conversation that began there: what came of them is in the texts
    }
  }
  const said = texts.filter((text) => text !== '').join('\n')
  const message: JsonObject = { role: 'assistant', content: said === '' && calls.length > 0 ? null : said }
  if (thoughts.length > 0) message['reasoning_content'] = thoughts.join('\n')
  if (details.length > 0) message['reasoning_details'] = details
  if (calls.length > 0) message['tool_calls'] = calls
  all.push(message)
  const last = blocks.findLast((block) => cacheControlIn(block) !== null)
  if (last !== undefined) hint(read, last, 'messages', all.length - 1)
}

function callOf(block: JsonRecord, at: string): JsonObject {
  const { input = {} } = block
  if (!isRecord(input)) throw bad(`${at}.input`, `${at}.input must be an object.`)
  const named = { name: textIn(block, 'name', at), arguments: JSON.stringify(input) }
  return { id: textIn(block, 'id', at), type: 'function', function: named }
}
