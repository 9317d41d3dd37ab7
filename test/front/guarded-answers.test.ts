/** Guards from end to end: what reaches the provider, the store and the client, and what nobody is told. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { startTestApp, type TestApp } from './app.ts'
import { type Answer, request, send } from './wire.ts'

const SECRET = 'ghp_0123456789abcdefghijklmnopqrstuvwxyz'
const MARKER = '[redacted:github-pat]'
const PIECE = 3

let upstream: Server
let moderation: Server
let app: TestApp
const keys = new Map<string, string>()
/** Bodies as they came to the provider; how many of its answers broke off. */
const got: string[] = []
let cut = 0
/** What the provider says next, one after the other; nothing: it repeats the last message. */
const says: string[] = []
/** What came to the moderation service, and how it answers. */
const judged: Array<{ readonly authorization: string | undefined; readonly body: unknown }> = []
let judge: (response: ServerResponse) => void

const read = async (incoming: IncomingMessage): Promise<string> => {
  const parts: Buffer[] = []
  for await (const part of incoming) parts.push(part as Buffer)
  return Buffer.concat(parts).toString('utf8')
}
const listen = async (server: Server): Promise<number> => {
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  return (server.address() as AddressInfo).port
}
const json = (response: ServerResponse, value: unknown): void => {
  response.writeHead(200, { 'content-type': 'application/json' })
  response.end(JSON.stringify(value))
}
const verdict = (flagged: boolean, categories = {}) => ({
  id: 'modr-1',
  model: 'm',
  results: [{ flagged, categories }],
})

const HEAD = { id: 'chatcmpl-1', created: 1, model: 'm' }
const USAGE = { prompt_tokens: 3, completion_tokens: 5, total_tokens: 8 }

async function answer(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
  const body = await read(incoming)
  got.push(body)
  const { stream, messages } = JSON.parse(body) as { stream?: boolean; messages: Array<{ content: string }> }
  const text = says.shift() ?? messages.at(-1)!.content
  if (stream !== true) {
    const choices = [{ index: 0, message: { role: 'assistant', content: text }, logprobs: null, finish_reason: 'stop' }]
    return json(response, { ...HEAD, object: 'chat.completion', choices, usage: USAGE })
  }
  let isOpen = true
  response.on('close', () => {
    if (!response.writableFinished) cut++
    isOpen = false
  })
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  const say = (delta: object, finish: string | null = null): void => {
    const choices = [{ index: 0, delta, finish_reason: finish }]
    response.write(`data: ${JSON.stringify({ ...HEAD, object: 'chat.completion.chunk', choices })}\n\n`)
  }
  say({ role: 'assistant', content: '' })
  for (let at = 0; at < text.length && isOpen; at += PIECE) {
    say({ content: text.slice(at, at + PIECE) })
    await new Promise<void>((next) => setImmediate(next))
  }
  say({}, 'stop')
  response.end('data: [DONE]\n\n')
}

const TENANTS: Readonly<Record<string, readonly object[]>> = {
  door: [{ guard: 'secrets', action: 'redact' }],
  capped: [{ guard: 'max-output', tokens: 50 }],
  hidden: [{ guard: 'pii' }],
  open: [{ guard: 'pii', restore: false }],
  redacted: [{ guard: 'secrets', on: 'answer', action: 'redact' }],
  blocked: [{ guard: 'secrets', on: 'answer', action: 'block' }],
  schema: [{ guard: 'json-schema' }],
  moderated: [{ guard: 'moderation', key: { env: 'MODERATION_KEY' }, timeout: '1s' }],
  looping: [{ guard: 'loop-guard' }],
  shadow: [
    { guard: 'secrets', on: 'both', action: 'block', mode: 'shadow' },
    { guard: 'pii', on: 'both', mode: 'shadow' },
    { guard: 'max-output', tokens: 5, mode: 'shadow' },
    { guard: 'deny-pattern', patterns: ['[0-9]+'], on: 'both', action: 'redact', mode: 'shadow' },
  ],
  strict: [
    { guard: 'deny-terms', terms: ['falcon'] },
    { guard: 'secrets', on: 'both' },
    { guard: 'pii', action: 'block', kinds: ['iban'] },
    { guard: 'deny-pattern', patterns: ['proj-[0-9]+'], on: 'both' },
  ],
}

