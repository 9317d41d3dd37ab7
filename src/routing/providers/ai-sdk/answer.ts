/** What a model of the AI SDK answers, as chunks or a document of OpenAI's dialect. */
import { MAX_TOOL_CALLS } from '../../../core/answer-limits.ts'
import type { Content, Finish, GeneratedFile, Options, Result, StreamPart, ToolCall, Usage, Warning } from './model.ts'

export interface Labels {
  readonly id: string
  /** Seconds since 1970. */
  readonly created: number
  readonly model: string
  /** Members of the request that are not passed on. */
  readonly dropped?: readonly string[]
}

/** Unified words of the AI SDK. Any other that has a provider's word of its own beside it is an end like any. */
const REASONS: Readonly<Record<string, string>> = {
  stop: 'stop',
  length: 'length',
  'tool-calls': 'tool_calls',
  'content-filter': 'content_filter',
}

/**
 * Null: the provider said no end, so that there is none, whatever the SDK closes the stream with. `error`: it said that
 * the answer failed.
 */
export function reasonOf({ unified, raw }: Finish): string | null {
  if (raw === undefined || raw === null || raw === '' || unified === 'interrupted') return null
  return unified === 'error' ? 'error' : (REASONS[unified] ?? 'stop')
}

const count = (value: unknown): number | undefined =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined

/** Undefined where the provider did not report it whole. */
export function usageOf({ inputTokens, outputTokens }: Usage): Record<string, unknown> | undefined {
  const [input, output] = [count(inputTokens?.total), count(outputTokens?.total)]
  if (input === undefined || output === undefined) return undefined
  const [cached, written] = [count(inputTokens?.cacheRead), count(inputTokens?.cacheWrite)]
  const reasoning = count(outputTokens?.reasoning)
  return {
    prompt_tokens: input,
    completion_tokens: output,
    total_tokens: input + output,
    ...((cached !== undefined || written !== undefined) && {
      prompt_tokens_details: {
        ...(cached !== undefined && { cached_tokens: cached }),
        ...(written !== undefined && { cache_write_tokens: written }),
      },
    }),
    ...(reasoning !== undefined && { completion_tokens_details: { reasoning_tokens: reasoning } }),
  }
}

const MAX_WARNINGS = 16
const MAX_WARNING_CHARS = 200

/** What was asked and could not be done, for a member of the answer. */
function toldOf(warnings: readonly Warning[], dropped: readonly string[] = []): object {
  const given = warnings.map(({ type, feature, details, message }) =>
    [feature === undefined ? (message ?? type) : `${feature} is ${type}`, details].filter(Boolean).join(': '),
  )
  const texts = [...dropped.map((name) => `${name} is not passed on`), ...given]
  if (texts.length === 0) return {}
  return { sluice: { warnings: texts.slice(0, MAX_WARNINGS).map((text) => text.slice(0, MAX_WARNING_CHARS)) } }
}

/** The dialect has no room for two of them: a name of Google's own door, and one of OpenRouter's. Null: not signed. */
function signatureOf(metadata: Options | undefined): object | null {
  const signature = metadata?.['google']?.['thoughtSignature'] ?? metadata?.['vertex']?.['thoughtSignature']
  return typeof signature === 'string' ? { extra_content: { google: { thought_signature: signature } } } : null
}

/** What must come back with a tool's result, where the provider signs what it thought. Null: it is not signed. */
function detailOf(text: string, metadata: Options | undefined): object | null {
  for (const own of [metadata?.['anthropic'], metadata?.['bedrock'], metadata?.['amazonBedrock']]) {
    if (typeof own?.['signature'] === 'string') return { type: 'reasoning.text', text, signature: own['signature'] }
    if (typeof own?.['redactedData'] === 'string') return { type: 'reasoning.encrypted', data: own['redactedData'] }
  }
  return null
}

function imageOf({ mediaType, data }: GeneratedFile): object {
  const base64 = data.data instanceof Uint8Array ? Buffer.from(data.data).toString('base64') : (data.data ?? '')
  const url = data.url === undefined ? `data:${mediaType};base64,${base64}` : String(data.url)
  return { type: 'image_url', image_url: { url } }
}

const citationOf = (url: string, title: string | undefined): object => ({
  type: 'url_citation',
  url_citation: { url, ...(title !== undefined && { title }) },
})

interface OpenCall {
  readonly index: number
  /** Of its arguments. */
  told: string
  isSigned: boolean
}

export class TooManyCalls extends Error {}

/** Writes a stream's parts as chunks, each one text of JSON. */
export class Chunks {
  #labels: Labels
  #opening: object = { role: 'assistant' }
  #warnings: object = {}
  readonly #calls = new Map<string, OpenCall>()
  /** Texts of the reasoning that is not over, and how many of its blocks were. */
  readonly #thoughts = new Map<string, string>()
  readonly #signatures = new Map<string, Options>()
  #details = 0
  #images = 0

  constructor(labels: Labels) {
    this.#labels = labels
  }

