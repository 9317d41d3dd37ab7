/**
 * Where a client wants its prompt cached, beside the request: `cache_hints`, a list of paths, each with a
 * `cache_control`. Servers of OpenAI's dialect that know none refuse it within messages, so only an adapter of a
 * provider that does puts it there.
 */
import { isObject, type Json, type JsonObject } from './fold.ts'

export const CACHE_HINTS = 'cache_hints'
/** Anthropic takes four. */
export const MAX_CACHE_HINTS = 16

/**
 * Members and indexes that lead to a message, a part or a tool; and what it is to have. Below 0 an index counts from
 * the end: a conversation's earlier messages may be put before those of the request.
 */
export type CacheHint = readonly [path: ReadonlyArray<string | number>, cacheControl: JsonObject]

/** Puts them in their places, in the request itself. What leads nowhere is left out: they are hints. */
export function placeCacheHints(request: JsonObject): void {
  const hints = request[CACHE_HINTS]
  if (!Array.isArray(hints)) return
  for (const hint of hints.slice(-MAX_CACHE_HINTS)) {
    const [path, value] = Array.isArray(hint) ? hint : []
    const owner = Array.isArray(path) && path.length > 1 ? at(request, path) : undefined
    if (isObject(owner) && isObject(value)) owner['cache_control'] ??= value
  }
}

function at(request: JsonObject, path: readonly Json[]): Json | undefined {
  let value: Json | undefined = request
  for (const step of path) {
    if (typeof value !== 'object' || value === null) return undefined
    const name: string = String(
      Array.isArray(value) && typeof step === 'number' && step < 0 ? value.length + step : step,
    )
    if (!Object.hasOwn(value, name)) return undefined
    value = (value as JsonObject)[name]
  }
  return value
}
