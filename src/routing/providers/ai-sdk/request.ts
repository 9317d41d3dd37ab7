/** A request of OpenAI's dialect, as the AI SDK's models take it. What can't be said is refused, by its name. */
import { hash } from 'node:crypto'
import { CACHE_HINTS, placeCacheHints } from '../../../core/cache-hints.ts'
import { isObject, type JsonObject } from '../../../core/fold.ts'
import type { CallOptions, Message, Options, Part, Tool, ToolChoice } from './model.ts'

/** What these providers can't be asked. `param`: the member that asks it. */
export class Untranslatable extends Error {
  readonly param: string

  constructor(param: string, message: string) {
    super(message)
    this.param = param
  }
}

/** The request, and the URLs in it that the provider is to fetch, by their media types. */
export interface Translated {
  readonly model: string | null
  readonly options: CallOptions
  /** Members that ask something, and have no counterpart. */
  readonly dropped: readonly string[]
  readonly urls: ReadonlyArray<{ readonly param: string; readonly url: URL; readonly mediaType: string }>
}

/** Members that ask for another kind of answer: leaving them out would give one that the client can't read. */
const REFUSED = ['functions', 'function_call', 'audio', 'logprobs', 'top_logprobs', 'web_search_options'] as const

/** What is translated, and what asks nothing of the provider. */
const KNOWN: ReadonlySet<string> = new Set([
  ...['model', 'messages', 'stream', 'stream_options', 'n', 'modalities', 'sluice', 'metadata', 'store', 'user'],
  ...['max_completion_tokens', 'max_tokens', 'temperature', 'top_p', 'top_k', 'seed', 'stop', 'response_format'],
  ...['presence_penalty', 'frequency_penalty', 'tools', 'tool_choice', 'parallel_tool_calls', 'reasoning_effort'],
  ...REFUSED,
  CACHE_HINTS,
])

export function translated(body: Uint8Array): Translated {
  const request = parsed(body)
  for (const name of REFUSED)
    if (isAsked(request[name])) throw new Untranslatable(name, `The provider of this model has no "${name}".`)
  if (isAsked(request['n']) && request['n'] !== 1)
    throw new Untranslatable('n', 'The provider of this model gives one choice: "n" can only be 1.')
  if (Array.isArray(request['modalities']) && request['modalities'].includes('audio'))
    throw new Untranslatable('modalities', 'The provider of this model gives no sound.')
  const urls: Array<Translated['urls'][number]> = []
  const { model } = request
  const dropped = Object.keys(request).filter((name) => !KNOWN.has(name) && isAsked(request[name]))
  return { dropped, model: typeof model === 'string' ? model : null, options: optionsOf(request, urls), urls }
}

function parsed(body: Uint8Array): JsonObject {
  let request: unknown
  try {
    request = JSON.parse(Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('utf8'))
  } catch {
    throw new Untranslatable('messages', 'The request is not JSON.')
  }
  if (!isObject(request)) throw new Untranslatable('messages', 'The request is not a JSON object.')
  placeCacheHints(request)
  return request
}

const isAsked = (value: unknown): boolean => value !== undefined && value !== null && value !== false

function optionsOf(request: JsonObject, urls: Array<Translated['urls'][number]>): CallOptions {
  const number = (name: string): number | undefined =>
    typeof request[name] === 'number' ? (request[name] as number) : undefined
  const given: Record<string, unknown> = {
    prompt: promptOf(request['messages'], urls),
    maxOutputTokens: number('max_completion_tokens') ?? number('max_tokens'),
    temperature: number('temperature'),
    topP: number('top_p'),
    topK: number('top_k'),
    seed: number('seed'),
    presencePenalty: number('presence_penalty'),
    frequencyPenalty: number('frequency_penalty'),
    stopSequences: stopOf(request['stop']),
    responseFormat: formatOf(request['response_format']),
    tools: toolsOf(request['tools']),
    toolChoice: choiceOf(request['tool_choice']),
    reasoning: typeof request['reasoning_effort'] === 'string' ? request['reasoning_effort'] : undefined,
    providerOptions: optionsOfAnthropic(request),
  }
  for (const name of Object.keys(given)) if (given[name] === undefined) delete given[name]
  return given as unknown as CallOptions
}

/** Others leave it unread. As Anthropic refuses mail addresses and long texts, it gets a digest of the user. */
function optionsOfAnthropic({ parallel_tool_calls: parallel, user }: JsonObject): Options | undefined {
  const options = {
    ...(parallel === false && { disableParallelToolUse: true }),
    ...(typeof user === 'string' && user !== '' && { metadata: { userId: hash('sha256', user) } }),
  }
  return Object.keys(options).length === 0 ? undefined : { anthropic: options }
}

const stopOf = (stop: unknown): readonly string[] | undefined =>
  typeof stop === 'string'
    ? [stop]
    : Array.isArray(stop)
      ? stop.filter((each): each is string => typeof each === 'string')
      : undefined

