/** Tickets: secrets that let a page in once, at whichever gateway it comes to. */

/** What a ticket, and the tokens issued for it, give access to. */
export interface Session {
  /** Tells sessions without a user apart. */
  readonly id: string
  readonly keyId: string
  /** The only end user whose work it sees. Null: it sees all of the tenant's. */
  readonly user: string | null
  /** The only origin it may be used from. Null: any that may call. */
  readonly origin: string | null
  /** No token is valid after it. */
  readonly endsAtMs: number
}

export interface Tickets {
  /**
   * Keeps it for `ms`, or until it is redeemed. Rejects with rate_limit_exceeded if its key has too many unused ones.
   */
  issue(ticket: string, session: Session, ms: number): Promise<void>
  /** Uses it up. Null: unknown, used, or too old. */
  redeem(ticket: string): Promise<Session | null>
}
