/** The message object: the whole log as one answer. */
import type { Rendering, WholeAnswer } from '../../core/ports/dialect.ts'
import { type Bytes, type End, kindOf, toBytes } from '../../core/record.ts'
import { type Block, type BlockEvent, endBlocks, NO_BLOCKS } from '../blocks.ts'
import { addRecord } from '../record-blocks.ts'
import { wholeAnswer } from '../whole.ts'
import { errorOf } from './errors.ts'
import { isShown, messageOf, showsThought, stopOf, usageOf, wholeBlock } from './message.ts'

export function whole(job: Rendering): WholeAnswer {
  const thought = showsThought(job)
  let shown: Block[] = []
  let blocks = NO_BLOCKS
  const keep = (events: readonly BlockEvent[]): void => {
    for (const { type, block } of events) if (type === 'end' && isShown(block, thought)) shown.push(block)
  }
  return wholeAnswer(errorOf, {
    passesDocuments: false,
    push(record) {
      if (kindOf(record) === 'reset') {
        shown = []
        blocks = NO_BLOCKS
        return
      }
      const events: BlockEvent[] = []
      blocks = addRecord(blocks, record, events)
      keep(events)
    },
    body(end: End): Bytes {
      const events: BlockEvent[] = []
      blocks = endBlocks(blocks, events)
      keep(events)
      return toBytes(
        JSON.stringify({
          ...messageOf(job),
          content: shown.map((block) => wholeBlock(job, block)),
          ...stopOf(
            blocks,
            shown.some(({ kind }) => kind === 'refusal'),
            end,
          ),
          usage: usageOf(end.usage),
        }),
      )
    },
  })
}
