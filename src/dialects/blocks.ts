/**
 * An answer as a sequence of blocks, for APIs that number the parts of an answer: a stretch of reasoning, of text, of a
 * refusal, or one tool call. One block is open at a time, and one that has ended gets nothing more: what comes while a
 * call is unfinished waits until it is whole, or for the end. Pure: the state is a value, and the same records give the
 * same events; whatever a log holds is told, and nothing of it throws. Only the first choice counts: these APIs have
 * one. The client library shares this file.
 */
import {
  beginsAnother,
  choiceIndex,
  type InputScan,
  indexOf,
  isObject,
  type Json,
  type JsonObject,
  NO_INPUT,
  scanInput,
} from '../core/fold.ts'

export type BlockKind = 'reasoning' | 'text' | 'refusal' | 'call'

export interface Block {
  readonly kind: BlockKind
  /** Among all blocks of the log, withdrawn ones too, from 0. */
  readonly index: number
  /** What it holds so far; of a call, its input as JSON (of a `custom` one, as text). */
  readonly text: string
  /** Of a call: its place among those of the answer, from 0. */
  readonly call: number
  readonly id: string
  readonly name: string
  readonly isCustom: boolean
  /** Of reasoning: what its provider signed it with; '': it did not. */
  readonly signature: string
  /** Of reasoning that only its provider can read, and that has no text. */
  readonly encrypted: string
  /** Of a call that has ended: other members, which its provider wants back (Google's `extra_content`). */
  readonly more: JsonObject
}

export interface BlockEvent {
  /** `begin`: without any text yet. `add`: `text` was added. `end`: it is whole. */
  readonly type: 'begin' | 'add' | 'end'
  readonly block: Block
  /** Of `add`. */
  readonly text: string
}

/** A tool call that was seen. */
interface Call {
  readonly key: number
  readonly id: string
  readonly index: number | null
  readonly name: string
  readonly isCustom: boolean
  readonly input: InputScan
  readonly more: JsonObject
}

/** A piece that waits, linked to the one before, as lists that grow by copying are not linear. */
interface Held {
  readonly kind: BlockKind
  /** A call's `key`; -1: it is of none. */
  readonly call: number
  readonly text: string
  readonly before: Held | null
}

/** After some of an answer's records. */
export interface Blocks {
  readonly open: Block | null
  /** The call that the open block is. */
  readonly openCall: number
  /** Blocks begun so far. */
  readonly count: number
  readonly calls: readonly Call[]
  /** Of the call that the last piece was of; -1: there was none. */
  readonly lastCall: number
  /** What came while a call was unfinished. */
  readonly held: Held | null
  /** The upstream's `finish_reason`; null: it told none yet. */
  readonly finish: string | null
  /** The stop text that ended the answer, where the upstream names it (vLLM). */
  readonly stop: string | null
}

export const NO_BLOCKS: Blocks = {
  ...{ open: null, openCall: -1, count: 0, calls: [], lastCall: -1, held: null },
  ...{ finish: null, stop: null },
}

const NOTHING_MORE: Partial<Block> = {}
const NO_MEMBERS: JsonObject = {}
/** Of a call. */
const KNOWN = new Set(['id', 'index', 'type', 'function', 'custom'])

/** More tool calls than an answer has, and few enough to look through; what is beyond belongs to the last one. */
const MAX_CALLS = 1_024

/** The next chunk, or a whole answer as one. Appends to `events`. */
export function addChunk(blocks: Blocks, chunk: unknown, events: BlockEvent[]): Blocks {
  if (!isObject(chunk) || !Array.isArray(chunk['choices'])) return blocks
  let state = blocks
  for (const [position, choice] of chunk['choices'].entries())
    if (isObject(choice) && choiceIndex(choice, position, chunk['choices'].length) === 0)
      state = addChoice(state, choice, events)
  return state
}

/** No more chunks come: what is open ends. */
export function endBlocks(blocks: Blocks, events: BlockEvent[]): Blocks {
  let state: Blocks = { ...blocks, held: null }
  for (const { kind, call, text } of inOrder(blocks)) state = addPiece(state, kind, text, call, events)
  return close(state, events)
}

/** What was shown is void; what comes now are other blocks. The open one is not ended. */
export const withdrawn = ({ count }: Blocks): Blocks => ({ ...NO_BLOCKS, count })

