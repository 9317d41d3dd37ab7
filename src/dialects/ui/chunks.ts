/**
 * Blocks of an answer as chunks of the AI SDK's UI message stream: an answer is a message of one step, its blocks are
 * the parts. The client library shares this file: its ChatTransport tells what `?dialect=ui` tells.
 */
import { addChunk, type Block, type BlockEvent, type Blocks, endBlocks, NO_BLOCKS, withdrawn } from '../blocks.ts'

export type UiChunk = { readonly type: string } & Readonly<Record<string, unknown>>

/** After some of an answer's chunks. */
export interface Ui {
  readonly job: string
  readonly blocks: Blocks
  /** Tool calls whose input is whole. Clients run a tool as soon as they are told so: that waits for a good end. */
  readonly calls: Whole | null
}

/** Linked, as a list that grows by copying is not linear. */
interface Whole {
  readonly block: Block
  readonly before: Whole | null
}

/** How the job ended. */
export interface UiEnd {
  readonly state: string
  /** Of an end that is none of `done` and `canceled`. */
  readonly errorText: string
  /** A limit ended the answer early. */
  readonly isCut: boolean
}

/** Others are `other`, as in the AI SDK. */
const FINISH: Readonly<Record<string, string>> = {
  stop: 'stop',
  length: 'length',
  tool_calls: 'tool-calls',
  function_call: 'tool-calls',
  content_filter: 'content-filter',
}

export const beginUi = (job: string): Ui => ({ job, blocks: NO_BLOCKS, calls: null })

/** The next chunk of the answer, as the provider sent it. Appends to `chunks`. */
export function tellChunk(ui: Ui, chunk: unknown, chunks: UiChunk[]): Ui {
  const found: BlockEvent[] = []
  const blocks = addChunk(ui.blocks, chunk, found)
  return tellBlocks({ ...ui, blocks }, found, chunks)
}

/** What was shown is void: a `reset-step` says so. */
export const resetUi = (ui: Ui): Ui => ({ ...ui, blocks: withdrawn(ui.blocks), calls: null })

export function tellEnd(ui: Ui, { state, errorText, isCut }: UiEnd, chunks: UiChunk[]): Ui {
  const found: BlockEvent[] = []
  const blocks = endBlocks(ui.blocks, found)
  const told = tellBlocks({ ...ui, blocks }, found, chunks)
  if (state === 'canceled') chunks.push({ type: 'abort' })
  else if (state !== 'done') chunks.push({ type: 'error', errorText })
  else {
    const reason = isCut ? 'length' : (blocks.finish ?? 'stop')
    for (const block of inOrder(told.calls)) {
      const { state: read, ...input } = inputOf(block)
      const type = read === 'input-available' ? 'tool-input-available' : 'tool-input-error'
      chunks.push({ type, ...aboutOf(told.job, block), ...input })
    }
    chunks.push({ type: 'finish-step' }, { type: 'finish', finishReason: FINISH[reason] ?? 'other' })
  }
  return told
}

function tellBlocks(before: Ui, found: readonly BlockEvent[], chunks: UiChunk[]): Ui {
  let ui = before
  for (const { type, block, text } of found) {
    if (block.kind !== 'call') chunks.push(partOf(type, block, text))
    else if (type === 'begin') {
      const encoding = block.isCustom && { inputEncoding: 'text' }
      chunks.push({ type: 'tool-input-start', ...aboutOf(ui.job, block), ...encoding })
    } else if (type === 'add')
      chunks.push({ type: 'tool-input-delta', toolCallId: callIdOf(ui.job, block), inputTextDelta: text })
    else ui = { ...ui, calls: { block, before: ui.calls } }
  }
  return ui
}

function inOrder(calls: Whole | null): readonly Block[] {
  const blocks: Block[] = []
  for (let whole = calls; whole !== null; whole = whole.before) blocks.push(whole.block)
  return blocks.reverse()
}

/** A refusal is shown as text. */
function partOf(type: BlockEvent['type'], { kind, index }: Block, text: string): UiChunk {
  const part = kind === 'reasoning' ? 'reasoning' : 'text'
  const id = `${part}-${index + 1}`
  if (type === 'add') return { type: `${part}-delta`, id, delta: text }
  return { type: type === 'begin' ? `${part}-start` : `${part}-end`, id }
}

/** Some upstreams give none: its place among the calls, and its job, as a message may be answers of several. */
const callIdOf = (job: string, { id, call }: Block): string => id || `call-${call + 1}-${job}`

/** `dynamic`: which tools there are is the client's to know. */
const aboutOf = (job: string, block: Block): object => ({
  toolCallId: callIdOf(job, block),
  toolName: block.name,
  dynamic: true,
})

/** What a tool was called with, and whether that can be read. */
export type UiInput =
  | { readonly state: 'input-available'; readonly input: unknown }
  | { readonly state: 'output-error'; readonly input: unknown; readonly errorText: string }

function inputOf({ text, isCustom }: Block): UiInput {
  if (isCustom) return { state: 'input-available', input: text }
  try {
    return { state: 'input-available', input: text === '' ? {} : JSON.parse(text) }
  } catch {
    return { state: 'output-error', input: text, errorText: 'The arguments are not JSON.' }
  }
}

/** A block of an answer that has ended. */
export type UiBlock =
  | { readonly type: 'text' | 'reasoning'; readonly text: string }
  | ({ readonly type: 'call'; readonly toolCallId: string; readonly toolName: string } & UiInput)

/** A whole message of this job, as the stream would tell it. */
export function blocksOfMessage(job: string, message: unknown): readonly UiBlock[] {
  const found: BlockEvent[] = []
  endBlocks(addChunk(NO_BLOCKS, { choices: [{ message }] }, found), found)
  return found.flatMap(({ type, block }): readonly UiBlock[] => {
    if (type !== 'end') return []
    if (block.kind !== 'call') return [{ type: block.kind === 'reasoning' ? 'reasoning' : 'text', text: block.text }]
    return [{ type: 'call', toolCallId: callIdOf(job, block), toolName: block.name, ...inputOf(block) }]
  })
}
