/** A connection, as the handlers of its frames see it. */
import type { HelloFrame } from '../../core/frames.ts'
import type { From } from '../caller/auth.ts'
import type { Caller } from '../caller/caller.ts'
import type { About } from './about.ts'
import type { FollowedJobs, Follower } from './following.ts'
import type { Watches } from './watches.ts'

export interface Peer extends Follower {
  readonly id: string
  readonly from: From
  /** Null until it is known. */
  readonly caller: Caller | null
  readonly following: FollowedJobs
  /** Made when first needed. */
  readonly watches: Watches
  /** It has said hello. */
  greeted: boolean
  window: number
  /** Its caller is known now. Throws too_many_connections. */
  enter(caller: Caller, client: HelloFrame['client'] | null): void
  /** A session's token, good for the next hello. */
  renewToken(): void
  /** Reports the error of one frame; the connection stays open. */
  refuse(thrown: unknown, about: About): void
  /** The same, and the connection is closed for it. */
  refuseEntry(thrown: unknown, about: About): void
}
