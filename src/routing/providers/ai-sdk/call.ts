/** One call of a model of the AI SDK: its parts as events or a document, and exactly one end. */
import type { Clock } from '../../../core/clock.ts'
import { isObject } from '../../../core/fold.ts'
import type { ProviderCall, ProviderEnd, ProviderSink } from '../../../core/ports/provider.ts'
import { type Bytes, toBytes } from '../../../core/record.ts'
import type { UpstreamLimits } from '../../../core/upstream-limits.ts'
import { RunningCall } from '../http/running-call.ts'
import type { Sweep } from '../http/sweep.ts'
import { type Failed, failed, failedInBand } from '../openai/failures.ts'
import { objectIn, parseJson } from '../openai/json.ts'
import { Chunks, documentOf, type Labels, reasonOf, TooManyCalls, usageOf } from './answer.ts'
import type { StreamPart } from './model.ts'
import { Untranslatable } from './request.ts'
import type { Transport } from './transport.ts'

export interface Asking {
  readonly transport: Transport
  readonly signal: AbortController
  readonly labels: Labels
  /** `embedding` and a chat's `document` tell the whole answer. */
  readonly ask:
    | { readonly kind: 'stream'; readonly parts: () => Promise<ReadableStream<StreamPart>> }
    | { readonly kind: 'document'; readonly result: () => Promise<Parameters<typeof documentOf>[0]> }
    | { readonly kind: 'embedding'; readonly result: () => Promise<{ readonly text: string; readonly usage: unknown }> }
}

export interface CallDeps {
  readonly clock: Clock
  readonly sweep: Sweep
  readonly secret: string | null
  readonly maxAnswerBytes: number
}

/** How long a refusal's body is waited for. */
const REFUSAL_GRACE_MS = 2_000
/** An answer that still comes after this is one that trickles (as at the client of OpenAI's dialect). */
const TRICKLES_AFTER_MS = 40

export class SdkCall extends RunningCall {
  readonly #deps: CallDeps
  #asking: Asking | null = null
  #batch: Bytes[] = []
  #isFlushing = false
  #firstEventMono = 0
  #told = 0

  constructor(deps: CallDeps, call: ProviderCall, sink: ProviderSink) {
    super(deps.clock, deps.sweep, call, sink)
    this.#deps = deps
  }

  /** Never throws; the sink is called later than this turn. */
  send(asking: () => Asking): void {
    this.begin()
    queueMicrotask(() => {
      if (this.over) return
      try {
        this.#asking = asking()
        if (this.paused) this.#asking.transport.pause()
        void this.#run(this.#asking)
      } catch (thrown) {
        this.finish(this.#failureOf(thrown))
      }
    })
  }

  async #run({ ask, labels }: Asking): Promise<void> {
    try {
      if (ask.kind === 'stream') await this.#stream(await ask.parts(), new Chunks(labels))
      else if (ask.kind === 'document') {
        const result = await ask.result()
        const reason = reasonOf(result.finishReason)
        if (reason === null) throw new NoEnd()
        if (reason === 'error') throw new SaidError()
        const text = documentOf(result, labels, reason)
        this.#document(text, usageOf(result.usage))
      } else {
        const { text, usage } = await ask.result()
        this.#document(text, usage)
      }
    } catch (thrown) {
      this.finish(this.#failureOf(thrown))
    }
  }

  async #stream(parts: ReadableStream<StreamPart>, chunks: Chunks): Promise<void> {
    for await (const part of parts) {
      if (this.over) return
      if (part.type === 'error') throw new PartError(part.error)
      if (part.type !== 'finish') {
        for (const chunk of chunks.of(part)) this.#event(chunk)
        continue
      }
      const reason = reasonOf(part.finishReason)
      if (reason === null) break
      if (reason === 'error') throw new SaidError()
      for (const chunk of chunks.end(reason, usageOf(part.usage))) this.#event(chunk)
      return this.finish({ kind: 'done' })
    }
    throw new NoEnd()
  }