  /** Throws TooManyCalls. */
  of(part: StreamPart): readonly string[] {
    switch (part.type) {
      case 'stream-start':
        this.#warnings = toldOf(part.warnings, this.#labels.dropped)
        return []
      case 'response-metadata':
        this.#labels = {
          ...this.#labels,
          ...(part.id && { id: part.id }),
          ...(part.modelId && { model: part.modelId }),
        }
        return []
      case 'text-delta':
        return part.delta === '' ? [] : [this.#chunk({ content: part.delta })]
      case 'reasoning-start':
        return this.#thought(part.id, '', part.providerMetadata)
      case 'reasoning-delta':
        return this.#thought(part.id, part.delta, part.providerMetadata)
      case 'reasoning-end':
        return this.#thoughtEnd(part.id, part.providerMetadata)
      case 'tool-input-start':
        return part.providerExecuted === true ? [] : [this.#begin(part.id, part.toolName, part.providerMetadata)]
      case 'tool-input-delta':
        return this.#arguments(part.id, part.delta)
      case 'tool-call':
        return this.#call(part)
      case 'file':
        return [this.#chunk({ images: [{ index: this.#images++, ...imageOf(part) }] })]
      case 'source':
        return part.url === undefined ? [] : [this.#chunk({ annotations: [citationOf(part.url, part.title)] })]
      default:
        return []
    }
  }

  /** The last chunks: the reason, then usage where it was reported. */
  end(reason: string, usage: Record<string, unknown> | undefined): readonly string[] {
    const last = this.#chunk({}, reason)
    if (usage === undefined) return [last]
    return [last, JSON.stringify({ ...this.#head(), choices: [], usage })]
  }

  #head(): object {
    return {
      id: this.#labels.id,
      object: 'chat.completion.chunk',
      created: this.#labels.created,
      model: this.#labels.model,
    }
  }

  #chunk(delta: object, reason: string | null = null): string {
    const chunk = {
      ...this.#head(),
      ...this.#warnings,
      choices: [{ index: 0, delta: { ...this.#opening, ...delta }, finish_reason: reason }],
    }
    this.#opening = {}
    this.#warnings = {}
    return JSON.stringify(chunk)
  }

  #thought(id: string, delta: string, metadata: Options | undefined): readonly string[] {
    if (metadata !== undefined) this.#signatures.set(id, metadata)
    this.#thoughts.set(id, (this.#thoughts.get(id) ?? '') + delta)
    return delta === '' ? [] : [this.#chunk({ reasoning_content: delta })]
  }

  #thoughtEnd(id: string, metadata: Options | undefined): readonly string[] {
    const detail = detailOf(this.#thoughts.get(id) ?? '', metadata ?? this.#signatures.get(id))
    this.#thoughts.delete(id)
    this.#signatures.delete(id)
    return detail === null ? [] : [this.#chunk({ reasoning_details: [{ index: this.#details++, ...detail }] })]
  }

  /** Signed at once where it can be: the AI SDK reads a signature in a call's first delta alone. */
  #begin(id: string, name: string, metadata: Options | undefined): string {
    const index = this.#calls.size
    if (index >= MAX_TOOL_CALLS) throw new TooManyCalls()
    const extra = signatureOf(metadata)
    this.#calls.set(id, { index, told: '', isSigned: extra !== null })
    return this.#chunk({
      tool_calls: [{ index, id, type: 'function', function: { name, arguments: '' }, ...extra }],
    })
  }

  #arguments(id: string, delta: string): readonly string[] {
    const call = this.#calls.get(id)
    if (call === undefined || delta === '') return []
    call.told += delta
    return [this.#chunk({ tool_calls: [{ index: call.index, function: { arguments: delta } }] })]
  }

  /** The whole call: what was not told of it yet. */
  #call(call: ToolCall & { readonly providerMetadata?: Options | undefined }): readonly string[] {
    const { toolCallId: id, toolName, input, providerExecuted, providerMetadata } = call
    if (providerExecuted === true) return []
    const begun = this.#calls.has(id) ? [] : [this.#begin(id, toolName, providerMetadata)]
    const { told, index, isSigned } = this.#calls.get(id)!
    const rest = input.startsWith(told) ? this.#arguments(id, input.slice(told.length)) : []
    const extra = isSigned ? null : signatureOf(providerMetadata)
    if (extra === null) return [...begun, ...rest]
    // With a function: libraries refuse the delta of a call that has none
    return [...begun, ...rest, this.#chunk({ tool_calls: [{ index, function: { arguments: '' }, ...extra }] })]
  }
}

/** `reason`: as `reasonOf` has it. */
export function documentOf(result: Result, labels: Labels, reason: string): string {
  const { content, response, usage, warnings } = result
  const reported = usageOf(usage)
  return JSON.stringify({
    id: response?.id ?? labels.id,
    object: 'chat.completion',
    created: labels.created,
    model: response?.modelId ?? labels.model,
    choices: [{ index: 0, message: messageOf(content), finish_reason: reason }],
    ...(reported !== undefined && { usage: reported }),
    ...toldOf(warnings, labels.dropped),
  })
}

function messageOf(content: readonly Content[]): object {
  const textOf = (type: 'text' | 'reasoning'): string =>
    content.map((part) => (part.type === type ? part.text : '')).join('')
  const thought = textOf('reasoning')
  const details = content.flatMap((part) =>
    part.type === 'reasoning' ? (detailOf(part.text, part.providerMetadata) ?? []) : [],
  )
  const calls = content.flatMap((part) =>
    part.type === 'tool-call' && part.providerExecuted !== true ? [callOf(part, part.providerMetadata)] : [],
  )
  const images = content.flatMap((part) => (part.type === 'file' ? [imageOf(part)] : []))
  const citations = content.flatMap((part) =>
    part.type === 'source' && part.url !== undefined ? [citationOf(part.url, part.title)] : [],
  )
  return {
    role: 'assistant',
    content: textOf('text') || (calls.length > 0 ? null : ''),
    ...(thought !== '' && { reasoning_content: thought }),
    ...(details.length > 0 && { reasoning_details: details }),
    ...(calls.length > 0 && { tool_calls: calls }),
    ...(images.length > 0 && { images }),
    ...(citations.length > 0 && { annotations: citations }),
  }
}

const callOf = ({ toolCallId: id, toolName: name, input }: ToolCall, metadata: Options | undefined): object => ({
  id,
  type: 'function',
  function: { name, arguments: input },
  ...signatureOf(metadata),
})
