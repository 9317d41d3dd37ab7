/** How an upstream is asked, and what becomes of its answer: raw bytes over real sockets. */

import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { expectInTime } from '../../../../test/in-time.ts'
import {
  chunk,
  codeOf,
  frame,
  HEAD,
  LAST,
  type Outcome,
  RawUpstream,
  response,
  SECRET,
  sse,
  stream,
} from '../testing/upstream.ts'

const OPENING = chunk('{"role":"assistant","content":""}')
const TEXT = chunk('{"content":"Hi"}')
const STOP = chunk('{}', '"stop"')
const DONE = '[DONE]'
// Members that nobody knows, an escape, a number that JavaScript would write otherwise, white space
const DOCUMENT =
  '{\n  "id": "c1", "object":"chat.completion", "x_vendor": {"n": 1.50, "e": "\\u00e9"},\n' +
  '  "choices":[{"index":0,"message":{"role":"assistant","content":"Grüße"},"finish_reason":"stop"}],' +
  '"usage":{"prompt_tokens":1,"completion_tokens":2}}\n'
const STREAM = stream(OPENING, TEXT, STOP, DONE)
const REQUEST = { model: 'm', messages: [{ role: 'user', content: 'é' }] }
const refusal = (body: string, status = '400 Bad Request'): string => response(status, body)
const errorOf = ({ end }: Outcome) => (end.kind === 'failed' ? end.error : null)

let upstream: RawUpstream
beforeEach(async () => {
  upstream = new RawUpstream()
  await upstream.start({ maxAnswerBytes: 4 << 20 })
})
afterEach(() => upstream.stop())

describe('it is asked as we were asked', () => {
  it('for a document, without a word about streams, and passes it on byte for byte', async () => {
    upstream.says(response('200 OK', DOCUMENT))
    const outcome = await upstream.call(REQUEST, { stream: false })
    expect(outcome).toMatchObject({ document: DOCUMENT, events: [], end: { kind: 'done' } })
    expect(upstream.bodies).toEqual([{ ...REQUEST, model: 'real-name' }])
    expect(upstream.asked[0]).toContain('accept: application/json')
  })

  it('leaves what the client itself said of streams', async () => {
    upstream.says(response('200 OK', DOCUMENT))
    await upstream.call({ ...REQUEST, stream: false, stream_options: { x: 1 } }, { stream: false })
    expect(upstream.bodies[0]).toMatchObject({ stream: false, stream_options: { x: 1 } })
  })

  it('for a document though the client wants a stream, where the model never streams', async () => {
    upstream.says(response('200 OK', DOCUMENT))
    await upstream.call({ ...REQUEST, stream: true, stream_options: { include_usage: true } }, { stream: false })
    expect(upstream.bodies).toEqual([{ ...REQUEST, model: 'real-name' }])
  })

  it('for a stream, with its usage', async () => {
    upstream.says(STREAM)
    expect((await upstream.call(REQUEST)).events).toEqual([OPENING, TEXT, STOP])
    expect(upstream.bodies[0]).toMatchObject({ stream: true, stream_options: { include_usage: true } })
  })

  it('takes a stream for an answer where a document was asked for', async () => {
    upstream.says(STREAM)
    expect(await upstream.call(REQUEST, { stream: false })).toMatchObject({
      events: [OPENING, TEXT, STOP],
      document: null,
    })
  })

  it('takes a whole message in one event for its answer', async () => {
    const whole =
      '{"id":"c1","choices":[{"index":0,"message":{"role":"assistant","content":"\\u4e16"},"finish_reason":"stop"}]}'
    upstream.says(stream(whole, DONE))
    const { events, end } = await upstream.call(REQUEST)
    expect(end.kind).toBe('done')
    expect(JSON.parse(events[0])).toMatchObject({ choices: [{ delta: { content: '世' }, finish_reason: 'stop' }] })
  })
})

