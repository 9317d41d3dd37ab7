/**
 * A stand-alone OpenAI-compatible upstream with scripted latency and faults, for users' tests and ours: chat, older
 * completions, embeddings, images, speech and transcriptions. It keeps its own ledger. The script is in the model's
 * name, which every gateway passes on:
 *
 *   mock-n200-d20-f50   200 tokens (10), 20 ms apart (0), the first after 50 ms (0)
 *   eN answer with status N    kN drop the connection after N tokens    sN fall silent after N    gN garbage after N
 *   hN an error event after N  x0 no [DONE]    u0 usage only if asked for    bN tokens a write (1)
 *   cN of the prompt's 19 tokens N were cached    qN N ms in the engine's queue    pN N ms to read the prompt
 *   m1 the last chunk tells queue, prefill and pace, as vLLM does with --enable-per-request-metrics
 *
 * Token i reads " tok00000i.TTTTTTTTTTTTT": its index, and the monotonic microsecond of its sending.
 */
import { hash } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { type Clock, systemClock } from '../core/clock.ts'
import { fieldsOf, mediaAt } from './media.ts'

export interface MockOptions {
  /** 0 = any free one. */
  readonly port: number
  readonly host?: string
  /** 429 above this many concurrent calls. */
  readonly slots?: number
  /** So many are worked on at once; the others wait in line, as they do in an engine. */
  readonly serves?: number
  /** Keep the bodies received, for `bodies()`. */
  readonly keepBodies?: boolean
  /** Keep which user was answered when, for `GET /calls`. */
  readonly keepCalls?: boolean
  readonly clock?: Clock
}

/** One call: the request's `user`, its path, monotonic ms, and what it came to. */
export interface MockCall {
  /** Its `x-request-id`. */
  readonly id: string
  readonly user: string
  readonly path: string
  readonly startMs: number
  /** Out of the line, by `serves` and "-q". */
  readonly servedMs: number | null
  /** The prompt is read, and the first token is sent. */
  readonly firstTokenMs: number | null
  readonly lastTokenMs: number | null
  /** Null while it runs. */
  readonly endMs: number | null
  /** What a provider would charge: the prompt, and all that was generated, whether it was read or not. */
  readonly promptTokens: number
  readonly cachedTokens: number
  readonly tokens: number
  /** Its usage was sent. */
  readonly reported: boolean
}

type OpenCall = { -readonly [name in keyof MockCall]: MockCall[name] }

export interface MockStats {
  readonly requests: number
  readonly refused: number
  readonly active: number
  readonly peak: number
  readonly aborted: number
  readonly tokens: number
  /** Tokens of the calls whose usage was reported: what is to be charged. */
  readonly reportedTokens: number
}

export interface MockServer {
  readonly url: string
  readonly stats: MockStats
  /** Of all calls, in order. */
  bodies(): Promise<readonly string[]>
  close(): Promise<void>
}

export interface Script {
  readonly [letter: string]: number | undefined
}

const PROMPT_TOKENS = 19

