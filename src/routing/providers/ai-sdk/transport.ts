/**
 * The `fetch` that a model of the AI SDK gets for one call: our own HTTP client, so that it reaches one origin and no
 * other, follows no redirect, goes through the operator's proxy, and holds no more of an answer than is allowed. What
 * went wrong on the way is kept here as it was: the SDK would tell it in its own words.
 */
import { MAX_CHAT_ITEMS, MAX_CHAT_RECORD_BYTES, MAX_DEPTH } from '../../../core/answer-limits.ts'
import type { Clock } from '../../../core/clock.ts'
import { isObject } from '../../../core/fold.ts'
import { type Bytes, toText } from '../../../core/record.ts'
import type { UpstreamLimits } from '../../../core/upstream-limits.ts'
import type { Exchange, HttpClient, HttpFailure, HttpHandler, ResponseHead } from '../http/client.ts'
import { type Failed, failed, failedInBand, failedStatus, failedTransport, RETRY_HEADERS } from '../openai/failures.ts'
import { JsonScan, objectIn, parseJson } from '../openai/json.ts'
import { LIMIT_HEADERS, limitsOf } from '../openai/limits.ts'
import { SseReader } from '../openai/sse.ts'
import { ANTHROPIC_LIMIT_HEADERS, anthropicLimits } from './limits.ts'

export const READ_HEADERS: readonly string[] = [
  ...RETRY_HEADERS,
  ...LIMIT_HEADERS,
  ...ANTHROPIC_LIMIT_HEADERS,
  'content-type',
]

export interface TransportOptions {
  readonly client: HttpClient
  readonly clock: Clock
  /** Of the base URL. */
  readonly origin: string
  /** To be kept out of messages. */
  readonly secret: string | null
  readonly maxAnswerBytes: number
  readonly stream: boolean
  /** Header lines of the configuration and of this call, each ended by CRLF. */
  readonly headers: string
}

const MAX_ERROR_BYTES = 64 * 1024
/** What the client writes itself, and what would change how a body is sent. */
const OWN = new Set([
  'host',
  'connection',
  'content-length',
  'transfer-encoding',
  'accept-encoding',
  'expect',
  'te',
  'trailer',
  'upgrade',
])

/** Thrown to the SDK, which passes it on: the cause is in `failure`. */
export class TransportError extends Error {}

export class Transport implements HttpHandler {
  /** What went wrong, in our words; null: nothing did. */
  failure: Failed | null = null
  /** When a status came that is no success; its body is not waited for long. */
  refusedMono: number | null = null
  readonly #options: TransportOptions
  #exchange: Exchange | null = null
  #head: ResponseHead | null = null
  #answer: PromiseWithResolvers<Response> | null = null
  #body: ReadableStreamDefaultController<Uint8Array> | null = null
  #mode: 'sniffing' | 'json' | 'events' = 'sniffing'
  #scan = new JsonScan(MAX_CHAT_ITEMS)
  #sse: SseReader | null = null
  /** An error's or a document's body. */
  #text = ''
  #bytes = 0
  #paused = false
  #over = false

  constructor(options: TransportOptions) {
    this.#options = options
  }

  get sentMono(): number | null {
    return this.#exchange?.sentMono ?? null
  }

  /** Of the last response; null: none came. */
  get status(): number | null {
    return this.#head?.status ?? null
  }

