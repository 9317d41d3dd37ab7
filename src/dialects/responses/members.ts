/** Members of a request: what is mistyped, or of chat completions, is refused, as it would be missing in the answer. */
import { bad } from '../../core/fields.ts'
import { isRecord, type JsonRecord } from '../../core/json.ts'
import { didYouMean } from '../../core/nearest.ts'

const KNOWN: ReadonlySet<string> = new Set([
  ...['model', 'input', 'instructions', 'previous_response_id', 'conversation', 'prompt', 'tools', 'tool_choice'],
  ...['text', 'reasoning', 'temperature', 'top_p', 'top_logprobs', 'max_output_tokens', 'max_tool_calls', 'truncation'],
  ...['stream', 'stream_options', 'store', 'background', 'include', 'metadata', 'user', 'safety_identifier'],
  ...['parallel_tool_calls', 'service_tier', 'prompt_cache_key', 'prompt_cache_options', 'prompt_cache_retention'],
  // Published, without an effect here
  ...['access_programs', 'context_management', 'image', 'moderation', 'client_metadata'],
  // Of chat completions, and sent on; `n` is checked by itself
  ...['seed', 'stop', 'presence_penalty', 'frequency_penalty', 'n'],
  'sluice',
])

/** Of chat completions: what they are here. */
const MOVED: ReadonlyMap<string, string> = new Map([
  ['messages', '"input"'],
  ['system', '"instructions"'],
  ['max_tokens', '"max_output_tokens"'],
  ['max_completion_tokens', '"max_output_tokens"'],
  ['response_format', '"text": {"format": …}'],
  ['verbosity', '"text": {"verbosity": …}'],
  ['reasoning_effort', '"reasoning": {"effort": …}'],
  ['functions', '"tools"'],
  ['function_call', '"tool_choice"'],
])

/** Throws invalid_request. Null is as if it were not there. */
export function checkKnown(sent: JsonRecord): void {
  for (const name in sent) {
    if (KNOWN.has(name) || sent[name] === null || sent[name] === undefined) continue
    const here = MOVED.get(name)
    if (here !== undefined) throw bad(name, `"${name}" is of /v1/chat/completions; here it is ${here}.`)
    throw bad(name, `"${name}" is not a member of a response.${didYouMean(name, KNOWN)}`)
  }
}

/** A hint for a tool as chat completions have it. */
export const inFunction = ({ function: own }: JsonRecord): string =>
  isRecord(own) ? ' Of a response\'s tool it stands beside "type", not in "function", as do its parameters.' : ''
