/** The demo's answer to a request: texts in tokens, or a tool call, per choice. Pure. */
import { hash, pick, seeded } from './random.ts'
import { endsOf, type Script, withoutDirectives } from './script.ts'
import { proseTokens, tokenize } from './text.ts'
import { sampleOf } from './value.ts'

export interface Message {
  readonly role?: unknown
  readonly content?: unknown
}

export interface ChatRequest {
  readonly model?: unknown
  readonly messages?: unknown
  readonly n?: unknown
  readonly seed?: unknown
  readonly stop?: unknown
  readonly max_tokens?: unknown
  readonly max_completion_tokens?: unknown
  readonly tools?: unknown
  readonly tool_choice?: unknown
  readonly response_format?: unknown
  readonly logprobs?: unknown
  readonly top_logprobs?: unknown
}

export interface Spoken {
  /** Pieces of the text, or of the tool call's arguments. */
  readonly tokens: readonly string[]
  readonly tool: string | null
  readonly finish: 'stop' | 'length' | 'tool_calls'
}

const MAX_CHOICES = 16

export const messagesOf = (request: ChatRequest): readonly Message[] =>
  Array.isArray(request.messages) ? (request.messages as Message[]) : []
const count = (value: unknown): number | null =>
  typeof value === 'number' && Number.isInteger(value) && value > 0 ? value : null
export const choicesOf = (request: ChatRequest): number => Math.min(MAX_CHOICES, count(request.n) ?? 1)

/** Text parts of a message; images and the like are passed over. */
export function textOf(message: Message | undefined): string {
  const content = message?.content
  if (typeof content === 'string') return content
  if (!Array.isArray(content)) return ''
  return content
    .map((part: unknown) =>
      typeof part === 'object' && part !== null && 'text' in part && typeof part.text === 'string' ? part.text : '',
    )
    .join(' ')
}

export const lastPrompt = (request: ChatRequest): string =>
  textOf(messagesOf(request).findLast((m) => m.role === 'user'))

/** Counted as our own tokens are: a word or a mark, and four for each message's frame. */
export const promptTokens = (request: ChatRequest): number =>
  messagesOf(request).reduce((sum, message) => sum + 4 + tokenize(textOf(message)).length, 0)

export function speak(request: ChatRequest, choice: number, script: Script): Spoken {
  const prompt = withoutDirectives(endsOf(lastPrompt(request)))
  const random = seeded(hash(JSON.stringify([request.messages, request.seed ?? null, choice])))
  const tool = toolFor(request, prompt)
  if (tool !== null)
    return { tokens: pieces(JSON.stringify(sampleOf(tool.parameters, prompt))), tool: tool.name, finish: 'tool_calls' }
  let tokens = textTokens(request, prompt, script, random)
  let finish: Spoken['finish'] = 'stop'
  const stopAt = stopIndex(tokens.join(''), request.stop)
  if (stopAt >= 0) tokens = take(tokens, stopAt)
  const limit = count(request.max_completion_tokens) ?? count(request.max_tokens)
  if (limit !== null && tokens.length > limit) {
    tokens = tokens.slice(0, limit)
    finish = 'length'
  }
  return { tokens, tool: null, finish }
}

function textTokens(request: ChatRequest, prompt: string, script: Script, random: () => number): string[] {
  const messages = messagesOf(request)
  if (script.echo) return tokenize(JSON.stringify(messages.map((m) => ({ role: m.role, content: textOf(m) }))))
  const format = request.response_format as { type?: unknown; json_schema?: { schema?: unknown } } | null | undefined
  if (format?.type === 'json_schema') return pieces(JSON.stringify(sampleOf(format.json_schema?.schema, prompt)))
  if (format?.type === 'json_object')
    return pieces(JSON.stringify({ answer: proseTokens(prompt, random, 12).join('') }))
  if (script.tokens === null) {
    const last = messages.at(-1)
    if (last?.role === 'tool')
      return tokenize(`The tool answered: ${textOf(last)}. ${proseTokens(prompt, random, null).join('')}`)
    if (/\b(did I (say|tell|ask)|do you remember|have I said|we talked about)\b/i.test(prompt))
      return tokenize(remember(messages))
  }
  return proseTokens(prompt, random, script.tokens)
}