export async function startMock(options: MockOptions): Promise<MockServer> {
  const clock = options.clock ?? systemClock
  const stats = { requests: 0, refused: 0, active: 0, peak: 0, aborted: 0, tokens: 0, reportedTokens: 0 }
  const bodies: string[] = []
  const calls: OpenCall[] = []
  /** Worked on now, and who waits. */
  let serving = 0
  const line: Array<() => void> = []

  const server = createServer((request, response) => {
    const path = (request.url ?? '/').split('?')[0]
    if (request.method === 'GET') {
      if (path === '/stats') return json(response, 200, stats)
      if (path === '/bodies') return json(response, 200, bodies)
      if (path === '/calls') return json(response, 200, calls)
      if (path.endsWith('/models'))
        return json(response, 200, {
          object: 'list',
          data: [{ id: 'mock-n10', object: 'model', created: 1750000000, owned_by: 'mock' }],
        })
      return json(response, 404, {
        error: { message: 'no such route', type: 'invalid_request_error', param: null, code: null },
      })
    }
    if (!SERVED.test(path)) return json(response, 404, elsewhere(path))
    const parts: Buffer[] = []
    request.on('data', (part: Buffer) => parts.push(part))
    request.on('end', () => {
      const all = Buffer.concat(parts)
      const isForm = /^multipart\//.test(request.headers['content-type'] ?? '')
      answer(request, response, isForm ? fieldsOf(all) : all.toString('utf8'), path)
    })
  })

  function answer(request: IncomingMessage, response: ServerResponse, text: string, path: string): void {
    let body: {
      model?: string
      stream?: boolean
      stream_options?: { include_usage?: boolean }
      input?: unknown
      user?: string
    }
    try {
      body = JSON.parse(text) as typeof body
    } catch {
      return json(response, 400, {
        error: { message: 'not JSON', type: 'invalid_request_error', param: null, code: null },
      })
    }
    if (options.keepBodies === true) bodies.push(text)
    if (options.slots !== undefined && stats.active >= options.slots) {
      stats.refused++
      response.setHeader('retry-after-ms', '200')
      return json(response, 429, {
        error: {
          message: `all ${options.slots} slots are taken`,
          type: 'rate_limit_error',
          param: null,
          code: 'rate_limit_exceeded',
        },
      })
    }
    stats.requests++
    stats.active++
    stats.peak = Math.max(stats.peak, stats.active)
    let over = false
    const script = parseScript(body.model ?? '')
    const record: OpenCall = {
      id: String(request.headers['x-request-id'] ?? ''),
      user: body.user ?? '',
      path,
      startMs: clock.monoMs(),
      servedMs: null,
      firstTokenMs: null,
      lastTokenMs: null,
      endMs: null,
      promptTokens: script['e'] === undefined ? PROMPT_TOKENS : 0,
      cachedTokens: script['e'] === undefined ? (script['c'] ?? 0) : 0,
      tokens: 0,
      reported: false,
    }
    if (options.keepCalls === true) calls.push(record)
    const leave = (): void => {
      if (over) return
      over = true
      record.endMs = clock.monoMs()
      stats.active--
      if (isServed) serving--
      nextInLine()
      if (!response.writableFinished) stats.aborted++
    }
    let isServed = false
    const serve = (then: () => void): void => {
      const begin = (): void => {
        if (over) return nextInLine()
        isServed = true
        serving++
        clock.after(script['q'] ?? 0, () => {
          record.servedMs = clock.monoMs()
          clock.after(script['p'] ?? 0, then)
        })
      }
      if (options.serves === undefined || serving < options.serves) begin()
      else line.push(begin)
    }
    response.on('close', leave)
    response.on('finish', leave)
    if (script['e'] !== undefined) {
      clock.after(script['f'] ?? 0, () =>
        json(response, script['e'] ?? 500, {
          error: { message: `mock error ${script['e']}`, type: 'mock_error', param: null, code: null },
        }),
      )
      return
    }
    if (path.endsWith('/embeddings')) return embeddings(response, body)
    const media = mediaAt(path)
    if (media !== null) return serve(() => media(response, text, script, clock))
    serve(() => {
      const model = body.model ?? 'mock'
      const form = path.endsWith('/completions') && !path.endsWith('/chat/completions') ? OLDER : CHAT
      if (body.stream === true) stream(response, form, model, script, record, sendsUsage(script, body))
      else whole(response, form, model, script, record)
    })
  }

  function nextInLine(): void {
    if (options.serves === undefined || serving < options.serves) line.shift()?.()
  }

  const head = ({ id, chunk }: Form, model: string): string =>
    `{"id":"${id}-mock-${stats.requests}","object":"${chunk}","created":1750000000,` +
    `"model":${JSON.stringify(model)},"system_fingerprint":"fp_mock","choices":[`
  const usage = (n: number, cached: number): object => ({
    prompt_tokens: PROMPT_TOKENS,
    completion_tokens: n,
    total_tokens: PROMPT_TOKENS + n,
    prompt_tokens_details: { cached_tokens: cached },
  })
  const token = (i: number): string =>
    ` tok${String(i).padStart(6, '0')}.${String(Math.floor(clock.monoMs() * 1000)).padStart(13, '0')}`

  function stream(
    response: ServerResponse,
    form: Form,
    model: string,
    script: Script,
    record: OpenCall,
    sayUsage: boolean,
  ): void {
    const count = script['n'] ?? 10
    const start = head(form, model)
    const event = (text: string, finish = 'null'): string =>
      `data: ${start}{"index":0,${form.piece(text)},"logprobs":null,"finish_reason":${finish}}]}\n\n`
    let next = 0
    const begin = (): void => {
      response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache' })
      if (form.opening !== '')
        response.write(`data: ${start}{"index":0,${form.opening},"logprobs":null,"finish_reason":null}]}\n\n`)
      step()
    }
    const step = (): void => {
      if (response.destroyed) return
      let text = ''
      for (let b = 0; b < (script['b'] ?? 1) && next < count; b++) {
        if (next === script['k'])
          return void (text === '' ? response.destroy() : response.write(text, () => response.destroy()))
        if (next === script['s']) return void response.write(text)
        if (next === script['g']) return void response.end(`${text}data: {"half": \n\n`)
        if (next === script['h'])
          return void response.end(
            `${text}data: {"error":{"message":"mock in-band error","type":"server_error","code":503}}\n\n`,
          )
        text += event(token(next++))
        stats.tokens++
        record.tokens++
        record.lastTokenMs = clock.monoMs()
        record.firstTokenMs ??= record.lastTokenMs
      }
      if (next < count) {
        response.write(text)
        clock.after(script['d'] ?? 0, step)
        return
      }
      if (sayUsage) stats.reportedTokens += count
      record.reported = sayUsage
      const told = script['m'] === 1 ? `,"metrics":${JSON.stringify(metricsOf(record))}` : ''
      const counts = JSON.stringify(usage(count, record.cachedTokens))
      const last = sayUsage ? `data: ${start}],"usage":${counts}${told}}\n\n` : ''
      response.end(`${text}${event('', '"stop"')}${last}${script['x'] === 0 ? '' : 'data: [DONE]\n\n'}`)
    }
    clock.after(script['f'] ?? 0, begin)
  }

  function whole(response: ServerResponse, form: Form, model: string, script: Script, record: OpenCall): void {
    const count = script['n'] ?? 10
    clock.after((script['f'] ?? 0) + count * (script['d'] ?? 0), () => {
      let content = ''
      for (let i = 0; i < count; i++) content += token(i)
      stats.tokens += count
      stats.reportedTokens += count
      record.tokens = count
      record.reported = !response.destroyed
      const choices = [{ index: 0, ...form.whole(content), logprobs: null, finish_reason: 'stop' }]
      json(response, 200, {
        id: `${form.id}-mock-${stats.requests}`,
        object: form.document,
        created: 1750000000,
        model,
        choices,
        usage: usage(count, record.cachedTokens),
      })
    })
  }

  function embeddings(response: ServerResponse, body: { model?: string; input?: unknown }): void {
    const inputs = Array.isArray(body.input) && typeof body.input[0] !== 'number' ? body.input : [body.input]
    const data = inputs.map((input, index) => ({
      object: 'embedding',
      index,
      embedding: [...hash('sha256', JSON.stringify(input), 'buffer').subarray(0, 8)].map((b) => (b - 127.5) / 128),
    }))
    json(response, 200, {
      object: 'list',
      data,
      model: body.model,
      usage: { prompt_tokens: inputs.length * 4, total_tokens: inputs.length * 4 },
    })
  }

  server.listen(options.port, options.host ?? '127.0.0.1')
  await new Promise<void>((done, failed) => {
    server.once('listening', done)
    server.once('error', failed)
  })
  const { port } = server.address() as { port: number }
  return {
    url: `http://${options.host ?? '127.0.0.1'}:${port}`,
    stats,
    bodies: async () => bodies,
    async close() {
      server.closeAllConnections()
      await new Promise((done) => server.close(done))
    },
  }
}

