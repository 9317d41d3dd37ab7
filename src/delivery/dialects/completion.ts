/** The JSON reply: the whole log as one answer, or as the error that the job ended with. */
import { foldAnswer, toCompletion } from '../../core/answer.ts'
import { ERRORS, SluiceError } from '../../core/errors.ts'
import type { JobKind } from '../../core/job.ts'
import { type Bytes, type End, isEnd, kindOf, parseEnd, toBytes } from '../../core/record.ts'

/** `records` from the first to the end record. */
export function renderCompletion(
  kind: JobKind,
  records: readonly Bytes[],
): { readonly status: number; readonly body: Bytes } {
  const last = records.at(-1)
  if (last === undefined || !isEnd(last))
    throw new SluiceError('internal', { message: 'A log was rendered before its end.' })
  const end = parseEnd(last)
  if (end.state !== 'done') return renderError(end)
  if (kind === 'embedding') {
    const answer = records.findLast((r) => kindOf(r) === 'chunk')
    return answer === undefined
      ? renderError({ state: 'failed', error: new SluiceError('provider_garbage').wire })
      : { status: 200, body: answer }
  }
  return { status: 200, body: toBytes(JSON.stringify(toCompletion(foldAnswer(records)))) }
}

function renderError(end: End): { readonly status: number; readonly body: Bytes } {
  const error = end.error ?? new SluiceError('internal').wire
  return { status: end.status ?? ERRORS[error.code].status, body: toBytes(JSON.stringify({ error })) }
}