describe('a refusal that blames the way we asked is repeated once the other way', () => {
  it.each([
    [
      "Mistral's",
      '{"object":"error","message":{"detail":[{"type":"extra_forbidden","loc":["body","stream_options"],' +
        '"msg":"Extra inputs are not permitted"}]},"type":"invalid_request_error"}',
      '422 Unprocessable Entity',
    ],
    [
      "FastAPI's",
      '{"detail":[{"loc":["body","stream_options"],"msg":"extra fields not permitted"}]}',
      '422 Unprocessable Entity',
    ],
    ['by its param', '{"error":{"message":"Unknown parameter","param":"stream_options"}}', '400 Bad Request'],
    ['by its member', '{"error":{"message":"include_usage is not supported"}}', '400 Bad Request'],
  ])('without stream_options: %s', async (_name, body, status) => {
    upstream.says(refusal(body, status), STREAM)
    expect((await upstream.call(REQUEST)).events).toEqual([OPENING, TEXT, STOP])
    expect(upstream.bodies.map((b) => [b['stream'], b['stream_options']])).toEqual([
      [true, { include_usage: true }],
      [true, undefined],
    ])
  })

  it.each([
    [
      "OpenAI's to an unverified organisation",
      '{"error":{"message":"Your organization must be verified to stream this model.","param":"stream",' +
        '"code":"unsupported_value"}}',
      '400 Bad Request',
    ],
    ["Groq's in JSON mode", '{"error":{"message":"json mode does not support streaming"}}', '400 Bad Request'],
    ['of a sound', '{"error":{"message":"audio.format \'wav\' is not supported when stream=true"}}', '400 Bad Request'],
    ['as a 403', '{"detail":"stream is not allowed"}', '403 Forbidden'],
    ['within a 200', '{"error":{"message":"stream is not supported","code":400}}', '200 OK'],
    ['as plain text', 'streaming not supported', '400 Bad Request'],
  ])('without stream: %s', async (_name, body, status) => {
    upstream.says(refusal(body, status), response('200 OK', DOCUMENT))
    expect(await upstream.call(REQUEST)).toMatchObject({ document: DOCUMENT, end: { kind: 'done' } })
    expect(upstream.bodies.map((b) => b['stream'])).toEqual([true, undefined])
  })

  it('with a stream, where only that is served', async () => {
    upstream.says(refusal('{"error":{"message":"This model only supports stream mode"}}'), STREAM)
    expect((await upstream.call(REQUEST, { stream: false })).events).toEqual([OPENING, TEXT, STOP])
  })

  it('and nothing that followed the refusal in its stream is in the next answer', async () => {
    const refused = '{"error":{"message":"stream_options is not supported","code":400}}'
    upstream.says(`${HEAD}${frame(sse([refused, chunk('{"content":"ghost"}'), '[DONE]']))}${LAST}`, STREAM)
    const { events, end } = await upstream.call(REQUEST)
    expect(upstream.asked).toHaveLength(2)
    expect({ events, end }).toEqual({ events: [OPENING, TEXT, STOP], end: { kind: 'done' } })
  })

  it('once, and not for anything else', async () => {
    upstream.says(refusal('{"error":{"message":"stream is not supported"}}'))
    expect(codeOf(await upstream.call(REQUEST))).toBe('provider_rejected')
    expect(upstream.asked).toHaveLength(2)
    upstream.says(refusal('{"error":{"message":"the upstream says no"}}'))
    expect(codeOf(await upstream.call(REQUEST))).toBe('provider_rejected')
    expect(upstream.asked).toHaveLength(3)
  })
})