function formatOf(format: unknown): CallOptions['responseFormat'] {
  if (!isObject(format) || format['type'] === 'text') return undefined
  if (format['type'] === 'json_object') return { type: 'json' }
  const asked = format['json_schema']
  if (format['type'] !== 'json_schema' || !isObject(asked))
    throw new Untranslatable('response_format', 'Expected the type "text", "json_object" or "json_schema".')
  const { schema, name, description } = asked
  return {
    type: 'json',
    ...(isObject(schema) && { schema }),
    ...(typeof name === 'string' && { name }),
    ...(typeof description === 'string' && { description }),
  }
}

function toolsOf(tools: unknown): readonly Tool[] | undefined {
  if (!Array.isArray(tools) || tools.length === 0) return undefined
  return tools.map((tool: unknown, i): Tool => {
    const asked = isObject(tool) && tool['type'] === 'function' ? tool['function'] : null
    if (!isObject(tool) || !isObject(asked) || typeof asked['name'] !== 'string')
      throw new Untranslatable(`tools[${i}]`, 'The provider of this model takes functions as tools, and no others.')
    const { name, description, parameters, strict } = asked
    return {
      type: 'function',
      name: name as string,
      ...(typeof description === 'string' && { description }),
      inputSchema: isObject(parameters) ? parameters : { type: 'object', properties: {} },
      ...(typeof strict === 'boolean' && { strict }),
      ...cached(tool),
    }
  })
}

function choiceOf(choice: unknown): ToolChoice | undefined {
  if (choice === undefined || choice === null) return undefined
  if (choice === 'auto' || choice === 'none' || choice === 'required') return { type: choice }
  const asked = isObject(choice) ? choice['function'] : undefined
  if (!isObject(asked) || typeof asked['name'] !== 'string')
    throw new Untranslatable('tool_choice', 'Expected "auto", "none", "required" or a function.')
  return { type: 'tool', toolName: asked['name'] }
}

// ---------------------------------------------------------------- messages

type Urls = Array<Translated['urls'][number]>

function promptOf(messages: unknown, urls: Urls): readonly Message[] {
  if (!Array.isArray(messages)) throw new Untranslatable('messages', 'The request has no messages.')
  const names = new Map<string, string>()
  const prompt: Message[] = []
  for (const [i, message] of messages.entries()) {
    const param = `messages[${i}]`
    if (!isObject(message)) throw new Untranslatable(param, 'Expected a message.')
    const { role } = message
    if (role === 'system' || role === 'developer')
      prompt.push({ role: 'system', content: textOf(message['content'], param), ...cachedIn(message) })
    else if (role === 'user') prompt.push({ role, content: userParts(message, param, urls), ...cached(message) })
    else if (role === 'assistant') {
      const content = assistantParts(message, param, names)
      if (content.length > 0) prompt.push({ role, content, ...cached(message) })
    } else if (role === 'tool') addResult(prompt, message, param, names)
    else throw new Untranslatable(`${param}.role`, 'The provider of this model has no such role.')
  }
  return prompt
}

/** Where others ask for a cache: on a part, a message or a tool, as Anthropic has it. */
function cached(owner: JsonObject): { readonly providerOptions?: Options } {
  const asked = owner['cache_control']
  return isObject(asked) ? { providerOptions: { anthropic: { cacheControl: asked } } } : {}
}

/** Of a message that becomes one text: on it, or on its last part. */
function cachedIn(message: JsonObject): { readonly providerOptions?: Options } {
  const last: unknown = Array.isArray(message['content']) ? message['content'].at(-1) : null
  return cached(isObject(last) && message['cache_control'] === undefined ? last : message)
}

/** Of a message that holds text alone. */
function textOf(content: unknown, param: string): string {
  if (typeof content === 'string') return content
  if (content === null || content === undefined) return ''
  if (!Array.isArray(content)) throw new Untranslatable(`${param}.content`, 'Expected text.')
  return content
    .map((part: unknown) => {
      if (typeof part === 'string') return part
      if (isObject(part) && typeof part['text'] === 'string') return part['text']
      throw new Untranslatable(`${param}.content`, 'The provider of this model takes only text here.')
    })
    .join('\n')
}

function userParts(message: JsonObject, param: string, urls: Urls): readonly Part[] {
  const { content } = message
  if (!Array.isArray(content)) return [{ type: 'text', text: textOf(content, param) }]
  return content.map((part: unknown, i) => {
    const at = `${param}.content[${i}]`
    if (!isObject(part)) throw new Untranslatable(at, 'Expected a part of a message.')
    if (part['type'] === 'text') return { type: 'text', text: String(part['text'] ?? ''), ...cached(part) }
    return { ...fileOf(part, at, urls), ...cached(part) }
  })
}

const SOUNDS: Readonly<Record<string, string>> = { wav: 'audio/wav', mp3: 'audio/mpeg' }

