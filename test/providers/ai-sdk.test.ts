/** Providers through the AI SDK: what is asked of them, and what they make of hostile upstreams. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Provider, ProviderEnd } from '../../src/core/ports/provider.ts'
import { RawUpstream } from '../../src/routing/providers/testing/upstream.ts'
import { BIN } from '../e2e/serve.ts'
import { bareEnvironment } from '../environment.ts'
import { anthropic } from './dialects/anthropic.ts'
import { ask, type Outcome, PATIENT, providerOf, SECRET, whole } from './rig.ts'

let upstream: RawUpstream
let provider: Provider
beforeEach(async () => {
  upstream = new RawUpstream()
  await upstream.listen()
  provider = await at('anthropic')
})
afterEach(async () => {
  provider.close()
  await upstream.stop()
})

const at = (kind: string, more: object = {}): Promise<Provider> =>
  providerOf({ provider: kind, base_url: `${upstream.url}/v1`, api_key: { env: 'KEY' }, ...more })

const [{ body: STREAM }] = anthropic
const DOCUMENT = anthropic.find(({ isDocument }) => isDocument)!.body
const events = (body: string): string => whole('200 OK', 'text/event-stream', body)
const json = (status: string, body: unknown, headers = ''): string =>
  whole(status, 'application/json', typeof body === 'string' ? body : JSON.stringify(body), headers)
const user = (content: unknown) => ({
  model: 'claude-sonnet-4-5',
  max_tokens: 99,
  messages: [{ role: 'user', content }],
})
const HELLO = user('Hi')

const failure = ({ end }: Outcome): Extract<ProviderEnd, { kind: 'failed' }> => {
  if (end.kind !== 'failed') throw new Error(`it ended as ${end.kind}`)
  expect(JSON.stringify([end, end.error.message])).not.toContain(SECRET)
  return end
}
const codeAndRetry = (outcome: Outcome) => {
  const { error, retry } = failure(outcome)
  return { code: error.code, retry }
}

describe('what is asked', () => {
  const sent = async (body: object): Promise<Record<string, unknown>> => {
    upstream.says(events(STREAM))
    expect((await ask(provider, body)).end).toMatchObject({ kind: 'done' })
    return upstream.bodies.at(-1)!
  }

  test('system, images and a cache', async () => {
    const image = { type: 'image_url', image_url: { url: 'data:image/png;base64,iVBORw0KGgo=' } }
    const { system, messages } = await sent({
      model: 'claude-sonnet-4-5',
      messages: [
        { role: 'system', content: [{ type: 'text', text: 'Be brief.', cache_control: { type: 'ephemeral' } }] },
        { role: 'user', content: [{ type: 'text', text: 'What is it?' }, image] },
        { role: 'assistant', content: 'A pixel.' },
        { role: 'user', content: [{ type: 'image_url', image_url: { url: 'https://example.org/a.png' } }] },
      ],
    })
    expect(system).toEqual([{ type: 'text', text: 'Be brief.', cache_control: { type: 'ephemeral' } }])
    expect(messages).toMatchObject([
      {
        content: [
          { type: 'text', text: 'What is it?' },
          { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'iVBORw0KGgo=' } },
        ],
      },
      { role: 'assistant' },
      { content: [{ type: 'image', source: { type: 'url', url: 'https://example.org/a.png' } }] },
    ])
  })

  test('where to cache, beside the request', async () => {
    const cache_control = { type: 'ephemeral' }
    const said = (text: string) => ({ role: 'user', content: text })
    const look = { type: 'function', function: { name: 'look', parameters: { type: 'object' } } }
    const { tools, messages } = await sent({
      model: 'claude-sonnet-4-5',
      messages: [said('One.'), { role: 'assistant', content: 'Two.' }, said('Three.')],
      tools: [look],
      cache_hints: [
        [['tools', 0], cache_control],
        [['messages', -1], cache_control],
      ],
    })
    expect(tools).toMatchObject([{ name: 'look', cache_control }])
    expect(JSON.stringify(messages).match(/cache_control/g)).toHaveLength(1)
    expect(messages).toMatchObject([{}, {}, { content: [{ text: 'Three.', cache_control }] }])
  })

  test('a call of a tool and its results, with what was thought before it, signed', async () => {
    const thought = { type: 'reasoning.text', text: 'I look.', signature: 'sig' }
    const call = (id: string, text: string) => ({ id, type: 'function', function: { name: 'look', arguments: text } })
    const { messages } = await sent({
      model: 'claude-sonnet-4-5',
      max_tokens: 99,
      messages: [
        { role: 'user', content: 'Look.' },
        {
          role: 'assistant',
          content: null,
          reasoning_content: 'I look.',
          reasoning_details: [thought],
          tool_calls: [call('c1', '{"at":"sky"}'), call('c2', 'no json')],
        },
        { role: 'tool', tool_call_id: 'c1', content: 'blue' },
        { role: 'tool', tool_call_id: 'c2', content: [{ type: 'text', text: 'dark' }] },
      ],
    })
    expect(messages).toMatchObject([
      { role: 'user' },
      {
        role: 'assistant',
        content: [
          { type: 'thinking', thinking: 'I look.', signature: 'sig' },
          { type: 'tool_use', id: 'c1', name: 'look', input: { at: 'sky' } },
          { type: 'tool_use', id: 'c2', name: 'look', input: { INVALID_JSON: 'no json' } },
        ],
      },
      {
        role: 'user',
        content: [
          { type: 'tool_result', tool_use_id: 'c1', content: 'blue' },
          { type: 'tool_result', tool_use_id: 'c2', content: 'dark' },
        ],
      },
    ])
  })

  test('limits, sampling, stops, one call at a time, a schema', async () => {
    const schema = {
      type: 'object',
      properties: { a: { type: 'string' } },
      required: ['a'],
      additionalProperties: false,
    }
    const asked = await sent({
      ...HELLO,
      max_tokens: undefined,
      max_completion_tokens: 55,
      temperature: 0.5,
      stop: 'END',
      parallel_tool_calls: false,
      tools: [{ type: 'function', function: { name: 'f' } }],
      tool_choice: { type: 'function', function: { name: 'f' } },
      response_format: { type: 'json_schema', json_schema: { name: 'a', schema } },
    })
    expect(asked).toMatchObject({
      max_tokens: 55,
      temperature: 0.5,
      stop_sequences: ['END'],
      tool_choice: { type: 'tool', name: 'f', disable_parallel_tool_use: true },
    })
    expect(JSON.stringify(asked)).toContain('"required":["a"]')
  })

  test.each([
    [20_000, 10_000],
    [1_500, 0],
  ])('thought counts as output: never more than %d tokens in all', async (max_completion_tokens, budget) => {
    const asked = await sent({ ...HELLO, max_tokens: undefined, max_completion_tokens, reasoning_effort: 'high' })
    expect(asked['max_tokens']).toBe(max_completion_tokens)
    const { budget_tokens = 0 } = (asked['thinking'] ?? {}) as { budget_tokens?: number }
    expect(budget_tokens).toBe(budget)
  })

  test('what could not be done is told with the answer', async () => {
    upstream.says(events(STREAM))
    const { events: chunks } = await ask(provider, { ...HELLO, seed: 7, presence_penalty: 1 })
    expect(JSON.parse(chunks[0]).sluice.warnings).toEqual([
      expect.stringContaining('presencePenalty'),
      expect.stringContaining('seed'),
    ])
    expect(chunks.slice(1).join()).not.toContain('warnings')
  })

  test('what has no counterpart is told, and of who asks a digest goes with it', async () => {
    upstream.says(json('200 OK', DOCUMENT))
    const asks = { logit_bias: { 1: 2 }, thinking: { type: 'enabled' }, safety_identifier: null }
    const more = { ...asks, user: 'jane@example.com' }
    const { document } = await ask(provider, { ...HELLO, ...more }, { stream: false })
    expect(JSON.parse(document!).sluice.warnings).toEqual(['logit_bias is not passed on', 'thinking is not passed on'])
    // Anthropic refuses an address of mail
    const user_id = '8c87b489ce35cf2e2f39f80e282cb2e804932a56a213983eeeb428407d43b52d'
    expect(upstream.bodies[0]).toMatchObject({ metadata: { user_id } })
  })

  test.each([
    ['n', { n: 2 }],
    ['logprobs', { logprobs: true }],
    ['functions', { functions: [] }],
    ['audio', { audio: { voice: 'x' } }],
    ['modalities', { modalities: ['text', 'audio'] }],
    ['tools[0]', { tools: [{ type: 'custom', custom: { name: 'x' } }] }],
    ['tool_choice', { tool_choice: { type: 'allowed_tools' } }],
    ['response_format', { response_format: { type: 'grammar' } }],
    ['messages[0].role', { messages: [{ role: 'narrator', content: 'x' }] }],
    ['messages[0].content[0]', user([{ type: 'image_url', image_url: { url: 'file:///etc/passwd' } }])],
    ['messages[0].content[0]', user([{ type: 'file', file: { file_id: 'file-1' } }])],
    ['messages', { messages: 'x' }],
  ])('%s is refused by its name, and elsewhere it may be answered', async (param, more) => {
    const { error, retry } = failure(await ask(provider, { ...HELLO, ...more }))
    expect([error.code, error.status, error.param, retry]).toEqual(['provider_rejected', 400, param, 'elsewhere'])
    expect(upstream.asked).toHaveLength(0)
  })

  test('an address that its provider does not fetch is not fetched by us either', async () => {
    provider.close()
    provider = await at('google')
    const url = `${upstream.url}/picture.png`
    const { error } = failure(await ask(provider, user([{ type: 'image_url', image_url: { url } }])))
    expect(error.message).toMatch(/send a data URL/)
    expect(upstream.asked).toHaveLength(0)
  })
})

describe('a hostile upstream', () => {
  const told = async (bytes: string, stream = true, more = {}) => {
    upstream.saysAndEnds(bytes)
    return ask(provider, HELLO, { stream, ...more })
  }
  const HEAD = 'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n'
  const until = (mark: string): string => STREAM.slice(0, STREAM.indexOf(mark))

  test.each([
    ['nothing', '', true],
    ['its beginning', until('event: content_block_stop'), true],
    ['all but its reason', until('event: message_delta'), true],
  ])('a body that ends after %s is no answer', async (_, body, retry) => {
    expect(codeAndRetry(await told(events(body)))).toEqual({ code: 'provider_cut', retry })
    expect(codeAndRetry(await told(`${HEAD}${body}`))).toEqual({ code: 'provider_cut', retry })
  })

  test('an answer that is complete is one, though its connection breaks', async () => {
    const body = whole('200 OK', 'text/event-stream', STREAM).replace(/content-length: \d+/, 'content-length: 99999')
    const { end, events } = await told(body)
    expect(end.kind).toBe('done')
    expect(events).toHaveLength(4)
  })

  test.each([
    ['a web page', whole('200 OK', 'text/html', '<!doctype html><p>Sign in')],
    ['JSON of another kind', json('200 OK', { hello: 1 })],
    ['broken JSON in a stream', events('event: message_start\ndata: {"type":"mess\n\n')],
    ['an event of no known shape', events('event: message_start\ndata: {"type":"message_start","message":7}\n\n')],
  ])('%s is no answer', async (_, bytes) => {
    expect(codeAndRetry(await told(bytes)).code).toBe('provider_garbage')
  })

  test.each([
    ['a document', json('200 OK', { hello: 1 })],
    ['a deep document', json('200 OK', `{"a":${'['.repeat(200_000)}${']'.repeat(200_000)}}`)],
    ['a document without its reason', json('200 OK', DOCUMENT.replace('"end_turn"', 'null'))],
  ])('%s that is no answer', async (_, bytes) => {
    expect(['provider_garbage', 'provider_cut']).toContain(codeAndRetry(await told(bytes, false)).code)
  })

  test('deep JSON is not parsed', async () => {
    const { error } = failure(await told(events(`data: {"a":${'['.repeat(200_000)}${']'.repeat(200_000)}}\n\n`)))
    expect([error.code, error.message]).toEqual(['provider_garbage', expect.stringContaining('nested deeper')])
  })

  test('an error where the status was good is one', async () => {
    const error = { type: 'error', error: { type: 'rate_limit_error', message: 'slow down' } }
    expect(codeAndRetry(await told(json('200 OK', error)))).toEqual({ code: 'provider_rate_limited', retry: true })
    expect(codeAndRetry(await told(json('200 OK', error), false)).code).toBe('provider_rate_limited')
  })

  test.each([
    ['overloaded_error', 'provider_error'],
    ['rate_limit_error', 'provider_rate_limited'],
    ['authentication_error', 'provider_auth'],
  ])('%s as the first event of a stream', async (type, code) => {
    const error = { type: 'error', error: { type, message: 'Overloaded' } }
    const { error: first } = failure(await told(events(`event: error\ndata: ${JSON.stringify(error)}\n\n`)))
    expect(first.code).toBe(code)
    if (code !== 'provider_auth') expect(first.message).toContain('Overloaded')
  })

  test.each([
    [401, 'authentication_error', 'provider_auth', 'elsewhere', null],
    [400, 'invalid_request_error', 'provider_rejected', false, null],
    [413, 'request_too_large', 'provider_rejected', false, null],
    [429, 'rate_limit_error', 'provider_rate_limited', true, 30_000],
    [500, 'api_error', 'provider_error', true, 30_000],
    [529, 'overloaded_error', 'provider_error', true, 30_000],
  ])('status %d', async (status, type, code, retry, retryAfterMs) => {
    const body = { type: 'error', error: { type, message: `about ${SECRET}` } }
    const end = failure(await told(json(`${status} X`, body, 'retry-after: 30\r\n')))
    expect([end.error.code, end.retry]).toEqual([code, retry])
    if (retryAfterMs !== null) expect(end.error.retryAfterMs).toBe(retryAfterMs)
  })

  test('a status is told when its body never ends', async () => {
    upstream.says(`HTTP/1.1 429 X\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{"error":`)
    expect(codeAndRetry(await ask(provider, HELLO)).code).toBe('provider_rate_limited')
  })

  test('a redirect is not followed: the key goes to one origin', async () => {
    const elsewhere = new RawUpstream()
    await elsewhere.listen()
    const end = failure(await told(whole('307 X', 'text/plain', '', `location: ${elsewhere.url}/v1/messages\r\n`)))
    expect(end.error.message).toMatch(/redirects/)
    expect(elsewhere.sockets).toHaveLength(0)
    await elsewhere.stop()
  })

  test('an event without end is let go', async () => {
    upstream.answer = (socket) => {
      socket.write(`${HEAD}data: `)
      const more = (): void => {
        if (socket.destroyed) return
        socket.write('x'.repeat(1 << 20))
        setTimeout(more, 1)
      }
      more()
    }
    const { error, retry } = failure(await ask(provider, HELLO))
    // The event's bound, and not that of the whole answer
    expect([error.code, retry, error.message]).toEqual(['result_too_large', false, expect.stringMatching(/^One event/)])
  })

  test('abort closes the connection at once', async () => {
    upstream.says(`${HEAD}${until('event: content_block_stop')}`)
    const closed = Promise.withResolvers<number>()
    let abortedMs = 0
    const { end } = await ask(provider, HELLO, {
      onEvents(run) {
        upstream.sockets[0].once('close', () => closed.resolve(performance.now() - abortedMs))
        abortedMs = performance.now()
        run.abort()
      },
    })
    expect(end).toEqual({ kind: 'aborted' })
    // Far beyond the 100 ms that are promised: this machine may be busy
    expect(await closed.promise).toBeLessThan(2_000)
  })

  test('an answer whose upstream falls silent after its end is one', async () => {
    upstream.says(`${HEAD}${STREAM}`)
    const { end } = await ask(provider, HELLO, { timeouts: { ...PATIENT, interTokenMs: 300 } })
    expect(end.kind).toBe('done')
  })

  test("its limits are told, as numbers, by the upstream's own clock", async () => {
    const headers =
      'anthropic-ratelimit-requests-limit: 50\r\nanthropic-ratelimit-requests-remaining: 49\r\n' +
      'anthropic-ratelimit-tokens-remaining: many\r\ndate: Fri, 27 Nov 2026 10:00:00 GMT\r\n' +
      'anthropic-ratelimit-requests-reset: 2026-11-27T10:00:02Z\r\n'
    upstream.says(json('200 OK', DOCUMENT, headers))
    const { end } = await ask(provider, HELLO, { stream: false })
    expect(end).toEqual({ kind: 'done', limits: { requests: { limit: 50, remaining: 49, resetMs: 2_000 } } })
  })

  test('the id and the trace of a call go with it', async () => {
    const trace = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' as const
    upstream.says(events(STREAM))
    await ask(provider, HELLO, { requestId: 'req_7', trace })
    expect(upstream.asked[0]).toContain('\r\nx-request-id: req_7\r\n')
    expect(upstream.asked[0]).toContain(`\r\ntraceparent: ${trace}\r\n`)
    const end = failure(await ask(provider, HELLO, { requestId: 'a\r\nx-evil: 1' }))
    expect(end.retry).toBe(false)
    expect(upstream.asked).toHaveLength(1)
  })
})

describe('google', () => {
  beforeEach(async () => {
    provider.close()
    provider = await at('google')
  })

  test('results of calls that were made at once go back at once', async () => {
    const call = (id: string) => ({ id, type: 'function', function: { name: 'look', arguments: '{}' } })
    const result = (id: string) => ({ role: 'tool', tool_call_id: id, content: id })
    upstream.says(json('500 X', {}))
    await ask(provider, {
      model: 'gemini-2.5-pro',
      messages: [
        { role: 'user', content: 'Look.' },
        { role: 'assistant', content: null, tool_calls: [call('a'), call('b')] },
        ...[result('a'), result('b')],
      ],
    })
    const { contents } = upstream.bodies[0] as { contents: ReadonlyArray<{ parts: readonly unknown[] }> }
    expect(contents.map(({ parts }) => parts.length)).toEqual([1, 2, 2])
  })

  test('a key that it does not know is ours, and not the request’s', async () => {
    const error = { code: 400, message: `API key not valid: ${SECRET}`, status: 'INVALID_ARGUMENT' }
    const details = [{ '@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason: 'API_KEY_INVALID' }]
    upstream.says(json('400 X', { error: { ...error, details } }))
    expect(codeAndRetry(await ask(provider, HELLO))).toEqual({ code: 'provider_auth', retry: 'elsewhere' })
  })

  test('when to come back, from its details', async () => {
    const details = [{ '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: '21s' }]
    upstream.says(json('429 X', { error: { code: 429, message: 'quota', status: 'RESOURCE_EXHAUSTED', details } }))
    expect(failure(await ask(provider, HELLO)).error.retryAfterMs).toBe(21_000)
  })

  test('embeddings are a document, in the encoding that is asked for', async () => {
    upstream.says(json('200 OK', { embeddings: [{ values: [0.5, -1] }, { values: [0, 2] }] }))
    const input = { model: 'gemini-embedding-001', input: ['a', 'b'], dimensions: 2 }
    const call = { kind: 'embedding', stream: false } as const
    const plain = await ask(provider, input, call)
    expect(JSON.parse(plain.document!).data).toEqual([
      { object: 'embedding', index: 0, embedding: [0.5, -1] },
      { object: 'embedding', index: 1, embedding: [0, 2] },
    ])
    expect(JSON.stringify(upstream.bodies[0])).toContain('"outputDimensionality":2')
    const packed = await ask(provider, { ...input, encoding_format: 'base64' }, call)
    const [{ embedding }] = JSON.parse(packed.document!).data
    expect([...new Float32Array(Uint8Array.from(Buffer.from(embedding, 'base64')).buffer)]).toEqual([0.5, -1])
    expect(failure(await ask(provider, { ...input, input: [1, 2] }, call)).error.param).toBe('input')
  })
})

test('a package that is not there: the start says what to install', () => {
  const hook = `import { registerHooks } from 'node:module'
    registerHooks({ resolve(name, context, next) {
      if (name === '@ai-sdk/cohere') throw Object.assign(new Error('none'), { code: 'ERR_MODULE_NOT_FOUND' })
      return next(name, context)
    } })`
  const dir = mkdtempSync(join(tmpdir(), 'sluice-missing-'))
  const file = join(dir, 'sluice.yaml')
  writeFileSync(file, JSON.stringify({ port: 0, models: [{ name: 'c', provider: 'cohere', api_key: { env: 'KEY' } }] }))
  const run = spawnSync(
    process.execPath,
    ['--import', `data:text/javascript,${encodeURIComponent(hook)}`, BIN, 'serve', '--config', file],
    { env: { ...bareEnvironment(), SLUICE_DATA_DIR: dir, KEY: SECRET }, encoding: 'utf8' },
  )
  rmSync(dir, { recursive: true })
  expect(JSON.parse(run.stderr).msg).toContain(
    'which is not installed: npm install --save-prod "@ai-sdk/cohere@^4.0.0"',
  )
  expect(run.status).toBe(2)
})