describe('its end is told truly', () => {
  const BOOM = 'event: error\ndata: {"message":"boom","code":500}\n\n'
  const failedEvent = `${HEAD}${frame(sse([OPENING, TEXT]))}${frame(BOOM)}${frame(sse([DONE]))}${LAST}`
  it.each<[string, string, string]>([
    ['[DONE] without a finish reason', stream(OPENING, TEXT, DONE), 'provider_cut'],
    ['[DONE] after an empty finish reason', stream(OPENING, TEXT, chunk('{}', '""'), DONE), 'provider_cut'],
    ['[DONE] alone', stream(DONE), 'provider_garbage'],
    ['an error event, then [DONE]', failedEvent, 'provider_error'],
    [
      'an error event without JSON',
      failedEvent.replace(/data: \{"message".*?\}/, 'data: it went wrong today, sorry.'.padEnd(35)),
      'provider_error',
    ],
    ['an error after the finish reason', stream(TEXT, STOP, '{"error":{"message":"late"}}', DONE), 'provider_error'],
    [
      'a bare line of JSON with an error',
      `${HEAD}${frame(sse([TEXT]))}${frame('{"error":{"message":"engine died"}}\n\n')}${LAST}`,
      'provider_error',
    ],
    ['a quoted [DONE]', stream(OPENING, TEXT, STOP, '"[DONE]"'), 'done'],
    ['a [DONE] with white space', stream(OPENING, TEXT, STOP, ' [DONE]  '), 'done'],
    [
      'empty errors in ordinary chunks',
      stream(chunk('{"content":"x"}', 'null', ',"error":""'), chunk('{}', '"stop"', ',"error":{}'), DONE),
      'done',
    ],
    ['a first event without choices', stream('{"type":"ping"}', OPENING, TEXT, STOP, DONE), 'done'],
    ['HTTP 201', STREAM.replace('200 OK', '201 Created'), 'done'],
    ['content-encoding: utf-8', STREAM.replace('\r\n\r\n', '\r\ncontent-encoding: utf-8\r\n\r\n'), 'done'],
    [
      'a half event after all was said',
      `${HEAD}${frame(sse([TEXT, STOP]))}${frame('data: {"choices":[],"usa\n\n')}${LAST}`,
      'done',
    ],
  ])('%s', async (_name, bytes, code) => {
    upstream.says(bytes)
    expect(codeOf(await upstream.call(REQUEST))).toBe(code)
  })

  it('a break after the last reason is a good end, and so is silence', async () => {
    upstream.saysAndEnds(HEAD + frame(sse([OPENING, TEXT, STOP])))
    expect(await upstream.call(REQUEST)).toMatchObject({ events: [OPENING, TEXT, STOP], end: { kind: 'done' } })
    upstream.says(HEAD + frame(sse([OPENING, TEXT, STOP])))
    const silent = await upstream.call(REQUEST, { timeouts: { ttftMs: 9_000, interTokenMs: 300, totalMs: 9_000 } })
    expect(silent.end.kind).toBe('done')
  })

  it('pings after the last reason do not keep a complete answer open', async () => {
    upstream.answer = (socket) => {
      socket.write(HEAD + frame(sse([TEXT, STOP])), 'latin1')
      const pinging = setInterval(() => socket.write(frame(sse(['{"type":"ping"}'])), 'latin1'), 50)
      socket.on('close', () => clearInterval(pinging))
    }
    const { end } = await upstream.call(REQUEST, { timeouts: { ttftMs: 9_000, interTokenMs: 300, totalMs: 4_000 } })
    expect(end.kind).toBe('done')
  })

  it('waits for the usage that comes after the last reason', async () => {
    const usage = '{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}'
    upstream.answer = (socket) => {
      socket.write(HEAD + frame(sse([TEXT, STOP])), 'latin1')
      setTimeout(() => socket.write(frame(sse([usage, DONE])) + LAST, 'latin1'), 300)
    }
    expect((await upstream.call(REQUEST)).events).toEqual([TEXT, STOP, usage])
  })

  it.each<[string, string, string]>([
    [
      'without finish reasons',
      '{"choices":[{"index":0,"message":{"content":"x"},"finish_reason":null}]}',
      'provider_cut',
    ],
    ['with an error beside it', DOCUMENT.replace('"usage"', '"error":{"message":"half"},"usage"'), 'provider_error'],
    ['with an empty error beside it', DOCUMENT.replace('"usage"', '"error":{},"usage"'), 'done'],
    ['that is something else', '{"hello":1}', 'provider_garbage'],
    ['of one choice with a bad reason', DOCUMENT.replace('"stop"', '"error"'), 'provider_error'],
    ['after white space that kept the connection alive', `\n\n \n${DOCUMENT}`, 'done'],
  ])('a document %s', async (_name, body, code) => {
    upstream.says(response('200 OK', body))
    expect(codeOf(await upstream.call(REQUEST, { stream: false }))).toBe(code)
  })
})

