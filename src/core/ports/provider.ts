/** Providers and deployments: where models are reached. */
import type { Clock, Wheel } from '../clock.ts'
import type { SluiceError } from '../errors.ts'
import type { Ids } from '../ids.ts'
import type { JobKind } from '../job.ts'
import type { Bytes } from '../record.ts'
import type { Traceparent } from '../trace.ts'
import type { UpstreamLimits } from '../upstream-limits.ts'
import type { PlanDeployment } from './coordinator.ts'

/** A file that goes with a request. */
export interface Upload {
  /** The form's field; one of a list: with "[]". */
  readonly field: string
  readonly name: string
  /** Media type. */
  readonly type: string
  readonly bytes: number
  /** All of it, each chunk read when it is asked for. Rejects where it can't be read. */
  read(): AsyncIterable<Uint8Array>
}

export interface ProviderCall {
  readonly kind: JobKind
  /** The request to send: OpenAI dialect, UTF-8. One with files has its form's fields (core/media.ts). */
  readonly body: Uint8Array
  /** Ask for events, or for the answer in one piece? A provider that can do only one of them does that one. */
  readonly stream: boolean
  /** For the upstream's correlation. */
  readonly requestId: string
  /** Of the request that the job came with, with the attempt as its parent. */
  readonly trace?: Traceparent | undefined
  readonly timeouts: Timeouts
  /** The assistant's text so far, to be continued; only if `continues`. */
  readonly prefix?: string | undefined
  /** The sound of a transcription; images of an edit. Absent: none. */
  readonly uploads?: readonly Upload[] | undefined
}

export interface Timeouts {
  /** To the first text, where the answer comes as a stream. */
  readonly ttftMs: number
  /** Between events, from the first text on. */
  readonly interTokenMs: number
  /** The whole attempt. */
  readonly totalMs: number
}

/** How fast an answer must begin, where another deployment could give it. */
export interface MinSpeed {
  readonly tokensPerSecond: number
  /** From its first text on. */
  readonly overMs: number
}

export type ProviderEnd =
  /** The answer is complete: the upstream said so ([DONE], or a finish reason for every choice and a clean end). */
  | { readonly kind: 'done'; readonly limits?: UpstreamLimits }
  /**
   * `retry`: could the same call succeed later, or on another deployment only? The error's `retryAfterMs` is there if
   * the upstream is too busy: no call starts there before.
   */
  | {
      readonly kind: 'failed'
      readonly error: SluiceError
      readonly retry: boolean | 'elsewhere'
      readonly limits?: UpstreamLimits
    }
  /** `abort` was called. */
  | { readonly kind: 'aborted' }

export interface ProviderSink {
  /** Events of the canonical dialect, each the bytes of one JSON text, in order, as many as one read brought. */
  events(payloads: readonly Bytes[]): void
  /**
   * The whole answer in one piece, instead of events: the upstream's bytes. `usage`: its member of that name, parsed.
   */
  document(document: Bytes, usage: unknown): void
  /**
   * Of kinds with media alone. Bytes of this media type begin, which are a file of their own: a sound's, or those of an
   * image that its document refers to as `{"part": n}`, in the order in which they began (0 first).
   */
  part?(type: string): void
  /** More of it. The call is paused where they can't be taken as fast. */
  bytes?(chunk: Uint8Array): void
  /** Exactly once; nothing follows. */
  end(end: ProviderEnd): void
}

export interface ProviderRun {
  /** When its request was on its way, on a connection that stood; null: it is not yet, or nobody knows. */
  readonly sentMono: number | null
  /** Stops the call and closes its connection within this turn; `end` follows with `aborted`. Safe to repeat. */
  abort(): void
  /** Stops reading until `resume`: what the upstream sends waits in the kernel, and its silence doesn't count. */
  pause(): void
  resume(): void
}

/** What came of asking for one. `text`: empty, unless the status is 200. `isLocal`: this machine is the reason. */
export type Page =
  | { readonly status: number; readonly text: string }
  | { readonly failure: string; readonly isLocal?: boolean }

/** One way to reach models; bound at construction to its origin and key, which no caller can change. */
export interface Provider {
  /** Can it continue a given beginning of an answer? */
  readonly continues: boolean
  /** Starts a call; never throws, and never calls the sink before it has returned. An embedding is a document. */
  start(call: ProviderCall, sink: ProviderSink): ProviderRun
  /** Can it be reached, and does it accept our key? For doctor. */
  check(): Promise<{ readonly ok: boolean; readonly detail: string; readonly status?: number }>
  /**
   * Asks for a page of its server, by a path from the root, with its own headers. Absent: it can't be asked so. Never
   * rejects.
   */
  readonly look?: (path: string, bounds: { readonly timeoutMs: number; readonly maxBytes: number }) => Promise<Page>
  /** Running calls fail, as do those started later. Safe to repeat. */
  close(): void
}

/** What an adapter gets in addition to its settings. */
export interface ProviderDeps {
  readonly clock: Clock
  readonly ids: Ids
  readonly wheel: Wheel
  /** How long a socket is left unread after a read; 0 = not at all. */
  readonly gatherMs: () => number
  /** "http://user:password@proxy:3128", and the hosts that are called without it. */
  readonly proxy: string | null
  readonly noProxy: readonly string[]
  readonly maxAnswerBytes: number
  /** Text of a file that a setting names. Throws config_invalid. */
  readonly readFile: (setting: string, path: string) => string
}

/** An adapter's one export. Throws config_invalid; the message names the setting, and never its value. */
export type CreateProvider<Settings> = (name: string, settings: Settings, deps: ProviderDeps) => Provider

/** A model somewhere: what routing chooses among. */
export interface Deployment extends PlanDeployment {
  /** It is called with the key of the job's own tenant: what that costs, and whether it works, is that tenant's. */
  readonly isOwnKey?: true
  readonly provider: Provider
  /** Size of the model's context, tokens; conversations are cut to it. Null: nobody knows. */
  readonly contextTokens: number | null
  /** Is it asked for streams as the client asks for them, always, or never? */
  readonly stream: 'as_asked' | 'always' | 'never'
  /** Members of an answer that a conversation sends back to it, in addition to those that any provider takes. */
  readonly conversationMembers: readonly string[]
  readonly timeouts: Timeouts
  /** Null: as slow as it is. */
  readonly minSpeed: MinSpeed | null
}
