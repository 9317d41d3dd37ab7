/** Blocks requests that bring tools which are not on a tenant's list. */
import { SluiceError } from '../../core/errors.ts'
import { isRecord, type JsonRecord } from '../../core/json.ts'
import { defineGuard } from './guard.ts'
import { names, onList } from './names.ts'

interface Tool {
  readonly name: string
  readonly param: string
}

export const allowTools = defineGuard(
  'allow-tools',
  'Blocks requests with any tool that is not listed.',
  {
    tools: names().describe(
      'Names of functions and custom tools, types of tools that a provider brings (`web_search`); a trailing `*` ' +
        'matches any ending. Empty: no tools.',
    ),
  },
  ({ tools }) => {
    const isAllowed = onList(tools)
    return ({ request }) => {
      const refused = request === undefined ? undefined : toolsOf(request()).find(({ name }) => !isAllowed(name))
      return refused === undefined
        ? null
        : new SluiceError('tool_not_allowed', {
            param: refused.param,
            message: `This tenant may not use the tool ${quoted(refused.name)} (guard allow-tools).`,
          })
    }
  },
)

const quoted = (name: string): string => JSON.stringify(name.slice(0, 64))

/** By which some providers search the web: OpenAI, xAI, Alibaba. */
const SEARCHES = ['web_search_options', 'search_parameters', 'enable_search']

function toolsOf(request: JsonRecord): readonly Tool[] {
  const { tools, functions, plugins } = request
  const searches = SEARCHES.filter((name) => (request[name] ?? false) !== false)
  const named = (list: unknown, param: string, nameOf: (tool: JsonRecord) => unknown): readonly Tool[] => {
    if (list === undefined || list === null) return []
    if (!Array.isArray(list)) return [{ name: '', param }]
    return list.map((tool, i) => {
      const name = isRecord(tool) ? nameOf(tool) : null
      return { name: typeof name === 'string' ? name : '', param: `${param}[${i}]` }
    })
  }
  return [
    ...named(tools, 'tools', toolName),
    ...named(functions, 'functions', ({ name }) => name),
    // OpenRouter's
    ...named(plugins, 'plugins', ({ id }) => id),
    ...searches.map((param) => ({ name: 'web_search', param })),
  ]
}

/** A tool that its provider brings goes by its type, whatever else it is given. */
function toolName({ type = null, function: made, custom }: JsonRecord): unknown {
  if (type !== null && type !== 'function' && type !== 'custom') return type
  const own = type === 'custom' || (type === null && !isRecord(made)) ? custom : made
  return isRecord(own) ? own['name'] : null
}
