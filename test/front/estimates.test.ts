/** What a request weighs and costs, before it is sent; and that the estimates learn from what providers report. */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { reference } from '../../scripts/vocabulary.ts'
import { startTestApp, type TestApp } from './app.ts'
import { type Answer, request, send } from './wire.ts'

const { countTokens } = reference()
const TEXT = 'Which of these contracts can be terminated early?'
const messages = [
  { role: 'system', content: 'Be brief.' },
  { role: 'user', content: TEXT },
]
/** As OpenAI counts messages: four tokens for each, three for the answer. */
const TOKENS = countTokens('Be brief.') + countTokens(TEXT) + 4 * 2 + 3

let app: TestApp
let upstream: Server
/** What the upstream reports as the prompt's tokens. */
let reported = TOKENS
let calls = 0
beforeAll(async () => {
  upstream = createServer((req, res) => {
    calls++
    req.resume().on('end', () =>
      res.setHeader('content-type', 'application/json').end(
        JSON.stringify({
          object: 'chat.completion',
          choices: [{ index: 0, message: { role: 'assistant', content: 'Two.' }, finish_reason: 'stop' }],
          usage: { prompt_tokens: reported, completion_tokens: 10, total_tokens: reported + 10 },
        }),
      ),
    )
  })
  await new Promise<void>((done) => upstream.listen(0, '127.0.0.1', done))
  const base_url = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}/v1`
  const provider = 'openai-compatible'
  const own = { provider, base_url }
  const priced = { ...own, price: { input: 0.25, output: 2, request: 0.001 } }
  app = await startTestApp(
    {},
    {
      models: [
        { name: 'gpt-4o', ...priced },
        { name: 'llama-3.1-8b', ...own },
        { name: 'claude-sonnet-4-5', ...own },
        { name: 'text-*', ...priced, kinds: ['embedding'] },
        { name: 'listed', provider, base_url: 'https://api.deepseek.com/v1', model: 'deepseek-reasoner' },
        { name: 'unknown', provider, base_url: 'https://models.example.com/v1' },
        { name: 'chat', ...own, model: 'openai/gpt-4o' },
        { name: 'chat', ...own, model: 'claude-sonnet-4-5', order: 1 },
        { name: 'demo', provider: 'demo' },
      ],
      tenants: [
        {
          name: 'guarded',
          guards: [
            { guard: 'max-context', tokens: 50 },
            { guard: 'allow-models', models: ['gpt-4o'] },
          ],
        },
      ],
    },
  )
})
afterAll(async () => {
  await app?.stop()
  upstream.close()
})

const post = async (path: string, body: object, key = app.key, headers = {}): Promise<[number, any]> => {
  const raw = JSON.stringify(body)
  const answer: Answer = await send(
    app.port,
    request('POST', path, { authorization: `Bearer ${key}`, ...headers }, raw),
  )
  return [answer.status, JSON.parse(answer.body)]
}
const refusal = (code: string, param: string | null = null) => ({ error: expect.objectContaining({ code, param }) })

describe('POST /v1/tokenize', () => {
  it.each<[string, object, object]>([
    ['messages', { model: 'gpt-4o', messages }, { tokens: TOKENS, exact: true }],
    ['a text', { model: 'gpt-4o', text: TEXT }, { tokens: countTokens(TEXT), exact: true }],
    ['a text to be embedded', { model: 'text-a', input: TEXT }, { tokens: countTokens(TEXT), exact: false }],
    ['several', { model: 'gpt-4o', input: ['a', 'b c'] }, { tokens: 3, exact: true }],
    ['tokens', { model: 'gpt-4o', input: [1, 2, 3, 4] }, { tokens: 4, exact: true }],
    ['by the name that the provider has for it', { model: 'chat', messages }, { tokens: TOKENS, exact: true }],
    ['by another vocabulary', { model: 'claude-sonnet-4-5', text: TEXT }, { exact: false }],
    ['tools', { model: 'gpt-4o', messages, tools: [{ type: 'function', function: { name: 'f' } }] }, { exact: false }],
    [
      'a whole request',
      {
        ...{ model: 'gpt-4o', messages, max_tokens: 50, stream: true, stream_options: { include_usage: true } },
        ...{ temperature: 0.2, user: 'ann', metadata: { a: 'b' }, sluice: { run: 'r' }, reasoning_effort: 'low' },
      },
      { tokens: TOKENS, exact: true },
    ],
    ['a long text', { model: 'gpt-4o', text: 'words and words '.repeat(1_000) }, { exact: false }],
  ])('%s', async (_name, body, expected) => {
    const [status, answer] = await post('/v1/tokenize', body)
    expect(status).toBe(200)
    expect(answer).toEqual({ object: 'tokens', model: (body as any).model, tokens: expect.any(Number), ...expected })
  })

  it.each<[string, object, number, object]>([
    ['no model', { text: 'a' }, 404, refusal('model_not_found', 'model')],
    ['no such model', { model: 'nil', text: 'a' }, 404, refusal('model_not_found', 'model')],
    ['nothing to count', { model: 'gpt-4o' }, 400, refusal('invalid_request', 'messages')],
    ['two things', { model: 'gpt-4o', text: 'a', input: 'b' }, 400, refusal('invalid_request', 'text')],
    ['messages that are none', { model: 'gpt-4o', messages: ['a'] }, 400, refusal('invalid_request', 'messages')],
    ['a text that is none', { model: 'gpt-4o', text: ['a'] }, 400, refusal('invalid_request', 'text')],
    ['an unknown member', { model: 'gpt-4o', text: 'a', txt: 'b' }, 400, refusal('invalid_request', 'txt')],
  ])('%s', async (_name, body, status, answer) => {
    expect(await post('/v1/tokenize', body)).toEqual([status, answer])
  })

  it('names what it knows where it refuses', async () => {
    const message = async (body: object) => (await post('/v1/tokenize', body))[1].error.message
    expect(await message({ model: 'gpt-4o', text: 'a', max_token: 5 })).toContain('Did you mean "max_tokens"?')
    expect(await message({ model: 'gpt-4o', text: 'a', zzz: 5 })).toMatch(
      /There are messages, input, text, model, .* …/,
    )
  })

  it('a model that the tenant may not use', async () => {
    const { key } = await app.addKey('guarded')
    expect(await post('/v1/tokenize', { model: 'demo', text: 'a' }, key)).toEqual([
      403,
      refusal('model_not_allowed', 'model'),
    ])
  })
})

describe('POST /v1/estimate', () => {
  it('a request as it would be posted', async () => {
    const [status, answer] = await post('/v1/estimate', { model: 'gpt-4o', messages, max_tokens: 500, n: 2 })
    const input = TOKENS * 250 + 1_000_000
    expect(status).toBe(200)
    expect(answer).toEqual({
      object: 'estimate',
      model: 'gpt-4o',
      input_tokens: TOKENS,
      exact: true,
      max_output_tokens: 1_000,
      cost: {
        currency: 'usd',
        input: input / 1e9,
        output_max: 0.002,
        nano_dollars: { input, output_max: 2_000_000 },
        price_version: 'settings',
      },
    })
    expect(calls).toBe(0)
  })

  it('without a limit of its answer', async () => {
    const [, answer] = await post('/v1/estimate', { model: 'gpt-4o', messages })
    expect(answer).toMatchObject({
      max_output_tokens: null,
      cost: { output_max: null, nano_dollars: { output_max: null } },
    })
  })

  it('a job, and another endpoint', async () => {
    const embedding = { model: 'text-a', input: TEXT }
    const told = { input_tokens: countTokens(TEXT), max_output_tokens: 0, cost: { output_max: 0 } }
    expect((await post('/v1/estimate?endpoint=/v1/embeddings', embedding))[1]).toMatchObject(told)
    expect((await post('/v1/estimate', { request: embedding, endpoint: '/v1/embeddings' }))[1]).toMatchObject(told)
    expect((await post('/v1/estimate', { request: { model: 'gpt-4o', messages }, lane: 'a' }))[1]).toMatchObject({
      input_tokens: TOKENS,
    })
  })

  it.each<[string, string, object]>([
    ['an own engine costs nothing', 'llama-3.1-8b', { cost: { input: 0, price_version: 'own' } }],
    ['the demo neither', 'demo', { cost: { input: 0, price_version: 'own' } }],
    ['by the list', 'listed', { cost: { price_version: expect.stringMatching(/^genai-prices@/) } }],
    ['unknown', 'unknown', { cost: null, cost_unknown: 'Nobody knows what this model costs: ask the operator.' }],
  ])('%s', async (_name, model, expected) => {
    expect(await post('/v1/estimate', { model, messages })).toEqual([
      200,
      expect.objectContaining({
        ...expected,
        ...((expected as any).cost && { cost: expect.objectContaining((expected as any).cost) }),
      }),
    ])
  })

  it.each<[string, string, object, number, object]>([
    ['no messages', '', { model: 'gpt-4o' }, 400, refusal('invalid_request', 'messages')],
    ['no such model', '', { model: 'nil', messages }, 404, refusal('model_not_found', 'model')],
    [
      'no such endpoint',
      '?endpoint=/v1/nil',
      { model: 'gpt-4o', messages },
      400,
      refusal('invalid_request', 'endpoint'),
    ],
    [
      'two endpoints',
      '?endpoint=/v1/embeddings',
      { request: { model: 'gpt-4o', messages } },
      400,
      refusal('invalid_request', 'endpoint'),
    ],
    [
      'an option that is none',
      '',
      { request: { model: 'gpt-4o', messages }, prio: 1 },
      400,
      refusal('invalid_request', 'prio'),
    ],
  ])('%s: as a submit is refused', async (_name, query, body, status, answer) => {
    expect(await post(`/v1/estimate${query}`, body)).toEqual([status, answer])
  })

  it('what a guard would refuse, it refuses', async () => {
    const { key } = await app.addKey('guarded')
    expect((await post('/v1/estimate', { model: 'gpt-4o', messages }, key))[0]).toBe(200)
    expect(await post('/v1/estimate', { model: 'demo', messages }, key)).toEqual([
      403,
      refusal('model_not_allowed', 'model'),
    ])
    const long = [{ role: 'user', content: 'words '.repeat(100) }]
    expect(await post('/v1/estimate', { model: 'gpt-4o', messages: long }, key)).toEqual([
      400,
      refusal('context_length_exceeded'),
    ])
  })

  it('submits nothing', async () => {
    const { key } = await app.addKey('lurker')
    await post('/v1/estimate', { model: 'gpt-4o', messages }, key, { 'idempotency-key': 'k' })
    const listed = await send(app.port, request('GET', '/v1/jobs', { authorization: `Bearer ${key}` }))
    expect(JSON.parse(listed.body).data).toEqual([])
    expect(calls).toBe(0)
  })

  it('a price that is changed holds at once', async () => {
    const models = [{ name: 'gpt-4o', provider: 'demo', price: { input: 1 } }]
    const { stop, port, key, reload } = await startTestApp({}, { models })
    const cost = async (): Promise<number> => {
      const raw = JSON.stringify({ model: 'gpt-4o', messages })
      const answer = await send(port, request('POST', '/v1/estimate', { authorization: `Bearer ${key}` }, raw))
      return JSON.parse(answer.body).cost.nano_dollars.input
    }
    try {
      expect(await cost()).toBe(TOKENS * 1_000)
      await reload({ models: [{ ...models[0], price: { input: 3 } }] })
      expect(await cost()).toBe(TOKENS * 3_000)
    } finally {
      await stop()
    }
  })
})

describe('estimates learn', () => {
  const estimate = async (body: object, key: string): Promise<number> =>
    (await post('/v1/estimate', body, key))[1].input_tokens

  it('how a model counts, from what its provider reports; a tenant by itself', async () => {
    const { key } = await app.addKey('learner')
    const body = { model: 'claude-sonnet-4-5', messages }
    expect(await estimate(body, key)).toBe(TOKENS)
    reported = TOKENS * 2
    for (let i = 0; i < 60; i++) expect((await post('/v1/chat/completions', body, key))[0]).toBe(200)
    expect(await estimate(body, key)).toBeGreaterThan(1.5 * TOKENS)
    // The same request is the same to the client: what is exact stays so
    expect((await post('/v1/tokenize', { model: 'gpt-4o', messages }, key))[1].tokens).toBe(TOKENS)
  })

  it('how long a conversation has become', async () => {
    const { key } = await app.addKey('talker')
    const body = { model: 'gpt-4o', messages, sluice: { conversation: 'c' } }
    reported = 700
    expect(await estimate(body, key)).toBe(TOKENS)
    expect((await post('/v1/chat/completions', body, key))[0]).toBe(200)
    expect(await estimate(body, key)).toBe(TOKENS + 710)
    expect(await estimate({ model: 'gpt-4o', messages, sluice: { conversation: 'd' } }, key)).toBe(TOKENS)
    // It is another tenant's conversation that has the same name
    expect(await estimate(body, app.key)).toBe(TOKENS)
  })
})
