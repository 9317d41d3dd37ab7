/** Upstreams as they are, and as they should not be: raw bytes over real sockets. */
import { createServer, type Server, type Socket } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { systemClock, Wheel } from '../../core/clock.ts'
import type { Provider, ProviderEnd } from '../../core/ports.ts'
import { type Bytes, toBytes, toText } from '../../core/record.ts'
import { createOpenAiProvider } from './openai.ts'

const HEAD = 'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n'
const chunk = (delta: string, finish = 'null', more = ''): string =>
  `{"id":"c1","object":"chat.completion.chunk","created":1,"model":"m"${more},"choices":[{"index":0,"delta":${delta},"finish_reason":${finish}}]}`
const TOKENS = [
  chunk('{"role":"assistant","content":""}'),
  chunk('{"content":"Grüße 世界 🌍","x_unknown":[1,{"a":null}]}', 'null', ',"x_vendor":"kept"'),
  chunk('{"reasoning_content":"hm"}'),
  chunk('{}', '"stop"'),
]
const USAGE =
  '{"id":"c1","object":"chat.completion.chunk","choices":[],"usage":{"prompt_tokens":-1,"completion_tokens":3}}'
const sse = (payloads: readonly string[], end = '\n\n'): string => payloads.map((p) => `data: ${p}${end}`).join('')
const frame = (text: string, extension = ''): Bytes => {
  const bytes = toBytes(text)
  return `${bytes.length.toString(16)}${extension}\r\n${bytes}\r\n`
}
const LAST = '0\r\n\r\n'

let server: Server
let provider: Provider
let sockets: Socket[]
let asked: string[]
let answer: (socket: Socket) => void

