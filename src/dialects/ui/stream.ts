/**
 * The AI SDK's UI message stream, which `useChat` reads. No request comes in it. Ids are those of the blocks, so that
 * they are the same for every reader.
 */
import { SluiceError } from '../../core/errors.ts'
import { SSE, type StreamForm } from '../../core/ports/dialect.ts'
import { type Bytes, type End, formatCursor, kindOf, parseEnd, toBytes } from '../../core/record.ts'
import { errorJson } from '../../core/wire.ts'
import { chunkIn } from '../record-blocks.ts'
import { sseEvent } from '../sse.ts'
import { failure } from '../whole.ts'
import { beginUi, resetUi, tellChunk, tellEnd, type Ui, type UiChunk } from './chunks.ts'

/** After some of a log's records. */
interface Told {
  /** Events so far. */
  readonly count: number
  readonly hasStarted: boolean
  readonly ui: Ui
}

const START_STEP: UiChunk = { type: 'start-step' }
const startOf = ({ ui }: Told): readonly UiChunk[] => [{ type: 'start', messageId: ui.job }, START_STEP]

export const uiStream: StreamForm<Told> = {
  name: 'ui',
  wire: { ...SSE, headers: { 'x-vercel-ai-ui-message-stream': 'v1' } },
  takesBack: true,
  begin: ({ id }) => ({ count: 0, hasStarted: false, ui: beginUi(id) }),
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
      const chunks: UiChunk[] = []
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

const jsonOf = (chunk: UiChunk): Bytes => toBytes(JSON.stringify(chunk))
/** As a message, also where it is an empty one. */
const isTold = ({ state }: End): boolean => state === 'done' || state === 'canceled'

function add(state: Told, record: Bytes, chunks: UiChunk[]): Told {
  if (!state.hasStarted) chunks.push(...startOf(state))
  return { ...state, hasStarted: true, ui: tellChunk(state.ui, chunkIn(record), chunks) }
}

function reset(state: Told, chunks: UiChunk[]): Told {
  if (state.hasStarted) chunks.push({ type: 'reset-step' })
  return { ...state, ui: resetUi(state.ui) }
}

function finish(state: Told, end: End, chunks: UiChunk[]): Told {
  if (!state.hasStarted && isTold(end)) chunks.push(...startOf(state))
  const errorText = (end.error ?? new SluiceError('internal').wire).message
  const ui = tellEnd(state.ui, { state: end.state, errorText, isCut: end.cut !== undefined }, chunks)
  return { ...state, hasStarted: true, ui }
}
