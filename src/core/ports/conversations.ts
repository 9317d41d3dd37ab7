/** Conversations: lanes that remember. */
import type { Job, JobId, JobState, Place, TenantId } from '../job.ts'

export interface Turn {
  readonly job: JobId
  readonly state: JobState
  /** The job's own messages: JSON array. */
  readonly messages: string
  /** The assistant's final message: JSON object; null for a turn without one. */
  readonly answer: string | null
}

export interface ConversationInfo {
  readonly id: string
  readonly name: string | null
  readonly turns: number
  readonly createdAtMs: number
  readonly updatedAtMs: number
}

export interface TurnRange {
  readonly from: 'newest' | 'oldest'
  /** Those after this job's turn, in the order of `from`; that turn may be gone. */
  readonly beyond?: JobId
  /** At most this many (1-1,000). */
  readonly limit: number
  /** A page ends before the turn that would exceed this. */
  readonly maxBytes: number
}

export interface TurnPage {
  readonly turns: readonly Turn[]
  /** There are more after the last one. */
  readonly more: boolean
}

export interface ConversationRange {
  readonly limit: number
  readonly scope?: string
  readonly after?: string
}

export interface ConversationPage {
  readonly conversations: readonly ConversationInfo[]
  readonly next: string | null
}

/** What a watcher of a conversation is sent. */
export type ConversationNews =
  /**
   * Its state: always sent first, and again instead of changes where there are many. `info` null: there is none.
   * `jobs`: those that have not ended, in their order, at most 100; `more`: there are more after them.
   */
  | {
      readonly type: 'standing'
      readonly info: ConversationInfo | null
      readonly lastTurn: JobId | null
      readonly jobs: readonly Job[]
      /** Of those that are queued. */
      readonly places: ReadonlyMap<JobId, Place>
      readonly more: boolean
    }
  /** Power-safe. Sent even if the state had it already. */
  | { readonly type: 'submitted'; readonly job: Job; readonly place: Place | null }
  /** Its turn is in the conversation. */
  | { readonly type: 'ended'; readonly job: Job }
  | { readonly type: 'erased'; readonly job: JobId }
  | { readonly type: 'renamed'; readonly name: string }
  | { readonly type: 'truncated' }
  | { readonly type: 'deleted' }

/**
 * Lanes that remember. A conversation exists from the commit that accepts its first job; `Work.finish` adds turns, in
 * lane order.
 */
export interface Conversations {
  /** Sends `listener` the conversation's state, then each change, in order. Returns a function that stops it. */
  watch(tenant: TenantId, id: string, listener: (news: ConversationNews) => void): () => void
  get(tenant: TenantId, id: string): Promise<ConversationInfo | null>
  /**
   * Turns in the order of `from`; at least one if there is one, however large. Null when there is no such
   * conversation.
   */
  turns(tenant: TenantId, id: string, range: TurnRange): Promise<TurnPage | null>
  /** The instructions (system, developer) that it began with: JSON array; null when it began with none. */
  instructions(tenant: TenantId, id: string): Promise<string | null>
  /**
   * The one with the newest turn first, or with the first job where there is none. `scope`: '' for all of the tenant's,
   * or a name space: a text up to and including the first "/" of an id. `after`: the `next` of the page before; null at
   * the end. Throws cursor_invalid.
   */
  list(tenant: TenantId, page: ConversationRange): Promise<ConversationPage>
  rename(tenant: TenantId, id: string, name: string): Promise<boolean>
  /**
   * Keeps the first `keepTurns` turns, where a job that has not ended is the turn that it will be; those beyond are
   * canceled and erased, and what was accepted after the call is not touched.
   */
  truncate(tenant: TenantId, id: string, keepTurns: number): Promise<boolean>
  /** Also cancels and erases its jobs that have not ended; what is accepted after the call starts it again. */
  delete(tenant: TenantId, id: string): Promise<boolean>
}
