/**
 * Tools of the Responses API as tools of chat completions. Those that OpenAI's servers run are left out: a model
 * without them answers without them. The functions of a namespace get one name each, and their calls are told by both.
 */
import { bad, isText } from '../../core/fields.ts'
import type { JsonObject } from '../../core/fold.ts'
import { isRecord, type JsonRecord } from '../../core/json.ts'
import { inFunction } from './members.ts'

export interface Tool {
  readonly type: 'function' | 'custom'
  /** As the model is told. */
  readonly name: string
  readonly canonical: JsonObject
}

export interface Tools {
  readonly tools: readonly Tool[]
  /** As they were sent, without those that are left out. */
  readonly sent: readonly JsonRecord[]
  /** Those of namespaces, by the name that the model is told. */
  readonly namespaces: Namespaces
}

export type Namespaces = Readonly<Record<string, readonly [namespace: string, name: string]>>

/** Their clients run them, and only OpenAI's models know their input. */
const CLIENT_RUN = new Set(['shell', 'local_shell', 'apply_patch', 'computer', 'computer_use', 'computer_use_preview'])
/** A job in line keeps their names in memory. */
const MAX_NAMESPACED = 512
const MAX_SHOWN_CHARS = 64
const BETWEEN = '__'

/** Throws invalid_request. */
export function toolsOf(tools: unknown): Tools {
  const read: Tool[] = []
  const sent: JsonRecord[] = []
  const namespaces: Record<string, readonly [string, string]> = {}
  for (const [i, tool] of (Array.isArray(tools) ? tools : []).entries()) {
    const at = `tools[${i}]`
    if (!isRecord(tool)) throw bad(at, `${at} must be an object.`)
    if (tool['type'] === 'namespace') addNamespace(tool, at, read, namespaces)
    else {
      const known = toolOf(tool, at)
      if (known === null) continue
      read.push(known)
    }
    sent.push(tool)
  }
  const names = new Set<string>()
  for (const { name } of Object.keys(namespaces).length > 0 ? read : []) {
    if (names.has(name))
      throw bad('tools', `Two tools are called "${name}", one of them with its namespace: rename it.`)
    names.add(name)
  }
  return { tools: read, sent, namespaces }
}

/** Null: it is left out. */
function toolOf(tool: JsonRecord, at: string): Tool | null {
  const { type, name, parameters, strict, description, format } = tool
  if (isText(type) && CLIENT_RUN.has(type))
    throw bad(
      `${at}.type`,
      `${at} is a tool that only OpenAI's models know (${JSON.stringify(type).slice(0, MAX_SHOWN_CHARS)}): send it ` +
        'as a function or a custom tool of your own.',
    )
  if (type !== 'function' && type !== 'custom') return null
  if (!isText(name)) throw bad(`${at}.name`, `${at}.name must be a string.${inFunction(tool)}`)
  const described = isText(description) ? { name, description } : { name }
  const own =
    type === 'custom'
      ? { ...described, ...(isRecord(format) && { format: formatOf(format) }) }
      : { ...described, ...(parameters != null && { parameters }), ...(strict != null && { strict }) }
  return { type, name, canonical: { type, [type]: own as JsonObject } }
}

/** A grammar lies one level deeper in chat completions. */
function formatOf({ type, ...rest }: JsonRecord): JsonObject {
  return (type === 'grammar' ? { type, grammar: rest } : { type, ...rest }) as JsonObject
}

function addNamespace(
  { name: namespace, tools }: JsonRecord,
  at: string,
  read: Tool[],
  namespaces: Record<string, readonly [string, string]>,
): void {
  if (!isText(namespace) || namespace === '') throw bad(`${at}.name`, `${at}.name must be a string.`)
  if (!Array.isArray(tools)) throw bad(`${at}.tools`, `${at}.tools must be a list.`)
  for (const [i, tool] of tools.entries()) {
    const here = `${at}.tools[${i}]`
    if (!isRecord(tool)) throw bad(here, `${here} must be an object.`)
    const { name } = tool
    if (!isText(name)) throw bad(`${here}.name`, `${here}.name must be a string.`)
    const full = nameIn(namespace, name)
    const known = toolOf({ ...tool, name: full }, here)
    if (known === null) continue
    if (Object.keys(namespaces).length >= MAX_NAMESPACED)
      throw bad(`${at}.tools`, `Namespaces may have ${MAX_NAMESPACED} tools in all.`)
    namespaces[full] = [namespace, name]
    read.push(known)
  }
}

/** Of a namespace's tool, as the model is told. */
export const nameIn = (namespace: unknown, name: string): string =>
  isText(namespace) && namespace !== '' ? `${namespace}${BETWEEN}${name}` : name

/** `tool_choice`, for those that can be called. */
export function choiceOf(choice: unknown, tools: readonly Tool[]): JsonObject | string | undefined {
  if (choice === undefined || choice === null) return undefined
  if (choice === 'auto' || choice === 'none') return tools.length > 0 ? choice : undefined
  if (choice === 'required') {
    if (tools.length > 0) return choice
    throw bad('tool_choice', `"tool_choice" requires a tool, and there is none that can be called. ${OWN_TOOLS}`)
  }
  if (!isRecord(choice)) throw bad('tool_choice', '"tool_choice" must be auto, none, required, or an object.')
  const named = chosen(choice)
  if (named !== null) return named
  const { type, mode, tools: allowed } = choice
  if (type === 'allowed_tools' && Array.isArray(allowed)) {
    const all = allowed.flatMap((one: unknown) => (isRecord(one) ? (chosen(one) ?? []) : []))
    return { type, allowed_tools: { mode: isText(mode) ? mode : 'auto', tools: all } }
  }
  throw bad('tool_choice', `"tool_choice" names a tool that can't be called. ${OWN_TOOLS}`)
}

function chosen({ type, name, namespace }: JsonRecord): JsonObject | null {
  if ((type !== 'function' && type !== 'custom') || !isText(name)) return null
  return { type, [type]: { name: nameIn(namespace, name) } }
}

const OWN_TOOLS = 'Tools of type function and custom are; those that OpenAI runs (web_search, mcp, …) are left out.'
