/** How an answer ends where its upstream ends it in a way of its own: raw bytes over real sockets. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { chunk, codeOf, frame, HEAD, LAST, RawUpstream, response, sse, stream } from '../testing/upstream.ts'

const TEXT = chunk('{"content":"Hi"}')
const STOP = chunk('{}', '"stop"')
const DONE = '[DONE]'
const DOCUMENT =
  '{"id":"c1","choices":[{"index":0,"message":{"role":"assistant","content":"a } b"},"finish_reason":"stop"}]}'
const REQUEST = { model: 'm', messages: [] }
const CHUNKED = 'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n'

let upstream: RawUpstream
beforeEach(async () => {
  upstream = new RawUpstream()
  await upstream.start({ maxAnswerBytes: 8 << 20 })
})
afterEach(() => upstream.stop())

describe('a document that is whole', () => {
  const patient = { ttftMs: 9_000, interTokenMs: 200, totalMs: 9_000 }
  const asked = { stream: false, timeouts: patient } as const

  it.each([
    ['without its last chunk', CHUNKED + frame(DOCUMENT)],
    ['shorter than its length', response('200 OK', `${DOCUMENT}      `).slice(0, -6)],
    ['after white space', `${CHUNKED}${frame(`\n ${DOCUMENT}\n`)}`],
  ])('%s is an answer when the connection breaks', async (_name, bytes) => {
    upstream.saysAndEnds(bytes)
    expect(await upstream.call(REQUEST, asked)).toMatchObject({ document: expect.any(String), end: { kind: 'done' } })
  })

  it('is an answer when the connection is reset', async () => {
    upstream.answer = (socket) => {
      socket.write(`HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n${DOCUMENT}`)
      setTimeout(() => socket.resetAndDestroy(), 50)
    }
    expect(codeOf(await upstream.call(REQUEST, asked))).toBe('done')
  })

  it('is an answer when nothing more comes', async () => {
    upstream.says(CHUNKED + frame(DOCUMENT))
    const { end, document } = await upstream.call(REQUEST, asked)
    expect([end.kind, document]).toEqual(['done', DOCUMENT])
  })

  it('is none while its reason or its end is missing', async () => {
    upstream.says(CHUNKED + frame(DOCUMENT.replace('"stop"', 'null')))
    expect(codeOf(await upstream.call(REQUEST, asked))).toBe('provider_cut')
    upstream.saysAndEnds(CHUNKED + frame(DOCUMENT.slice(0, -1)))
    expect(codeOf(await upstream.call(REQUEST, asked))).toBe('provider_cut')
  })

  it('is an answer also as an embedding', async () => {
    const embedding = '{"data":[{"index":0,"embedding":[0.5,1]}]}'
    upstream.saysAndEnds(CHUNKED + frame(embedding))
    const outcome = await upstream.call({ model: 'm', input: 'x' }, { ...asked, kind: 'embedding' })
    expect(outcome).toMatchObject({ document: embedding, end: { kind: 'done' } })
  })
})

describe('a stream that ends with the whole message', () => {
  const whole = (message: string, finish = '"stop"', delta = ''): string =>
    `{"id":"c1","object":"chat.completion","choices":[{"index":0,${delta}"finish_reason":${finish},` +
    `"message":${message}}],"usage":{"prompt_tokens":3,"completion_tokens":1}}`
  const text = async (...payloads: string[]): Promise<string> => {
    upstream.says(stream(...payloads, DONE))
    const { events, end } = await upstream.call(REQUEST)
    expect(end.kind).toBe('done')
    const deltas = events.flatMap((event) => JSON.parse(event).choices.map((c: { delta?: object }) => c.delta ?? {}))
    return deltas.map((d) => `${d.content ?? ''}${d.tool_calls?.[0].function.arguments ?? ''}`).join('')
  }

  it('shows its text once', async () => {
    const hello = '{"role":"assistant","content":"HiHi"}'
    expect(await text(TEXT, TEXT, whole(hello))).toBe('HiHi')
    expect(await text(TEXT, TEXT, whole(hello, '"stop"', '"delta":null,'))).toBe('HiHi')
    expect(await text(TEXT, TEXT, whole(hello, '"stop"', '"delta":{},'))).toBe('HiHi')
    expect(await text(TEXT, TEXT, STOP, whole(hello))).toBe('HiHi')
  })

  it('calls its tools once', async () => {
    const calls = '"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}]'
    expect(await text(chunk(`{${calls}}`), whole(`{"content":null,${calls}}`, '"tool_calls"'))).toBe('{}')
  })

  it('shows it where no delta did', async () => {
    const hello = '{"role":"assistant","content":"HiHi"}'
    expect(await text(chunk('{"role":"assistant"}'), whole(hello))).toBe('HiHi')
    expect(await text(whole(hello, '"stop"', '"delta":{},'))).toBe('HiHi')
    expect(await text(whole(hello, '"stop"', '"delta":{"content":""},'))).toBe('HiHi')
  })
})

describe('a finish reason', () => {
  const ended = async (reason: string): Promise<string[]> => {
    upstream.says(stream(TEXT, chunk('{}', JSON.stringify(reason)), DONE))
    const streamed = codeOf(await upstream.call(REQUEST))
    upstream.says(response('200 OK', DOCUMENT.replace('"stop"', JSON.stringify(reason))))
    return [streamed, codeOf(await upstream.call(REQUEST, { stream: false }))]
  }

  it.each([
    ['insufficient_system_resource', 'network_error', 'model_error', 'timeout', 'timed_out', 'TimeOut', 'server_error'],
    ['internal_error', 'failure', 'FAILED', 'cancel', 'USER_CANCEL', 'interrupted', 'exception', 'preempted'],
    ['FINISH_REASON_UNSPECIFIED', 'aborted', 'ERROR_TOXIC', 'connection_lost', 'unavailable', 'overloaded', 'killed'],
  ])('of an answer that broke off: %s, …', async (...reasons) => {
    for (const reason of reasons)
      expect([reason, ...(await ended(reason))]).toEqual([reason, 'provider_error', 'provider_error'])
  })

  it.each([
    [
      'stop',
      'length',
      'tool_calls',
      'content_filter',
      'function_call',
      'eos',
      'eos_token',
      'stop_sequence',
      'COMPLETE',
    ],
    ['MAX_TOKENS', 'SAFETY', 'RECITATION', 'end_turn', 'model_length', 'refusal', 'OTHER', 'MALFORMED_FUNCTION_CALL'],
  ])('of a complete one: %s, …', async (...reasons) => {
    for (const reason of reasons) expect([reason, ...(await ended(reason))]).toEqual([reason, 'done', 'done'])
  })

  it.each(['not_finished', 'NOT_FINISHED', 'none', 'in_progress'])('that is none: %s', async (reason) => {
    expect(await ended(reason)).toEqual(['provider_cut', 'provider_cut'])
  })
})

describe('a reason in the chunk of a text', () => {
  const first = chunk('{"content":"A"}', '"stop"')
  const pausing =
    (ms: number, ...later: string[]) =>
    (socket: import('node:net').Socket) => {
      socket.write(HEAD + frame(sse([first])), 'latin1')
      setTimeout(() => socket.write(frame(sse(later)) + LAST, 'latin1'), ms)
    }

  it('ends nothing at the first pause', async () => {
    upstream.answer = pausing(2_600, chunk('{"content":"B"}', '"stop"'), DONE)
    const { events, end } = await upstream.call(REQUEST, {
      timeouts: { ttftMs: 9_000, interTokenMs: 8_000, totalMs: 9_000 },
    })
    expect([events.length, end.kind]).toEqual([2, 'done'])
  })

  it('ends it after the inter-token time-out, and soon once it is confirmed', async () => {
    upstream.says(HEAD + frame(sse([first])))
    const timeouts = { ttftMs: 9_000, interTokenMs: 600, totalMs: 9_000 }
    expect(codeOf(await upstream.call(REQUEST, { timeouts }))).toBe('done')
    upstream.says(HEAD + frame(sse([first, '{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}'])))
    const confirmed = await upstream.call(REQUEST, { timeouts: { ttftMs: 9_000, interTokenMs: 8_500, totalMs: 9_000 } })
    expect(codeOf(confirmed)).toBe('done')
  })

  it('is not taken back by a text without one', async () => {
    upstream.says(stream(first, chunk('{"content":"B"}'), DONE))
    expect(codeOf(await upstream.call(REQUEST))).toBe('done')
    upstream.saysAndEnds(HEAD + frame(sse([first, chunk('{"content":"B"}')])))
    expect(codeOf(await upstream.call(REQUEST))).toBe('provider_cut')
  })
})

describe('an error', () => {
  const SPELLINGS: ReadonlyArray<[string, string, string, string]> = [
    [
      'in a list',
      '[{"error":{"code":429,"message":"quota","status":"RESOURCE_EXHAUSTED"}}]',
      'quota',
      'provider_rate_limited',
    ],
    [
      'as a base_resp',
      '{"choices":null,"base_resp":{"status_code":1002,"status_msg":"rate limit"}}',
      'rate limit',
      'provider_rate_limited',
    ],
    ['as a base_resp alone', '{"base_resp":{"status_code":1013,"status_msg":"boom"}}', 'boom', 'provider_error'],
    ['as a message alone', '{"message":"boom"}', 'boom', 'provider_error'],
    ['as a fault', '{"fault":{"faultstring":"boom","detail":{"errorcode":"x"}}}', 'boom', 'provider_error'],
    ['in capitals', '{"Message":"boom","statusCode":500}', 'boom', 'provider_error'],
    ['as error_message', '{"error_message":"boom"}', 'boom', 'provider_error'],
    ['as errorMessage', '{"errorMessage":"boom","errorType":"X"}', 'boom', 'provider_error'],
    ['as no success', '{"success":false,"message":"boom"}', 'boom', 'provider_error'],
    ['as no success, without a word', '{"success":false}', '', 'provider_error'],
    ["as Groq's", '{"id":"c1","choices":[],"x_groq":{"id":"r","error":"boom"}}', 'boom', 'provider_error'],
  ]

  it.each(SPELLINGS)('%s, first', async (_name, payload, message, code) => {
    for (const bytes of [stream(payload, DONE), response('200 OK', payload)]) {
      upstream.says(bytes)
      const { end, events } = await upstream.call(REQUEST)
      expect([end.kind === 'failed' && end.error.code, events]).toEqual([code, []])
      expect(end.kind === 'failed' && end.error.message).toContain(message)
    }
  })

  it.each(SPELLINGS)('%s, after the reason', async (_name, payload, _message, code) => {
    upstream.says(stream(TEXT, STOP, payload, DONE))
    expect(codeOf(await upstream.call(REQUEST))).toBe(code)
  })

  it.each(['exception', 'ERROR', 'Error ', 'upstream_error', 'response.failed'])(
    'as an event named %s',
    async (name) => {
      upstream.says(`${HEAD}${frame(sse([TEXT, STOP]))}${frame(`event: ${name}\ndata: {"x":"boom"}\n\n`)}${LAST}`)
      expect(codeOf(await upstream.call(REQUEST))).toBe('provider_error')
    },
  )

  it.each([
    '{"type":"ping","message":"still there"}',
    '{"base_resp":{"status_code":0,"status_msg":""}}',
    '{"success":true,"message":"ok"}',
    '{"id":"c1","x_groq":{"id":"r"}}',
    '{"message":{"role":"assistant"}}',
    '{"choices":[],"prompt_filter_results":[]}',
  ])('is none: %s', async (payload) => {
    upstream.says(stream(payload, TEXT, STOP, payload, DONE))
    expect(codeOf(await upstream.call(REQUEST))).toBe('done')
  })
})

it('what is nested too deep for any answer may be better elsewhere', async () => {
  const deep = `{"choices":${'['.repeat(5_000)}`
  for (const bytes of [response('200 OK', deep), stream(deep)]) {
    upstream.says(bytes)
    const { end } = await upstream.call(REQUEST)
    expect(end).toMatchObject({ kind: 'failed', retry: 'elsewhere', error: { code: 'provider_garbage' } })
  }
})

describe('embeddings', () => {
  const embed = async (input: unknown, data: unknown): Promise<string> => {
    upstream.says(response('200 OK', JSON.stringify({ object: 'list', data, usage: { prompt_tokens: 1 } })))
    return codeOf(await upstream.call({ model: 'm', input }, { kind: 'embedding' }))
  }
  const one = { index: 0, embedding: [0, 0] }
  const two = { index: 1, embedding: [0, 1] }
  const tokens = [1, 2, 3]

  it.each<[unknown, unknown]>([
    ['x', [one]],
    ['x', [{ embedding: 'AAAA' }]],
    ['x', [{ index: 0, embedding: 'AA+/8g==' }]],
    [
      'x',
      [
        {
          index: 0,
          embedding: [
            [0, 1],
            [1, 0],
          ],
        },
      ],
    ],
    [
      ['x', 'y'],
      [two, one],
    ],
    [
      ['x', 'y'],
      [{ embedding: [0] }, { embedding: [1] }],
    ],
    [tokens, [one]],
    [
      [tokens, tokens],
      [one, two],
    ],
  ])('of %j are done with %j', async (input, data) => {
    expect(await embed(input, data)).toBe('done')
  })

  it.each<[unknown, unknown]>([
    ['x', []],
    ['x', [{ index: 0, embedding: null }]],
    ['x', [{ index: 0 }]],
    ['x', [{ index: 0, embedding: [] }]],
    ['x', [null]],
    [['x', 'y'], [one]],
    [
      ['x', 'y'],
      [one, one],
    ],
    [
      ['x', 'y'],
      [one, { index: 7, embedding: [1] }],
    ],
    [['x'], [one, two]],
    ['x', [{ index: 0, embedding: [0, null] }]],
    ['x', [{ index: 0, embedding: ['x'] }]],
    ['x', [{ index: 0, embedding: '!!!!' }]],
    [[tokens, tokens], [one]],
  ])('of %j are not done with %j', async (input, data) => {
    expect(await embed(input, data)).toBe('provider_garbage')
  })
})

describe('what is compressed though nobody asked for it', () => {
  const coded = (status: string): string => response(status, '\x1f\x8b\x08', 'content-encoding: gzip\r\n')

  it.each([
    ['200 OK', 'elsewhere', 'provider_garbage'],
    ['400 Bad Request', false, 'provider_rejected'],
    ['503 Busy', true, 'provider_error'],
  ])('is judged by its status: %s', async (status, retry, code) => {
    upstream.says(coded(status))
    const { end } = await upstream.call(REQUEST)
    expect(end).toMatchObject({ kind: 'failed', retry, error: { code } })
    if (code === 'provider_garbage') expect(end).toMatchObject({ error: { message: expect.stringContaining('gzip') } })
  })
})

describe('a refusal', () => {
  it.each([
    ['401 Unauthorized', '{}', 'provider_auth'],
    ['402 Payment Required', '{}', 'provider_auth'],
    ['403 Forbidden', '{}', 'provider_auth'],
    ['404 Not Found', '{"error":{"message":"no such model","code":"model_not_found"}}', 'provider_rejected'],
    ['429 Busy', '{"error":{"message":"quota","code":"insufficient_quota"}}', 'provider_auth'],
    ['200 OK', '{"error":{"message":"bad key","type":"authentication_error"}}', 'provider_auth'],
  ])('of this deployment, %s, is one for another: %s', async (status, body, code) => {
    upstream.says(response(status, body))
    const { end } = await upstream.call(REQUEST)
    expect(end).toMatchObject({ kind: 'failed', retry: 'elsewhere', error: { code } })
  })

  it.each([
    `{"error":{"message":"too long: ${'x'.repeat(70_000)}`,
    `{"error":${'['.repeat(200)}"deep"${']'.repeat(200)}}`,
    '[{"half":',
  ])('that can not be read shows no JSON', async (body) => {
    upstream.says(response('400 Bad Request', body))
    const { end } = await upstream.call(REQUEST)
    expect(end.kind === 'failed' && end.error.message).toBe('The model provider refused the request (HTTP 400).')
  })

  it('whose body never ends is told by its status', async () => {
    upstream.says(`HTTP/1.1 400 Bad Request\r\ncontent-length: 99\r\n\r\n{"error":{"message":"no"}}`)
    const { end } = await upstream.call(REQUEST, { stream: false })
    expect(end).toMatchObject({ error: { code: 'provider_rejected', message: 'no' } })
  })
})
