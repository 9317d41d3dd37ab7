/** OpenAI's chat SSE: the chunks as they are, `[DONE]` after a good end, an error event after any other. */
import { chunkBytesOf } from '../../core/document.ts'
import { SluiceError, type WireError } from '../../core/errors.ts'
import type { JsonObject } from '../../core/fold.ts'
import { type Bytes, isEnd, kindOf, parseEnd, payloadOf, toBytes } from '../../core/record.ts'
import { block, type Dialect, recordByRecord } from './dialect.ts'

const errorJson = (error: WireError): Bytes => toBytes(JSON.stringify({ error }))

function withoutUsage({ usage: _usage, ...chunk }: JsonObject): JsonObject {
  return chunk
}

function render(record: Bytes, seq: number, epoch: number, includeUsage: boolean): Bytes {
  // The common case first, without a call: a token
  if (record.charCodeAt(0) !== 64)
    return record.includes('\n') ? block(`${epoch}-${seq}`, '', record) : `id: ${epoch}-${seq}\ndata: ${record}\n\n`
  const id = `${epoch}-${seq}`
  switch (kindOf(record)) {
    case 'document':
      return block(id, '', chunkBytesOf(payloadOf(record), includeUsage ? undefined : withoutUsage))
    case 'usage':
      return includeUsage ? block(id, '', payloadOf(record)) : ''
    case 'reset':
      // This dialect can't take text back
      return block(id, '', errorJson(new SluiceError('stream_restarted').wire))
    case 'end': {
      const end = parseEnd(record)
      return block(id, '', end.state === 'done' ? '[DONE]' : errorJson(end.error ?? new SluiceError('internal').wire))
    }
    default:
      return ''
  }
}

const isLast = (record: Bytes): boolean => kindOf(record) === 'reset' || isEnd(record)

const plain = recordByRecord('chat', false, (record, seq, epoch) => render(record, seq, epoch, false), isLast)
const withUsage = recordByRecord('chat+usage', false, (record, seq, epoch) => render(record, seq, epoch, true), isLast)

export const chatDialect = (includeUsage: boolean): Dialect => (includeUsage ? withUsage : plain)
