/** What clients saw, written down as it happened. All that the checker knows. */

/** One event as a reader applied it. */
export interface Seen {
  /** "<epoch>-<seq>". */
  readonly id: string
  readonly event: string
  readonly data: string
}

export interface Acked {
  readonly id: string
  readonly key: string
  /** Tokens that its model was told to say. */
  readonly tokens: number
  readonly lane: string | null
  /** Place in its lane, in the order of acknowledgement. */
  readonly place: number
  canceled: boolean
}

export interface Reader {
  readonly job: string
  readonly dialect: 'native' | 'chat' | 'socket'
  /** All it applied, over all its connections. */
  readonly seen: Seen[]
  /** It was told that this is the end. */
  complete: boolean
}

/** A job as it is after the last restart. */
export interface Final {
  readonly id: string
  readonly state: string
  /** The whole log, native. */
  readonly log: readonly Seen[]
}

export interface UpstreamCall {
  readonly user: string
  readonly startMs: number
  readonly endMs: number | null
}

export interface History {
  readonly acked: Acked[]
  readonly readers: Reader[]
  readonly finals: ReadonlyMap<string, Final>
  readonly calls: readonly UpstreamCall[]
  /** Jobs of each conversation's turns, in its order. */
  readonly turns: ReadonlyMap<string, readonly string[]>
}
