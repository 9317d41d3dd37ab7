/**
 * Upstreams that speak OpenAI's dialect: OpenAI, Azure, vLLM, SGLang, Ollama, llama.cpp, Groq, Mistral, DeepSeek and
 * many more. What they send is passed on byte for byte; it is validated, and nothing of their headers goes further.
 */
import type { Clock, Wheel } from '../../../core/clock.ts'
import { SluiceError } from '../../../core/errors.ts'
import { type Ids, systemIds } from '../../../core/ids.ts'
import { isMedia } from '../../../core/job.ts'
import { editObject, isRecord } from '../../../core/json.ts'
import type { Provider, ProviderCall, ProviderSink } from '../../../core/ports/provider.ts'
import { HttpClient, type HttpRequest } from '../http/client.ts'
import { isControl } from '../http/headers.ts'
import { look } from '../http/look.ts'
import { bypassesProxy, parseBaseUrl, parseProxy } from '../http/origin.ts'
import { type Asked, Call } from './call.ts'
import { asChat, isCompletion, withPrefix } from './completion.ts'
import { type Failed, failed, RETRY_HEADERS } from './failures.ts'

import { formOf, formRoute } from './form.ts'
import { LIMIT_HEADERS } from './limits.ts'
import { MediaCall } from './media-call.ts'
import {
  type ChatEdits,
  type Continuation,
  chatBody,
  choicesAsked,
  embeddingBody,
  embeddingsAsked,
  hasStreamOptions,
  howAsked,
  withInlineImages,
  withoutPrefix,
} from './request.ts'

export interface OpenAiOptions {
  /** For messages to the operator. */
  readonly name: string
  /**
   * "https://api.openai.com/v1"; without a path, "/v1" is meant. Its query (Azure's api-version) goes with each call.
   */
  readonly baseUrl: string
  /** Sent to this origin and nowhere else. */
  readonly apiKey: string | null
  /** `bearer` (default), or Azure's `api-key`. */
  readonly auth?: 'bearer' | 'api-key'
  /** Further headers of each call. */
  readonly headers?: Readonly<Record<string, string>>
  /** The upstream's name of the model; null = what the client asked for. */
  readonly upstreamModel: string | null
  /** With which a client's name of a model may begin, and which is not sent; where `upstreamModel` is null. */
  readonly prefix?: string | null
  /** For upstreams that know `max_tokens`, and not `max_completion_tokens`. */
  readonly isMaxTokens?: boolean
  readonly continuation?: Continuation
  /** False for upstreams that refuse `stream_options`; the tokens of their streams are counted by us. */
  readonly streamUsage?: boolean
  /** It serves `/completions` too. */
  readonly completions?: boolean
  /** PEM text: the authorities to trust instead of the system's. */
  readonly ca?: string | null
  /** "http://user:password@proxy:3128". */
  readonly proxy?: string | null
  readonly noProxy?: readonly string[]
  /** Absent: the system's randomness. */
  readonly ids?: Pick<Ids, 'random'>
  readonly clock: Clock
  readonly wheel: Wheel
  readonly gatherMs: () => number
  readonly connectTimeoutMs?: number
  readonly maxAnswerBytes?: number
}

const CHECK_MS = 10_000
/** What a header of ours decides: another one would be a second opinion. */
const OWN_HEADERS = new Set([
  'host',
  'connection',
  'content-length',
  'transfer-encoding',
  'accept-encoding',
  'content-type',
  'upgrade',
  'expect',
  'te',
  'trailer',
  'x-request-id',
  'traceparent',
])

