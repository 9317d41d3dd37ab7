/** Upstreams as they are, and as they should not be: raw bytes over real sockets. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { expectInTime } from '../../../../test/in-time.ts'
import { systemClock, Wheel } from '../../../core/clock.ts'
import type { Provider, ProviderEnd } from '../../../core/ports/provider.ts'
import { type Bytes, toBytes, toText } from '../../../core/record.ts'
import { chunk, codeOf, frame, HEAD, LAST, RawUpstream, response, sse } from '../testing/upstream.ts'
import { createOpenAiProvider } from './provider.ts'

const TOKENS = [
  chunk('{"role":"assistant","content":""}'),
  chunk('{"content":"Grüße 世界 🌍","x_unknown":[1,{"a":null}]}', 'null', ',"x_vendor":"kept"'),
  chunk('{"reasoning_content":"hm"}'),
  chunk('{}', '"stop"'),
]
const USAGE =
  '{"id":"c1","object":"chat.completion.chunk","choices":[],"usage":{"prompt_tokens":-1,"completion_tokens":3}}'

let upstream: RawUpstream
beforeEach(async () => {
  upstream = new RawUpstream()
  await upstream.start()
})
afterEach(() => upstream.stop())

describe('an answer arrives unharmed', () => {
  const whole = HEAD + frame(sse([...TOKENS, USAGE])) + frame(sse(['[DONE]'])) + LAST

  it('cut anywhere, and byte by byte', async () => {
    for (let cut = HEAD.length; cut < whole.length; cut += 13) {
      upstream.answer = (socket) => {
        socket.write(whole.slice(0, cut), 'latin1')
        setImmediate(() => socket.write(whole.slice(cut), 'latin1'))
      }
      const { events, end } = await upstream.call()
      expect(events).toEqual([...TOKENS, USAGE])
      expect(end.kind).toBe('done')
    }
    upstream.answer = (socket) => {
      socket.setNoDelay(true)
      let i = 0
      const one = (): void => {
        if (i < whole.length) socket.write(whole[i++], 'latin1', one)
      }
      one()
    }
    expect((await upstream.call()).events).toEqual([...TOKENS, USAGE])
  })

  it.each([
    ['chunk extensions and trailers', `${HEAD}${frame(sse([...TOKENS, '[DONE]']), ';a="b"')}0\r\nx-trailer: 1\r\n\r\n`],
    [
      '100 Continue and 103 Early Hints before it',
      'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n' +
        `${HEAD}${frame(sse([...TOKENS, '[DONE]']))}${LAST}`,
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
    upstream.says(bytes)
    const { events, end } = await upstream.call()
    expect(events).toEqual(TOKENS)
    expect(end.kind).toBe('done')
  })

  it('until the connection closes, where no length was said', async () => {
    upstream.saysAndEnds(
      `HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n${toBytes(sse([...TOKENS, '[DONE]']))}`,
    )
    expect((await upstream.call()).events).toEqual(TOKENS)
  })

  it('as a whole, from an upstream that does not stream', async () => {
    const body = JSON.stringify({
      id: 'c1',
      object: 'chat.completion',
      choices: [{ index: 0, message: { role: 'assistant', content: 'Hi' }, finish_reason: 'stop' }],
      usage: { prompt_tokens: 1, completion_tokens: 1 },
    })
    upstream.says(response('200 OK', body))
    expect(await upstream.call()).toMatchObject({
      events: [],
      document: body,
      usage: { completion_tokens: 1 },
      end: { kind: 'done' },
    })
  })

  it('over one kept connection, call after call', async () => {
    upstream.says(whole)
    for (let i = 0; i < 5; i++) expect((await upstream.call()).end.kind).toBe('done')
    expect(upstream.sockets).toHaveLength(1)
  })

  it('on a fresh connection, when the kept one had been closed', async () => {
    upstream.says(whole)
    await upstream.call()
    const [first] = upstream.sockets
    await new Promise<void>((done) => {
      first.once('close', () => done())
      first.end()
      first.destroy()
    })
    expect((await upstream.call()).end.kind).toBe('done')
    expect(upstream.sockets).toHaveLength(2)
  })
})

describe('one event or document of more than 16 MiB', () => {
  const large = `{"choices":[{"index":0,"message":{"content":"${'D'.repeat(17 << 20)}"},"finish_reason":"stop"}]}`
  it.each([
    ['a document', `HTTP/1.1 200 OK\r\ncontent-length: ${large.length}\r\n\r\n${large}`],
    ['an event', HEAD + frame(`data: ${large}\n\n`) + LAST],
  ])('%s: is refused with the limit that binds', async (_name, bytes) => {
    upstream.says(bytes)
    const { end } = await upstream.call()
    const message = expect.stringMatching(/larger than 16 MiB \(a fixed limit\)/)
    expect(end).toMatchObject({ kind: 'failed', retry: false, error: { code: 'result_too_large', message } })
  })
})

describe('nothing is papered over', () => {
  const begun = HEAD + frame(sse(TOKENS.slice(0, 3)))
  it.each<[string, Bytes, boolean, string]>([
    ['a clean end without a finish reason', begun + LAST, false, 'provider_cut'],
    ['a connection that ends in the middle', begun, true, 'provider_cut'],
    [
      'half a document, without a length',
      'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{"choices":[{"mess',
      true,
      'provider_cut',
    ],
    [
      'half a document, with the length of a half',
      'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 17\r\n\r\n{"choices":[{"mes',
      false,
      'provider_garbage',
    ],
    ['a text without a length', 'HTTP/1.1 200 OK\r\n\r\nsorry', true, 'provider_garbage'],
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
      'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: gzip\r\n' +
        'transfer-encoding: chunked\r\n\r\n',
      false,
      'provider_garbage',
    ],
    ['what is not HTTP', 'SSH-2.0-OpenSSH_9.2\r\n\r\n\r\n', true, 'provider_garbage'],
    ['a chunk size that is none', `${HEAD}zz\r\n`, false, 'provider_garbage'],
    [
      'refused credentials',
      'HTTP/1.1 401 Unauthorized\r\ncontent-length: 60\r\n\r\n' +
        '{"error":{"message":"key sk-upstream-secret-0123456789 bad"}}',
      false,
      'provider_auth',
    ],
  ])('%s', async (_name, bytes, end, code) => {
    end ? upstream.saysAndEnds(bytes) : upstream.says(bytes)
    const outcome = await upstream.call()
    expect(codeOf(outcome)).toBe(code)
    expect(JSON.stringify(outcome.end)).not.toContain('sk-upstream-secret')
  })

  it('asks for as long as the upstream asked for', async () => {
    upstream.says('HTTP/1.1 429 Too Many Requests\r\nretry-after: 7\r\ncontent-length: 2\r\n\r\n{}')
    expect((await upstream.call()).end).toMatchObject({
      kind: 'failed',
      retry: true,
      error: { code: 'provider_rate_limited', retryAfterMs: 7_000 },
    })
    upstream.says('HTTP/1.1 429 Too Many Requests\r\nretry-after: 99999999\r\ncontent-length: 2\r\n\r\n{}')
    const { end } = await upstream.call()
    expect(end.kind === 'failed' && end.error.retryAfterMs).toBeLessThanOrEqual(300_000)
  })

  it('says what the upstream had against the request, and does not repeat it', async () => {
    const body = '{"error":{"message":"max_tokens is too large"}}'
    upstream.says(`HTTP/1.1 400 Bad Request\r\ncontent-length: ${body.length}\r\n\r\n${body}`)
    const { end } = await upstream.call()
    expect(end).toMatchObject({ kind: 'failed', retry: false, error: { code: 'provider_rejected', status: 400 } })
    expect(end.kind === 'failed' && end.error.message).toContain('max_tokens is too large')
  })

  it.each([
    ['to the first event', '', { ttftMs: 300, interTokenMs: 9_000, totalMs: 9_000 }],
    ['between events', begun, { ttftMs: 9_000, interTokenMs: 300, totalMs: 9_000 }],
    ['in all', begun, { ttftMs: 9_000, interTokenMs: 9_000, totalMs: 400 }],
  ])('waits so long %s, and no longer', async (_name, bytes, timeouts) => {
    upstream.says(bytes || HEAD)
    expect(codeOf(await upstream.call(undefined, { timeouts }))).toBe('provider_timeout')
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
          stream: true,
          requestId: 'r',
          timeouts: { ttftMs: 1_000, interTokenMs: 1_000, totalMs: 1_000 },
        },
        { events() {}, document() {}, end: done },
      ),
    )
    expect(end).toMatchObject({ kind: 'failed', retry: true, error: { code: 'provider_unreachable' } })
    nobody.close()
  })
})

it('sends the request as it came, save what it must say itself', async () => {
  upstream.says(HEAD + frame(sse([...TOKENS, '[DONE]'])) + LAST)
  await upstream.call({
    model: 'public',
    messages: [{ role: 'user', content: 'é' }],
    x_new: { deep: [1e21] },
    stream_options: { x_other: 1 },
  })
  const [head, body] = upstream.asked[0].split('\r\n\r\n')
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
  upstream.answer = (socket) => void socket.write(HEAD + frame(sse(TOKENS.slice(0, 2))), 'latin1')
  let end: ProviderEnd | null = null
  const run = await new Promise<ReturnType<Provider['start']>>((begun) => {
    const started = upstream.provider.start(
      {
        kind: 'chat',
        body: Buffer.from('{"messages":[]}'),
        stream: true,
        requestId: 'r',
        timeouts: { ttftMs: 5_000, interTokenMs: 5_000, totalMs: 5_000 },
      },
      { events: () => begun(started), document() {}, end: (e) => (end = e) },
    )
  })
  const closed = new Promise<number>((done) => {
    const at = performance.now()
    upstream.sockets[0].once('close', () => done(performance.now() - at))
  })
  run.abort()
  run.abort()
  expectInTime(await closed, 100)
  expect(end).toEqual({ kind: 'aborted' })
})

it('leaves the socket unread while it is paused', async () => {
  let sent = 0
  upstream.answer = (socket) => {
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
  const run = upstream.provider.start(
    {
      kind: 'chat',
      body: Buffer.from('{"messages":[]}'),
      stream: true,
      requestId: 'r',
      timeouts: { ttftMs: 5_000, interTokenMs: 400, totalMs: 60_000 },
    },
    {
      events(payloads) {
        got += payloads.length
        if (got < 5) run.pause()
      },
      document() {},
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
