/**
 * A model that is always there: English of its own making at a model's pace, with faults on request (demo/script.ts).
 * The same request gets the same words, so that it can continue an answer anywhere.
 */
import type { Clock } from '../../../core/clock.ts'
import { SluiceError } from '../../../core/errors.ts'
import type { Ids } from '../../../core/ids.ts'
import { isMedia } from '../../../core/job.ts'
import type { Provider, ProviderCall, ProviderEnd, ProviderRun, ProviderSink } from '../../../core/ports/provider.ts'
import { type Bytes, toBytes } from '../../../core/record.ts'
import { Slots } from '../../../core/table.ts'
import { failed, failedStatus } from '../openai/failures.ts'
import {
  afterPrefix,
  type ChatRequest,
  choicesOf,
  lastPrompt,
  logprobOf,
  promptTokens,
  type Spoken,
  speak,
} from './answer.ts'
import { embed } from './embedding.ts'
import { hear, imagesAsked, paint, sing } from './media.ts'
import { readScript, type Script, withoutDirectives } from './script.ts'
import { tokenize } from './text.ts'

export interface DemoOptions {
  readonly clock: Clock
  readonly ids: Ids
  /** Between tokens. */
  readonly tokenMs?: number
  readonly ttftMs?: number
}

type MediaRequest = ChatRequest & {
  readonly prompt?: unknown
  readonly input?: unknown
  readonly response_format?: unknown
}

/** Never more than this in one turn of the loop. */
const MAX_BATCH = 500
const MAX_TIMER_MS = 2 ** 31 - 1

export function createDemoProvider(options: DemoOptions): Provider {
  const live = new Slots<DemoRun>()
  let isClosed = false
  return {
    continues: true,
    start(call, sink) {
      const run = new DemoRun(options, call, sink, live)
      if (isClosed) run.close()
      return run
    },
    check: () => Promise.resolve({ ok: true, detail: 'built in' }),
    close() {
      isClosed = true
      for (const run of live) run.close()
    },
  }
}

class DemoRun implements ProviderRun {
  readonly sentMono: number
  readonly #clock: Clock
  readonly #call: ProviderCall
  readonly #sink: ProviderSink
  readonly #live: Slots<DemoRun>
  readonly #place: number
  readonly #startedMono: number
  #lastEventMono: number
  #cancelTimer: () => void = () => {}
  #paused = false
  /** What came due while paused. */
  #missed: (() => void) | null = null
  #seenEvent = false
  #over = false