/** Throws config_invalid; its message names the setting and never its value. */
export function createOpenAiProvider(options: OpenAiOptions): Provider {
  const origin = parseBaseUrl(options.baseUrl)
  const proxy =
    options.proxy === null || options.proxy === undefined || bypassesProxy(origin, options.noProxy ?? [])
      ? null
      : parseProxy(options.proxy)
  const {
    clock,
    wheel,
    gatherMs,
    apiKey,
    continuation = 'none',
    streamUsage = true,
    isMaxTokens = false,
    completions = false,
  } = options
  const upstreamModelOf = (body: Uint8Array): string | null =>
    options.upstreamModel ?? (options.prefix ? withoutPrefix(body, options.prefix) : null)
  const http = {
    proxy,
    ca: options.ca ?? null,
    clock,
    wheel,
    gatherMs,
    connectTimeoutMs: options.connectTimeoutMs ?? 10_000,
    headers: ['content-type', ...RETRY_HEADERS, ...LIMIT_HEADERS],
  }
  const client = new HttpClient({ ...http, origin })
  /** Its server, for what is not below the base URL. */
  let server: HttpClient | null = null
  const headers = commonHeaders(options)
  const call = {
    client,
    clock,
    secret: apiKey,
    maxAnswerBytes: options.maxAnswerBytes ?? 128 * 1024 * 1024,
  }

  const json = `${headers}content-type: application/json\r\naccept: application/json\r\nx-request-id: `
  const anything = `${headers}content-type: application/json\r\nx-request-id: `
  const events = `${headers}content-type: application/json\r\naccept: text/event-stream\r\nx-request-id: `
  const post = (call: ProviderCall, route: string, head: string, body: Uint8Array): HttpRequest => ({
    method: 'POST',
    route,
    headers:
      call.trace === undefined
        ? `${head}${asHeader(call.requestId)}\r\n`
        : `${head}${asHeader(call.requestId)}\r\ntraceparent: ${asHeader(call.trace)}\r\n`,
    body,
  })

  const askEmbedding = (call: ProviderCall): Asked => ({
    request: post(call, '/embeddings', json, embeddingBody(call.body, upstreamModelOf(call.body))),
    stream: false,
    choices: embeddingsAsked(call.body),
    without: () => null,
  })

  const askChat = (call: ProviderCall, stream: boolean, streamOptions: ChatEdits['streamOptions']): Asked => {
    const asked = howAsked(call.body)
    const upstreamModel = upstreamModelOf(call.body)
    const isOlder = completions && isCompletion(call.body)
    const edits = { upstreamModel, stream, streamOptions, continuation, isMaxTokens, prefix: call.prefix }
    const body = isOlder
      ? withPrefix(chatBody(call.body, asked, { ...edits, prefix: undefined }), call.prefix)
      : chatBody(call.body, asked, edits)
    return {
      request: post(call, isOlder ? '/completions' : '/chat/completions', stream ? events : json, body),
      stream,
      ...(isOlder && { asChat }),
      choices: choicesAsked(asked),
      without: (what) => {
        if (what === 'stream_options' && hasStreamOptions(body)) return askChat(call, stream, 'none')
        return what === 'stream' ? askChat(call, !stream, stream ? 'as-sent' : streamOptions) : null
      },
    }
  }

  const ids = options.ids ?? systemIds()
  const wasClosed = () => failed('provider_unreachable', 'elsewhere', { message: `${options.name} was closed.` })

  function mediaRequest(asked: ProviderCall): HttpRequest {
    const body = embeddingBody(asked.body, upstreamModelOf(asked.body))
    if (asked.kind === 'speech') return post(asked, '/audio/speech', anything, body)
    const { uploads = [] } = asked
    const sent = asked.kind === 'image' ? imagesAs(asked.stream, withInlineImages(body)) : body
    if (asked.kind === 'image' && uploads.length === 0) return post(asked, '/images/generations', json, sent)
    const fields: unknown = JSON.parse(Buffer.from(sent).toString('utf8'))
    if (uploads.length === 0 || !isRecord(fields)) throw new SluiceError('invalid_request')
    const { stream, ...others } = fields
    const form = formOf(
      asked.stream && isAsked(stream) ? fields : others,
      uploads,
      Buffer.from(ids.random(18)).toString('hex'),
    )
    const { headers: lines, ...request } = post(
      asked,
      formRoute(fields),
      `${headers}content-type: ${form.type}\r\nx-request-id: `,
      NO_BODY,
    )
    return { ...request, headers: lines, body: null, upload: form }
  }

  function startMedia(asked: ProviderCall, sink: ProviderSink): MediaCall {
    const run = new MediaCall(call, asked, sink)
    try {
      if (client.isClosed) run.refuse(wasClosed())
      else run.send(mediaRequest(asked))
    } catch (thrown) {
      run.refuse(notSent(thrown))
    }
    return run
  }

  return {
    continues: continuation !== 'none',
    start(asked: ProviderCall, sink: ProviderSink) {
      if (isMedia(asked.kind)) return startMedia(asked, sink)
      const run = new Call(call, asked, sink)
      if (client.isClosed) {
        run.refuse(wasClosed())
        return run
      }
      try {
        const isChat = asked.kind === 'chat'
        run.send(isChat ? askChat(asked, asked.stream, streamUsage ? 'usage' : 'as-sent') : askEmbedding(asked))
      } catch (thrown) {
        run.refuse(notSent(thrown))
      }
      return run
    },
    check: () => check(client, clock, headers),
    look(path, bounds) {
      server ??= new HttpClient({ ...http, origin: { ...origin, basePath: '', query: '' } })
      return look(client.isClosed ? client : server, clock, headers, path, bounds)
    },
    close() {
      client.close()
      server?.close()
    },
  }
}

