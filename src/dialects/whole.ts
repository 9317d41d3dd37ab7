/** What whole answers have in common: the end record decides, and a document is passed on where it is the answer. */
import { codeOf, retryHeaders, SluiceError, statusOf } from '../core/errors.ts'
import type { Dialect, Reply, WholeAnswer } from '../core/ports/dialect.ts'
import { type Bytes, type End, isEnd, isEndOfDone, kindOf, parseEnd, payloadOf } from '../core/record.ts'

const NONE: Reply['headers'] = {}

/** Makes an answer of a log's records. */
export interface Folding {
  /** The provider's own document, byte for byte, is what clients of this dialect expect. */
  readonly passesDocuments: boolean
  /** A chunk, a reset or a usage record; or a document that isn't passed on. */
  push(record: Bytes): void
  /** Null: the log has no answer. */
  body(end: End): Bytes | null
}

/** How a dialect spells errors. A function: as JSON. */
type ErrorForm = Dialect['error'] | Pick<Dialect, 'error' | 'errorType'>

/** `type`: of the answer, if it isn't JSON; a document that is passed on is. */
export function wholeAnswer(error: ErrorForm, folding: Folding, type?: string): WholeAnswer {
  let document: Bytes | null = null
  let last: Bytes | null = null
  return {
    take(records) {
      for (const record of records) {
        const kind = kindOf(record)
        if (kind === 'document' && folding.passesDocuments) document = record
        else if (document === null && kind !== 'attempt' && kind !== 'end') folding.push(record)
        last = record
      }
    },
    reply() {
      if (last === null || !isEnd(last))
        throw new SluiceError('internal', { message: 'A log was rendered before its end.' })
      if (document !== null && isEndOfDone(last)) return { status: 200, headers: NONE, body: payloadOf(document) }
      const end = parseEnd(last)
      if (end.state !== 'done') return failure(end, error)
      const body = folding.body(end)
      if (body === null) return failure({ state: 'failed', error: new SluiceError('provider_garbage').wire }, error)
      return { status: 200, headers: NONE, body, ...(type !== undefined && { type }) }
    },
  }
}

/** The answer to a job that was not done. */
export function failure(end: End, form: ErrorForm): Reply {
  const error = end.error ?? new SluiceError('internal').wire
  const status = end.status ?? statusOf(error)
  const headers = retryHeaders({ code: codeOf(error), status, retryAfterMs: end.retryAfterMs }, true)
  if (typeof form === 'function') return { status, headers, body: form(error) }
  const { errorType: type } = form
  return { status, headers, body: form.error(error), ...(type !== undefined && { type }) }
}
