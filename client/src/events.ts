/** What an application sees of a job. */
import type {
  EndFrame,
  WireChunk,
  WireEvent,
  WireLimit,
  WirePlace,
  WireRoom,
  WireTiming,
  WireUsage,
} from '../../src/core/frames.ts'
import type { Message } from './fold.ts'

type Attempt = Extract<WireEvent, { attempt: unknown }>['attempt']

/** An event of the log. To go on right after it, attach with its cursor: the job's own may be further. */
interface Logged {
  readonly cursor: string
}

export type JobEvent =
  /** Its place in the queue now, and the limit that it waits for, if it waits for one. */
  | ({ readonly type: 'queue' } & WirePlace)
  | ({ readonly type: 'attempt' } & Attempt & Logged)
  /** One chunk as the provider sent it, and its text. */
  | ({ readonly type: 'chunk'; readonly chunk: WireChunk; readonly text: string } & Logged)
  /** What was shown is withdrawn; the answer begins anew. */
  | ({ readonly type: 'reset'; readonly reason: string } & Logged)
  /** What was shown is void, because the log was rewritten; everything follows from the start. */
  | { readonly type: 'gap'; readonly reason: string }
  | ({ readonly type: 'usage'; readonly chunk: WireChunk } & Logged)
  /** The connection was lost; the job keeps running. `tokens` and `chars` of the first choice were shown before. */
  | { readonly type: 'cut'; readonly tokens: number; readonly chars: number }
  /** Reading resumes where it was cut, after `awayMs`; nothing is lost. */
  | { readonly type: 'resumed'; readonly tokens: number; readonly chars: number; readonly awayMs: number }
  /** Everything stored so far has been shown; what follows is live. */
  | { readonly type: 'live' }
  | EndEvent

export interface EndEvent extends Logged {
  readonly type: 'end'
  readonly state: EndFrame['state']
  readonly error: EndFrame['error'] | null
  /** The limit that ended the answer early. */
  readonly cut: WireLimit | null
  readonly usage: WireUsage | null
  readonly timing: WireTiming | null
  /** As seen here: submit to first text, ms; null for a job that was attached to, or showed nothing. */
  readonly seen: { readonly ttftMs: number | null }
}

export interface Accepted {
  readonly id: string
  /** It existed already: the same idempotency key, the same body. */
  readonly joined: boolean
  readonly queue: WirePlace | null
  /** What is left of the limits that it is under; empty: there are none, or nobody knows. */
  readonly limits: readonly WireRoom[]
}

export interface Answer {
  readonly text: string
  /** The first choice's, tool calls included. */
  readonly message: Message
  /** The limit that ended it early; null: it is whole, as far as the model is concerned. */
  readonly cut: WireLimit | null
  readonly usage: WireUsage | null
  readonly timing: WireTiming | null
  readonly ttftMs: number | null
}