beforeAll(async () => {
  upstream = createServer((incoming, response) => void answer(incoming, response))
  moderation = createServer(async (incoming, response) => {
    judged.push({ authorization: incoming.headers.authorization, body: JSON.parse(await read(incoming)) })
    judge(response)
  })
  const [at, judgeAt] = [await listen(upstream), await listen(moderation)]
  const tenants = Object.entries(TENANTS).map(([name, guards]) => ({
    name,
    guards: guards.map((guard) =>
      'guard' in guard && guard.guard === 'moderation'
        ? { ...guard, url: `http://127.0.0.1:${judgeAt}/v1/moderations` }
        : guard,
    ),
  }))
  app = await startTestApp(
    {},
    {
      models: [{ name: 'm', provider: 'openai-compatible', base_url: `http://127.0.0.1:${at}/v1` }],
      tenants,
      queue: { retry_base_ms: 1, retry_cap_ms: 2 },
      log: { level: 'debug' },
    },
    { MODERATION_KEY: 'canary-moderation-key' },
  )
  for (const name of Object.keys(TENANTS)) keys.set(name, (await app.addKey(name)).key)
})
afterAll(async () => {
  await app?.stop()
  upstream?.close()
  moderation?.close()
})
beforeEach(() => {
  got.length = judged.length = says.length = 0
  judge = (response) => json(response, verdict(false))
})

const chat = (content: string, more: object = {}): object => ({
  model: 'm',
  messages: [{ role: 'user', content }],
  ...more,
})
const post = (tenant: string, body: object | string, path = '/v1/chat/completions'): Promise<Answer> =>
  send(
    app.port,
    request(
      'POST',
      path,
      { authorization: `Bearer ${keys.get(tenant)}` },
      typeof body === 'string' ? body : JSON.stringify(body),
    ),
  )
const get = (tenant: string, path: string): Promise<Answer> =>
  send(app.port, request('GET', path, { authorization: `Bearer ${keys.get(tenant)}` }))
interface Said {
  readonly choices: ReadonlyArray<{ readonly message: { readonly content: string }; readonly finish_reason: string }>
}
const contentOf = ({ body }: Answer): string => (JSON.parse(body) as Said).choices[0].message.content
const events = ({ body }: Answer): readonly string[] => [...body.matchAll(/^data: (.+)$/gm)].map(([, data]) => data)
interface Chunk {
  readonly choices?: ReadonlyArray<{
    readonly delta: { readonly content?: string }
    readonly finish_reason: string | null
  }>
  readonly error?: { readonly code: string }
}
const chunksOf = (answer: Answer): readonly Chunk[] =>
  events(answer)
    .filter((data) => data !== '[DONE]')
    .map((data) => JSON.parse(data) as Chunk)
const streamed = (answer: Answer): string =>
  chunksOf(answer)
    .map(({ choices }) => choices?.[0]?.delta.content ?? '')
    .join('')

