/** How a conversation becomes a prompt. Pure. */
import type { Turn } from '../core/ports.ts'

export interface PromptRequest {
  /** In lane order. */
  readonly turns: readonly Turn[]
  /** The job's own messages: JSON array. */
  readonly own: string
  /** What the model can take in, without what is kept for its answer. */
  readonly budgetTokens: number
  /** Does a turn that failed or was canceled stay in the conversation? */
  readonly keepFailed: boolean
}

export interface Prompt {
  /** JSON array. */
  readonly messages: string
  /** Turns left out for want of room, the oldest ones. */
  readonly cutTurns: number
  /** Turns left out because they did not end well. */
  readonly failedTurns: number
  /** What may not be cut is alone over the budget: it is kept, and the provider decides. */
  readonly tooLong: boolean
}

/** Around each message: role, separators. */
const FRAME_TOKENS = 4
const BYTES_PER_TOKEN = 4

const tokensOf = (messages: readonly string[]): number =>
  messages.reduce((sum, m) => sum + FRAME_TOKENS + Math.ceil(Buffer.byteLength(m) / BYTES_PER_TOKEN), 0)

/** JSON texts of an array's items; a conversation may hold what a client sent, so anything but an array is one message. */
function messagesOf(json: string): string[] {
  const parsed: unknown = JSON.parse(json)
  return Array.isArray(parsed) ? parsed.map((m) => JSON.stringify(m)) : [json]
}

function isInstruction(message: string): boolean {
  const role = (JSON.parse(message) as { role?: unknown } | null)?.role
  return role === 'system' || role === 'developer'
}

/**
 * What was said so far, then the job's own messages. Cut from the oldest side in whole turns, so that a tool's result stays
 * with its call. Never cut: the instructions (system, developer) that the conversation began with, and the own messages.
 * Throws SyntaxError on what is not JSON.
 */
export function composePrompt({ turns, own, budgetTokens, keepFailed }: PromptRequest): Prompt {
  const kept = turns.filter((turn) => turn.state === 'done' || keepFailed)
  const said = kept.map((turn) => [...messagesOf(turn.messages), ...(turn.answer === null ? [] : [turn.answer])])
  // The conversation began with its first turn, however that ended
  const first = turns.length === 0 ? [] : messagesOf(turns[0].messages)
  const talk = first.findIndex((m) => !isInstruction(m))
  const instructions = talk < 0 ? first : first.slice(0, talk)
  if (kept.length > 0 && kept[0] === turns[0]) said[0] = said[0].slice(instructions.length)
  const asked = messagesOf(own)
  let room = budgetTokens - tokensOf(instructions) - tokensOf(asked)
  const tooLong = room < 0
  let from = said.length
  for (let tokens = 0; from > 0; from--) {
    tokens = tokensOf(said[from - 1])
    if (tokens > room) break
    room -= tokens
  }
  return {
    messages: `[${[...instructions, ...said.slice(from).flat(), ...asked].join(',')}]`,
    cutTurns: from,
    failedTurns: turns.length - kept.length,
    tooLong,
  }
}
