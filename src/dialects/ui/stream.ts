/**
 * The AI SDK's UI message stream, which `useChat` reads: an answer is a message of one step, its blocks are the parts.
 * No request comes in it. Ids are those of the blocks, so that they are the same for every reader.
 */
import { SluiceError } from '../../core/errors.ts'
import type { JsonRecord } from '../../core/json.ts'
import { SSE, type StreamForm } from '../../core/ports/dialect.ts'
import { type Bytes, type End, formatCursor, kindOf, parseEnd, toBytes } from '../../core/record.ts'
import { errorJson } from '../../core/wire.ts'
import { addRecord, type Block, type BlockEvent, type Blocks, endBlocks, NO_BLOCKS, withdrawn } from '../blocks.ts'
import { sseEvent } from '../sse.ts'
import { failure } from '../whole.ts'

/** After some of a log's records. */
interface Told {
  readonly job: string
  /** Events so far. */
  readonly count: number
  readonly hasStarted: boolean
  readonly blocks: Blocks
  /** Tool calls whose input is whole. Clients run a tool as soon as they are told so: that waits for a good end. */
  readonly calls: readonly Block[]
}

type Chunk = JsonRecord

/** Others are `other`, as in the AI SDK. */
const FINISH: Readonly<Record<string, string>> = {
  stop: 'stop',
  length: 'length',
  tool_calls: 'tool-calls',
  content_filter: 'content-filter',
}

const START_STEP: Chunk = { type: 'start-step' }
const startOf = ({ job }: Told): readonly Chunk[] => [{ type: 'start', messageId: job }, START_STEP]

export const uiStream: StreamForm<Told> = {
  name: 'ui',
  wire: { ...SSE, headers: { 'x-vercel-ai-ui-message-stream': 'v1' } },
  takesBack: true,
  begin: ({ id }) => ({ job: id, count: 0, hasStarted: false, blocks: NO_BLOCKS, calls: [] }),
  render({ epoch, records }, before, known) {
    let state = before
    let events: Bytes = ''
    let over = false
    const tell = (data: Bytes): void => {
      const count = state.count + 1
      if (count > known) events += sseEvent(formatCursor(epoch, count), '', data)
      state = { ...state, count }
    }
    for (const record of records) {
      if (over) break
      const chunks: Chunk[] = []
      const kind = kindOf(record)
      if (kind === 'chunk' || kind === 'document') state = add(state, record, chunks)
      else if (kind === 'reset') state = reset(state, chunks)
      else if (kind === 'end') {
        const end = parseEnd(record)
        // All there is to tell, and so it can be an HTTP status
        const isBare = !state.hasStarted && !isTold(end)
        state = finish(state, end, chunks)
        over = true
        for (const chunk of chunks) tell(jsonOf(chunk))
        if (!isBare) tell('[DONE]')
        break
      }
      for (const chunk of chunks) tell(jsonOf(chunk))
    }
    return { events, state, over }
  },
  count: ({ count }) => count,
  beginsAnywhere: false,
  // Its clients read from the start, and know no other way to void what they were shown
  gap: null,
  live: null,
  // Without an id, as it is no record
  error: ({ message }) => `data: ${jsonOf({ type: 'error', errorText: message })}\n\n`,
  failure: (end) => failure(end, errorJson),
}

const jsonOf = (chunk: Chunk): Bytes => toBytes(JSON.stringify(chunk))
/** As a message, also where it is an empty one. */
const isTold = ({ state }: End): boolean => state === 'done' || state === 'canceled'

function add(state: Told, record: Bytes, chunks: Chunk[]): Told {
  if (!state.hasStarted) chunks.push(...startOf(state))
  const found: BlockEvent[] = []
  const blocks = addRecord(state.blocks, record, found)
  return { ...state, hasStarted: true, blocks, calls: tellBlocks(found, state.calls, chunks) }
}

function reset(state: Told, chunks: Chunk[]): Told {
  if (state.hasStarted) chunks.push({ type: 'reset-step' })
  return { ...state, blocks: withdrawn(state.blocks), calls: [] }
}

function finish(state: Told, end: End, chunks: Chunk[]): Told {
  const found: BlockEvent[] = []
  const blocks = endBlocks(state.blocks, found)
  if (!state.hasStarted && isTold(end)) chunks.push(...startOf(state))
  const calls = tellBlocks(found, state.calls, chunks)
  if (end.state === 'canceled') chunks.push({ type: 'abort' })
  else if (end.state !== 'done')
    chunks.push({ type: 'error', errorText: (end.error ?? new SluiceError('internal').wire).message })
  else {
    const reason = end.cut === undefined ? (blocks.finish ?? 'stop') : 'length'
    chunks.push(...calls.map(inputOf), { type: 'finish-step' })
    chunks.push({ type: 'finish', finishReason: FINISH[reason] ?? 'other' })
  }
  return { ...state, hasStarted: true, blocks, calls }
}

/** Returns the calls that are whole by then. */
function tellBlocks(found: readonly BlockEvent[], calls: readonly Block[], chunks: Chunk[]): readonly Block[] {
  const whole: Block[] = []
  for (const { type, block, text } of found) {
    if (block.kind !== 'call') chunks.push(partOf(type, block, text))
    else if (type === 'begin') chunks.push({ type: 'tool-input-start', ...aboutOf(block) })
    else if (type === 'add')
      chunks.push({ type: 'tool-input-delta', toolCallId: callIdOf(block), inputTextDelta: text })
    else whole.push(block)
  }
  return whole.length === 0 ? calls : [...calls, ...whole]
}

/** A refusal is shown as text. */
function partOf(type: BlockEvent['type'], { kind, index }: Block, text: string): Chunk {
  const part = kind === 'reasoning' ? 'reasoning' : 'text'
  const id = `${part}-${index + 1}`
  if (type === 'add') return { type: `${part}-delta`, id, delta: text }
  return { type: type === 'begin' ? `${part}-start` : `${part}-end`, id }
}

/** Some upstreams give none. */
const callIdOf = ({ id, index }: Block): string => id || `call-${index + 1}`

/** `dynamic`: which tools there are is the client's to know. */
const aboutOf = (block: Block): Chunk => ({
  toolCallId: callIdOf(block),
  toolName: block.name,
  dynamic: true,
  ...(block.isCustom && { inputEncoding: 'text' }),
})

function inputOf(block: Block): Chunk {
  const { text, isCustom } = block
  const { inputEncoding: _, ...about } = aboutOf(block)
  if (isCustom) return { type: 'tool-input-available', ...about, input: text }
  try {
    return { type: 'tool-input-available', ...about, input: text === '' ? {} : JSON.parse(text) }
  } catch {
    return { type: 'tool-input-error', ...about, input: text, errorText: 'The arguments are not JSON.' }
  }
}
