/** Well-formed JSON that asks for what cannot be: chat requests, embeddings, cursors, jobs. See bad-http.test.ts. */
import { connect } from 'node:net'
import { describe, expect, it, vi } from 'vitest'
import type { ErrorCode } from '../../src/core/errors.ts'
import { afterAllThat, app, ask, auth, beforeAllThat, foreign, jobId, refused, SECRET_TEXT } from './suite.ts'
import { type Answer, chat, request, send } from './wire.ts'

beforeAllThat()

describe('chat requests', () => {
  const with_ = (more: object): Record<string, unknown> => chat(`${SECRET_TEXT} demo: tokens=2 delay=1 ttft=1`, more)
  const schema = (parameters: unknown): object => ({
    tools: [{ type: 'function', function: { name: 'f', parameters } }],
  })
  it.each<[string, () => unknown, number, ErrorCode, string | null]>([
    ['48 no model', () => ({ messages: [{ role: 'user', content: 'x' }] }), 404, 'model_not_found', 'model'],
    ['48 unknown model', () => with_({ model: 'gpt-9' }), 404, 'model_not_found', 'model'],
    ['48 a number', () => with_({ model: 7 }), 400, 'invalid_request', 'model'],
    ['49 messages are text', () => with_({ messages: SECRET_TEXT }), 400, 'invalid_request', 'messages'],
    ['49 none', () => with_({ messages: [] }), 400, 'invalid_request', 'messages'],
    ['49 absent', () => ({ model: 'demo' }), 400, 'invalid_request', 'messages'],
    [
      '49 100,000',
      () => with_({ messages: Array.from({ length: 100_000 }, () => 0) }),
      400,
      'invalid_request',
      'messages',
    ],
    ['49 null inside', () => with_({ messages: [null] }), 400, 'invalid_request', 'messages[0]'],
    [
      '50 a role that is no text',
      () => with_({ messages: [{ role: 7, content: 'x' }] }),
      400,
      'invalid_request',
      'messages[0].role',
    ],
    [
      'content is a number',
      () => with_({ messages: [{ role: 'user', content: 5 }] }),
      400,
      'invalid_request',
      'messages[0].content',
    ],
    ['54 stream "true"', () => with_({ stream: 'true' }), 400, 'invalid_request', 'stream'],
    [
      '54 include_usage "yes"',
      () => with_({ stream_options: { include_usage: 'yes' } }),
      400,
      'invalid_request',
      'stream_options',
    ],
    ['57 a deep schema', () => schemaOfDepth(10_000), 400, 'invalid_request', null],
    [
      '57 $ref to itself',
      () => with_(schema({ $defs: { a: { $ref: '#/$defs/a' } }, $ref: '#/$defs/a' })),
      400,
      'invalid_request',
      'tools',
    ],
    [
      '57 $ref in a circle',
      () =>
        with_(
          schema({
            properties: { x: { $ref: '#/$defs/a' } },
            $defs: { a: { $ref: '#/$defs/b' }, b: { $ref: '#/$defs/a' } },
          }),
        ),
      400,
      'invalid_request',
      'tools',
    ],
    ['59 user of 1 MB', () => with_({ user: 'u'.repeat(1_000_000) }), 400, 'invalid_request', 'user'],
    ...['api_base', 'base_url', 'api_key', 'headers', 'extra_headers'].map(
      (n): [string, () => unknown, number, ErrorCode, string] => [
        `60 ${n}`,
        () => with_({ [n]: 'http://evil.test' }),
        400,
        'invalid_request',
        n,
      ],
    ),
    ...['../demo', 'a#b', '@evil.test', 'demo\r\nx: y', 'a b', 'a//b', 'é'].map(
      (m): [string, () => unknown, number, ErrorCode, string] => [
        `61 model ${JSON.stringify(m)}`,
        () => with_({ model: m }),
        400,
        'invalid_request',
        'model',
      ],
    ),
    ['sluice is text', () => with_({ sluice: 'x' }), 400, 'invalid_request', 'sluice'],
    ['an unknown option', () => with_({ sluice: { prioritty: 'high' } }), 400, 'invalid_request', 'sluice.prioritty'],
  ])('%s', async (_name, body, status, code, param) => {
    const value = body()
    const got = await refused(
      ask('POST', '/v1/chat/completions', typeof value === 'string' ? value : JSON.stringify(value)),
      status,
      code,
    )
    expect((JSON.parse(got.body) as { error: { param: string | null } }).error.param).toBe(param)
  })

  it.each<[string, object]>([
    ['53 temperature null', { temperature: null, max_tokens: null, stop: null, user: null }],
    [
      '56 an image that only the provider may fetch',
      {
        messages: [
          {
            role: 'user',
            content: [
              { type: 'image_url', image_url: { url: 'http://169.254.169.254/latest/meta-data' } },
              { type: 'text', text: 'demo: tokens=2 delay=1 ttft=1' },
            ],
          },
        ],
      },
    ],
    [
      '57 a schema that refers to itself further down',
      schema({ type: 'object', properties: { child: { $ref: '#' } }, $defs: { n: { items: { $ref: '#/$defs/n' } } } }),
    ],
    ['58 a pattern that is never compiled', schema({ type: 'string', pattern: '^(a+)+$' })],
    ['members nobody knows', { top_k: 5, provider_extra: { nested: [1, 2, { three: null }] } }],
  ])('passes: %s', async (_name, more) => {
    const got = await ask('POST', '/v1/chat/completions', JSON.stringify(with_(more)))
    expect(got.status, got.body).toBe(200)
  })

  const schemaOfDepth = (n: number): string =>
    JSON.stringify(with_({ tools: [] })).replace('[]', `[${'{"a":'.repeat(n)}1${'}'.repeat(n)}]`)

  it.each<[string, unknown, number]>([
    ['62 no input', undefined, 400],
    ['62 an empty list', [], 400],
    ['62 an empty text', '', 400],
    ['62 10,000 texts', Array.from({ length: 10_000 }, () => 'x'), 400],
    ['62 a list with an empty text', ['a', ''], 200],
    ['62 a negative token', [1, -2], 200],
    ['62 parts of other kinds', [{ type: 'image_url', image_url: { url: 'https://a.test' } }], 200],
    ['62 10,000 tokens', Array.from({ length: 10_000 }, () => 7), 200],
    ['62 tokens', [1, 2, 3], 200],
    ['62 lists of tokens', [[1, 2], [3]], 200],
  ])('%s', async (_name, input, status) => {
    const got = ask('POST', '/v1/embeddings', JSON.stringify({ model: 'demo', input }))
    if (status === 200) expect((await got).status).toBe(200)
    else await refused(got, status, 'invalid_request')
  })
  it('a model that does not embed', async () => {
    await refused(ask('POST', '/v1/embeddings', JSON.stringify({ model: 'talks', input: 'x' })), 400, 'invalid_request')
  })
})

