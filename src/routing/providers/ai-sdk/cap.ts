/**
 * A client's limit of output covers what is thought, in OpenAI's dialect, and it is what was reserved for the call. The
 * package for Anthropic adds the room to think on top of it: this takes it out again, on the way.
 */
import { isObject } from '../../../core/fold.ts'

/** Anthropic's least; below it nothing is thought. */
const MIN_BUDGET = 1_024

/** The body with no more than `limit` tokens of output in all, and at most half of them for thought. */
export function capped(text: string, limit: number): string {
  const body: unknown = JSON.parse(text)
  if (!isObject(body) || typeof body['max_tokens'] !== 'number' || body['max_tokens'] <= limit) return text
  const { thinking, ...rest } = body
  if (!isObject(thinking) || typeof thinking['budget_tokens'] !== 'number')
    return JSON.stringify({ ...body, max_tokens: limit })
  const budget = Math.min(thinking['budget_tokens'], Math.floor(limit / 2))
  if (budget < MIN_BUDGET) return JSON.stringify({ ...rest, max_tokens: limit })
  return JSON.stringify({ ...body, max_tokens: limit, thinking: { ...thinking, budget_tokens: budget } })
}

/** `fetch` with that body; a limit that is undefined changes nothing. */
export const fetchWithin =
  (fetch: typeof globalThis.fetch, limit: number | undefined): typeof globalThis.fetch =>
  (input, init) =>
    limit === undefined || typeof init?.body !== 'string'
      ? fetch(input, init)
      : fetch(input, { ...init, body: capped(init.body, limit) })
