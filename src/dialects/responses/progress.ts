/** How far an answer has come: its blocks, and the items that are whole. Pure; events and whole answers share it. */
import type { JsonObject } from '../../core/fold.ts'
import { type Bytes, kindOf } from '../../core/record.ts'
import { addChunk, type Block, type BlockEvent, type Blocks, endBlocks, NO_BLOCKS, withdrawn } from '../blocks.ts'
import { chunkIn } from '../record-blocks.ts'
import { itemOf } from './items.ts'
import { addLogprobs, joined, type Logprobs, listOf, showsLogprobs } from './logprobs.ts'
import type { Status } from './object.ts'
import { type Shown, signedCalls } from './thought.ts'

export interface Progress {
  readonly blocks: Blocks
  readonly items: Items | null
  /** That belong to a text which is still to be told. */
  readonly waiting: Logprobs | null
  /** Of the open text. */
  readonly ofText: Logprobs | null
}

/** Linked: a list that grows by copying is not linear. */
interface Items {
  readonly item: JsonObject
  readonly before: Items | null
}

/** `cut`: the block ends unfinished. */
export type Step = Omit<BlockEvent, 'type'> & {
  readonly type: BlockEvent['type'] | 'cut'
  /** Of what it adds, or of the whole text. Absent: there are none. */
  readonly logprobs?: readonly JsonObject[]
}

export interface Advanced {
  readonly progress: Progress
  readonly steps: readonly Step[]
}

export const NO_PROGRESS: Progress = { blocks: NO_BLOCKS, items: null, waiting: null, ofText: null }

/** A chunk or a document; or a reset, which withdraws what there was. */
export function advance(job: Shown, progress: Progress, record: Bytes): Advanced {
  const { blocks } = progress
  if (kindOf(record) === 'reset') {
    const logprobs = listOf(progress.ofText)
    const steps: Step[] =
      blocks.open === null ? [] : [{ ...cut(blocks.open), ...(logprobs.length > 0 && { logprobs }) }]
    return { progress: { ...NO_PROGRESS, blocks: withdrawn(blocks) }, steps }
  }
  const steps: BlockEvent[] = []
  const chunk = chunkIn(record)
  const waiting = showsLogprobs(job) ? addLogprobs(progress.waiting, chunk) : null
  return taken(job, { ...progress, waiting }, addChunk(blocks, chunk, steps), steps)
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

function taken(job: Shown, before: Progress, blocks: Blocks, told: readonly Step[]): Advanced {
  const { steps, waiting, ofText } = showsLogprobs(job) ? withLogprobs(before, told) : { ...before, steps: told }
  let { items } = before
  for (const { type, block, logprobs } of steps)
    if (type === 'end' || type === 'cut')
      items = { item: itemOf(job, block, type === 'cut' ? 'incomplete' : 'completed', logprobs), before: items }
  return { progress: { blocks, items, waiting, ofText }, steps }
}

/** A piece of text has those that came since the one before; at its end, a text has all of its own. */
function withLogprobs({ waiting, ofText }: Progress, told: readonly Step[]) {
  let [rest, all] = [waiting, ofText]
  const steps = told.map((step): Step => {
    if (step.block.kind !== 'text') return step
    if (step.type === 'begin') {
      all = null
      return step
    }
    const own = rest
    all = joined(all, own)
    rest = null
    return { ...step, logprobs: listOf(step.type === 'add' ? own : all) }
  })
  return { steps, waiting: rest, ofText: all }
}