it('takes an empty error out of a chunk, at which an SDK would throw, and nothing else', async () => {
  upstream.says(stream(chunk('{"content":"é"}', 'null', ',"error":{},"x":1.50'), STOP, DONE))
  const { events, end } = await upstream.call(REQUEST)
  expect(end.kind).toBe('done')
  expect(events[0]).toBe(chunk('{"content":"é"}', 'null', ',"x":1.50'))
})

describe('what it says of its error reaches the client', () => {
  it('code, param and message of a refusal', async () => {
    upstream.says(
      refusal(
        '{"error":{"message":"too long","type":"invalid_request_error","param":"messages",' +
          '"code":"context_length_exceeded"}}',
      ),
    )
    expect(errorOf(await upstream.call(REQUEST))?.wire).toEqual({
      message: 'too long',
      type: 'invalid_request_error',
      param: 'messages',
      code: 'context_length_exceeded',
      sluice_code: 'provider_rejected',
    })
  })

  it('the same within a stream', async () => {
    upstream.says(stream(OPENING, '{"error":{"message":"filtered: é","code":"content_filter"}}'))
    expect(errorOf(await upstream.call(REQUEST))?.wire).toMatchObject({
      message: 'filtered: é',
      code: 'content_filter',
      sluice_code: 'provider_rejected',
    })
  })

  it.each([
    ['{"detail":"no such thing"}', 'no such thing'],
    ['{"detail":[{"loc":["body","n"],"msg":"too many"}]}', 'body.n: too many'],
    ['{"message":{"detail":[{"loc":["body","x"],"msg":"not permitted"}]}}', 'body.x: not permitted'],
    ['{"error":{"message":{"text":"odd","message":"an object"}}}', 'an object'],
    ['[{"error":{"message":"in a list"}}]', 'in a list'],
    ['plain words', 'plain words'],
  ])('%s', async (body, message) => {
    upstream.says(refusal(body))
    expect(errorOf(await upstream.call(REQUEST))?.message).toBe(message)
  })

  it.each([
    ['{"detail":"the queue is full"}', 'the queue is full'],
    ['{"code":429,"message":"slow down"}', 'slow down'],
    ['{"msg":"slow down","code":500}', 'slow down'],
  ])('in a 200: %s', async (body, message) => {
    for (const answer of [response('200 OK', body), stream(body, DONE)]) {
      upstream.says(answer)
      expect(errorOf(await upstream.call(REQUEST))?.message).toContain(message)
    }
  })

  it('but nothing that says something of our key', async () => {
    upstream.says(refusal(`{"error":{"message":"bad ${SECRET}","param":"${SECRET}","code":"${SECRET}"}}`))
    expect(JSON.stringify(errorOf(await upstream.call(REQUEST))?.wire)).not.toContain(SECRET)
  })
})

describe('it is never called again at once', () => {
  const date = (ms: number): string => new Date(ms).toUTCString()
  it.each<[string, string, string, number]>([
    ['429', '', '{}', 1_000],
    ['429', 'retry-after: 0\r\n', '{}', 1_000],
    ['429', 'retry-after: -5\r\n', '{}', 1_000],
    ['429', 'retry-after-ms: 0\r\n', '{}', 1_000],
    ['429', 'retry-after-ms: 0\r\nretry-after: 3\r\n', '{}', 3_000],
    ['429', 'retry-after: soon\r\n', '{}', 1_000],
    ['429', `retry-after: ${date(Date.now() - 9e9)}\r\n`, '{}', 1_000],
    ['429', `date: ${date(1e12)}\r\nretry-after: ${date(1e12 + 4_000)}\r\n`, '{}', 4_000],
    ['429', 'retry-after-ms: 2500\r\n', '{}', 2_500],
    ['503', '', '{}', 1_000],
    ['503', 'retry-after: 2\r\n', '{}', 2_000],
    ['529', '', '{}', 1_000],
    ['500', 'retry-after: 2\r\n', '{}', 2_000],
    [
      '429',
      '',
      '{"error":{"code":429,"status":"RESOURCE_EXHAUSTED",' +
        '"details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"13.5s"}]}}',
      13_500,
    ],
  ])('HTTP %s, %j %s: %i ms', async (status, headers, body, ms) => {
    upstream.says(response(`${status} Busy`, body, headers))
    expect(errorOf(await upstream.call(REQUEST))?.retryAfterMs).toBe(ms)
  })
})