describe('at the door', () => {
  it('a redacted request is stored and sent as it was, but for the texts that change', async () => {
    const body = `{ "model":"m","seed":9007199254740993,\n"messages":[{"role":"user","content":"caf\\u00e9"},
      {"role":"user","content":"key ${SECRET}"}] }`
    expect(contentOf(await post('door', body))).toBe(`key ${MARKER}`)
    expect(got).toEqual([body.replace(SECRET, MARKER)])
  })

  it('the same request of an SDK again joins the first, redacted or not', async () => {
    const headers = { authorization: `Bearer ${keys.get('door')}`, 'x-stainless-retry-count': '1' }
    const body = JSON.stringify(chat(`key ${SECRET} once`))
    await send(app.port, request('POST', '/v1/chat/completions', headers, body))
    await send(app.port, request('POST', '/v1/chat/completions', headers, body))
    expect(got).toHaveLength(1)
  })

  it('what runs over parts of a message, or stands in a name, is blocked', async () => {
    const parts = [
      { type: 'text', text: SECRET.slice(0, 20) },
      { type: 'text', text: SECRET.slice(20) },
    ]
    expect((await post('door', { model: 'm', messages: [{ role: 'user', content: parts }] })).code).toBe(
      'content_blocked',
    )
    const tool = { type: 'function', function: { name: 'f', parameters: { properties: { [SECRET]: {} } } } }
    expect((await post('door', chat('hello', { tools: [tool] }))).code).toBe('content_blocked')
    expect(got).toEqual([])
  })

  it.each<[string, object, object]>([
    ['none', {}, { max_completion_tokens: 50 }],
    ['less', { max_tokens: 7 }, { max_tokens: 7 }],
    ['more', { max_tokens: 700 }, { max_tokens: 50 }],
    ['both', { max_tokens: 700, max_completion_tokens: 1e9 }, { max_tokens: 50, max_completion_tokens: 50 }],
    ['nonsense', { max_tokens: '9999' }, { max_tokens: 50 }],
    ['no bound', { max_tokens: -1, max_completion_tokens: 0 }, { max_tokens: 50, max_completion_tokens: 50 }],
    ['no bound, by other names', { n_predict: -1, max_tokens: 7 }, { n_predict: 50, max_tokens: 7 }],
    ['less, by other names', { max_new_tokens: 7 }, { max_new_tokens: 7, max_completion_tokens: 50 }],
  ])('an answer is no longer than allowed: %s', async (_name, asked, sent) => {
    await post('capped', chat('hello', asked))
    expect(JSON.parse(got[0])).toEqual(chat('hello', sent))
  })

  it('an estimate tells how long it may be', async () => {
    const most = async (more: object): Promise<unknown> =>
      JSON.parse((await post('capped', chat('hello', more), '/v1/estimate')).body).max_output_tokens
    expect([await most({}), await most({ max_tokens: 700, n: 2 }), await most({ max_tokens: 7 })]).toEqual([50, 100, 7])
  })

  it('a name that some engines read in any case is refused in another', async () => {
    expect((await post('capped', chat('hello', { N_Predict: 700 }))).code).toBe('invalid_request')
  })

  it('an agent in a loop is flagged, then told to stop, and not to try again', async () => {
    const turn = (i: number): readonly object[] => [
      {
        role: 'assistant',
        content: null,
        tool_calls: [{ id: `c${i}`, type: 'function', function: { name: 'ls', arguments: '{"a":1, "b":2}' } }],
      },
      { role: 'tool', tool_call_id: `c${i}`, content: 'nothing' },
    ]
    const loop = (n: number): object => ({
      model: 'm',
      messages: [{ role: 'user', content: 'go' }, ...Array.from({ length: n }, (_, i) => turn(i)).flat()],
    })
    expect((await post('looping', loop(5))).status).toBe(200)
    const flag = /guard decided.*"guard":"loop-guard".*"verdict":"flag".*"same-call"/
    expect(app.log.some((line) => flag.test(line))).toBe(true)
    const blocked = await post('looping', loop(8))
    expect([blocked.status, blocked.code, blocked.headers['x-should-retry']]).toEqual([409, 'loop_detected', 'false'])
  })
})