  constructor(options: DemoOptions, call: ProviderCall, sink: ProviderSink, live: Slots<DemoRun>) {
    this.#clock = options.clock
    this.#call = call
    this.#sink = sink
    this.#live = live
    this.#place = live.add(this)
    this.#startedMono = this.#lastEventMono = this.sentMono = options.clock.monoMs()
    // `start` never throws, and the sink is not called before it has returned
    queueMicrotask(() => {
      if (this.#over) return
      try {
        this.#begin(options)
      } catch (thrown) {
        const error = thrown instanceof SyntaxError ? new SluiceError('invalid_json') : SluiceError.from(thrown)
        this.#finish({ kind: 'failed', error, retry: false })
      }
    })
  }

  abort() {
    this.#endSoon({ kind: 'aborted' })
  }

  /** As if the upstream were gone. */
  close() {
    this.#endSoon(failed(this.#seenEvent ? 'provider_cut' : 'provider_unreachable', true))
  }

  #endSoon(end: ProviderEnd) {
    if (this.#over) return
    this.#leave()
    queueMicrotask(() => this.#sink.end(end))
  }

  pause() {
    this.#paused = true
  }

  resume() {
    this.#paused = false
    const missed = this.#missed
    this.#missed = null
    if (missed !== null && !this.#over) this.#at(this.#clock.monoMs(), missed)
  }

  #begin(options: DemoOptions) {
    const request = JSON.parse(Buffer.from(this.#call.body).toString('utf8')) as ChatRequest
    const model = typeof request.model === 'string' ? request.model : 'demo'
    const attempt = Number(/\.(\d+)$/.exec(this.#call.requestId)?.[1] ?? 1)
    const script = readScript(model, this.#promptOf(request), attempt, {
      delayMs: options.tokenMs ?? 20,
      ttftMs: options.ttftMs ?? 200,
    })
    const firstAt = this.#startedMono + script.ttftMs
    if (script.failStatus !== null) {
      this.#at(firstAt, () => this.#finish(asStatus(script, this.#clock)))
    } else if (this.#call.kind === 'embedding') {
      this.#at(this.#startedMono, () => {
        const answer = embed(request)
        this.#sink.document(JSON.stringify(answer), answer.usage)
        this.#finish({ kind: 'done' })
      })
    } else if (this.#call.kind === 'image') this.#at(firstAt, () => void this.#paint(request))
    else if (this.#call.kind === 'speech') this.#sing(request, script, firstAt)
    else if (this.#call.kind === 'transcription') this.#at(firstAt, () => void this.#hear(request))
    else this.#stream(request, model, script, options.ids, firstAt)
  }

  #promptOf(request: MediaRequest): string {
    if (!isMedia(this.#call.kind)) return lastPrompt(request)
    const text = this.#call.kind === 'speech' ? request.input : request.prompt
    return typeof text === 'string' ? text : ''
  }

  async #paint(request: MediaRequest) {
    const sizes = await this.#read()
    if (sizes === null) return
    const prompt = [this.#promptOf(request), ...sizes].join('\n')
    const data = Array.from({ length: imagesAsked(request) }, (_, part) => {
      this.#sink.part?.('image/png')
      this.#sink.bytes?.(paint(prompt, part))
      return { b64_json: { part } }
    })
    const input = tokenize(prompt).length
    const usage = { prompt_tokens: input, completion_tokens: 64 * data.length }
    const told = { input_tokens: input, output_tokens: 64 * data.length, total_tokens: input + 64 * data.length }
    this.#sink.document(
      toBytes(JSON.stringify({ created: Math.floor(this.#clock.wallMs() / 1_000), data, usage: told })),
      usage,
    )
    this.#finish({ kind: 'done' })
  }

  #sing(request: MediaRequest, script: Script, firstAt: number) {
    const pieces = sing(withoutDirectives(this.#promptOf(request)))
    let next = 0
    const step = (): void => {
      if (next === 0) this.#sink.part?.('audio/wav')
      if (next >= script.cutAfter) return this.#finish(failed('provider_cut', true))
      if (next >= script.stallAfter) return this.#at(Infinity, step)
      this.#seenEvent = true
      this.#lastEventMono = this.#clock.monoMs()
      this.#sink.bytes?.(pieces[next++])
      if (next >= pieces.length) this.#finish({ kind: 'done' })
      else this.#at(this.#lastEventMono + script.delayMs, step)
    }
    this.#at(firstAt, step)
  }

  async #hear(request: MediaRequest) {
    const sizes = await this.#read()
    if (sizes === null) return
    const [upload] = this.#call.uploads ?? []
    if (upload === undefined)
      return this.#finish({ kind: 'failed', error: new SluiceError('invalid_request'), retry: false })
    this.#sink.document(hear(upload, sizes[0], request.response_format), null)
    this.#finish({ kind: 'done' })
  }

  /** How many bytes came with it, of each file; null: it has ended. */
  async #read(): Promise<readonly number[] | null> {
    const sizes: number[] = []
    try {
      for (const { read } of this.#call.uploads ?? []) {
        let bytes = 0
        for await (const chunk of read()) {
          if (this.#over) return null
          bytes += chunk.length
        }
        sizes.push(bytes)
      }
    } catch (thrown) {
      this.#finish({ kind: 'failed', error: SluiceError.from(thrown), retry: false })
    }
    return this.#over ? null : sizes
  }

  #stream(request: ChatRequest, model: string, script: Script, ids: Ids, firstAt: number) {
    const spoken = Array.from({ length: choicesOf(request) }, (_, i) => speak(request, i, script))
    let skipped = 0
    if (this.#call.prefix !== undefined) ({ spoken: spoken[0], skipped } = afterPrefix(spoken[0], this.#call.prefix))
    const chunks = new Chunks(request, model, ids, this.#clock)
    const length = Math.max(...spoken.map((s) => s.tokens.length))
    // Absolute places in the answer: an answer that is continued after its cut is not cut again
    const after = (place: number): number => (place < skipped ? Infinity : place - skipped)
    const cut = after(script.cutAfter)
    const garbage = after(script.garbageAfter)
    const stall = after(script.stallAfter)
    const faultAt = Math.min(cut, garbage, stall)
    let next = 0
    let batch: Bytes[] = spoken.map((s, i) => chunks.opening(i, s))
    const step = (): void => {
      // Late, or without delay, several tokens are due
      const now = this.#clock.monoMs()
      const due = script.delayMs === 0 ? Infinity : Math.floor((now - firstAt) / script.delayMs + 1e-6) + 1
      const until = Math.min(length, faultAt, due, next + MAX_BATCH)
      for (; next < until; next++)
        for (const [i, s] of spoken.entries()) if (next < s.tokens.length) batch.push(chunks.token(i, s, next))
      if (next < length && next < faultAt) {
        this.#emit(batch)
        batch = []
        return this.#at(script.delayMs === 0 ? now : firstAt + next * script.delayMs, step)
      }
      if (faultAt > length || faultAt === Infinity)
        batch.push(...spoken.map((s, i) => chunks.finish(i, s)), chunks.usage(spoken))
      if (batch.length > 0) this.#emit(batch)
      if (faultAt > length || faultAt === Infinity) this.#finish({ kind: 'done' })
      else if (cut === faultAt) this.#finish(failed('provider_cut', true))
      else if (garbage === faultAt) this.#finish(failed('provider_garbage', true))
      else this.#at(Infinity, step)
    }
    this.#at(firstAt, step)
  }

  #emit(batch: readonly Bytes[]) {
    if (this.#over) return
    this.#seenEvent = true
    this.#lastEventMono = this.#clock.monoMs()
    this.#sink.events(batch)
  }

  /** Runs `fn` at a time, or fails at the call's first deadline, if that comes before. */
  #at(atMs: number, fn: () => void) {
    if (this.#over) return
    const { ttftMs, interTokenMs, totalMs } = this.#call.timeouts
    const deadline = Math.min(
      this.#startedMono + totalMs,
      this.#lastEventMono + (this.#seenEvent ? interTokenMs : ttftMs),
    )
    const now = this.#clock.monoMs()
    const when = Math.min(atMs, Math.max(now, deadline))
    if (when === Infinity) return
    const isLate = atMs > when
    this.#cancelTimer = this.#clock.after(Math.min(MAX_TIMER_MS, Math.max(0, when - now)), () => {
      if (this.#over) return
      if (isLate) this.#finish(failed('provider_timeout', this.#isTooSlow ? 'elsewhere' : true))
      else if (this.#paused) this.#missed = fn
      else fn()
    })
  }

  /** Nothing came, or the whole took too long: it is not tried again here. */
  get #isTooSlow(): boolean {
    return !this.#seenEvent || this.#clock.monoMs() - this.#startedMono >= this.#call.timeouts.totalMs
  }

  #finish(end: ProviderEnd) {
    if (this.#over) return
    this.#leave()
    this.#sink.end(end)
  }

  #leave() {
    this.#over = true
    this.#cancelTimer()
    this.#live.delete(this.#place, this)
  }
}

/** The failure that a provider's HTTP status would have been. */
function asStatus(script: Script, clock: Clock): ProviderEnd {
  const headers = new Map(script.retryAfterMs === null ? [] : [['retry-after-ms', String(script.retryAfterMs)]])
  return failedStatus(
    { status: script.failStatus!, headers },
    '{"error":{"message":"The demo was asked to fail."}}',
    null,
    clock,
  )
}

/** Chunks in OpenAI's words. */
class Chunks {
  readonly #head: string
  readonly #request: ChatRequest
  readonly #ids: Ids
  readonly #topLogprobs: number | null

  constructor(request: ChatRequest, model: string, ids: Ids, clock: Clock) {
    const head = {
      id: `chatcmpl-${hex(ids, 12)}`,
      object: 'chat.completion.chunk',
      created: Math.floor(clock.wallMs() / 1_000),
      model,
      system_fingerprint: 'fp_demo',
    }
    this.#head = `${JSON.stringify(head).slice(0, -1)},"choices":[`
    this.#request = request
    this.#ids = ids
    this.#topLogprobs =
      request.logprobs === true ? (typeof request.top_logprobs === 'number' ? request.top_logprobs : 0) : null
  }

  #chunk(index: number, delta: string, finish: string | null, logprobs = 'null'): Bytes {
    return toBytes(
      `${this.#head}{"index":${index},"delta":${delta},"logprobs":${logprobs},` +
        `"finish_reason":${finish === null ? 'null' : `"${finish}"`}}]}`,
    )
  }

  opening(index: number, spoken: Spoken): Bytes {
    if (spoken.tool === null) return this.#chunk(index, '{"role":"assistant","content":"","refusal":null}', null)
    const call = {
      index: 0,
      id: `call_${hex(this.#ids, 12)}`,
      type: 'function',
      function: { name: spoken.tool, arguments: '' },
    }
    return this.#chunk(index, JSON.stringify({ role: 'assistant', content: null, tool_calls: [call] }), null)
  }

  token(index: number, spoken: Spoken, at: number): Bytes {
    const token = spoken.tokens[at]
    const text = JSON.stringify(token)
    if (spoken.tool !== null)
      return this.#chunk(index, `{"tool_calls":[{"index":0,"function":{"arguments":${text}}}]}`, null)
    const logprobs =
      this.#topLogprobs === null
        ? 'null'
        : JSON.stringify({ content: [logprobOf(token, this.#topLogprobs)], refusal: null })
    return this.#chunk(index, `{"content":${text}}`, null, logprobs)
  }

  finish(index: number, spoken: Spoken): Bytes {
    return this.#chunk(index, '{}', spoken.finish)
  }

  usage(spoken: readonly Spoken[]): Bytes {
    const prompt = promptTokens(this.#request)
    const completion = spoken.reduce((sum, s) => sum + s.tokens.length, 0)
    return toBytes(
      `${this.#head}],` +
        `"usage":{"prompt_tokens":${prompt},"completion_tokens":${completion},` +
        `"total_tokens":${prompt + completion}}}`,
    )
  }
}

const hex = (ids: Ids, bytes: number): string => Buffer.from(ids.random(bytes)).toString('hex')
