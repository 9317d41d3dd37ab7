/** What a document of an OpenAI-dialect upstream is: an answer, an error, or neither. Pure. */
import { usageOf } from '../../../core/delta.ts'
import { chunkOf } from '../../../core/document.ts'
import { isObject, type Json, type JsonObject } from '../../../core/fold.ts'
import type { JobKind } from '../../../core/job.ts'
import type { Bytes } from '../../../core/record.ts'
import type { AnswerState } from './answer-state.ts'
import { errorIn, readableError } from './error-in.ts'
import { type Failed, failed, failedInBand, tooMuch } from './failures.ts'
import { objectIn, parseScanned } from './json.ts'

export type Read =
  /** `usage`: its member of that name, parsed. */
  | { readonly kind: 'answer'; readonly usage: unknown }
  /** That it tells instead of an answer, as people read it. */
  | { readonly kind: 'error'; readonly error: unknown }
  | { readonly kind: 'garbage'; readonly what: string }
  | Failed

export interface Reading {
  readonly kind: JobKind
  /** The request's `n`, or the number of its inputs. */
  readonly choices: number
  /** Of a chat's answer, none of which was seen before. */
  readonly state: AnswerState
  /** To be kept out of messages. */
  readonly secret: string | null
}

/** Null: it is no JSON object. */
export function readDocument(text: Bytes, { kind, choices, state, secret }: Reading): Read | null {
  const document = objectIn(parseScanned(text))
  if (document === null) return null
  // What an answer has, and an error has not
  const member = kind === 'chat' ? 'choices' : 'data'
  const error = errorIn(document, member)
  if (error !== null) return { kind: 'error', error: readableError(text, error, member) }
  const answer: Read = { kind: 'answer', usage: usageOf(document) }
  if (kind !== 'chat')
    return hasEmbeddings(document, choices)
      ? answer
      : { kind: 'garbage', what: 'JSON without the embeddings asked for' }
  // By the rules of a stream, as the one chunk that it amounts to
  const chunk = chunkOf(document)
  if (chunk === document) return { kind: 'garbage', what: 'JSON that is no chat.completion' }
  const seen = state.see(chunk, true)
  if (seen.kind === 'error') return failedInBand(readableError(text, seen.error, member), secret)
  if (seen.kind === 'excess') return tooMuch(`it has more than ${seen.what}`)
  return state.end('told') === 'well' ? answer : failed('provider_cut', true)
}

/** One vector (numbers, or base64) for each input, and no two for one. */
function hasEmbeddings({ data }: JsonObject, inputs: number): boolean {
  if (!Array.isArray(data) || data.length !== inputs) return false
  const places = new Set<Json>()
  return data.every((item, i) => {
    if (!isObject(item)) return false
    const { index = i, embedding, embeddings } = item
    const isPlace = typeof index === 'number' && Number.isInteger(index) && index >= 0 && index < inputs
    if (!isPlace || places.has(index)) return false
    places.add(index)
    return isVector(embedding) || isVector(embeddings)
  })
}

/** Some engines tell several of one input, or sparse ones: lists of lists, or an object. */
function isVector(vector: Json | undefined): boolean {
  if (typeof vector === 'string') return vector !== '' && /^[\w+/-]+=*$/.test(vector)
  if (!Array.isArray(vector)) return isObject(vector)
  return (
    vector.length > 0 && vector.every((item) => typeof item === 'number' || (typeof item === 'object' && item !== null))
  )
}