/** Where no events are asked for, none of their members are sent. */
const imagesAs = (stream: boolean, body: Uint8Array): Uint8Array =>
  stream ? body : editObject(body, { stream: null, partial_images: null })

/** A form's texts, too. */
const isAsked = (stream: unknown): boolean => stream === true || stream === 'true'

const NO_BODY = new Uint8Array()

function notSent(thrown: unknown): Failed {
  const error = SluiceError.from(thrown)
  return failed(error.code, false, { message: error.message, status: error.status })
}

function commonHeaders(options: OpenAiOptions): string {
  const { apiKey, auth = 'bearer' } = options
  let lines = headerLine('user-agent', 'sluice')
  if (apiKey !== null) {
    if (apiKey === '' || !/^[\x21-\x7e]+$/.test(apiKey))
      throw new SluiceError('config_invalid', {
        message: `The API key of ${options.name} may hold only visible ASCII characters.`,
      })
    lines += auth === 'bearer' ? headerLine('authorization', `Bearer ${apiKey}`) : headerLine('api-key', apiKey)
  }
  for (const [name, value] of Object.entries(options.headers ?? {})) {
    if (OWN_HEADERS.has(name.toLowerCase()))
      throw new SluiceError('config_invalid', { message: `The header ${name} of ${options.name} can't be set.` })
    lines += headerLine(name, value)
  }
  return lines
}

function headerLine(name: string, value: string): string {
  if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name))
    throw new SluiceError('config_invalid', { message: 'A header name may hold only letters, digits and "-".' })
  if (!/^[\t\x20-\x7e\xa0-\xff]*$/.test(value))
    throw new SluiceError('config_invalid', {
      message: `The value of the header ${name} holds characters that no header can.`,
    })
  return `${name}: ${value}\r\n`
}

/** An id of ours, most often: each call has one, so it is looked at by hand. */
function asHeader(id: string): string {
  for (let i = 0; i < id.length; i++) {
    const c = id.charCodeAt(i)
    if (isControl(c) || (c > 127 && c < 160) || c > 255) throw new SluiceError('invalid_request')
  }
  return id
}

/** Asks for the models: reachable, and does it take our key? */
function check(client: HttpClient, clock: Clock, headers: string): ReturnType<Provider['check']> {
  return new Promise((resolve) => {
    let status = 0
    const exchange = client.request(
      { method: 'GET', route: '/models', headers: `${headers}accept: application/json\r\n`, body: null },
      {
        head(head) {
          status = head.status
          // The list may be long, and only the status counts
          exchange.drain()
          answer(status === 200 ? 'reachable' : `HTTP ${status}`)
        },
        body() {},
        readDone() {},
        end() {},
        fail: (failure) => answer(`${failure.kind} (${failure.detail})`),
      },
    )
    const cancel = clock.after(CHECK_MS, () => {
      exchange.abort()
      answer(`no answer within ${CHECK_MS} ms`)
    })
    const answer = (detail: string): void => {
      cancel()
      resolve({ ok: status === 200, detail, status })
    }
  })
}
