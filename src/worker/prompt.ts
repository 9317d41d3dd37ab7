/**
 * The request as an upstream gets it: with the answers of the jobs that it comes after (outputs.ts), and all that was
 * said before. A conversation becomes a prompt by its turns, newest first and only as far as there is room, then the
 * job's own messages. It is cut before a user's message, never between a call and its result.
 */
import type { Clock } from '../core/clock.ts'
import { SluiceError } from '../core/errors.ts'
import { editObject, NO_LIMITS, scanObject } from '../core/json.ts'
import type { Conversations, Turn } from '../core/ports/conversations.ts'
import type { Deployment } from '../core/ports/provider.ts'
import { answerMessage, isInstruction, type Message, pairCalls, parseMessages } from './messages.ts'
import { type OutputDeps, withOutputs } from './outputs.ts'
import type { JobRequest } from './run-deps.ts'

export interface PromptRequest {
  /** The job's own messages: JSON array. */
  readonly own: string
  /** The instructions (system, developer) that the conversation began with: JSON array. Never cut. */
  readonly instructions: string
  /** The model's context, less what is reserved for its answer. */
  readonly budgetTokens: number
  /** Images cost few tokens and many bytes. */
  readonly maxPromptBytes: number
  /** Does a turn that failed or was canceled stay in the conversation? */
  readonly keepFailed: boolean
  /** Members of an answer that are sent back in addition to those that any provider takes. */
  readonly answerMembers: readonly string[]
}

/** Pure. Throws SyntaxError on what is not JSON. */
export class Prompt {
  readonly #request: PromptRequest
  readonly #instructions: readonly Message[]
  readonly #known: ReadonlySet<string>
  readonly #own: readonly Message[]
  /** The part of the conversation that is sent, newest first. */
  readonly #kept: Message[] = []
  /** Messages since the last cut that is allowed, newest first. */
  #pending: Message[] = []
  #pendingTokens = 0
  #pendingBytes = 0
  #tokens: number
  #bytes: number
  /** Results whose calls are further back. */
  readonly #results = new Set<string>()
  /** The job's own among them: the conversation can't be cut before their calls. */
  readonly #ownResults = new Set<string>()
  /** The pending messages are needed, even if there is no room. */
  #needed: boolean
  #full = false

