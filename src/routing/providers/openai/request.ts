/** The body for the upstream: what the client sent, byte for byte, except for the members that are ours to set. */
import { CACHE_HINTS } from '../../../core/cache-hints.ts'
import { SluiceError } from '../../../core/errors.ts'
import { editObject, memberText, NO_LIMITS, scanArray, scanObject } from '../../../core/json.ts'

/** How an upstream continues a given beginning: a last message with `prefix: true` (DeepSeek), or vLLM's two flags. */
export type Continuation = 'none' | 'prefix' | 'vllm'

export interface ChatEdits {
  /** Null: what the client asked for. */
  readonly upstreamModel: string | null
  /** Ask for a stream, or for the answer in one piece? */
  readonly stream: boolean
  /** `stream_options`: with `include_usage` in a stream, as the client sent it, or removed. */
  readonly streamOptions: 'usage' | 'as-sent' | 'none'
  readonly continuation: Continuation
  readonly prefix: string | undefined
  /** Send `max_completion_tokens` as `max_tokens`. */
  readonly isMaxTokens: boolean
}

const HINTS = `"${CACHE_HINTS}"`

const viewOf = (body: Uint8Array): Buffer =>
  Buffer.isBuffer(body) ? body : Buffer.from(body.buffer, body.byteOffset, body.byteLength)

/** Members that say how the client asked, as it wrote them (JSON); null: absent. */
export interface HowAsked {
  readonly stream: string | null
  readonly streamOptions: string | null
  readonly n: string | null
  /** It has `cache_hints`, which are for other providers. */
  readonly hasHints?: boolean
}

export function howAsked(bytes: Uint8Array): HowAsked {
  const body = viewOf(bytes)
  let [stream, streamOptions, n]: Array<string | null> = [null, null, null]
  let hasHints = false
  if (body.includes('"stream') || body.includes('"n"') || body.includes(HINTS))
    for (const { key, valueStart, valueEnd } of scanObject(body, NO_LIMITS)) {
      // The last one of a name counts, as for JSON.parse
      if (key === 'stream') stream = body.toString('utf8', valueStart, valueEnd)
      else if (key === 'stream_options') streamOptions = body.toString('utf8', valueStart, valueEnd)
      else if (key === CACHE_HINTS) hasHints = true
      else if (key === 'n') n = body.toString('utf8', valueStart, valueEnd)
    }
  return { stream, streamOptions, n, hasHints }
}

/** `asked`: what `howAsked` found in these bytes. */
export function chatBody(
  bytes: Uint8Array,
  { stream: asked, streamOptions: options, hasHints }: HowAsked,
  edits: ChatEdits,
): Uint8Array {
  const set: Record<string, string | null> = {}
  if (hasHints === true) set[CACHE_HINTS] = null
  if (edits.upstreamModel !== null) set['model'] = JSON.stringify(edits.upstreamModel)
  if (edits.stream) set['stream'] = 'true'
  // "stream": false stays as it was sent
  else if (asked === 'true') set['stream'] = null
  if (edits.streamOptions === 'none' || (!edits.stream && asked === 'true')) {
    if (options !== null) set['stream_options'] = null
  } else if (edits.stream && edits.streamOptions === 'usage')
    set['stream_options'] = options?.startsWith('{')
      ? viewOf(editObject(Buffer.from(options), { include_usage: 'true' })).toString('utf8')
      : '{"include_usage":true}'
  if (edits.isMaxTokens) {
    const limit = memberText(bytes, 'max_completion_tokens')
    // Where both are given, the old one stays as it is
    if (limit !== null) {
      set['max_completion_tokens'] = null
      if (memberText(bytes, 'max_tokens') === null) set['max_tokens'] = limit
    }
  }
  if (edits.prefix !== undefined && edits.continuation !== 'none') {
    set['messages'] = withPrefix(memberText(bytes, 'messages'), edits.prefix, edits.continuation)
    if (edits.continuation === 'vllm') {
      set['continue_final_message'] = 'true'
      set['add_generation_prompt'] = 'false'
    }
  }
  return Object.keys(set).length === 0 ? bytes : editObject(bytes, set)
}

/** How many choices the request asks for. */
export function choicesAsked({ n: asked }: HowAsked): number {
  const n = Number(asked ?? 1)
  return Number.isSafeInteger(n) && n > 0 ? n : 1
}

/** How many embeddings the request asks for: one of a text or of a list of tokens, else one of each item. */
export function embeddingsAsked(bytes: Uint8Array): number {
  const input = memberText(bytes, 'input')
  if (input?.startsWith('[') !== true) return 1
  const json = Buffer.from(input)
  const items = scanArray(json)
  const isTokens = items.length > 0 && /[-\d]/.test(String.fromCharCode(json[items[0].start]))
  return isTokens ? 1 : Math.max(1, items.length)
}

/** The name that the client asked for, without this beginning; null: it has none. */
export function withoutPrefix(bytes: Uint8Array, prefix: string): string | null {
  const text = memberText(bytes, 'model')
  const model: unknown = text?.startsWith('"') ? JSON.parse(text) : null
  return typeof model === 'string' && model.startsWith(prefix) && model.length > prefix.length
    ? model.slice(prefix.length)
    : null
}

export const hasStreamOptions = (bytes: Uint8Array): boolean => viewOf(bytes).includes('"stream_options"')

function withPrefix(messages: string | null, prefix: string, continuation: Continuation): string {
  const end = messages?.lastIndexOf(']') ?? -1
  if (messages === null || end < 0)
    throw new SluiceError('invalid_request', { message: 'The request has no messages.', param: 'messages' })
  const before = messages.slice(0, end).trimEnd()
  const message = { role: 'assistant', content: prefix, ...(continuation === 'prefix' ? { prefix: true } : {}) }
  return `${before}${before === '[' ? '' : ','}${JSON.stringify(message)}]`
}

/** Links of an upstream's are no bytes: who asked for links gets ours. */
export const withInlineImages = (body: Uint8Array): Uint8Array =>
  memberText(body, 'response_format') === '"url"' ? editObject(body, { response_format: '"b64_json"' }) : body

export const embeddingBody = (body: Uint8Array, upstreamModel: string | null): Uint8Array =>
  upstreamModel === null ? body : editObject(body, { model: JSON.stringify(upstreamModel) })
