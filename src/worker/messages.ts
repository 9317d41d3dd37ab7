/** Messages of the OpenAI dialect, as parts of a prompt. Pure, and linear in their size. */
import { BYTES_PER_TOKEN, MEDIA_TOKENS } from '../core/estimate.ts'
import { isRecord } from '../core/json.ts'

type Json = Record<string, unknown>

export interface Message {
  /** As it is sent. */
  readonly text: string
  readonly bytes: number
  readonly tokens: number
  readonly role: string
  /** Ids of the calls that it makes. */
  readonly calls: readonly string[]
  /** The call whose result it is; null for any other message. */
  readonly resultOf: string | null
}

/** Role and separators. */
const FRAME_TOKENS = 4
/** Longer texts without a space, in a part that is not text, are base64. */
const MIN_BASE64_CHARS = 256
const TEXT_PARTS = new Set(['text', 'refusal', 'thinking', 'input_text', 'output_text'])

const isBlank = (value: unknown): boolean =>
  value === undefined || value === null || value === '' || (Array.isArray(value) && value.length === 0)

export const isInstruction = ({ role }: Message): boolean => role === 'system' || role === 'developer'

/**
 * The messages of a JSON array. A conversation may hold what a client sent, so anything but an array is one message.
 */
export function parseMessages(json: string): readonly Message[] {
  const parsed: unknown = JSON.parse(json)
  return (Array.isArray(parsed) ? parsed : [parsed]).map(messageOf)
}

function messageOf(value: unknown): Message {
  const text = JSON.stringify(value)
  const bytes = Buffer.byteLength(text)
  const { role, tool_calls: calls, tool_call_id: result } = isRecord(value) ? value : {}
  return {
    text,
    bytes,
    tokens: tokensOf(bytes, value),
    role: typeof role === 'string' ? role : '',
    calls: Array.isArray(calls) ? calls.map((call) => String(isRecord(call) ? (call['id'] ?? '') : '')) : [],
    resultOf: role === 'tool' ? String(result ?? '') : null,
  }
}

/**
 * An answer as it is sent back: the members that the dialect takes as input, and those that the model's settings name.
 * Its role is the assistant's, whatever the provider named itself. Null when nothing is left.
 */
export function answerMessage(json: string, members: readonly string[]): Message | null {
  const answer = JSON.parse(json) as Json
  const { content, refusal, tool_calls: calls, function_call: called, audio } = answer
  const audioId = isRecord(audio) && !isBlank(audio['id']) ? audio['id'] : null
  const transcript = isRecord(audio) && audioId === null ? audio['transcript'] : null
  const said = isBlank(content) ? (transcript ?? null) : inputParts(content, members)
  const kept: Json = {
    ...(isBlank(refusal) ? {} : { refusal }),
    ...(isBlank(calls) ? {} : { tool_calls: calls }),
    ...(isBlank(called) ? {} : { function_call: called }),
    ...(audioId === null ? {} : { audio: { id: audioId } }),
  }
  if (isBlank(said) && Object.keys(kept).length === 0) return null
  for (const name of members)
    if (name !== 'role' && Object.hasOwn(answer, name) && !isBlank(answer[name])) kept[name] = answer[name]
  return messageOf({ role: 'assistant', content: isBlank(said) ? null : said, ...kept })
}

/** The parts of a content that may be sent back. */
const inputParts = (content: unknown, members: readonly string[]): unknown =>
  Array.isArray(content)
    ? content.filter((part) => isRecord(part) && ['text', 'refusal', ...members].some((type) => part['type'] === type))
    : content

// ---------------------------------------------------------------- size

function tokensOf(bytes: number, value: unknown): number {
  const content = isRecord(value) ? value['content'] : null
  const media = { parts: 0, bytes: 0 }
  if (Array.isArray(content)) for (const part of content) measure(part, media)
  return FRAME_TOKENS + media.parts * MEDIA_TOKENS + Math.ceil((bytes - media.bytes) / BYTES_PER_TOKEN)
}

function measure(part: unknown, media: { parts: number; bytes: number }): void {
  if (!isRecord(part) || TEXT_PARTS.has(String(part['type'] ?? 'text'))) return
  media.parts++
  for (const open: unknown[] = [part]; open.length > 0; ) {
    const value = open.pop()
    if (typeof value === 'string') {
      if (isPayload(value)) media.bytes += value.length
    } else if (typeof value === 'object' && value !== null) for (const one of Object.values(value)) open.push(one)
  }
}

const isPayload = (text: string): boolean =>
  text.startsWith('data:') || (text.length >= MIN_BASE64_CHARS && /^[\w+/=-]+$/.test(text))

// ---------------------------------------------------------------- calls and their results

interface Slot {
  result: Message | null
}
interface Entry {
  readonly message: Message
  readonly slots: readonly Slot[]
}

/**
 * Calls and their results side by side, as providers demand: a result stands right after its call, of two the newer; a
 * result without its call is left out, and so is a call without its result.
 */
export function pairCalls(messages: readonly Message[]): readonly Message[] {
  const entries: Entry[] = []
  const open = new Map<string, { readonly slots: Slot[]; answered: number }>()
  for (const message of messages) {
    if (message.resultOf !== null) {
      const call = open.get(message.resultOf)
      if (call === undefined) continue
      call.slots[Math.min(call.answered++, call.slots.length - 1)].result = message
      continue
    }
    if (message.role === 'function' && !asksFunction(entries.at(-1)?.message)) continue
    const own = new Map<string, { readonly slots: Slot[]; answered: number }>()
    const slots = message.calls.map((id): Slot => {
      const slot = { result: null }
      const call = own.get(id)
      if (call === undefined) own.set(id, { slots: [slot], answered: 0 })
      else call.slots.push(slot)
      return slot
    })
    // A repeated id belongs to the newer call
    for (const [id, call] of own) open.set(id, call)
    entries.push({ message, slots })
  }
  return entries.flatMap(({ message, slots }) => {
    if (slots.length === 0) return message
    const results = slots.flatMap(({ result }) => (result === null ? [] : [result]))
    const kept = results.length === slots.length ? message : withCalls(message, slots)
    return kept === null ? [] : [kept, ...results]
  })
}

/** The message with only the calls that have a result; null when nothing is left of it. */
function withCalls(message: Message, slots: readonly Slot[]): Message | null {
  const { tool_calls: calls, ...rest } = JSON.parse(message.text) as Json & { tool_calls: unknown[] }
  const answered = calls.filter((_call, i) => slots[i].result !== null)
  if (answered.length > 0) return messageOf({ ...rest, tool_calls: answered })
  return isBlank(rest['content']) && isBlank(rest['refusal']) && isBlank(rest['audio']) ? null : messageOf(rest)
}

/** The dialect's older form of a call: one, by its name. */
const asksFunction = (message: Message | undefined): boolean =>
  message?.role === 'assistant' && !isBlank((JSON.parse(message.text) as Json)['function_call'])