  constructor(request: PromptRequest) {
    this.#request = request
    this.#instructions = parseMessages(request.instructions)
    this.#known = new Set(this.#instructions.map(({ text }) => text))
    this.#own = this.#withoutInstructions(parseMessages(request.own))
    const fixed = [...this.#instructions, ...this.#own]
    this.#tokens = request.budgetTokens - sum(fixed, ({ tokens }) => tokens)
    this.#bytes = request.maxPromptBytes - sum(fixed, ({ bytes }) => bytes)
    for (const message of this.#own.toReversed()) this.#follow(message, true)
    // An exchange that began in an earlier turn
    const first = this.#own.find((message) => !isInstruction(message))
    this.#needed = first !== undefined && first.role !== 'user'
  }

  /** Takes the next older turn. False: no more turns are needed. */
  add(turn: Turn): boolean {
    const messages = this.#messagesOf(turn)
    for (let i = messages.length - 1; i >= 0 && !this.#full; i--) {
      this.#push(messages[i])
      if (messages[i].role !== 'user') continue
      for (; i > 0 && isInstruction(messages[i - 1]); i--) this.#push(messages[i - 1])
      this.#cut()
    }
    if (this.#bytes < this.#pendingBytes) this.#full = true
    else if (this.#tokens < this.#pendingTokens && !this.#needed && this.#ownResults.size === 0) this.#full = true
    return !this.#full
  }

  /** JSON texts. Throws invalid_request when none of the job's own messages can be sent. */
  messages(): readonly string[] {
    // The beginning of a conversation need not be a user's message
    if (!this.#full || this.#needed) this.#cut()
    const sent = pairCalls([...this.#instructions, ...this.#kept.toReversed(), ...this.#own])
    const results = new Set(this.#own.filter(({ resultOf }) => resultOf !== null))
    if (results.size > 0 && results.size === this.#own.length && !sent.some((message) => results.has(message)))
      throw new SluiceError('invalid_request', { param: 'messages', message: UNPAIRED })
    return sent.map(({ text }) => text)
  }

  /** A turn as far as it stays in the conversation: a tool's result is the client's word, and stays with its call. */
  #messagesOf(turn: Turn): readonly Message[] {
    const said = this.#withoutInstructions(parseMessages(turn.messages))
    const answer = turn.answer === null ? null : answerMessage(turn.answer, this.#request.answerMembers)
    const all = answer === null ? said : [...said, answer]
    const isAnswered = ({ calls }: Message): boolean => calls.some((id) => this.#results.has(id))
    const stays = turn.state === 'done' || this.#request.keepFailed || all.some(isAnswered)
    return stays ? all : said.filter(({ resultOf }) => resultOf !== null)
  }

  /** Clients repeat their instructions with each turn; once is enough. */
  #withoutInstructions(messages: readonly Message[]): readonly Message[] {
    let from = 0
    while (from < messages.length && this.#known.has(messages[from].text)) from++
    return messages.slice(from)
  }

  #push(message: Message): void {
    this.#pending.push(message)
    this.#pendingTokens += message.tokens
    this.#pendingBytes += message.bytes
    if (message.calls.some((id) => this.#ownResults.has(id))) this.#needed = true
    this.#follow(message, false)
  }

  #follow({ resultOf, calls }: Message, isOwn: boolean): void {
    for (const id of calls) {
      this.#results.delete(id)
      this.#ownResults.delete(id)
    }
    if (resultOf === null) return
    this.#results.add(resultOf)
    if (isOwn) this.#ownResults.add(resultOf)
  }

  /** Here the prompt may begin: are the pending messages part of it? */
  #cut(): void {
    const fits = this.#pendingTokens <= this.#tokens && this.#pendingBytes <= this.#bytes
    if (!fits && !this.#needed) {
      // The call of an own result may be further back
      if (this.#ownResults.size === 0) this.#full = true
      return
    }
    for (const message of this.#pending) this.#kept.push(message)
    this.#tokens -= this.#pendingTokens
    this.#bytes -= this.#pendingBytes
    this.#pending = []
    this.#pendingTokens = this.#pendingBytes = 0
    this.#needed = false
  }
}

const UNPAIRED =
  'The tool results of this request answer no call of the conversation. Send each with the "tool_call_id" of a call ' +
  'that an answer of this conversation made.'

const sum = (messages: readonly Message[], of: (message: Message) => number): number =>
  messages.reduce((total, message) => total + of(message), 0)

// ---------------------------------------------------------------- from the store

export interface PromptOptions extends OutputDeps {
  readonly conversations: Conversations
  readonly clock: Clock
  readonly keepFailed: boolean
}

const TURNS_A_PAGE = 32
const BYTES_A_PAGE = 1 << 20
/** Of a model whose context nobody knows. */
const UNKNOWN_CONTEXT_TOKENS = 128_000

/** The request of a job as its upstream gets it. */
export function createPrompts(deps: PromptOptions) {
  const { conversations, clock, ...options } = deps

  async function within(conversation: string, { job, body }: JobRequest, deployment: Deployment): Promise<Uint8Array> {
    const { tenant } = job
    const known = await conversations.get(tenant, conversation)
    if (known === null || known.turns === 0) return body
    const contextTokens = deployment.contextTokens ?? UNKNOWN_CONTEXT_TOKENS
    const request = JSON.parse(Buffer.from(body).toString('utf8')) as Record<string, unknown>
    const prompt = new Prompt({
      ...options,
      own: JSON.stringify(request['messages']),
      instructions: (await conversations.instructions(tenant, conversation)) ?? '[]',
      budgetTokens: contextTokens - answerTokens(request, contextTokens),
      answerMembers: deployment.conversationMembers,
    })
    const range = { from: 'newest', limit: TURNS_A_PAGE, maxBytes: BYTES_A_PAGE } as const
    let page = await conversations.turns(tenant, conversation, range)
    while (page !== null) {
      let wantsMore = page.more
      for (const turn of page.turns) wantsMore = prompt.add(turn) && wantsMore
      const last = page.turns.at(-1)
      if (!wantsMore || last === undefined) break
      await new Promise<void>((next) => clock.soon(next))
      page = await conversations.turns(tenant, conversation, { ...range, beyond: last.job })
    }
    return withMessages(body, prompt.messages(), clock)
  }

  async function afterOthers(
    { job, body }: JobRequest,
    deployment: Deployment,
    stopped: AbortSignal,
  ): Promise<Uint8Array> {
    const messages = await withOutputs(deps, job, body, stopped)
    return inConversation(
      { job, body: messages === null ? body : await withMessages(body, messages, clock) },
      deployment,
    )
  }

  function inConversation(request: JobRequest, deployment: Deployment): Uint8Array | Promise<Uint8Array> {
    const { kind, options } = request.job
    const { conversation } = options
    return conversation === undefined || kind !== 'chat' ? request.body : within(conversation, request, deployment)
  }

  return (request: JobRequest, deployment: Deployment, stopped: () => AbortSignal): Uint8Array | Promise<Uint8Array> =>
    request.job.after === undefined ? inConversation(request, deployment) : afterOthers(request, deployment, stopped())
}

/**
 * The request with other messages. Images make them large: encoded one by one, so that the loop is never held for
 * long.
 */
async function withMessages(body: Uint8Array, messages: readonly string[], clock: Clock): Promise<Uint8Array> {
  const frame = editObject(body, { messages: '[]' })
  const at = scanObject(frame, NO_LIMITS).find(({ key }) => key === 'messages')!.valueStart + 1
  const parts: Uint8Array[] = [frame.subarray(0, at)]
  let encoded = 0
  for (const [i, text] of messages.entries()) {
    parts.push(Buffer.from(i === 0 ? text : `,${text}`, 'utf8'))
    encoded += text.length
    if (encoded < BYTES_A_PAGE) continue
    encoded = 0
    await new Promise<void>((next) => clock.soon(next))
  }
  parts.push(frame.subarray(at))
  return Buffer.concat(parts)
}

/** What is reserved for the answer: as much as the client asks for, at most half. */
function answerTokens(request: Record<string, unknown>, contextTokens: number): number {
  const asked = request['max_completion_tokens'] ?? request['max_tokens']
  return typeof asked === 'number' && asked > 0 ? Math.min(asked, contextTokens / 2) : 0
}
