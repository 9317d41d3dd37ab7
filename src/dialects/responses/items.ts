/** Blocks of an answer as output items of the Responses API, and back as messages of the canonical dialect. */

import type { JsonObject } from '../../core/fold.ts'
import type { JobId } from '../../core/job.ts'
import type { Rendering } from '../../core/ports/dialect.ts'
import type { Bytes } from '../../core/record.ts'
import { kindOf } from '../../core/record.ts'
import { type Block, type BlockEvent, endBlocks, NO_BLOCKS, withdrawn } from '../blocks.ts'
import { addRecord } from '../record-blocks.ts'
import { itemId } from './ids.ts'
import { type Shown, sealedIn, thoughtOf } from './thought.ts'
import type { Namespaces } from './tools.ts'

export type ItemStatus = 'in_progress' | 'completed' | 'incomplete'

const PREFIX = { reasoning: 'rs', text: 'msg', refusal: 'msg' } as const

export const idOf = (job: JobId, { kind, index, isCustom }: Block): string =>
  itemId(kind === 'call' ? (isCustom ? 'ctc' : 'fc') : PREFIX[kind], job, index)

/** Without a part yet where it is in progress, as the events have it. */
export function itemOf(
  shown: Shown,
  block: Block,
  status: ItemStatus,
  logprobs: readonly JsonObject[] = [],
): JsonObject {
  const { id: job, shownAs } = shown
  const id = idOf(job, block)
  const { kind, text, isCustom } = block
  const begins = status === 'in_progress'
  switch (kind) {
    case 'reasoning':
      return {
        ...{ id, type: 'reasoning', summary: text === '' ? [] : [summaryOf(text)] },
        ...(!begins && sealedIn(shown, block)),
      }
    case 'call': {
      const call = { id, status, call_id: callIdOf(job, block), ...namedIn(shownAs, block.name) }
      return isCustom
        ? { type: 'custom_tool_call', ...call, input: begins ? '' : text }
        : { type: 'function_call', ...call, arguments: begins ? '' : text }
    }
    default:
      return { id, type: 'message', status, role: 'assistant', content: begins ? [] : [partOf(kind, text, logprobs)] }
  }
}

/** Of a tool of a namespace, by both names. */
export function namedIn(shownAs: Rendering['shownAs'], name: string): { name: string; namespace?: string } {
  const namespaces = (shownAs?.['namespaces'] ?? {}) as Namespaces
  if (!Object.hasOwn(namespaces, name)) return { name }
  const [namespace, own] = namespaces[name]
  return { name: own, namespace }
}

export const summaryOf = (text: string): JsonObject => ({ type: 'summary_text', text })

export const partOf = (kind: 'text' | 'refusal', text: string, logprobs: readonly JsonObject[] = []): JsonObject =>
  kind === 'text'
    ? { type: 'output_text', annotations: [], logprobs: [...logprobs], text }
    : { type: 'refusal', refusal: text }

/** Some upstreams name no call; a tool's output needs a name to refer to. */
const callIdOf = (job: JobId, block: Block): string => block.id || `call_${idOf(job, block).slice('fc_'.length)}`

/** The blocks of a log that were not withdrawn. */
export function blocksIn(records: readonly Bytes[]): readonly Block[] {
  let blocks = NO_BLOCKS
  let events: BlockEvent[] = []
  for (const record of records)
    if (kindOf(record) === 'reset') {
      blocks = withdrawn(blocks)
      events = []
    } else blocks = addRecord(blocks, record, events)
  endBlocks(blocks, events)
  return events.filter(({ type }) => type === 'end').map(({ block }) => block)
}

/** As a message of the canonical dialect, which an answer is one of: its blocks in the order of their kinds. */
export function messageOf(job: JobId, blocks: readonly Block[]): JsonObject | null {
  if (blocks.length === 0) return null
  const textIn = (kind: Block['kind']): string =>
    blocks.map((block) => (block.kind === kind ? block.text : '')).join('')
  const [text, refusal] = [textIn('text'), textIn('refusal')]
  const calls = blocks.filter(({ kind }) => kind === 'call')
  return {
    role: 'assistant',
    content: text === '' ? null : text,
    ...(refusal !== '' && { refusal }),
    ...thoughtOf(blocks.filter(({ kind }) => kind === 'reasoning')),
    ...(calls.length > 0 && {
      tool_calls: calls.map((call) => ({ ...call.more, ...callOf(callIdOf(job, call), call) })),
    }),
  }
}

export const callOf = (id: string, { name, text, isCustom }: Pick<Block, 'name' | 'text' | 'isCustom'>): JsonObject =>
  isCustom
    ? { id, type: 'custom', custom: { name, input: text } }
    : { id, type: 'function', function: { name, arguments: text } }