function addChoice(blocks: Blocks, choice: JsonObject, events: BlockEvent[]): Blocks {
  const { delta, message, finish_reason: finish, stop_reason: stop } = choice
  const said = isObject(delta) ? delta : isObject(message) ? message : {}
  let state = addReasoning(blocks, said, events)
  const { content, audio, refusal, tool_calls: calls, function_call: called } = said
  if (typeof content === 'string') state = addText(state, 'text', content, events)
  else if (Array.isArray(content)) for (const part of content) state = addPart(state, part, events)
  // What was spoken, as text
  if (isObject(audio)) state = addText(state, 'text', textOf(audio['transcript']), events)
  if (typeof refusal === 'string') state = addText(state, 'refusal', refusal, events)
  if (Array.isArray(calls)) for (const item of calls) if (isObject(item)) state = addCall(state, item, events)
  // The older form of one call
  if (isObject(called)) state = addCall(state, { function: called }, events)
  if (typeof finish !== 'string' || finish === '') return state
  return { ...state, finish, stop: typeof stop === 'string' ? stop : null }
}

/**
 * Signed thought comes as details beside it (AI SDK, OpenRouter): of a delta that has both, they are the text in its
 * parts; alone, they sign what was told already.
 */
function addReasoning(blocks: Blocks, said: JsonObject, events: BlockEvent[]): Blocks {
  const text = reasoningIn(said)
  const { reasoning_details: details } = said
  if (!Array.isArray(details)) return addText(blocks, 'reasoning', text, events)
  const signed = details.filter(isObject).filter(isSigned)
  const inParts = text !== '' && signed.some(({ text: part }) => typeof part === 'string' && part !== '')
  let state = inParts ? blocks : addText(blocks, 'reasoning', text, events)
  for (const detail of inParts ? details.filter(isObject) : signed) {
    const { signature, data } = detail
    if (inParts) state = addText(state, 'reasoning', textOf(detail['text']), events)
    if (typeof signature === 'string' && signature !== '') state = sign(state, { signature }, events)
    else if (typeof data === 'string' && data !== '') state = sign(close(state, events), { encrypted: data }, events)
  }
  return state
}

const isSigned = ({ signature, data }: JsonObject): boolean =>
  (typeof signature === 'string' && signature !== '') || (typeof data === 'string' && data !== '')

/** A block that is signed is whole. One that shows no text (it was left out) is one all the same. */
function sign(blocks: Blocks, what: Partial<Block>, events: BlockEvent[]): Blocks {
  const isOpen = blocks.open?.kind === 'reasoning'
  const state = isOpen ? blocks : begin(close(blocks, events), 'reasoning', -1, events, what)
  return close({ ...state, open: { ...state.open!, ...what } }, events)
}

/** Some upstreams say it twice, in two members. */
function reasoningIn({ reasoning_content: content, reasoning }: JsonObject): string {
  if (typeof content === 'string' && content !== '') return content
  return typeof reasoning === 'string' ? reasoning : ''
}

/** Parts of a `content` that is a list: texts, and thought (Mistral). */
function addPart(blocks: Blocks, part: Json, events: BlockEvent[]): Blocks {
  if (!isObject(part)) return blocks
  if (part['type'] === 'thinking') return addText(blocks, 'reasoning', textOf(part['thinking']), events)
  return part['type'] === 'text' ? addText(blocks, 'text', textOf(part['text']), events) : blocks
}

function textOf(value: Json | undefined): string {
  if (typeof value === 'string') return value
  if (!Array.isArray(value)) return ''
  return value.map((part) => (isObject(part) && typeof part['text'] === 'string' ? part['text'] : '')).join('')
}

function addText(blocks: Blocks, kind: BlockKind, text: string, events: BlockEvent[]): Blocks {
  if (text === '') return blocks
  return mustWait(blocks) ? hold(blocks, kind, -1, text) : addPiece(blocks, kind, text, -1, events)
}

function addPiece(blocks: Blocks, kind: BlockKind, text: string, call: number, events: BlockEvent[]): Blocks {
  const { open } = blocks
  const goesOn = open !== null && open.kind === kind && blocks.openCall === call
  const state = goesOn ? blocks : begin(close(blocks, events), kind, call, events)
  if (text === '') return state
  const block: Block = { ...state.open!, text: state.open!.text + text }
  events.push({ type: 'add', block, text })
  return { ...state, open: block }
}

function begin(
  blocks: Blocks,
  kind: BlockKind,
  call: number,
  events: BlockEvent[],
  more: Partial<Block> = NOTHING_MORE,
): Blocks {
  const known = blocks.calls[call]
  const { id = '', name = '', isCustom = false } = known ?? {}
  const named = { kind, index: blocks.count, text: '', call, id, name, isCustom }
  const block: Block = { ...named, signature: '', encrypted: '', more: NO_MEMBERS, ...more }
  events.push({ type: 'begin', block, text: '' })
  return { ...blocks, open: block, openCall: call, count: blocks.count + 1 }
}

