/** A job that came through a broker, as a replay submits it again. */
export interface Replayed {
  /** The job's id, or its message's own. */
  readonly id: string
  /** Null: its message names none. */
  readonly tenant: string | null
  readonly model: string
  /** Where it would be posted to; null: it is a chat. */
  readonly endpoint: string | null
  /** A turn of a conversation: its prompt is more than itself. */
  readonly isTurn: boolean
  readonly request: Readonly<Record<string, unknown>>
  readonly metadata: Readonly<Record<string, string>>
}
