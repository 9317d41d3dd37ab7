/**
 * What the processes on one store ask each other while somebody looks at the dashboard of one of them. It costs nothing
 * while nobody asks. Whoever does not answer is told apart from whoever has left.
 */
import type { NodeRow } from '../live.ts'

export const MAX_QUESTION_BYTES = 32 * 1024
export const MAX_ANSWER_BYTES = 256 * 1024

export interface About {
  /** For people: where it runs. */
  readonly name: string
  readonly role: NodeRow['role']
  /** What it is started as: one that follows it there takes its place in the list. */
  readonly seat: string
}

export interface Peer extends Omit<About, 'seat'> {
  /** Another one with each start. */
  readonly id: string
  /** For so long nothing of it was there, though it has not left; null: it is there, if only its connections. */
  readonly absentMs: number | null
}

export interface Part {
  readonly about: About
  /** Called at most once a turn for each that asks; null: no answer. Must not throw. */
  answer(question: string): string | null
  /** What another one answers. Must not throw, whatever it is: another version may have sent it. */
  heard(from: string, answer: string): void
}

export interface Peers {
  /** The id of this process. */
  readonly self: string
  /** From now on it is listed, and asked, until its engine is closed. Called once. */
  join(part: Part): void
  /**
   * Asks all others; what they answer is heard by `part`, if it comes. Resolves with those that are listed; rejects
   * with storage_unavailable.
   */
  ask(question: string): Promise<readonly Peer[]>
}