  #document(text: string, usage: unknown): void {
    if (this.over) return
    this.sink.document(toBytes(text), usage)
    this.finish({ kind: 'done' })
  }

  #event(chunk: string): void {
    this.#batch.push(toBytes(chunk))
    this.#told += chunk.length
    if (this.#told > 8 * this.#deps.maxAnswerBytes) throw new TooManyCalls()
    if (this.#isFlushing) return
    this.#isFlushing = true
    // What one read brought comes as many parts, a promise each
    this.#deps.clock.soon(() => {
      this.#isFlushing = false
      this.#flush()
    })
  }

  #flush(): void {
    if (this.over || this.#batch.length === 0) return
    this.lastMono = this.#deps.clock.monoMs()
    if (this.#firstEventMono === 0) this.#firstEventMono = this.lastMono
    else if (this.lastMono - this.#firstEventMono >= TRICKLES_AFTER_MS) this.#asking!.transport.gathers = true
    const batch = this.#batch
    this.#batch = []
    this.sink.events(batch)
  }

  protected get upstream(): Transport | null {
    return this.#asking?.transport ?? null
  }

  protected get limits(): UpstreamLimits | undefined {
    return this.#asking?.transport.limits
  }

  protected release(): void {
    this.#batch = []
    this.#asking?.signal.abort()
    this.#asking?.transport.abort()
  }

  sweep(nowMono: number): void {
    const { ttftMs, interTokenMs, totalMs } = this.call.timeouts
    const sinceStart = nowMono - this.startedMono
    const isTime = sinceStart >= totalMs
    const refusedMono = this.#asking?.transport.refusedMono ?? null
    if (!isTime && this.paused) return
    if (isTime) this.#timeOut(`the answer took more than ${totalMs} ms`, 'elsewhere')
    else if (refusedMono !== null) {
      if (nowMono - refusedMono >= REFUSAL_GRACE_MS) this.#timeOut('its refusal did not end', true)
    } else if (this.lastMono > 0) {
      if (nowMono - this.lastMono >= interTokenMs) this.#timeOut(`nothing more came for ${interTokenMs} ms`, true)
    } else if (this.#asking?.ask.kind !== 'document' && this.call.stream && sinceStart >= ttftMs)
      this.#timeOut(`nothing came for ${ttftMs} ms`, 'elsewhere')
  }

  /** The SDK may have what is an answer already, and tell it now; what it does not tell within a turn is none. */
  #timeOut(what: string, retry: Failed['retry']): void {
    const failure = failed('provider_timeout', retry, {
      message: `The model provider did not answer in time: ${what}.`,
    })
    if (this.#asking === null) return this.finish(failure)
    this.#asking.transport.give(failure)
    this.#deps.clock.soon(() => this.#deps.clock.soon(() => this.finish(this.#asking!.transport.failure ?? failure)))
  }

  // ---- the end

  /** What our transport saw comes first: the SDK tells what followed from it. */
  #failureOf(thrown: unknown): Failed {
    const seen = this.#asking?.transport.failure
    if (seen) return seen
    const { secret } = this.#deps
    if (thrown instanceof Untranslatable)
      return failed('provider_rejected', 'elsewhere', { status: 400, param: thrown.param, message: thrown.message })
    if (thrown instanceof TooManyCalls) return failed('result_too_large', false)
    if (thrown instanceof NoEnd) return failed('provider_cut', true)
    if (thrown instanceof SaidError)
      return failed('provider_error', true, { message: 'The model provider failed: the answer ended with an error.' })
    if (thrown instanceof PartError && !(thrown.said instanceof Error)) return failedInBand(thrown.said, secret)
    return failureOfSdk(thrown instanceof PartError ? thrown.said : thrown, secret)
  }

  protected override finish(end: ProviderEnd): void {
    if (this.over) return
    this.#flush()
    // The reader may have stopped it at that
    super.finish(end)
  }
}

/** The stream or document is over, and said no finish reason. */
class NoEnd extends Error {}
/** Its finish reason says that it failed. */
class SaidError extends Error {}

class PartError extends Error {
  readonly said: unknown

  constructor(said: unknown) {
    super('an error in the stream')
    this.said = said
  }
}

interface SdkError {
  readonly name?: string
  readonly message?: string
  readonly data?: unknown
  readonly statusCode?: number
  readonly responseBody?: string
}

/** What the SDK itself refuses or can't read, by the names of its errors. */
function failureOfSdk(error: unknown, secret: string | null): Failed {
  const { name = '', message = '', data, statusCode = 0, responseBody = '' } = (error ?? {}) as SdkError
  if (
    name === 'AI_UnsupportedFunctionalityError' ||
    name === 'AI_InvalidPromptError' ||
    name === 'AI_InvalidArgumentError'
  )
    return failed('provider_rejected', 'elsewhere', {
      status: 400,
      message: `This can't be asked of the model's provider: ${short(message, secret)}`,
    })
  if (name === 'AI_APICallError' && isObject(data)) return failedInBand(data['error'] ?? data, secret)
  // An error that was the first event of a stream
  const said = name === 'AI_APICallError' && statusCode >= 400 ? objectIn(parseJson(responseBody)) : null
  if (said !== null) return failedInBand({ status: statusCode, ...said }, secret)
  return failed('provider_garbage', true, { message: "The model provider's answer can't be read by its package." })
}

const MAX_CHARS = 500

const short = (text: string, secret: string | null): string =>
  (secret === null ? text : text.replaceAll(secret, '[redacted]')).slice(0, MAX_CHARS)
