/** What a handler answers with: a value, so that something can be done with it before it is sent, and after. */
import type { SluiceError } from '../../core/errors.ts'
import { type Bytes, toBytes } from '../../core/record.ts'

export type Headers = Readonly<Record<string, string>>
export const NO_HEADERS: Headers = {}
export const JSON_TYPE = 'application/json; charset=utf-8'

export interface Answer {
  readonly status: number
  /** Null: it has none, and no type. */
  readonly body: Bytes | null
  readonly type: string
  /** Beside those that every answer carries. */
  readonly headers: Headers
}

/**
 * Null: the handler writes the response itself, or nobody is left to read one. An error is answered as if it was
 * thrown: what is refused often is returned, for a throw through async functions costs as much as the refusal.
 */
export type Answered = Answer | SluiceError | null

export const json = (status: number, value: unknown, headers = NO_HEADERS): Answer =>
  bytes(status, toBytes(JSON.stringify(value)), headers)

/** `body`: JSON, unless `type` is another. */
export const bytes = (status: number, body: Bytes, headers = NO_HEADERS, type = JSON_TYPE): Answer => ({
  status,
  body,
  type,
  headers,
})

export const empty = (status: number, headers = NO_HEADERS): Answer => ({ status, body: null, type: '', headers })
