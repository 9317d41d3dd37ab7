/** How far an answer has come: its blocks, and the items that are whole. Pure; events and whole answers share it. */
import type { JsonObject } from '../../core/fold.ts'
import { type Bytes, kindOf } from '../../core/record.ts'
import { type Block, type BlockEvent, type Blocks, endBlocks, NO_BLOCKS, withdrawn } from '../blocks.ts'
import { addRecord } from '../record-blocks.ts'
import { itemOf } from './items.ts'
import type { Status } from './object.ts'
import { type Shown, signedCalls } from './thought.ts'

export interface Progress {
  readonly blocks: Blocks
  readonly items: Items | null
}

/** Linked: a list that grows by copying is not linear. */
interface Items {
  readonly item: JsonObject
  readonly before: Items | null
}

/** `cut`: the block ends unfinished. */
export type Step = Omit<BlockEvent, 'type'> & { readonly type: BlockEvent['type'] | 'cut' }

export interface Advanced {
  readonly progress: Progress
  readonly steps: readonly Step[]
}

export const NO_PROGRESS: Progress = { blocks: NO_BLOCKS, items: null }

/** A chunk or a document; or a reset, which withdraws what there was. */
export function advance(job: Shown, progress: Progress, record: Bytes): Advanced {
  const { blocks } = progress
  if (kindOf(record) === 'reset') {
    const steps: Step[] = blocks.open === null ? [] : [cut(blocks.open)]
    return { progress: { blocks: withdrawn(blocks), items: null }, steps }
  }
  const steps: BlockEvent[] = []
  return taken(job, progress, addRecord(blocks, record, steps), steps)
}

/** No more records come. What a limit, a failure or a cancel has cut is not told as whole. */
export function finish(job: Shown, progress: Progress, status: Status): Advanced {
  const steps: BlockEvent[] = []
  const blocks = endBlocks(progress.blocks, steps)
  const last = steps.findLastIndex(({ type }) => type === 'end')
  const isCut = status !== 'completed' && last >= 0
  const all: Step[] = isCut ? (steps as readonly Step[]).with(last, cut(steps[last].block)) : steps
  const block = signedCalls(job, blocks)
  if (block === null) return taken(job, progress, blocks, all)
  all.push({ type: 'begin', block, text: '' }, { type: 'end', block, text: '' })
  return taken(job, progress, { ...blocks, count: blocks.count + 1 }, all)
}

export function outputOf({ items }: Progress): readonly JsonObject[] {
  const output: JsonObject[] = []
  for (let one = items; one !== null; one = one.before) output.push(one.item)
  return output.reverse()
}

const cut = (block: Block): Step => ({ type: 'cut', block, text: '' })

function taken(job: Shown, { items: before }: Progress, blocks: Blocks, steps: readonly Step[]): Advanced {
  let items = before
  for (const { type, block } of steps)
    if (type === 'end' || type === 'cut')
      items = { item: itemOf(job, block, type === 'cut' ? 'incomplete' : 'completed'), before: items }
  return { progress: { blocks, items }, steps }
}
