/** What the processes that share a server's ports tell each other, by way of the one that started them. */
import type { Question } from '../../app/siblings.ts'
import { ERRORS, type ErrorCode, SluiceError } from '../../core/errors.ts'
import type { Ready } from '../screen.ts'

export interface PackedError {
  readonly code: ErrorCode
  readonly message: string
}

export type Answer = { readonly value: unknown } | { readonly error: PackedError }

export type FromChild =
  | { readonly type: 'ready'; readonly ready: Ready }
  /** Whether it takes work; null: it does. */
  | { readonly type: 'health'; readonly error: PackedError | null }
  | { readonly type: 'ask'; readonly n: number; readonly question: Question }
  | { readonly type: 'answer'; readonly n: number; readonly answer: Answer }

export type ToChild =
  | { readonly type: 'ask'; readonly n: number; readonly question: Question }
  | { readonly type: 'answers'; readonly n: number; readonly answers: readonly Answer[] }
  /** Why another one takes no work; null: all do. */
  | { readonly type: 'health'; readonly error: PackedError | null }

export function pack(error: unknown): PackedError {
  const { code, message } = SluiceError.from(error)
  return { code, message }
}

export const unpack = ({ code, message }: PackedError): SluiceError =>
  new SluiceError(Object.hasOwn(ERRORS, code) ? code : 'internal', { message })
