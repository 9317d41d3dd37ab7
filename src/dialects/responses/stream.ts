/**
 * Events of the Responses API. They have numbers of their own (`sequence_number`, from 0), and a resume in the middle
 * is exactly the rest. What a `reset` withdraws ends as incomplete; `response.in_progress` then begins anew.
 */
import { SluiceError } from '../../core/errors.ts'
import type { JsonObject } from '../../core/fold.ts'
import type { Rendering, Sealing, StreamForm } from '../../core/ports/dialect.ts'
import { type Bytes, type End, formatCursor, kindOf, parseEnd, toBytes } from '../../core/record.ts'
import { textFrame } from '../../core/text-frame.ts'
import { errorJson } from '../../core/wire.ts'
import type { Block } from '../blocks.ts'
import { sseEvent } from '../sse.ts'
import { failure } from '../whole.ts'
import { idOf, itemOf, namedIn, partOf, summaryOf } from './items.ts'
import { laneError, laneOf } from './lane-events.ts'
import { errorOf, responseOf, type Status, statusOf } from './object.ts'
import { type Advanced, advance, finish, NO_PROGRESS, outputOf, type Progress } from './progress.ts'
import { isTextless, type Shown, shownBy } from './thought.ts'

interface State {
  readonly job: Rendering
  readonly told: number
  /** `response.created` was told; and `response.in_progress`. */
  readonly created: boolean
  readonly begun: boolean
  readonly progress: Progress
}

/** How its events are written. */
interface Writing {
  event(cursor: string, type: string, data: Bytes): Bytes
  /** Members that each of them ends with. */
  readonly more: JsonObject
  /** Those of a failure. */
  failure(end: End): object
}

/** What one render tells. */
class Telling {
  events: Bytes = ''
  told: number
  readonly writing: Writing
  /** A state is a value, and can't hold it. */
  readonly shown: Shown
  readonly #epoch: number
  readonly #known: number

  constructor(writing: Writing, shown: Shown, epoch: number, told: number, known: number) {
    this.writing = writing
    this.shown = shown
    this.#epoch = epoch
    this.told = told
    this.#known = known
  }