describe('events', () => {
  const events = (query: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Answer> =>
    ask(method, `/v1/jobs/${jobId}/events${query}`, '', headers)
  it.each<[string, string, Record<string, string>, number, ErrorCode]>([
    ['64 Last-Event-ID: -1', '', { 'last-event-id': '-1' }, 400, 'cursor_invalid'],
    ['64 Last-Event-ID: abc', '', { 'last-event-id': 'abc' }, 400, 'cursor_invalid'],
    ['64 digits without end', '', { 'last-event-id': '9'.repeat(400) }, 400, 'cursor_invalid'],
    ['64 a cursor of the future', '?after=1-99999', {}, 400, 'cursor_ahead'],
    ['64 8 KiB', '', { 'last-event-id': '1'.repeat(8_192) }, 400, 'cursor_invalid'],
    ['64 17 KiB', '', { 'last-event-id': '1'.repeat(17_000) }, 431, 'headers_too_large'],
    ['after, twice', '?after=1-1&after=1-2', {}, 400, 'invalid_request'],
    ['an unknown dialect', '?dialect=klingon', {}, 400, 'invalid_request'],
    ['68 accept: text/html', '', { accept: 'text/html' }, 406, 'not_acceptable'],
    ['68 accept: never events', '', { accept: 'text/event-stream; q=0.0, text/html' }, 406, 'not_acceptable'],
    ['an epoch that never was', '?dialect=chat&after=0-5', {}, 410, 'cursor_stale'],
  ])('%s', async (_name, query, headers, status, code) => {
    await refused(events(query, headers), status, code)
  })

  it.each(['*/*', 'text/event-stream', 'application/json', 'image/png, text/*;q=0.5'])(
    '68 accept: %s',
    async (accept) => {
      expect((await events('', { accept, connection: 'close' }, 'GET')).status).toBe(200)
    },
  )

  it("30, 64 another tenant's job, and none", async () => {
    await refused(events('', auth(foreign.key)), 404, 'job_not_found')
    await refused(ask('GET', '/v1/jobs/job_0000000000000000000000000a/events'), 404, 'job_not_found')
    await refused(ask('GET', `/v1/jobs/${encodeURIComponent("' OR 1=1 --")}/events`), 404, 'job_not_found')
  })

  it('65 an erased job', async () => {
    const made = JSON.parse((await ask('POST', '/v1/jobs', JSON.stringify({ request: chat('x') }))).body) as {
      id: string
    }
    expect((await ask('DELETE', `/v1/jobs/${made.id}`)).status).toBe(204)
    await refused(ask('GET', `/v1/jobs/${made.id}/events`), 404, 'job_not_found')
  })

  it('67 HEAD has the headers of the stream, and the connection goes on', async () => {
    const two = Buffer.concat([request('HEAD', `/v1/jobs/${jobId}/events`, auth()), request('GET', '/livez')])
    const socket = connect(app.port, '127.0.0.1')
    let text = ''
    socket.on('data', (d) => (text += d.toString()))
    socket.write(two)
    await expect.poll(() => text).toContain('{"status":"ok"}')
    socket.destroy()
    expect(text).toMatch(
      /^HTTP\/1\.1 200 OK\r\n[\s\S]*?content-type: text\/event-stream[\s\S]*?\r\n\r\nHTTP\/1\.1 200 OK\r\n/,
    )
  })

  it('66 readers up to the cap, then 429', async () => {
    const made = JSON.parse(
      (await ask('POST', '/v1/jobs', JSON.stringify({ request: chat('demo: tokens=3000 delay=20 ttft=1') }))).body,
    ) as { id: string }
    const target = `/v1/jobs/${made.id}/events`
    const readers = await Promise.all(
      Array.from({ length: 3 }, async () => {
        const socket = connect(app.port, '127.0.0.1')
        socket.write(request('GET', target, auth()))
        await new Promise((done) => socket.once('data', done))
        return socket
      }),
    )
    const got = await refused(ask('GET', target), 429, 'too_many_subscribers')
    expect(Number(got.headers['retry-after'])).toBeGreaterThan(0)
    readers[0].destroy()
    const isFree = async (): Promise<void> => {
      await expect.poll(async () => (await ask('GET', target, '', {}, { withinMs: 100 })).status).toBe(200)
    }
    await isFree()
    // 69: a reader that closes its side may still read; once it has left, its place is free
    const half = await vi.waitFor(
      async () => {
        const answer = await send(app.port, request('GET', target, auth()), { end: true, withinMs: 1_000 })
        expect(answer.status).toBe(200)
        return answer
      },
      { timeout: 60_000 },
    )
    expect(half.body.split('\nid: ').length).toBeGreaterThan(3)
    await isFree()
    for (const socket of readers) socket.destroy()
    await ask('POST', `/v1/jobs/${made.id}/cancel`)
  })
})

describe('jobs', () => {
  const job = (options: object, content = 'x'): Promise<Answer> =>
    ask('POST', '/v1/jobs', JSON.stringify({ request: chat(content), ...options }))
  it('85 the same key with another body', async () => {
    await refused(job({ idempotency_key: 'once' }, 'something else'), 422, 'idempotency_conflict')
  })
  it.each<[string, object, string]>([
    ['86 a key of 10 KB', { idempotency_key: 'k'.repeat(10_000) }, 'idempotency_key'],
    ['87 delay -1', { delay_ms: -1 }, 'delay_ms'],
    ['87 delay 1e15', { delay_ms: 1e15 }, 'delay_ms'],
    ['a delay beyond the deadline', { delay_ms: 500, deadline_ms: 100 }, 'delay_ms'],
    ['a delay of just the deadline', { delay_ms: 500, deadline_ms: 500 }, 'delay_ms'],
    ['88 priority null in text', { priority: 'NaN' }, 'priority'],
    ['88 priority a number', { priority: 5 }, 'priority'],
    ['a lane with a line break', { lane: 'a\nb' }, 'lane'],
    ['lane and conversation', { lane: 'a', conversation: 'b' }, 'lane'],
    ['metadata of numbers', { metadata: { a: 1 } }, 'metadata'],
    ['an unknown option', { dead_line_ms: 5 }, 'dead_line_ms'],
    ['another endpoint', { endpoint: '/v1/images' }, 'endpoint'],
    ['no request', { request: null }, 'request'],
    ['options inside the request', { request: chat('x', { sluice: { lane: 'a' } }) }, 'request.sluice'],
  ])('%s', async (_name, options, param) => {
    const got = await refused(job(options), 400, 'invalid_request')
    expect((JSON.parse(got.body) as { error: { param: string } }).error.param).toBe(param)
  })
  it('two keys, in a header and in the body', async () => {
    const body = JSON.stringify({ request: chat('x'), idempotency_key: 'a' })
    const got = await refused(ask('POST', '/v1/jobs', body, { 'idempotency-key': 'b' }), 400, 'invalid_request')
    expect(got.body).toContain('"param":"idempotency_key"')
  })
  it.each(['idempotency-key', 'sluice-idempotency-key', 'sluice-conversation', 'sluice-user', 'sluice-priority'])(
    'a list of jobs with the header %s',
    async (header) => {
      const body = JSON.stringify({ jobs: [{ request: chat('x') }] })
      const got = await refused(ask('POST', '/v1/jobs', body, { [header]: 'high' }), 400, 'invalid_request')
      expect(got.body).toContain(`"param":"${header}"`)
    },
  )
  it.each<[string, unknown]>([
    ['none', []],
    ['no list', {}],
    ['1,001', Array.from({ length: 1_001 }, () => ({}))],
  ])('a list of jobs: %s', async (_name, jobs) => {
    await refused(ask('POST', '/v1/jobs', JSON.stringify({ jobs })), 400, 'invalid_request')
  })
  it('one bad job of a list does not stop the others', async () => {
    const request = chat('demo: tokens=2 delay=1 ttft=1')
    const got = await ask(
      'POST',
      '/v1/jobs',
      JSON.stringify({
        jobs: [
          { request },
          { request, priority: 'urgent' },
          7,
          { request: { ...request, model: 'nope' } },
          { request },
        ],
      }),
    )
    const { data } = JSON.parse(got.body) as {
      data: Array<{ object: string; error?: { code: string; param: string } }>
    }
    expect(got.status).toBe(202)
    expect(data.map((d) => d.object)).toEqual(['job', 'error', 'error', 'error', 'job'])
    expect(data.flatMap((d) => (d.object === 'error' ? [d.error!.param] : []))).toEqual([
      'jobs[1].priority',
      'jobs[2]',
      'jobs[3].model',
    ])
  })
  it.each([
    ...['before=x', 'limit=0', 'limit=1001', 'limit=ten', 'state=sleeping', 'limit=1&limit=2'],
    ...['lane=', 'conversation=', 'model='],
  ])('a list asked for with %s', async (query) => {
    await refused(ask('GET', `/v1/jobs?${query}`), 400, 'invalid_request')
  })
  it('a header that is nearly ours', async () => {
    const got = await refused(
      ask('POST', '/v1/chat/completions', JSON.stringify(chat('x')), { 'sluice-lanes': 'a' }),
      400,
      'invalid_request',
    )
    expect(got.body).toContain('sluice-lane')
  })
})

afterAllThat(70)
