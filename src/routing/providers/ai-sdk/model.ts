/**
 * What is used of the AI SDK's interface of a language model, version 4 (@ai-sdk/provider). Written out here, so that
 * no type of an optional package is needed to build Sluice, and a reader sees what it rests on.
 */
export interface Options {
  readonly [provider: string]: Readonly<Record<string, unknown>>
}

export type FileData = { readonly type: 'data'; readonly data: string } | { readonly type: 'url'; readonly url: URL }

export type Part = { readonly providerOptions?: Options } & (
  | { readonly type: 'text' | 'reasoning'; readonly text: string }
  | { readonly type: 'file'; readonly data: FileData; readonly mediaType: string; readonly filename?: string }
  | { readonly type: 'tool-call'; readonly toolCallId: string; readonly toolName: string; readonly input: unknown }
  | {
      readonly type: 'tool-result'
      readonly toolCallId: string
      readonly toolName: string
      readonly output: { readonly type: 'text'; readonly value: string }
    }
)

export type Message = { readonly providerOptions?: Options } & (
  | { readonly role: 'system'; readonly content: string }
  | { readonly role: 'user' | 'assistant' | 'tool'; readonly content: readonly Part[] }
)

export interface Tool {
  readonly type: 'function'
  readonly name: string
  readonly description?: string
  readonly inputSchema: unknown
  readonly strict?: boolean
  readonly providerOptions?: Options
}

export type ToolChoice =
  | { readonly type: 'auto' | 'none' | 'required' }
  | { readonly type: 'tool'; readonly toolName: string }

export interface CallOptions {
  readonly prompt: readonly Message[]
  readonly maxOutputTokens?: number
  readonly temperature?: number
  readonly stopSequences?: readonly string[]
  readonly topP?: number
  readonly topK?: number
  readonly presencePenalty?: number
  readonly frequencyPenalty?: number
  readonly responseFormat?:
    | { readonly type: 'text' }
    | { readonly type: 'json'; readonly schema?: unknown; readonly name?: string; readonly description?: string }
  readonly seed?: number
  readonly tools?: readonly Tool[]
  readonly toolChoice?: ToolChoice
  readonly reasoning?: string
  readonly providerOptions?: Options
}

/** Of one call: goes beside what was translated. */
export interface CallContext {
  readonly abortSignal: AbortSignal
  readonly headers: Readonly<Record<string, string>>
}

export interface Usage {
  readonly inputTokens?: {
    readonly total?: number | undefined
    readonly cacheRead?: number | undefined
    readonly cacheWrite?: number | undefined
  }
  readonly outputTokens?: { readonly total?: number | undefined; readonly reasoning?: number | undefined }
}

/** `raw`: the provider's own word; undefined where it said none. */
export interface Finish {
  readonly unified: string
  readonly raw?: string | undefined
}

export interface Warning {
  readonly type: string
  readonly feature?: string
  readonly details?: string | undefined
  readonly message?: string
}

interface Metadata {
  readonly providerMetadata?: Options | undefined
}

export type Content = Metadata &
  (
    | { readonly type: 'text' | 'reasoning'; readonly text: string }
    | ToolCall
    | GeneratedFile
    | Source
    | { readonly type: 'other' }
  )

export interface ToolCall {
  readonly type: 'tool-call'
  readonly toolCallId: string
  readonly toolName: string
  /** JSON. */
  readonly input: string
  readonly providerExecuted?: boolean
}

export interface GeneratedFile {
  readonly type: 'file'
  readonly mediaType: string
  readonly data: { readonly type: string; readonly data?: string | Uint8Array; readonly url?: URL }
}

export interface Source {
  readonly type: 'source'
  readonly sourceType: string
  readonly url?: string
  readonly title?: string | undefined
}

export type StreamPart = Metadata &
  (
    | { readonly type: 'stream-start'; readonly warnings: readonly Warning[] }
    | { readonly type: 'response-metadata'; readonly id?: string; readonly modelId?: string }
    | {
        readonly type: 'text-delta' | 'reasoning-delta' | 'tool-input-delta'
        readonly id: string
        readonly delta: string
      }
    | { readonly type: 'reasoning-start' | 'reasoning-end'; readonly id: string }
    | {
        readonly type: 'tool-input-start'
        readonly id: string
        readonly toolName: string
        readonly providerExecuted?: boolean
      }
    | ToolCall
    | GeneratedFile
    | Source
    | { readonly type: 'finish'; readonly finishReason: Finish; readonly usage: Usage }
    | { readonly type: 'error'; readonly error: unknown }
    | { readonly type: 'ping' }
  )

export interface Result {
  readonly content: readonly Content[]
  readonly finishReason: Finish
  readonly usage: Usage
  readonly warnings: readonly Warning[]
  readonly response?: { readonly id?: string | undefined; readonly modelId?: string | undefined }
}

export interface LanguageModel {
  readonly specificationVersion: string
  readonly supportedUrls: PromiseLike<Readonly<Record<string, RegExp[]>>> | Readonly<Record<string, RegExp[]>>
  doGenerate(options: CallOptions & CallContext): PromiseLike<Result>
  doStream(options: CallOptions & CallContext): PromiseLike<{ readonly stream: ReadableStream<StreamPart> }>
}

export interface EmbeddingModel {
  readonly maxEmbeddingsPerCall?: number | undefined | PromiseLike<number | undefined>
  doEmbed(
    options: { readonly values: readonly string[]; readonly providerOptions?: Options } & CallContext,
  ): PromiseLike<{
    readonly embeddings: ReadonlyArray<readonly number[]>
    readonly usage?: { readonly tokens: number }
  }>
}

/** What an adapter's package makes, for one call: every request goes through this `fetch`. */
export interface Models {
  chat(model: string, fetch: typeof globalThis.fetch): LanguageModel
  /** It adds room for thought to the limit of output, in a body that may still be changed. */
  readonly addsThought: boolean
  /** Null: the provider has none. */
  readonly embedding: ((model: string, fetch: typeof globalThis.fetch) => EmbeddingModel) | null
}
