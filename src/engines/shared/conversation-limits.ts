/** How much conversations may keep. */
export interface ConversationLimitOptions {
  /** Turns of one conversation. */
  readonly turns: number
  /** Bytes of one conversation. */
  readonly bytes: number
  /** Bytes of all conversations of a tenant. */
  readonly tenantBytes: number
  /** How long a conversation is idle before it is deleted, ms; null = for ever. */
  readonly maxAgeMs: number | null
}

export const UNLIMITED: ConversationLimitOptions = {
  turns: Infinity,
  bytes: Infinity,
  tenantBytes: Infinity,
  maxAgeMs: null,
}