/** Shows that the whole conversation is there. */
function remember(messages: readonly Message[]): string {
  const before = messages.slice(0, -1).filter((m) => m.role === 'user')
  if (before.length === 0) return 'This is the first thing you have said to me.'
  const said = before.map((m) => `“${withoutDirectives(textOf(m))}”`)
  return (
    `So far you have said ${said.length === 1 ? 'one thing' : `${said.length} things`}: ${said.join(', then ')}. ` +
    `Together with my answers I see ${messages.length} messages.`
  )
}

interface Tool {
  readonly name: string
  readonly parameters: unknown
}

/** The tool to call: the one that is asked for, or that the prompt speaks of; null = answer in words. */
function toolFor(request: ChatRequest, prompt: string): Tool | null {
  if (!Array.isArray(request.tools) || messagesOf(request).at(-1)?.role === 'tool') return null
  const tools = request.tools.flatMap((tool: { function?: { name?: unknown; parameters?: unknown } } | null) =>
    typeof tool?.function?.name === 'string'
      ? [{ name: tool.function.name, parameters: tool.function.parameters }]
      : [],
  )
  const choice = request.tool_choice
  if (tools.length === 0 || choice === 'none') return null
  const named = (choice as { function?: { name?: unknown } } | null | undefined)?.function?.name
  if (named !== undefined) return tools.find((tool) => tool.name === named) ?? null
  const words = prompt.toLowerCase()
  const meant = tools.find((tool) =>
    tool.name
      .toLowerCase()
      .split(/[^a-z]+/)
      .some((word) => word.length > 2 && words.includes(word)),
  )
  if (choice === 'required' || /\b(tool|function)s?\b/.test(words)) return meant ?? tools[0]
  return meant ?? null
}

const pieces = (text: string): string[] => text.match(/[\s\S]{1,5}/gu) ?? []

function stopIndex(text: string, stop: unknown): number {
  const stops = (Array.isArray(stop) ? stop : [stop]).filter((s): s is string => typeof s === 'string' && s !== '')
  return stops.reduce((first, s) => {
    const at = text.indexOf(s)
    return at >= 0 && (first < 0 || at < first) ? at : first
  }, -1)
}

/** The tokens that make up the first `length` chars. */
function take(tokens: readonly string[], length: number): string[] {
  const out: string[] = []
  let left = length
  for (const token of tokens) {
    if (left <= 0) break
    out.push(token.slice(0, left))
    left -= token.length
  }
  return out
}

/** Deals out what a continued answer still has to say; from the start when the prefix is not ours. */
export function afterPrefix(spoken: Spoken, prefix: string): { readonly spoken: Spoken; readonly skipped: number } {
  const text = spoken.tokens.join('')
  if (!text.startsWith(prefix)) return { spoken, skipped: 0 }
  let at = 0
  let skipped = 0
  while (skipped < spoken.tokens.length && at + spoken.tokens[skipped].length <= prefix.length)
    at += spoken.tokens[skipped++].length
  const rest = spoken.tokens.slice(skipped)
  if (at < prefix.length) rest[0] = rest[0].slice(prefix.length - at)
  return { spoken: { ...spoken, tokens: rest }, skipped }
}

/** Made-up alternatives of a token, in OpenAI's shape. */
export function logprobOf(token: string, top: number): Record<string, unknown> {
  const random = seeded(hash(token))
  const entry = (text: string, logprob: number): Record<string, unknown> => ({
    token: text,
    logprob: Math.round(logprob * 1e6) / 1e6,
    bytes: [...Buffer.from(text, 'utf8')],
  })
  const own = entry(token, -random())
  const others = Array.from({ length: Math.max(0, Math.min(20, top) - 1) }, (_, i) =>
    entry(pick(random, [' and', ' the', ' or', ' so', ' yet']), -1 - i - random()),
  )
  return { ...own, top_logprobs: top > 0 ? [own, ...others] : [] }
}