describe('personal data', () => {
  const TEXT = 'I am joe@example.com, ann@example.com is not'

  it('is hidden from the provider alone', async () => {
    expect(contentOf(await post('hidden', chat(TEXT)))).toBe(TEXT)
    expect(streamed(await post('hidden', chat(TEXT, { stream: true })))).toBe(TEXT)
    for (const body of got) expect(body).toContain('I am [EMAIL_1], [EMAIL_2] is not')
    expect(got.join()).not.toContain('example.com')
  })

  it('over the turns of a conversation', async () => {
    const say = (content: string) => post('hidden', { request: chat(content), conversation: 'c1' }, '/v1/jobs')
    const result = async (job: Answer): Promise<Answer> =>
      get('hidden', `/v1/jobs/${(JSON.parse(job.body) as { id: string }).id}/result?wait_ms=50000`)
    expect(contentOf(await result(await say('I am joe@example.com')))).toBe('I am joe@example.com')
    expect(contentOf(await result(await say('Is ann@example.com not joe@example.com?')))).toContain('joe@example.com')
    const { messages } = JSON.parse(got[1]) as { messages: Array<{ content: string }> }
    expect(messages.map(({ content }) => content)).toEqual([
      'I am [EMAIL_1]',
      'I am [EMAIL_1]',
      'Is [EMAIL_2] not [EMAIL_1]?',
    ])
  })

  it('or from everybody', async () => {
    expect(contentOf(await post('open', chat(TEXT)))).toBe('I am [EMAIL_1], [EMAIL_2] is not')
    for (const name of ['user', 'safety_identifier']) {
      const { body } = await post('open', { request: chat('hello', { [name]: 'joe@example.com' }) }, '/v1/jobs')
      expect(JSON.parse(body)).toMatchObject({ user: '[EMAIL_1]' })
    }
  })
})

describe('answers', () => {
  it('are redacted for every reader: streams, documents, jobs, resumed reads', async () => {
    const text = `Here: ${SECRET}. Bye`
    const wanted = `Here: ${MARKER}. Bye`
    says.push(text, text, text)
    expect(streamed(await post('redacted', chat('key?', { stream: true })))).toBe(wanted)
    expect(contentOf(await post('redacted', chat('key?')))).toBe(wanted)
    const { id } = JSON.parse((await post('redacted', { request: chat('key?') }, '/v1/jobs')).body) as { id: string }
    expect(contentOf(await get('redacted', `/v1/jobs/${id}/result?wait_ms=50000`))).toBe(wanted)
    const all = events(await get('redacted', `/v1/jobs/${id}/events`)).join('\n')
    expect(all).toContain(MARKER)
    expect(all).not.toContain(SECRET.slice(0, 8))
  })

  it('are blocked as OpenAI does it, and the call is ended', async () => {
    const before = cut
    says.push(`Here: ${SECRET}. ${'And so on. '.repeat(20_000)}`)
    const answer = await post('blocked', chat('key?', { stream: true }))
    expect(streamed(answer)).toBe('Here: ')
    expect(chunksOf(answer).at(-1)!.choices![0]).toMatchObject({
      finish_reason: 'content_filter',
      sluice: { guard: 'secrets', verdict: 'block' },
    })
    expect(events(answer).at(-1)).toBe('[DONE]')
    await expect.poll(() => cut).toBe(before + 1)
    says.push(`Here: ${SECRET}.`)
    const whole = JSON.parse((await post('blocked', chat('key?'))).body) as Said
    expect(whole.choices[0]).toMatchObject({ message: { content: null }, finish_reason: 'content_filter' })
  })

  it('that can’t match their schema are made again, where nothing was shown of them', async () => {
    const schema = { type: 'object', properties: { a: { type: 'integer' } }, required: ['a'] }
    const format = { response_format: { type: 'json_schema', json_schema: { name: 'x', schema } } }
    says.push('{"a":"no"}', 'sorry', '{"a":1}')
    expect(contentOf(await post('schema', chat('a?', format)))).toBe('{"a":1}')
    expect(got).toHaveLength(3)
    says.push('{"a":1, "b":nonsense}')
    const shown = await post('schema', chat('a?', { ...format, stream: true }))
    expect(chunksOf(shown).at(-1)!.error?.code).toBe('answer_invalid')
    expect(got).toHaveLength(4)
    says.push('no', 'no', 'no')
    const failed = await post('schema', chat('a?', format))
    expect([failed.status, failed.code]).toEqual([502, 'answer_invalid'])
  })
})

