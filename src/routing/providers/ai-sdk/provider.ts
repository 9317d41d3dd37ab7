/**
 * Providers through the AI SDK's packages (decision 0067): a request of OpenAI's dialect is translated to a model's
 * call, and what it tells to chunks of the canonical dialect. The package gets our own `fetch`.
 */
import { SluiceError } from '../../../core/errors.ts'
import { isMedia } from '../../../core/job.ts'
import type { Provider, ProviderCall, ProviderDeps, ProviderSink } from '../../../core/ports/provider.ts'
import { HttpClient } from '../http/client.ts'
import { bypassesProxy, parseBaseUrl, parseProxy } from '../http/origin.ts'
import { failed } from '../openai/failures.ts'
import type { Labels } from './answer.ts'
import { type Asking, SdkCall } from './call.ts'
import { fetchWithin } from './cap.ts'
import { embedded } from './embedding.ts'
import type { CallOptions, LanguageModel, Models } from './model.ts'
import { translated, Untranslatable } from './request.ts'
import { READ_HEADERS, Transport } from './transport.ts'

export interface SdkOptions {
  /** For messages to the operator. */
  readonly name: string
  readonly baseUrl: string
  /** Kept out of messages. */
  readonly secret: string | null
  readonly upstreamModel: string | null
  readonly models: Models
  readonly headers: Readonly<Record<string, string>>
  readonly ca: string | null
  /** What `check` asks for: below the base URL, with these headers; null: only whether somebody answers. */
  readonly check: { readonly route: string; readonly headers: Readonly<Record<string, string>> } | null
  readonly deps: Omit<ProviderDeps, 'readFile'>
}

const CONNECT_TIMEOUT_MS = 10_000
const CHECK_MS = 10_000

/** Throws config_invalid; its message names the setting and never its value. */
export function createSdkProvider(options: SdkOptions): Provider {
  const { deps, secret, models, upstreamModel, name } = options
  const base = parseBaseUrl(options.baseUrl)
  const url = new URL(options.baseUrl)
  const proxy = deps.proxy === null || bypassesProxy(base, deps.noProxy) ? null : parseProxy(deps.proxy)
  const client = new HttpClient({
    // The package knows the whole paths
    origin: { ...base, basePath: '', query: '' },
    proxy,
    ca: options.ca,
    clock: deps.clock,
    wheel: deps.wheel,
    gatherMs: deps.gatherMs,
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
    headers: READ_HEADERS,
  })
  const fixed = headerLines(options.headers)
  const callDeps = { clock: deps.clock, sweep: client.sweep, secret, maxAnswerBytes: deps.maxAnswerBytes }
  const transportOf = (stream: boolean, headers: string): Transport =>
    new Transport({ ...callDeps, client, origin: url.origin, stream, headers })

  function ask(call: ProviderCall): Asking {
    const stream = call.kind === 'chat' && call.stream
    const trace: Readonly<Record<string, string>> = call.trace === undefined ? {} : { traceparent: call.trace }
    const transport = transportOf(stream, `${fixed}${headerLines({ 'x-request-id': call.requestId, ...trace })}`)
    const signal = new AbortController()
    const context = { abortSignal: signal.signal, headers: {} }
    const labels = (model: string | null, dropped: readonly string[] = []): Labels => ({
      id: deps.ids.name('chatcmpl', 12),
      created: Math.floor(deps.clock.wallMs() / 1_000),
      model: upstreamModel ?? model ?? '',
      dropped,
    })
    if (call.kind === 'embedding') {
      const result = () => embedded(call.body, upstreamModel, models, transport.fetch, context)
      return { transport, signal, labels: labels(null), ask: { kind: 'embedding', result } }
    }
    const { model: asked, options, dropped, urls } = translated(call.body)
    const limit = models.addsThought && options.reasoning !== undefined ? options.maxOutputTokens : undefined
    const model = models.chat(upstreamModel ?? asked ?? '', fetchWithin(transport.fetch, limit))
    const checked = async (): Promise<CallOptions & typeof context> => {
      for (const each of urls) await mustFetch(model, each)
      return { ...options, ...context }
    }
    return {
      transport,
      signal,
      labels: labels(asked, dropped),
      ask: stream
        ? { kind: 'stream', parts: async () => (await model.doStream(await checked())).stream }
        : { kind: 'document', result: async () => model.doGenerate(await checked()) },
    }
  }

  return {
    continues: false,
    start(call: ProviderCall, sink: ProviderSink) {
      const run = new SdkCall(callDeps, call, sink)
      if (isMedia(call.kind)) run.refuse(failed('provider_rejected', 'elsewhere', { message: noMedia(name) }))
      else if (client.isClosed)
        run.refuse(failed('provider_unreachable', 'elsewhere', { message: `${name} was closed.` }))
      else {
        try {
          headerLines({ 'x-request-id': call.requestId })
          run.send(() => ask(call))
        } catch (thrown) {
          const error = SluiceError.from(thrown)
          run.refuse(failed('invalid_request', false, { message: error.message }))
        }
      }
      return run
    },
    check: () => check(transportOf(false, fixed), options, url),
    close: () => client.close(),
  }
}

/** We fetch nothing that a caller names: the provider does, or nobody. */
async function mustFetch(
  model: LanguageModel,
  { param, url, mediaType }: { readonly param: string; readonly url: URL; readonly mediaType: string },
): Promise<void> {
  const family = mediaType.split('/')[0]
  const supported = Object.entries(await model.supportedUrls).some(
    ([type, patterns]) =>
      (type === '*' || type === '*/*' || type.split('/')[0] === family) &&
      patterns.some((pattern) => pattern.test(url.href.toLowerCase())),
  )
  if (!supported)
    throw new Untranslatable(param, 'The provider of this model fetches no such address: send a data URL in its place.')
}

function headerLines(headers: Readonly<Record<string, string>>): string {
  let lines = ''
  for (const [name, value] of Object.entries(headers)) {
    if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name) || !/^[\t\x20-\x7e\xa0-\xff]*$/.test(value))
      throw new SluiceError('config_invalid', { message: `The header ${JSON.stringify(name)} can't be sent.` })
    lines += `${name.toLowerCase()}: ${value}\r\n`
  }
  return lines
}

async function check(
  transport: Transport,
  { check, baseUrl, deps }: SdkOptions,
  url: URL,
): ReturnType<Provider['check']> {
  const base = baseUrl.replace(/\/+$/, '')
  const late = Promise.withResolvers<null>()
  const cancel = deps.clock.after(CHECK_MS, () => late.resolve(null))
  try {
    const target = check === null ? `${url.origin}/` : `${base}${check.route}`
    const asked = transport.fetch(target, { method: 'GET', headers: check?.headers ?? {} })
    const response = await Promise.race([asked, late.promise])
    if (response === null) return { ok: false, detail: `no answer within ${CHECK_MS} ms`, status: 0 }
    return { ok: true, detail: 'reachable', status: response.status }
  } catch {
    const { status } = transport
    if (status === null) return { ok: false, detail: transport.failure?.error.message ?? 'no answer', status: 0 }
    // Without a key to show, any answer is a good one
    return check === null
      ? { ok: true, detail: 'reachable; its key was not tried', status }
      : { ok: false, detail: `HTTP ${status}`, status }
  } finally {
    cancel()
    transport.abort()
  }
}

const noMedia = (name: string): string =>
  `${name} is called by the AI SDK, by which images and sounds can't be made here: leave them out of its kinds.`