  get limits(): UpstreamLimits | undefined {
    const headers = this.#head?.headers
    return headers && (anthropicLimits(headers, this.#options.clock) ?? limitsOf(headers))
  }

  readonly fetch: typeof globalThis.fetch = async (input, init) => {
    const url = new URL(input instanceof Request ? input.url : input)
    const body = bodyOf(init?.body)
    if (url.origin !== this.#options.origin || url.username !== '' || body === undefined) {
      this.failure ??= failed('provider_unreachable', 'elsewhere', {
        message: "The provider's package asked for another address than its base URL; it was not called.",
      })
      throw new TransportError('refused')
    }
    if (this.#over) throw new TransportError('over')
    this.#begin()
    const answer = Promise.withResolvers<Response>()
    this.#answer = answer
    this.#exchange = this.#options.client.request(
      {
        method: init?.method === 'POST' ? 'POST' : 'GET',
        route: `${url.pathname}${url.search}`,
        headers: `${linesOf(new Headers(init?.headers))}${this.#options.headers}`,
        body,
      },
      this,
    )
    if (this.#paused) this.#exchange.pause()
    return answer.promise
  }

  #begin(): void {
    this.#head = null
    this.#mode = 'sniffing'
    this.#scan = new JsonScan(MAX_CHAT_ITEMS)
    this.#sse = null
    this.#text = ''
    this.refusedMono = null
  }

  /** Closes the connection within this turn. Safe to repeat. */
  abort(): void {
    this.#over = true
    this.#exchange?.abort()
    this.#answer?.reject(new TransportError('aborted'))
    this.#close()
  }

  pause(): void {
    this.#paused = true
    this.#exchange?.pause()
  }

  resume(): void {
    this.#paused = false
    this.#exchange?.resume()
  }

  set gathers(does: boolean) {
    if (this.#exchange !== null) this.#exchange.gathers = does
  }

  /**
   * Nothing more is waited for. The SDK sees the body's end, so that it tells what it has: whether that is an answer,
   * its finish reason says.
   */
  give(up: Failed): void {
    // What a refusal's status says is enough
    this.failure ??= this.refusedMono === null ? up : this.#refusal()
    this.#exchange?.abort()
    this.#answer?.reject(new TransportError('given up'))
    this.#close()
  }

  // ---- from the upstream

  head(head: ResponseHead): void {
    this.#head = head
    if (head.status < 200 || head.status >= 300) this.refusedMono = this.#options.clock.monoMs()
    else if (head.coding !== undefined)
      this.give(failed('provider_garbage', true, { message: "The model provider's answer is compressed." }))
    else {
      const body = new ReadableStream<Uint8Array>({
        start: (controller) => {
          this.#body = controller
        },
      })
      const type = head.headers.get('content-type')
      this.#answer!.resolve(new Response(body, { status: head.status, headers: type ? { 'content-type': type } : {} }))
    }
  }

  body(text: Bytes): void {
    if (this.refusedMono !== null) {
      this.#text += text
      if (this.#text.length > MAX_ERROR_BYTES) this.give(this.#refusal())
      return
    }
    this.#bytes += text.length
    if (this.#bytes > this.#options.maxAnswerBytes) return this.give(failed('result_too_large', false))
    const excess = this.#look(text)
    if (excess !== null) this.give(excess)
    else this.#body?.enqueue(Buffer.from(text, 'latin1'))
  }

  readDone(): void {}

  end(): void {
    if (this.refusedMono !== null) return this.#refuse()
    if (this.#mode === 'json') this.failure ??= this.#errorIn()
    this.#close()
  }

  fail(failure: HttpFailure): void {
    if (this.refusedMono !== null) return this.#refuse()
    this.failure ??= failedTransport(failure)
    this.#answer?.reject(new TransportError('failed'))
    this.#close()
  }

  #close(): void {
    const body = this.#body
    this.#body = null
    try {
      body?.close()
    } catch {
      // The SDK had cancelled it
    }
  }

  #refusal(): Failed {
    const { secret, clock } = this.#options
    return failedStatus(this.#head!, this.#text, secret, clock)
  }

  #refuse(): void {
    this.failure ??= this.#refusal()
    this.#answer?.reject(new TransportError('refused'))
  }

  /** Why the SDK, which parses whatever comes, must not be given this. */
  #look(text: Bytes): Failed | null {
    if (this.#mode === 'sniffing') {
      this.#text += text
      const first = /\S/.exec(this.#text)?.[0]
      if (first === undefined) return null
      if (first === '<') return garbage('it is a web page')
      this.#mode = first === '{' || first === '[' ? 'json' : 'events'
      text = this.#text
      this.#text = ''
    }
    if (this.#mode === 'events') {
      this.#sse ??= new SseReader(MAX_CHAT_RECORD_BYTES, (payload) => this.#measure(payload))
      this.#sse.feed(text)
      return this.#sse.overflow ? tooLarge() : this.failure
    }
    this.#text += text
    if (this.#text.length > Math.min(MAX_CHAT_RECORD_BYTES, this.#options.maxAnswerBytes)) return tooLarge()
    const { excess } = this.#scan.feed(text)
    return excess === null ? null : garbage(excess)
  }

  #measure(payload: Bytes): void {
    if (payload.length <= 2 * MAX_DEPTH) return
    const { excess } = new JsonScan(MAX_CHAT_ITEMS).feed(payload)
    if (excess !== null) this.failure ??= garbage(excess)
  }

  /** A document where a stream was asked for is no answer; in any it may stand what went wrong. */
  #errorIn(): Failed | null {
    const document = objectIn(parseJson(toText(this.#text)))
    const error = document?.['error']
    if (isObject(error) || (typeof error === 'string' && error !== '')) return failedInBand(error, this.#options.secret)
    return this.#options.stream ? garbage('a document where a stream was asked for') : null
  }
}

const garbage = (what: string): Failed =>
  failed('provider_garbage', true, { message: `The model provider's answer can't be read: ${what}.` })

const tooLarge = (): Failed =>
  failed('result_too_large', false, {
    message: `One event or document of the answer is larger than ${MAX_CHAT_RECORD_BYTES >> 20} MiB (a fixed limit).`,
  })

/** Undefined: it is none that a model's request has. */
function bodyOf(body: unknown): Uint8Array | null | undefined {
  if (body === undefined || body === null) return null
  if (typeof body === 'string') return Buffer.from(body)
  return body instanceof Uint8Array ? body : undefined
}

/** `Headers` holds nothing that would end a line. */
function linesOf(headers: Headers): string {
  let lines = ''
  for (const [name, value] of headers) if (!OWN.has(name)) lines += `${name}: ${value}\r\n`
  return lines
}
