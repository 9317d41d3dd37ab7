/** How likely the tokens of an answer's texts were, where its provider tells it. Pure. */
import { isText } from '../../core/fields.ts'
import { choiceIndex, isObject, type Json, type JsonObject } from '../../core/fold.ts'
import type { JsonRecord } from '../../core/json.ts'
import type { Rendering } from '../../core/ports/dialect.ts'

/** Of `include`. */
const LOGPROBS = 'message.output_text.logprobs'

/** Linked: a list that grows by copying is not linear. */
export interface Logprobs {
  readonly tokens: readonly JsonObject[]
  readonly before: Logprobs | null
}

export const wantsLogprobs = ({ include }: JsonRecord): boolean => Array.isArray(include) && include.includes(LOGPROBS)

export const showsLogprobs = ({ shownAs }: Pick<Rendering, 'shownAs'>): boolean => shownAs?.['logprobs'] === true

/** What a chunk tells is added. */
export function addLogprobs(before: Logprobs | null, chunk: unknown): Logprobs | null {
  if (!isObject(chunk) || !Array.isArray(chunk['choices'])) return before
  const { choices } = chunk
  const first = choices.find((one, i) => isObject(one) && choiceIndex(one, i, choices.length) === 0)
  const told = isObject(first) && isObject(first['logprobs']) ? first['logprobs']['content'] : null
  const tokens = (Array.isArray(told) ? told : []).flatMap((one) => tokenOf(one))
  return tokens.length === 0 ? before : { tokens, before }
}

export const joined = (before: Logprobs | null, more: Logprobs | null): Logprobs | null =>
  more === null ? before : { tokens: listOf(more), before }

export function listOf(last: Logprobs | null): readonly JsonObject[] {
  const all: Array<readonly JsonObject[]> = []
  for (let one = last; one !== null; one = one.before) all.push(one.tokens)
  return all.reverse().flat()
}

function tokenOf(told: Json): JsonObject[] {
  const likely = likelyOf(told)
  if (likely === null) return []
  const { top_logprobs: top } = told as JsonObject
  return [{ ...likely, top_logprobs: (Array.isArray(top) ? top : []).flatMap((one) => likelyOf(one) ?? []) }]
}

function likelyOf(told: Json): JsonObject | null {
  if (!isObject(told)) return null
  const { token, logprob, bytes } = told
  if (!isText(token) || typeof logprob !== 'number') return null
  return { token, logprob, bytes: Array.isArray(bytes) ? bytes : [...Buffer.from(token)] }
}
