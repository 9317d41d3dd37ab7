/** The blocks of a log: each record that shows something is a chunk. */
import { chunkOf, parseDocument } from '../core/document.ts'
import { type Bytes, kindOf, payloadOf, toText } from '../core/record.ts'
import { addChunk, type BlockEvent, type Blocks } from './blocks.ts'

/** The chunk that a record is; null: it shows nothing. */
export function chunkIn(record: Bytes): unknown {
  const kind = kindOf(record)
  if (kind === 'document') return chunkOf(parseDocument(payloadOf(record)))
  return kind === 'chunk' ? JSON.parse(toText(record)) : null
}

/** The next record. Appends to `events`. */
export const addRecord = (blocks: Blocks, record: Bytes, events: BlockEvent[]): Blocks =>
  addChunk(blocks, chunkIn(record), events)