describe('what it sends costs bounded time and memory', () => {
  it('an event may be as large as an answer, and no larger; it is not asked again', async () => {
    const image = chunk(`{"images":[{"image_url":{"url":"data:image/png;base64,${'A'.repeat(2 << 20)}"}}]}`)
    upstream.says(stream(image, STOP, DONE))
    expect(codeOf(await upstream.call(REQUEST))).toBe('done')
    upstream.says(HEAD + frame(`data: {"x":"${'a'.repeat(5 << 20)}`))
    const { end } = await upstream.call(REQUEST)
    expect(end).toMatchObject({ kind: 'failed', retry: false, error: { code: 'result_too_large' } })
  })

  it('a header of 60,000 spaces', async () => {
    const spaces = ' '.repeat(60_000)
    for (const header of [`x-a:${spaces}x${spaces}y`, `connection: a${spaces}b`, `x${spaces}`]) {
      upstream.says(response('200 OK', DOCUMENT, `${header}\r\n`))
      const startMono = performance.now()
      await upstream.call(REQUEST)
      expectInTime(performance.now() - startMono, 1_000)
    }
  })

  const deep = (n: number): string => `${'{"a":'.repeat(n)}1${'}'.repeat(n)}`
  it.each<[string, string]>([
    ['a delta', stream(chunk(`{"content":"x","y":${deep(2_000)}}`))],
    ['a usage', stream(TEXT, `{"choices":[],"usage":${deep(2_000)}}`)],
    ['an error in the stream', stream(TEXT, `{"error":${deep(2_000)}}`)],
    ['a document', response('200 OK', DOCUMENT.replace('{"n": 1.50, "e": "\\u00e9"}', deep(2_000)))],
    ['lists', response('200 OK', `{"choices":${'['.repeat(3_000)}${']'.repeat(3_000)}}`)],
  ])('%s 2,000 deep is garbage', async (_name, bytes) => {
    upstream.says(bytes)
    expect(codeOf(await upstream.call(REQUEST))).toBe('provider_garbage')
  })

  it('an error body 2,000 deep is an error without a message', async () => {
    upstream.says(refusal(`{"error":${deep(2_000)}}`))
    expect(errorOf(await upstream.call(REQUEST))?.code).toBe('provider_rejected')
  })

  it('60,000 tool calls in one event', async () => {
    const calls = Array.from({ length: 60_000 }, (_, index) => ({ index, function: { arguments: 'x' } }))
    upstream.says(stream(chunk(JSON.stringify({ tool_calls: calls })), STOP, DONE))
    const startMono = performance.now()
    const { end, events } = await upstream.call(REQUEST)
    expect(end).toMatchObject({ kind: 'failed', retry: false, error: { code: 'provider_garbage' } })
    expect(events).toEqual([])
    expectInTime(performance.now() - startMono, 2_000)
  })
})

describe('time-outs', () => {
  it('count the first text, not a placeholder, and are not repeated where they happened', async () => {
    upstream.says(HEAD + frame(sse([OPENING])))
    const { end } = await upstream.call(REQUEST, { timeouts: { ttftMs: 600, interTokenMs: 100, totalMs: 9_000 } })
    expect(end).toMatchObject({ kind: 'failed', retry: 'elsewhere', error: { code: 'provider_timeout' } })
  })

  it('leave a document alone until the total', async () => {
    upstream.answer = (socket) => {
      const bytes = response('200 OK', DOCUMENT)
      socket.write(bytes.slice(0, -20), 'latin1')
      setTimeout(() => socket.write(bytes.slice(-20), 'latin1'), 900)
    }
    const timeouts = { ttftMs: 100, interTokenMs: 100, totalMs: 9_000 }
    expect((await upstream.call(REQUEST, { stream: false, timeouts })).end.kind).toBe('done')
  })
})