describe('moderation', () => {
  it('is asked with its own key, about what the request says', async () => {
    expect(contentOf(await post('moderated', chat('hello')))).toBe('hello')
    expect(judged).toEqual([{ authorization: 'Bearer canary-moderation-key', body: { input: ['hello'] } }])
  })

  it('a rejected request is answered with nothing but that', async () => {
    judge = (response) => json(response, verdict(true, { violence: true, hate: false }))
    for (const stream of [false, true]) {
      const answer = await post('moderated', chat('hello', { stream }))
      expect([answer.status, answer.code]).toEqual([400, 'content_blocked'])
    }
    expect(app.log.some((line) => /"guard":"moderation".*"rules":\["violence"\]/.test(line))).toBe(true)
  })

  it.each<[string, (response: ServerResponse) => void, string]>([
    ['is down', (response) => void response.destroy(), '"reason":"unreachable"'],
    ['is silent', () => {}, '"reason":"timeout"'],
    ['fails', (response) => void response.writeHead(500).end(), '"reason":"refused","status":500'],
    [
      'sends us elsewhere',
      (response) => void response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end(),
      '"reason":"refused","status":302',
    ],
    [
      'answers nonsense',
      (response) => void response.end('{"results":[{"flagged":"no"}]}'),
      '"reason":"garbage","status":200',
    ],
    ['answers too much', (response) => void response.end('x'.repeat(2 << 20)), '"reason":"too_long","status":200'],
  ])('nothing passes without a verdict where the service %s', async (_name, answer, reason) => {
    judge = answer
    const before = app.log.length
    const refused = await post('moderated', chat('hello'))
    expect([refused.status, refused.code]).toEqual([503, 'moderation_failed'])
    const told = app.log.slice(before).filter((line) => line.includes('a moderation service gave no verdict'))
    expect(told).toEqual([expect.stringContaining(reason)])
    // Each call of the provider may cost something
    expect(got).toHaveLength(1)
  })
})

it('a shadow changes no byte on any way', async () => {
  const body = `{ "messages":[{"role":"user","content":"I am joe@example.com, 1 ${SECRET}"}], "model":"m","x":1.50 }`
  const answer = await post('shadow', body)
  expect(got).toEqual([body])
  expect(contentOf(answer)).toBe(`I am joe@example.com, 1 ${SECRET}`)
  const stream = await post('shadow', body.replace('"x"', '"stream":true,"x"'))
  expect(streamed(stream)).toBe(`I am joe@example.com, 1 ${SECRET}`)
  const told = (guard: string): boolean =>
    app.log.some((line) => new RegExp(`"guard":"${guard}"[^}]*"mode":"shadow"`).test(line))
  expect(['secrets', 'pii', 'deny-pattern'].map(told)).toEqual([true, true, true])
})

it('no text, key or secret of anybody is in a log line, an error or a number', async () => {
  const canary = 'canary-7f3a'
  const texts = [
    `${canary} falcon`,
    `${canary} ${SECRET}`,
    `${canary} DE89 3704 0044 0532 0130 00`,
    `${canary} proj-12345`,
    `${canary} joe@example.com`,
  ]
  const all = Object.keys(TENANTS).flatMap((tenant) =>
    texts.flatMap((text, i) => post(tenant, chat(text, { stream: i % 2 === 0, user: canary }))),
  )
  const answers = await Promise.all(all)
  judge = (response) =>
    json(response, verdict(true, { [`${canary} text`]: true, [`${SECRET}.`]: true, 'joe@x.yz': true }))
  answers.push(await post('moderated', chat(texts[0])))
  for (const text of [SECRET, 'proj-12345']) {
    says.push(`${canary} ${text}`)
    answers.push(await post('strict', chat('hello', { stream: true })))
  }
  const errors = answers.filter(({ status }) => status >= 400).map(({ body }) => body)
  expect(errors.length).toBeGreaterThanOrEqual(5)
  const stats = await fetch(`http://127.0.0.1:${app.adminPort}/admin/stats`, {
    headers: { authorization: 'Bearer canary-admin-key-0123456789abcdef' },
  })
  const numbers = await stats.text()
  expect(numbers).toContain('guards_blocked')
  const told = [...app.log, ...errors, numbers].join('\n')
  for (const secret of [
    canary,
    SECRET.slice(4, 20),
    'joe@',
    '3704 0044',
    'proj-1',
    'canary-moderation-key',
    ...keys.values(),
  ])
    expect([secret, told.includes(secret)]).toEqual([secret, false])
})