  event(type: string, make: () => object): void {
    const sequence = this.told++
    if (this.told <= this.#known) return
    const data = toBytes(JSON.stringify({ type, ...make(), sequence_number: sequence, ...this.writing.more }))
    this.events += this.writing.event(formatCursor(this.#epoch, this.told), type, data)
  }
}

const streamIn = (writing: Writing, sealing: Sealing): StreamForm<State> => ({
  name: 'responses',
  takesBack: false,
  opens: true,
  begin: (job) => ({ job, told: 0, created: false, begun: false, progress: NO_PROGRESS }),
  render({ epoch, records }, state, known) {
    const tell = new Telling(writing, shownBy(sealing)(state.job), epoch, state.told, known)
    let now = isDetached(state.job) ? created(state, tell) : state
    for (const record of records) {
      const kind = kindOf(record)
      if (kind === 'end') {
        now = ended(now, parseEnd(record), tell)
        return { events: tell.events, state: { ...now, told: tell.told }, over: true }
      }
      // Until something is shown, a failure has a status of its own
      if (kind === 'attempt' && isDetached(now.job)) now = begun(now, tell)
      if (kind === 'chunk' || kind === 'document') now = shown(now, record, tell)
      if (kind === 'reset') now = reset(now, record, tell)
    }
    return { events: tell.events, state: { ...now, told: tell.told }, over: false }
  },
  count: ({ told }) => told,
  beginsAnywhere: false,
  gap: null,
  live: null,
  error: (error) => `event: error\ndata: ${errorEvent(error.wire)}\n\n`,
  failure: (end) => failure(end, errorJson),
})

const EVENTS: Writing = {
  event: (cursor, type, data) => sseEvent(cursor, `event: ${type}\n`, data),
  more: {},
  failure(end) {
    const error = errorOf(end)
    const { code, message, param } = error
    // In both places where clients look for it
    return { code, message, param, error }
  },
}

export const stream = (sealing: Sealing): StreamForm<State> => streamIn(EVENTS, sealing)

/** The same events as the text frames of a WebSocket, each with the name of its lane. */
export const laneStream = (sealing: Sealing, lane: string | null): StreamForm<State> =>
  streamIn(
    {
      event: (_cursor, _type, data) => textFrame(data),
      more: laneOf(lane),
      failure(end) {
        const { status, headers } = failure(end, errorJson)
        return laneError(end.error ?? new SluiceError('internal').wire, status, headers)
      },
    },
    sealing,
  )

/** Its client wants the id at once, to come back with. */
const isDetached = ({ shownAs }: Rendering): boolean => shownAs?.['background'] === true

const errorEvent = ({ code, message, param }: { code?: unknown; message: string; param?: unknown }): Bytes =>
  toBytes(JSON.stringify({ type: 'error', code: code ?? null, message, param: param ?? null }))

function whole({ job, progress }: State, status: Status, end: End | null = null): { readonly response: JsonObject } {
  const { finish: reason } = progress.blocks
  return { response: responseOf(job, { status, output: outputOf(progress), end, finish: reason }) }
}

function created(state: State, tell: Telling): State {
  if (state.created) return state
  const isQueued = isDetached(state.job)
  tell.event('response.created', () => whole(state, isQueued ? 'queued' : 'in_progress'))
  if (isQueued) tell.event('response.queued', () => whole(state, 'queued'))
  return { ...state, created: true }
}

function begun(before: State, tell: Telling): State {
  if (before.begun) return before
  const state = created(before, tell)
  tell.event('response.in_progress', () => whole(state, 'in_progress'))
  return { ...state, begun: true }
}

function shown(before: State, record: Bytes, tell: Telling): State {
  const state = begun(before, tell)
  return told(state, advance(tell.shown, state.progress, record), tell)
}

function told(state: State, { progress, steps }: Advanced, tell: Telling): State {
  for (const { type, block, text, logprobs = [] } of steps)
    if (type === 'begin') tellBegin(state, block, tell)
    else if (type === 'add') tellPiece(state, block, text, logprobs, tell)
    else tellEnd(state, block, type === 'cut' ? 'incomplete' : 'completed', logprobs, tell)
  return { ...state, progress }
}

function reset(before: State, record: Bytes, tell: Telling): State {
  // Nothing was shown: nothing is withdrawn
  if (!before.begun) return before
  const state = told(before, advance(tell.shown, before.progress, record), tell)
  tell.event('response.in_progress', () => whole(state, 'in_progress'))
  return state
}

function ended(before: State, end: End, tell: Telling): State {
  // Nothing but the failure, in one event: where headers are still to be sent, it is an answer of its own
  if (end.state !== 'done' && !before.created) {
    tell.event('error', () => tell.writing.failure(end))
    return before
  }
  const begins = begun(before, tell)
  const status = statusOf(end, begins.progress.blocks.finish)
  const state = told(begins, finish(tell.shown, begins.progress, status), tell)
  // Clients that know no other failure throw it
  if (status === 'failed') tell.event('error', () => tell.writing.failure(end))
  // There is no event of its own for a cancel
  tell.event(`response.${status === 'cancelled' ? 'incomplete' : status}`, () => whole(state, status, end))
  return state
}

// ---------------------------------------------------------------- blocks

const placeOf = ({ job }: State, block: Block): { readonly item_id: string; readonly output_index: number } => ({
  item_id: idOf(job.id, block),
  output_index: block.index,
})

function tellBegin(state: State, block: Block, tell: Telling): void {
  const place = placeOf(state, block)
  const item = (): object => ({ output_index: block.index, item: itemOf(tell.shown, block, 'in_progress') })
  tell.event('response.output_item.added', item)
  const { kind } = block
  if (kind === 'reasoning' && isTextless(block)) return
  if (kind === 'reasoning')
    tell.event('response.reasoning_summary_part.added', () => ({ ...place, summary_index: 0, part: summaryOf('') }))
  else if (kind !== 'call')
    tell.event('response.content_part.added', () => ({ ...place, content_index: 0, part: partOf(kind, '') }))
}

function tellPiece(state: State, block: Block, text: string, logprobs: readonly JsonObject[], tell: Telling): void {
  const place = placeOf(state, block)
  switch (block.kind) {
    case 'reasoning':
      return tell.event('response.reasoning_summary_text.delta', () => ({ ...place, summary_index: 0, delta: text }))
    case 'text':
      return tell.event('response.output_text.delta', () => ({ ...place, content_index: 0, delta: text, logprobs }))
    case 'refusal':
      return tell.event('response.refusal.delta', () => ({ ...place, content_index: 0, delta: text }))
    default:
      return tell.event(
        block.isCustom ? 'response.custom_tool_call_input.delta' : 'response.function_call_arguments.delta',
        () => ({ ...place, delta: text }),
      )
  }
}

function tellEnd(
  state: State,
  block: Block,
  status: 'completed' | 'incomplete',
  logprobs: readonly JsonObject[],
  tell: Telling,
): void {
  const place = placeOf(state, block)
  const { kind, text, isCustom } = block
  switch (kind) {
    case 'reasoning':
      if (text === '') break
      tell.event('response.reasoning_summary_text.done', () => ({ ...place, summary_index: 0, text }))
      tell.event('response.reasoning_summary_part.done', () => ({ ...place, summary_index: 0, part: summaryOf(text) }))
      break
    case 'text':
      tell.event('response.output_text.done', () => ({ ...place, content_index: 0, text, logprobs }))
      tell.event('response.content_part.done', () => ({
        ...place,
        content_index: 0,
        part: partOf(kind, text, logprobs),
      }))
      break
    case 'refusal':
      tell.event('response.refusal.done', () => ({ ...place, content_index: 0, refusal: text }))
      tell.event('response.content_part.done', () => ({ ...place, content_index: 0, part: partOf(kind, text) }))
      break
    default:
      if (status === 'incomplete') break
      if (isCustom) tell.event('response.custom_tool_call_input.done', () => ({ ...place, input: text }))
      else
        tell.event('response.function_call_arguments.done', () => ({
          ...place,
          ...namedIn(state.job.shownAs, block.name),
          arguments: text,
        }))
  }
  const item = (): object => ({ output_index: block.index, item: itemOf(tell.shown, block, status, logprobs) })
  tell.event('response.output_item.done', item)
}