function fileOf(part: JsonObject, at: string, urls: Urls): Part {
  const { image_url: image, input_audio: sound, file } = part
  if (part['type'] === 'image_url') return located(isObject(image) ? image['url'] : image, 'image/*', at, urls)
  if (part['type'] === 'input_audio' && isObject(sound) && typeof sound['data'] === 'string') {
    const mediaType = SOUNDS[String(sound['format'])] ?? `audio/${String(sound['format'])}`
    return { type: 'file', mediaType, data: { type: 'data', data: sound['data'] } }
  }
  if (part['type'] === 'file' && isObject(file) && typeof file['file_data'] === 'string') {
    const found = located(file['file_data'], 'application/pdf', at, urls)
    return typeof file['filename'] === 'string' ? ({ ...found, filename: file['filename'] } as Part) : found
  }
  throw new Untranslatable(at, 'The provider of this model takes text, images, sounds and files with their data.')
}

const DATA_URL = /^data:([\w.+-]+\/[\w.+-]+)(?:;[\w=.-]+)*;base64,/i

function located(address: unknown, mediaType: string, at: string, urls: Urls): Part {
  const text = typeof address === 'string' ? address : ''
  const data = DATA_URL.exec(text.slice(0, 256))
  if (data !== null)
    return { type: 'file', mediaType: data[1].toLowerCase(), data: { type: 'data', data: text.slice(data[0].length) } }
  const url = text.length <= 8_192 ? URL.parse(text) : null
  if (url === null || (url.protocol !== 'https:' && url.protocol !== 'http:'))
    throw new Untranslatable(at, 'Expected a data URL in base64, or an address that begins with https://.')
  urls.push({ param: at, url, mediaType })
  return { type: 'file', mediaType, data: { type: 'url', url } }
}

function assistantParts(message: JsonObject, param: string, names: Map<string, string>): readonly Part[] {
  const parts: Part[] = reasoningParts(message['reasoning_details'])
  const text = textOf(message['content'], param) || textOf(message['refusal'], param)
  if (text !== '') parts.push({ type: 'text', text })
  const calls = message['tool_calls']
  for (const [i, call] of (Array.isArray(calls) ? calls : []).entries()) {
    const asked = isObject(call) ? call['function'] : null
    if (!isObject(call) || !isObject(asked) || typeof call['id'] !== 'string' || typeof asked['name'] !== 'string')
      throw new Untranslatable(`${param}.tool_calls[${i}]`, 'Expected the call of a function, with its id.')
    names.set(call['id'], asked['name'])
    parts.push({
      type: 'tool-call',
      toolCallId: call['id'],
      toolName: asked['name'],
      input: inputOf(asked['arguments']),
      ...signed(call),
    })
  }
  return parts
}

/** A model's arguments may be no JSON; its provider takes nothing but an object. */
function inputOf(text: unknown): unknown {
  if (isObject(text)) return text
  try {
    const input: unknown = JSON.parse(typeof text === 'string' && text.trim() !== '' ? text : '{}')
    if (isObject(input)) return input
  } catch {
    // Sent as it is, below
  }
  return { INVALID_JSON: String(text) }
}

/** Google wants the signature of a call back with it, which its own OpenAI door has in the same place. */
function signed(call: JsonObject): { readonly providerOptions?: Options } {
  const extra = isObject(call['extra_content']) ? call['extra_content']['google'] : null
  const signature = isObject(extra) ? extra['thought_signature'] : null
  if (typeof signature !== 'string') return {}
  return { providerOptions: { google: { thoughtSignature: signature }, vertex: { thoughtSignature: signature } } }
}

/** What was thought goes back only with the signature that its provider gave it. */
function reasoningParts(details: unknown): Part[] {
  return (Array.isArray(details) ? details : []).flatMap((detail: unknown): Part[] => {
    if (!isObject(detail)) return []
    const { text, signature, data } = detail
    if (typeof signature === 'string')
      return [
        {
          type: 'reasoning',
          text: typeof text === 'string' ? text : '',
          providerOptions: { anthropic: { signature }, bedrock: { signature } },
        },
      ]
    if (typeof data !== 'string') return []
    const providerOptions = { anthropic: { redactedData: data }, bedrock: { redactedData: data } }
    return [{ type: 'reasoning', text: '', providerOptions }]
  })
}

/** Results that follow each other are one message: some providers demand that roles alternate. */
function addResult(prompt: Message[], message: JsonObject, param: string, names: ReadonlyMap<string, string>): void {
  const id = message['tool_call_id']
  if (typeof id !== 'string') throw new Untranslatable(`${param}.tool_call_id`, 'Expected the id of the call.')
  const value = textOf(message['content'], param)
  const part: Part = {
    type: 'tool-result',
    toolCallId: id,
    toolName: names.get(id) ?? 'unknown',
    output: { type: 'text', value },
    ...cachedIn(message),
  }
  const last = prompt.at(-1)
  if (last?.role === 'tool') prompt[prompt.length - 1] = { ...last, content: [...last.content, part] }
  else prompt.push({ role: 'tool', content: [part] })
}
