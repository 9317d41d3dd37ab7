/** What a page of the dashboard watches. */
import type { LiveAsk, LiveTold, Role } from '../live.ts'

export interface Live {
  /**
   * A page has come. It is told what every page is told, until it asks for more; `tell` returns false when it took
   * nothing, for it does not read: what was told is lost.
   */
  open(role: Role, tell: (told: LiveTold) => boolean): LivePage
}

export interface LivePage {
  /** Watches this, and nothing else any more. Throws for what can't be watched. */
  ask(ask: LiveAsk): void
  close(): void
}
