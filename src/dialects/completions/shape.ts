/** Chunks and answers of the canonical dialect as `text_completion`. */
import { isObject, type Json, type JsonObject } from '../../core/fold.ts'
import type { Usage } from '../../core/job.ts'
import { wireUsage } from '../../core/wire.ts'

/** Null: there is nothing in it to tell. */
export function chunkOf(chunk: JsonObject): JsonObject | null {
  const { choices, ...head } = chunk
  if (!Array.isArray(choices)) return null
  const told = choices.flatMap((choice, position): JsonObject[] => {
    if (!isObject(choice)) return []
    const { delta, index = position, logprobs = null, finish_reason: finish = null, ...rest } = choice
    const text = textIn(isObject(delta) ? delta : {})
    const isEmpty = text === '' && finish === null && Object.values(rest).every((value) => value === null)
    return isEmpty ? [] : [{ ...rest, index, text, logprobs, finish_reason: finish }]
  })
  return told.length === 0 ? null : { ...head, object: 'text_completion', choices: told }
}

/** What a message says, or why it does not: a `content` that is a text or a list of parts, speech, a refusal. */
export function textIn({ content, audio, refusal }: JsonObject): string {
  const spoken = isObject(audio) ? audio['transcript'] : undefined
  return [partsIn(content), spoken, refusal].map((text) => (typeof text === 'string' ? text : '')).join('')
}

function partsIn(content: Json | undefined): Json | undefined {
  if (!Array.isArray(content)) return content
  return content
    .map((part) => (isObject(part) && part['type'] === 'text' && typeof part['text'] === 'string' ? part['text'] : ''))
    .join('')
}

/** As it was reported, where that is what is charged; null: nobody knows. */
export function usageOf(reported: Json | null | undefined, charged: Usage | undefined): object | null {
  const known = isObject(reported) ? reported : null
  if (charged === undefined) return known
  const { prompt_tokens: prompt, completion_tokens: completion } = known ?? {}
  return prompt === charged.promptTokens && completion === charged.completionTokens ? known : wireUsage(charged)
}
