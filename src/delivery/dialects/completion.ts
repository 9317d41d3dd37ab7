/** The JSON reply: the whole log as one answer, or as the error that the job ended with. */

import { type Answer, foldAnswer, toCompletion } from '../../core/answer.ts'
import { codeOf, retryHeaders, SluiceError, statusOf } from '../../core/errors.ts'
import type { JobKind } from '../../core/job.ts'
import type { Reply } from '../../core/ports/delivery.ts'
import { type Bytes, type End, isEnd, kindOf, parseEnd, payloadOf, toBytes } from '../../core/record.ts'
import { wireUsage } from '../../core/wire.ts'

const NONE: Reply['headers'] = {}

/** `records` from the first to the end record. */
export function renderCompletion(kind: JobKind, records: readonly Bytes[]): Reply {
  const last = records.at(-1)
  if (last === undefined || !isEnd(last))
    throw new SluiceError('internal', { message: 'A log was rendered before its end.' })
  const end = parseEnd(last)
  if (end.state !== 'done') return renderError(end)
  const document = documentOf(kind, records)
  if (document !== undefined) return { status: 200, headers: NONE, body: payloadOf(document) }
  if (kind === 'embedding') return renderError({ state: 'failed', error: new SluiceError('provider_garbage').wire })
  return { status: 200, headers: NONE, body: toBytes(JSON.stringify(completed(foldAnswer(records), end))) }
}

/** Until documents had a record of their own, an embedding was stored as a chunk. */
const documentOf = (kind: JobKind, records: readonly Bytes[]): Bytes | undefined =>
  records.findLast((r) => kindOf(r) === 'document' || (kind === 'embedding' && kindOf(r) === 'chunk'))

/** The upstream's own `usage`, unless it says less than what the job is charged: several attempts, or no report. */
function completed(answer: Answer, { usage }: End): object {
  const isWhole = answer.usage !== null && answer.usage['completion_tokens'] === usage?.completionTokens
  return { ...toCompletion(answer), ...(isWhole || usage === undefined ? {} : { usage: wireUsage(usage) }) }
}

function renderError(end: End): Reply {
  const error = end.error ?? new SluiceError('internal').wire
  const status = end.status ?? statusOf(error)
  const headers = retryHeaders({ code: codeOf(error), status, retryAfterMs: end.retryAfterMs }, true)
  return { status, headers, body: toBytes(JSON.stringify({ error })) }
}