const SERVED = /\/(?:completions|embeddings)$/

/** An answer in a form that was not asked for would be read as an empty one. */
const elsewhere = (path: string): object => ({
  ...(path.endsWith('/messages') && { type: 'error' }),
  error: {
    message:
      'The mock serves /v1/chat/completions, /v1/completions and /v1/embeddings. For /v1/responses and /v1/messages, ' +
      'name it as an upstream of Sluice, which serves those over it.',
    type: 'not_found_error',
    param: null,
    code: null,
  },
})

/** How an API spells an answer. */
interface Form {
  readonly id: string
  readonly document: string
  readonly chunk: string
  /** Of the first chunk's choice, JSON; '': there is none before the first token. */
  readonly opening: string
  /** The same of a piece of text; '': of the last chunk. */
  readonly piece: (text: string) => string
  readonly whole: (text: string) => object
}
const CHAT: Form = {
  id: 'chatcmpl',
  document: 'chat.completion',
  chunk: 'chat.completion.chunk',
  opening: '"delta":{"role":"assistant","content":"","refusal":null}',
  piece: (text) => (text === '' ? '"delta":{}' : `"delta":{"content":"${text}"}`),
  whole: (content) => ({ message: { role: 'assistant', content, refusal: null } }),
}
const OLDER: Form = {
  id: 'cmpl',
  document: 'text_completion',
  chunk: 'text_completion',
  opening: '',
  piece: (text) => `"text":"${text}"`,
  whole: (text) => ({ text }),
}

const sendsUsage = (
  script: Script,
  body: { readonly stream_options?: { readonly include_usage?: boolean } },
): boolean => script['u'] !== 0 || body.stream_options?.include_usage === true

/** As vLLM calls them: the time to the first token is from when it was scheduled. */
const metricsOf = ({ startMs, servedMs, firstTokenMs, lastTokenMs, tokens }: MockCall): object => ({
  queue_time_ms: (servedMs ?? startMs) - startMs,
  time_to_first_token_ms: (firstTokenMs ?? 0) - (servedMs ?? startMs),
  generation_time_ms: (lastTokenMs ?? 0) - (firstTokenMs ?? 0),
  mean_itl_ms: tokens < 2 ? null : ((lastTokenMs ?? 0) - (firstTokenMs ?? 0)) / (tokens - 1),
})

const parseScript = (model: string): Script =>
  Object.fromEntries(
    [...(/mock((?:-[a-z]\d+)+)/.exec(model)?.[1] ?? '').matchAll(/-([a-z])(\d+)/g)].map(([, letter, value]) => [
      letter,
      Number(value),
    ]),
  )

function json(response: ServerResponse, status: number, body: unknown): void {
  if (response.destroyed) return
  const text = JSON.stringify(body)
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) })
  response.end(text)
}
