/**
 * Events of Anthropic's Messages API, numbered by a count of their own, so that a resume after any of them is exactly
 * the rest. What was shown can't be withdrawn: a `reset` ends the stream with an error.
 */
import { SluiceError } from '../../core/errors.ts'
import type { JsonObject } from '../../core/fold.ts'
import { type Rendering, SSE, type StreamForm } from '../../core/ports/dialect.ts'
import { type Bytes, type End, formatCursor, kindOf, parseEnd, toBytes } from '../../core/record.ts'
import { type BlockEvent, type Blocks, endBlocks, NO_BLOCKS } from '../blocks.ts'
import { addRecord } from '../record-blocks.ts'
import { sseEvent } from '../sse.ts'
import { failure } from '../whole.ts'
import { errorOf } from './errors.ts'
import { begunBlock, inputOf, isShown, messageOf, showsThought, signatureOf, stopOf, usageOf } from './message.ts'

interface State {
  readonly job: Rendering
  readonly told: number
  /** Content blocks that were begun. */
  readonly shown: number
  /** One of them was a refusal. */
  readonly refused: boolean
  readonly blocks: Blocks
}

type Change<T> = { -readonly [K in keyof T]: T[K] }

/** What one run tells. */
class Telling {
  readonly now: Change<State>
  readonly #epoch: number
  readonly #known: number
  events: Bytes = ''

  constructor(epoch: number, state: State, known: number) {
    this.#epoch = epoch
    this.#known = known
    this.now = { ...state }
  }

  event(type: string, make: () => Bytes): void {
    this.now.told++
    if (this.now.told <= this.#known) return
    this.events += sseEvent(formatCursor(this.#epoch, this.now.told), `event: ${type}\n`, make())
  }

  tell(type: string, make: () => JsonObject): void {
    this.event(type, () => toBytes(JSON.stringify({ type, ...make() })))
  }
}

export const stream: StreamForm<State> = {
  name: 'messages',
  // Clients wait for events, not for bytes
  wire: { ...SSE, heartbeat: 'event: ping\ndata: {"type": "ping"}\n\n' },
  takesBack: false,
  begin: (job) => ({ job, told: 0, shown: 0, refused: false, blocks: NO_BLOCKS }),
  render({ epoch, records }, state, known) {
    const telling = new Telling(epoch, state, known)
    const { now } = telling
    const done = (over: boolean) => ({ events: telling.events, state: now, over })
    for (const record of records)
      switch (kindOf(record)) {
        case 'chunk':
        case 'document':
          try {
            show(telling, record)
          } catch (thrown) {
            telling.event('error', () => errorOf(SluiceError.from(thrown).wire))
            return done(true)
          }
          break
        case 'reset':
          // Of what is withdrawn nothing was shown
          if (now.shown === 0) {
            now.blocks = NO_BLOCKS
            break
          }
          telling.event('error', () => errorOf(new SluiceError('stream_restarted').wire))
          return done(true)
        case 'end':
          end(telling, parseEnd(record))
          return done(true)
      }
    return done(false)
  },
  count: ({ told }) => told,
  beginsAnywhere: false,
  gap: null,
  live: null,
  error: (error) => `event: error\ndata: ${errorOf(error.wire)}\n\n`,
  failure: (end) => failure(end, errorOf),
}

function show(telling: Telling, record: Bytes): void {
  const { now } = telling
  opened(telling)
  const events: BlockEvent[] = []
  try {
    now.blocks = addRecord(now.blocks, record, events)
  } finally {
    for (const event of events) tellBlock(telling, event)
  }
}

function opened(telling: Telling): void {
  const { now } = telling
  if (now.told === 0) telling.tell('message_start', () => ({ message: messageOf(now.job) }))
}

function tellBlock(telling: Telling, { type, block, text }: BlockEvent): void {
  const { now } = telling
  if (!isShown(block, showsThought(now.job))) return
  if (type === 'begin') {
    const index = now.shown++
    now.refused ||= block.kind === 'refusal'
    telling.tell('content_block_start', () => ({ index, content_block: begunBlock(now.job, block) }))
    return
  }
  const index = now.shown - 1
  const delta = (make: () => JsonObject): void => telling.tell('content_block_delta', () => ({ index, delta: make() }))
  if (type === 'add') {
    if (block.kind === 'reasoning') delta(() => ({ type: 'thinking_delta', thinking: text }))
    else if (block.kind !== 'call') delta(() => ({ type: 'text_delta', text }))
    else if (!block.isCustom) delta(() => ({ type: 'input_json_delta', partial_json: text }))
    return
  }
  if (block.isCustom) delta(() => ({ type: 'input_json_delta', partial_json: JSON.stringify(inputOf(block)) }))
  if (block.kind === 'reasoning' && block.encrypted === '')
    delta(() => ({ type: 'signature_delta', signature: signatureOf(block) }))
  telling.tell('content_block_stop', () => ({ index }))
}

function end(telling: Telling, end: End): void {
  const { now } = telling
  if (end.state !== 'done') {
    telling.event('error', () => errorOf(end.error ?? new SluiceError('internal').wire))
    return
  }
  opened(telling)
  const events: BlockEvent[] = []
  now.blocks = endBlocks(now.blocks, events)
  for (const event of events) tellBlock(telling, event)
  telling.tell('message_delta', () => ({
    delta: { ...stopOf(now.blocks, now.refused, end) },
    usage: usageOf(end.usage),
  }))
  telling.tell('message_stop', () => ({}))
}