beforeEach(async () => {
  sockets = []
  asked = []
  server = createServer((socket) => {
    sockets.push(socket)
    socket.on('error', () => {})
    let text = ''
    socket.on('data', (part) => {
      text += part.toString('latin1')
      const head = text.indexOf('\r\n\r\n')
      if (head < 0) return
      const length = Number(/content-length: (\d+)/i.exec(text)?.[1] ?? 0)
      if (text.length < head + 4 + length) return
      asked.push(text)
      text = ''
      answer(socket)
    })
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as { port: number }
  provider = createOpenAiProvider({
    name: 'test',
    baseUrl: `http://127.0.0.1:${port}/v1`,
    apiKey: 'sk-upstream-secret-0123456789',
    upstreamModel: 'real-name',
    clock: systemClock,
    wheel: new Wheel(systemClock),
    gatherMs: () => 0,
  })
})
afterEach(() => {
  provider.close()
  for (const socket of sockets) socket.destroy()
  server.close()
})

interface Outcome {
  readonly events: string[]
  readonly end: ProviderEnd
}

function call(
  body: object = { model: 'm', messages: [] },
  timeouts = { ttftMs: 5_000, interTokenMs: 5_000, totalMs: 10_000 },
): Promise<Outcome> {
  return new Promise((resolve) => {
    const events: string[] = []
    let ended = false
    provider.start(
      { kind: 'chat', body: Buffer.from(JSON.stringify(body)), requestId: 'r', timeouts },
      {
        events: (payloads) => events.push(...payloads.map(toText)),
        end(end) {
          expect(ended).toBe(false)
          ended = true
          resolve({ events, end })
        },
      },
    )
  })
}
const says = (bytes: Bytes, end = false): void => {
  answer = (socket) => {
    socket.write(bytes, 'latin1')
    if (end) socket.end()
  }
}
const codeOf = ({ end }: Outcome): string => (end.kind === 'failed' ? end.error.code : end.kind)

describe('an answer arrives unharmed', () => {
  const whole = HEAD + frame(sse([...TOKENS, USAGE])) + frame(sse(['[DONE]'])) + LAST

  it('cut anywhere, and byte by byte', async () => {
    for (let cut = HEAD.length; cut < whole.length; cut += 13) {
      answer = (socket) => {
        socket.write(whole.slice(0, cut), 'latin1')
        setImmediate(() => socket.write(whole.slice(cut), 'latin1'))
      }
      const { events, end } = await call()
      expect(events).toEqual([...TOKENS, USAGE])
      expect(end.kind).toBe('done')
    }
    answer = (socket) => {
      socket.setNoDelay(true)
      let i = 0
      const one = (): void => {
        if (i < whole.length) socket.write(whole[i++], 'latin1', one)
      }
      one()
    }
    expect((await call()).events).toEqual([...TOKENS, USAGE])
  })

  it.each([
    ['chunk extensions and trailers', `${HEAD}${frame(sse([...TOKENS, '[DONE]']), ';a="b"')}0\r\nx-trailer: 1\r\n\r\n`],
    [
      '100 Continue and 103 Early Hints before it',
      `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n${HEAD}${frame(sse([...TOKENS, '[DONE]']))}${LAST}`,
    ],
    ['CRLF lines', HEAD + frame(sse([...TOKENS, '[DONE]'], '\r\n\r\n')) + LAST],
    [
      'no space behind "data:", comments, ids and retries',
      HEAD +
        frame(
          `: hello\n\nid: 7\nretry: 10\n\n${[...TOKENS, '[DONE]'].map((p) => `event: x\ndata:${p}\n\n`).join('')}`,
        ) +
        LAST,
    ],
    ['no [DONE], but a finish reason and a clean end', HEAD + frame(sse(TOKENS)) + LAST],
    ['two [DONE], and content behind it', HEAD + frame(sse([...TOKENS, '[DONE]', '[DONE]', TOKENS[1]])) + LAST],
  ])('with %s', async (_name, bytes) => {
    says(bytes)
    const { events, end } = await call()
    expect(events).toEqual(TOKENS)
    expect(end.kind).toBe('done')
  })

  it('until the connection closes, where no length was said', async () => {
    says(`HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n${toBytes(sse([...TOKENS, '[DONE]']))}`, true)
    expect((await call()).events).toEqual(TOKENS)
  })

  it('as a whole, from an upstream that does not stream', async () => {
    const body = toBytes(
      JSON.stringify({
        id: 'c1',
        object: 'chat.completion',
        created: 1,
        model: 'm',
        choices: [{ index: 0, message: { role: 'assistant', content: 'Hi' }, finish_reason: 'stop' }],
        usage: { prompt_tokens: 1, completion_tokens: 1 },
      }),
    )
    says(`HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`)
    const { events, end } = await call()
    expect(end.kind).toBe('done')
    expect(events.map((e) => (JSON.parse(e) as { object: string }).object)).toEqual(
      events.map(() => 'chat.completion.chunk'),
    )
    expect(events.join()).toContain('"Hi"')
    expect(events.at(-1)).toContain('"usage"')
  })

  it('over one kept connection, call after call', async () => {
    says(whole)
    for (let i = 0; i < 5; i++) expect((await call()).end.kind).toBe('done')
    expect(sockets).toHaveLength(1)
  })

  it('on a fresh connection, when the kept one had been closed', async () => {
    says(whole)
    await call()
    const [first] = sockets
    await new Promise<void>((done) => {
      first.once('close', () => done())
      first.end()
      first.destroy()
    })
    expect((await call()).end.kind).toBe('done')
    expect(sockets).toHaveLength(2)
  })
})

describe('nothing is papered over', () => {
  const begun = HEAD + frame(sse(TOKENS.slice(0, 3)))
  it.each<[string, Bytes, boolean, string]>([
    ['a clean end without a finish reason', begun + LAST, false, 'provider_cut'],
    ['a connection that ends in the middle', begun, true, 'provider_cut'],
    ['half of a JSON text', begun + frame('data: {"id":"c1","cho\n\n') + LAST, false, 'provider_garbage'],
    ['what is no JSON', HEAD + frame('data: hello\n\n') + LAST, false, 'provider_garbage'],
    [
      'an error in the stream',
      begun + frame('data: {"error":{"message":"overloaded","code":503}}\n\n') + LAST,
      false,
      'provider_error',
    ],
    [
      'an error instead of an answer, with 200',
      'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 32\r\n\r\n{"error":{"message":"no luck."}}',
      false,
      'provider_error',
    ],
    [
      'an HTML page of a proxy',
      'HTTP/1.1 502 Bad Gateway\r\ncontent-type: text/html\r\ncontent-length: 13\r\n\r\n<h1>nope</h1>',
      false,
      'provider_error',
    ],
    [
      'a redirect',
      'HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n',
      false,
      'provider_error',
    ],
    [
      'an encoding nobody asked for',
      'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n',
      false,
      'provider_garbage',
    ],
    ['what is not HTTP', 'SSH-2.0-OpenSSH_9.2\r\n\r\n\r\n', true, 'provider_garbage'],
    ['a chunk size that is none', `${HEAD}zz\r\n`, false, 'provider_garbage'],
    [
      'refused credentials',
      'HTTP/1.1 401 Unauthorized\r\ncontent-length: 60\r\n\r\n{"error":{"message":"key sk-upstream-secret-0123456789 bad"}}',
      false,
      'provider_auth',
    ],
    ['an event without an end', HEAD + frame(`data: {"x":"${'a'.repeat(2 << 20)}`), false, 'provider_garbage'],
  ])('%s', async (_name, bytes, end, code) => {
    says(bytes, end)
    const outcome = await call()
    expect(codeOf(outcome)).toBe(code)
    expect(JSON.stringify(outcome.end)).not.toContain('sk-upstream-secret')
  })

  it('asks for as long as the upstream asked for', async () => {
    says('HTTP/1.1 429 Too Many Requests\r\nretry-after: 7\r\ncontent-length: 2\r\n\r\n{}')
    expect((await call()).end).toMatchObject({
      kind: 'failed',
      retry: true,
      retryAfterMs: 7_000,
      error: { code: 'provider_rate_limited' },
    })
    says('HTTP/1.1 429 Too Many Requests\r\nretry-after: 99999999\r\ncontent-length: 2\r\n\r\n{}')
    const { end } = await call()
    expect(end.kind === 'failed' && end.retryAfterMs).toBeLessThanOrEqual(300_000)
  })

  it('says what the upstream had against the request, and does not repeat it', async () => {
    const body = '{"error":{"message":"max_tokens is too large"}}'
    says(`HTTP/1.1 400 Bad Request\r\ncontent-length: ${body.length}\r\n\r\n${body}`)
    const { end } = await call()
    expect(end).toMatchObject({ kind: 'failed', retry: false, error: { code: 'provider_rejected', status: 400 } })
    expect(end.kind === 'failed' && end.error.message).toContain('max_tokens is too large')
  })

  it.each([
    ['to the first event', '', { ttftMs: 300, interTokenMs: 9_000, totalMs: 9_000 }],
    ['between events', begun, { ttftMs: 9_000, interTokenMs: 300, totalMs: 9_000 }],
    ['in all', begun, { ttftMs: 9_000, interTokenMs: 9_000, totalMs: 400 }],
  ])('waits so long %s, and no longer', async (_name, bytes, timeouts) => {
    says(bytes || HEAD)
    expect(codeOf(await call(undefined, timeouts))).toBe('provider_timeout')
  })

  it('is unreachable where nobody listens', async () => {
    const nobody = createOpenAiProvider({
      name: 'x',
      baseUrl: 'http://127.0.0.1:1/v1',
      apiKey: null,
      upstreamModel: null,
      clock: systemClock,
      wheel: new Wheel(systemClock),
      gatherMs: () => 0,
    })
    const end = await new Promise<ProviderEnd>((done) =>
      nobody.start(
        {
          kind: 'chat',
          body: Buffer.from('{"messages":[]}'),
          requestId: 'r',
          timeouts: { ttftMs: 1_000, interTokenMs: 1_000, totalMs: 1_000 },
        },
        { events() {}, end: done },
      ),
    )
    expect(end).toMatchObject({ kind: 'failed', retry: true, error: { code: 'provider_unreachable' } })
    nobody.close()
  })
})

it('sends the request as it came, save what it must say itself', async () => {
  says(HEAD + frame(sse([...TOKENS, '[DONE]'])) + LAST)
  await call({
    model: 'public',
    messages: [{ role: 'user', content: 'é' }],
    x_new: { deep: [1e21] },
    stream_options: { x_other: 1 },
  })
  const [head, body] = asked[0].split('\r\n\r\n')
  expect(head).toMatch(/^POST \/v1\/chat\/completions HTTP\/1\.1/)
  expect(head).toContain('Bearer sk-upstream-secret-0123456789')
  expect(JSON.parse(toText(body))).toEqual({
    model: 'real-name',
    messages: [{ role: 'user', content: 'é' }],
    x_new: { deep: [1e21] },
    stream_options: { x_other: 1, include_usage: true },
    stream: true,
  })
})

it('closes the upstream connection within 100 ms of an abort', async () => {
  answer = (socket) => void socket.write(HEAD + frame(sse(TOKENS.slice(0, 2))), 'latin1')
  let end: ProviderEnd | null = null
  const run = await new Promise<ReturnType<Provider['start']>>((begun) => {
    const started = provider.start(
      {
        kind: 'chat',
        body: Buffer.from('{"messages":[]}'),
        requestId: 'r',
        timeouts: { ttftMs: 5_000, interTokenMs: 5_000, totalMs: 5_000 },
      },
      { events: () => begun(started), end: (e) => (end = e) },
    )
  })
  const closed = new Promise<number>((done) => {
    const at = performance.now()
    sockets[0].once('close', () => done(performance.now() - at))
  })
  run.abort()
  run.abort()
  expect(await closed).toBeLessThan(100)
  expect(end).toEqual({ kind: 'aborted' })
})

it('leaves the socket unread while it is paused', async () => {
  let sent = 0
  answer = (socket) => {
    socket.write(HEAD + frame(sse(TOKENS.slice(0, 2))), 'latin1')
    const more = (): void => {
      if (socket.destroyed || sent > 64 << 20) return
      const text = frame(sse([chunk(`{"content":"${'x'.repeat(60_000)}"}`)]))
      sent += text.length
      if (socket.write(text, 'latin1')) setImmediate(more)
      else socket.once('drain', more)
    }
    more()
  }
  let got = 0
  const run = provider.start(
    {
      kind: 'chat',
      body: Buffer.from('{"messages":[]}'),
      requestId: 'r',
      timeouts: { ttftMs: 5_000, interTokenMs: 400, totalMs: 60_000 },
    },
    {
      events(payloads) {
        got += payloads.length
        if (got < 5) run.pause()
      },
      end() {},
    },
  )
  await new Promise((done) => setTimeout(done, 1_200))
  // What the kernel holds, and not the 64 MiB that the upstream would send; nor is our own pause taken for its silence
  expect(sent).toBeLessThan(24 << 20)
  const before = got
  run.resume()
  await new Promise((done) => setTimeout(done, 200))
  expect(got).toBeGreaterThan(before)
  run.abort()
})
