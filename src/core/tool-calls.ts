/** Calls of tools in the messages of a chat request: as what they are compared. */
import { isRecord, type JsonRecord } from './json.ts'

export interface ToolCall {
  /** Its tool and its arguments, in one spelling. */
  readonly what: string
  readonly tool: string
}

/** Deeper arguments are compared as they are written. */
const MAX_DEPTH = 32

/** Of a member of `tool_calls`; null: it is none. */
export function readToolCall({ function: made, custom }: JsonRecord): ToolCall | null {
  const { name, arguments: args, input } = isRecord(made) ? made : isRecord(custom) ? custom : {}
  if (typeof name !== 'string') return null
  return { what: `${name}\n${canonical(args ?? input)}`, tool: name }
}

/** The same arguments in one spelling. */
function canonical(args: unknown): string {
  if (typeof args !== 'string') return JSON.stringify(args) ?? ''
  try {
    return JSON.stringify(sorted(JSON.parse(args), MAX_DEPTH))
  } catch {
    return args
  }
}

function sorted(value: unknown, depth: number): unknown {
  if (depth === 0 && typeof value === 'object') throw new RangeError('too deep')
  if (Array.isArray(value)) return value.map((item) => sorted(item, depth - 1))
  if (!isRecord(value)) return value
  const keys = Object.keys(value).sort()
  return keys.map((key) => [key, sorted(value[key], depth - 1)])
}
