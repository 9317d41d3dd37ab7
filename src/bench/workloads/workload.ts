/** What is asked: prompts that follow from seed, round and index alone. */
import { createHash } from 'node:crypto'
import type { Message } from '../apis.ts'

export interface Prompt {
  readonly messages: readonly Message[]
  /** The length of the answer that is asked for; null: none. */
  readonly maxTokens: number | null
  /** Of a trace: when it came, ms from the first of its round. */
  readonly atMs: number | null
}

export interface Workload {
  /** "chat", "trace:mooncake" */
  readonly name: string
  /** Has each of its prompts a time of its own? */
  readonly hasTimes: boolean
  /** How many there are; null: as many as are wanted. */
  readonly size: number | null
  /** `count` prompts of a round. A list that is used up begins again. */
  prompts(round: number, count: number): Prompt[]
}

/** A mistake in a file or in what it is asked for: the message says what to do. */
export class WorkloadError extends Error {}

/** First 16 hex digits of SHA-256, of the messages and the length that is asked for. */
export const hashOf = ({ messages, maxTokens }: Pick<Prompt, 'messages' | 'maxTokens'>): string =>
  createHash('sha256')
    .update(JSON.stringify([messages, maxTokens]))
    .digest('hex')
    .slice(0, 16)

/** Of all prompts of a round, in order. */
export const hashOfAll = (hashes: readonly string[]): string =>
  createHash('sha256').update(hashes.join('\n')).digest('hex').slice(0, 16)

export const charsOf = (messages: readonly Message[]): number =>
  messages.reduce((sum, { content }) => sum + content.length, 0)

/**
 * So that no cache of an earlier round answers: a first line that is the same for all prompts of a round (what they
 * share of their beginnings stays shared) and another in each round and run. It is in no hash.
 */
export function withNonce(messages: readonly Message[], nonce: string): Message[] {
  const [first, ...others] = messages
  return [{ ...first, content: `[${nonce}]\n${first.content}` }, ...others]
}
