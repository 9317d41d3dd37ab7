/** Tools of Anthropic's API as functions of the canonical dialect. */
import type { CacheHint } from '../../core/cache-hints.ts'
import { bad, isText } from '../../core/fields.ts'
import type { JsonObject } from '../../core/fold.ts'
import { isRecord, type JsonRecord } from '../../core/json.ts'
import { cacheControlIn } from './input.ts'

/** Run by Anthropic's own servers: offers, which a model without them answers without. */
const OFFERED =
  /^(?:(?:web_search|web_fetch|code_execution|advisor)_\d{8}|tool_search_tool_(?:bm25|regex)\w{0,16}|mcp_toolset)$/
const MAX_SHOWN_CHARS = 64

/** Throws invalid_request for a tool that its client runs, and whose input only Anthropic's models know. */
export function toolsOf(tools: unknown, hints: CacheHint[]): readonly JsonObject[] {
  if (!Array.isArray(tools)) return []
  const read: JsonObject[] = []
  for (const [i, tool] of (tools as readonly unknown[]).entries()) {
    const at = `tools[${i}]`
    if (!isRecord(tool)) throw bad(at, `${at} must be an object.`)
    const { type, name, description, input_schema: schema, strict } = tool
    if (isText(type) && OFFERED.test(type)) continue
    if (type === 'function' && isRecord(tool['function']))
      throw bad(at, `${at} has the form of OpenAI's API: here a tool is its "name", "description" and "input_schema".`)
    if (type !== undefined && type !== null && type !== 'custom')
      throw bad(
        `${at}.type`,
        `${at} is a tool that only Anthropic's models know (${JSON.stringify(type).slice(0, MAX_SHOWN_CHARS)}): ` +
          'send it as a tool of your own, with a "name" and an "input_schema".',
      )
    if (!isText(name)) throw bad(`${at}.name`, `${at}.name must be a string.`)
    if (!isRecord(schema)) throw bad(`${at}.input_schema`, `${at}.input_schema must be a JSON Schema, an object.`)
    const called: JsonObject = { name }
    if (isText(description)) called['description'] = description
    called['parameters'] = schema as JsonObject
    if (typeof strict === 'boolean') called['strict'] = strict
    const control = cacheControlIn(tool)
    if (control !== null) hints.push([['tools', read.length], control])
    read.push({ type: 'function', function: called })
  }
  return read
}

const isOffered = (tools: unknown, name: string): boolean =>
  Array.isArray(tools) &&
  tools.some((tool) => isRecord(tool) && tool['name'] === name && isText(tool['type']) && OFFERED.test(tool['type']))

/** `tool_choice` and `parallel_tool_calls`, which some engines refuse where there are no tools. */
export function choiceOf({ tool_choice: choice, tools: sent }: JsonRecord, tools: readonly JsonObject[]): JsonObject {
  if (!isRecord(choice)) return {}
  const { type, name, disable_parallel_tool_use: isSerial } = choice
  const isCalled = type === 'any' || type === 'tool'
  if (type === 'tool' && isText(name) && isOffered(sent, name))
    throw bad('tool_choice', `"tool_choice" requires "${name}", which Anthropic's own servers run: leave it out here.`)
  if (isCalled && tools.length === 0)
    throw bad('tool_choice', '"tool_choice" requires a tool, and there is none that can be called here.')
  if (tools.length === 0) return {}
  const serial: JsonObject = isSerial === true ? { parallel_tool_calls: false } : {}
  switch (type) {
    case 'auto':
    case 'none':
      return { tool_choice: type, ...serial }
    case 'any':
      return { tool_choice: 'required', ...serial }
    case 'tool': {
      const isThere = tools.some((tool) => isRecord(tool['function']) && tool['function']['name'] === name)
      if (!isText(name) || !isThere) throw bad('tool_choice.name', '"tool_choice.name" must be the name of a tool.')
      return { tool_choice: { type: 'function', function: { name } }, ...serial }
    }
  }
  throw bad('tool_choice.type', '"tool_choice.type" must be "auto", "any", "tool" or "none".')
}
