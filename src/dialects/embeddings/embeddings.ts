/** OpenAI's embeddings, which come whole. */
import type { Dialect, WholeAnswer } from '../../core/ports/dialect.ts'
import { type Bytes, kindOf } from '../../core/record.ts'
import { errorJson } from '../../core/wire.ts'
import { wholeAnswer } from '../whole.ts'
import { request } from './request.ts'

function whole(): WholeAnswer {
  // Until documents had a record of their own, an embedding was stored as a chunk
  let chunk: Bytes | null = null
  return wholeAnswer(errorJson, {
    passesDocuments: true,
    push(record) {
      if (kindOf(record) === 'chunk') chunk = record
    },
    body: () => chunk,
  })
}

export const embeddings: Dialect = { name: 'embeddings', requests: [request], stream: null, whole, error: errorJson }