function close(blocks: Blocks, events: BlockEvent[]): Blocks {
  const { open, calls, openCall } = blocks
  if (open === null) return blocks
  const { more = NO_MEMBERS } = calls[openCall] ?? {}
  events.push({ type: 'end', block: more === NO_MEMBERS ? open : { ...open, more }, text: '' })
  return { ...blocks, open: null, openCall: -1 }
}

// ---------------------------------------------------------------- tool calls

function addCall(blocks: Blocks, item: JsonObject, events: BlockEvent[]): Blocks {
  const isCustom = isObject(item['custom'])
  const called = isObject(item['function']) ? item['function'] : isObject(item['custom']) ? item['custom'] : {}
  const name = typeof called['name'] === 'string' ? called['name'] : ''
  const input = called[isCustom ? 'input' : 'arguments']
  const text = typeof input === 'string' ? input : isObject(input) ? JSON.stringify(input) : ''
  const id = typeof item['id'] === 'string' || typeof item['id'] === 'number' ? String(item['id']) : ''
  const index = indexOf(item['index'])
  const known = callOf(blocks, id, index, name, text)
  const key = known?.key ?? blocks.calls.length
  const call: Call = {
    key,
    id: known?.id || id,
    index: known?.index ?? index,
    name: known?.name || name,
    isCustom: isCustom || known?.isCustom === true,
    input: scanInput(known?.input ?? NO_INPUT, text),
    more: moreIn(item, known?.more ?? NO_MEMBERS),
  }
  const state: Blocks = { ...blocks, calls: blocks.calls.toSpliced(key, 1, call), lastCall: key }
  if (state.openCall === key) return addPiece(state, 'call', text, key, events)
  // A block begins with its name
  if (call.name === '' || mustWait(state)) return hold(state, 'call', key, text)
  // Of a call that has ended, which was whole: not even white space is to be told as another one
  return hasEnded(known) && text.trim() === '' ? state : addPiece(state, 'call', text, key, events)
}

function moreIn(item: JsonObject, before: JsonObject): JsonObject {
  let more = before
  for (const key of Object.keys(item))
    if (!KNOWN.has(key) && key !== '__proto__' && item[key] !== null) more = { ...more, [key]: item[key] }
  return more
}

const hasEnded = (call: Call | undefined): boolean => call?.input.whole === true

const hold = (blocks: Blocks, kind: BlockKind, call: number, text: string): Blocks => ({
  ...blocks,
  held: { kind, call, text, before: blocks.held },
})

/** Is an open call unfinished? Then nothing else can be told; nor before what waits already. */
function mustWait({ open, openCall, calls, held }: Blocks): boolean {
  return held !== null || (open?.kind === 'call' && (open.isCustom || !calls[openCall].input.whole))
}

/** As core/fold.ts has it: by its id, then by its index, else the last one; another name may be another call. */
function callOf(
  { calls, lastCall }: Blocks,
  id: string,
  index: number | null,
  name: string,
  text: string,
): Call | undefined {
  const isAnother = (call: Call): boolean => beginsAnother(call, name, text)
  const last = calls.length < MAX_CALLS ? undefined : calls.at(-1)
  const byId = id === '' ? undefined : calls.findLast((call) => call.id === id)
  if (byId !== undefined) return index !== null && index !== byId.index && isAnother(byId) ? last : byId
  const call = index === null ? calls[lastCall] : calls.findLast((one) => one.index === index)
  return call === undefined || (id !== '' && call.id !== '') || isAnother(call) ? last : call
}

/** What waited: each call's pieces joined where its first one came, and texts that stand side by side. */
function inOrder({ held }: Blocks): ReadonlyArray<Omit<Held, 'before'>> {
  const pieces: Held[] = []
  for (let piece = held; piece !== null; piece = piece.before) pieces.push(piece)
  const groups: Array<{ readonly kind: BlockKind; readonly call: number; readonly texts: string[] }> = []
  const ofCall = new Map<number, string[]>()
  const join = (kind: BlockKind, call: number): string[] => {
    const group = { kind, call, texts: [] }
    groups.push(group)
    if (call >= 0) ofCall.set(call, group.texts)
    return group.texts
  }
  for (const { kind, call, text } of pieces.reverse()) {
    const before = groups.at(-1)
    const texts = call >= 0 ? ofCall.get(call) : before?.call === -1 && before.kind === kind ? before.texts : undefined
    ;(texts ?? join(kind, call)).push(text)
  }
  return groups.map(({ kind, call, texts }) => ({ kind, call, text: texts.join('') }))
}
