/** An unmodified OpenAI SDK, with nothing changed but its base URL. */
import OpenAI from 'openai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Server, startServer } from './server.ts'

let server: Server
let openai: OpenAI

beforeAll(async () => {
  server = await startServer(
    'models:\n  - { name: demo, provider: demo }\nhttp: { disconnect_grace_ms: 1000 }\n' +
      'limits: { each_tenant: { tokens_per_minute: 100_000 } }\n',
  )
  openai = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: server.key })
})
afterAll(() => server?.stop())

const ask = (content: string, more: object = {}) => ({
  model: 'demo',
  messages: [{ role: 'user' as const, content }],
  ...more,
})
const job = async (id: string): Promise<Record<string, any>> =>
  (await fetch(`${server.url}/v1/jobs/${id}`, { headers: { authorization: `Bearer ${server.key}` } })).json() as never

it('answers in JSON', async () => {
  const answer = await openai.chat.completions.create(ask('Hello there. demo: tokens=12 delay=1 ttft=5'))
  expect(answer.object).toBe('chat.completion')
  expect(answer.choices[0].message.role).toBe('assistant')
  expect(answer.choices[0].message.content!.length).toBeGreaterThan(10)
  expect(answer.choices[0].finish_reason).toBe('stop')
  expect(answer.usage!.completion_tokens).toBeGreaterThan(5)
})

it('streams, with usage only when asked', async () => {
  for (const asked of [false, true]) {
    const stream = await openai.chat.completions.create({
      ...ask('demo: tokens=20 delay=2 ttft=5'),
      stream: true,
      ...(asked ? { stream_options: { include_usage: true } } : {}),
    })
    let text = ''
    let usage = 0
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? ''
      if (chunk.usage) usage++
    }
    expect(text.length).toBeGreaterThan(20)
    expect(usage).toBe(asked ? 1 : 0)
  }
})

it('calls tools, in stream and JSON alike', async () => {
  const tools = [
    {
      type: 'function' as const,
      function: {
        name: 'weather',
        description: 'The weather of a city',
        parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
      },
    },
  ]
  const request = ask('Use the tool: what is the weather in Bern? demo: delay=1 ttft=5', {
    tools,
    tool_choice: 'required',
  })
  const whole = await openai.chat.completions.create(request)
  expect(whole.choices[0].finish_reason).toBe('tool_calls')
  const call = whole.choices[0].message.tool_calls![0] as { id: string; function: { name: string; arguments: string } }
  expect(call.function.name).toBe('weather')
  expect(JSON.parse(call.function.arguments)).toHaveProperty('city')
  const streamed = await openai.chat.completions.stream(request).finalChatCompletion()
  expect((streamed.choices[0].message.tool_calls![0] as typeof call).function.name).toBe('weather')
})

it('embeds', async () => {
  const { data } = await openai.embeddings.create({ model: 'demo', input: ['one', 'two'] })
  expect(data.map((d) => d.embedding.length)).toEqual([256, 256])
})

it('lists models', async () => {
  expect((await openai.models.list()).data.map((m) => m.id)).toContain('demo')
})

describe('errors are the classes that SDKs know', () => {
  it.each([
    [
      'an unknown model',
      () => openai.chat.completions.create({ ...ask('x'), model: 'nope' }),
      OpenAI.NotFoundError,
      'model_not_found',
    ],
    [
      'a wrong key',
      () => new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'sk-sluice-wrong' }).models.list(),
      OpenAI.AuthenticationError,
      'invalid_api_key',
    ],
    [
      'a bad request',
      () => openai.chat.completions.create({ model: 'demo', messages: 'hi' as never }),
      OpenAI.BadRequestError,
      'invalid_request',
    ],
  ])('%s', async (_name, call, kind, code) => {
    const error = await (call as () => Promise<unknown>)().catch((e: unknown) => e)
    expect(error).toBeInstanceOf(kind)
    expect((error as { code: string }).code).toBe(code)
  })

  it('what no limit will ever let through is a RateLimitError, and asked for once', async () => {
    let asked = 0
    const counting = new OpenAI({
      baseURL: `${server.url}/v1`,
      apiKey: server.key,
      fetch: (url, init) => {
        asked++
        return fetch(url, init)
      },
    })
    const error = await counting.chat.completions.create(ask('rivers '.repeat(200_000))).catch((e: unknown) => e)
    expect(error).toBeInstanceOf(OpenAI.RateLimitError)
    expect(error).toMatchObject({ code: 'rate_limit_exceeded', type: 'tokens' })
    expect((error as Error).message).toContain('Request too large for demo')
    expect(asked).toBe(1)
  })

  it('answers tell what is left', async () => {
    const { response } = await openai.chat.completions.create(ask('Hi. demo: tokens=3 delay=1')).withResponse()
    expect(response.headers.get('x-ratelimit-limit-tokens')).toBe('100000')
    expect(Number(response.headers.get('x-ratelimit-remaining-tokens'))).toBeGreaterThan(0)
  })

  it('an answer that breaks off is an error, not an end', async () => {
    const stream = await openai.chat.completions.create({
      ...ask('demo: tokens=30 delay=2 ttft=5 cut=10', { sluice: { on_worker_loss: 'fail' } }),
      stream: true,
    })
    let chunks = 0
    const error = await (async () => {
      for await (const _ of stream) chunks++
    })().catch((e: unknown) => e)
    expect(chunks).toBeGreaterThan(3)
    expect((error as { code: string }).code).toBe('provider_cut')
  })
})

it('cancels the job of a client that aborted, after the grace period', async () => {
  const stream = await openai.chat.completions
    .create({ ...ask('demo: tokens=2000 delay=20 ttft=5'), stream: true })
    .withResponse()
  const id = stream.response.headers.get('sluice-job')!
  let seen = 0
  for await (const _ of stream.data) if (++seen === 5) break
  stream.data.controller.abort()
  await expect.poll(async () => (await job(id))['state'], { interval: 50 }).toBe('canceled')
  const { usage } = await job(id)
  expect(usage.estimated).toBe(true)
  expect(usage.completion_tokens).toBeGreaterThanOrEqual(4)
})

it("joins an SDK's own retry to its first job, instead of paying twice", async () => {
  // The first response is lost on its way: the SDK retries by itself, with x-stainless-retry-count: 1
  const ids: Array<string | null> = []
  let lost = 0
  const flaky = new OpenAI({
    baseURL: `${server.url}/v1`,
    apiKey: server.key,
    fetch: async (url, init) => {
      const response = await fetch(url, init)
      ids.push(response.headers.get('sluice-job'))
      if (lost++ === 0) {
        await response.body?.cancel()
        throw new TypeError('connection lost')
      }
      return response
    },
  })
  const answer = await flaky.chat.completions.create(ask(`Once only, please. demo: tokens=15 delay=5 ttft=5`))
  expect(answer.choices[0].finish_reason).toBe('stop')
  expect(ids).toHaveLength(2)
  expect(ids[0]).toMatch(/^job_/)
  expect(ids[1]).toBe(ids[0])
})

it.each([
  ['/v1', { dialect: 'chat' }],
  ['/v1', undefined],
  ['', undefined],
])('comes back to a stream by its location (base URL ending in "%s", query %o)', async (base, query) => {
  const client = new OpenAI({ baseURL: server.url + base, apiKey: server.key, maxRetries: 0 })
  const { data: stream, response } = await client.chat.completions
    .create({ ...ask('demo: tokens=60 delay=5 ttft=5'), stream: true, stream_options: { include_usage: true } })
    .withResponse()
  const seen: string[] = []
  for await (const chunk of stream) if (seen.push(JSON.stringify(chunk)) === 10) break
  const location = response.headers.get('location')!
  const rest: string[] = []
  const again = await client.get<typeof stream>(location, { ...(query && { query }), stream: true })
  for await (const chunk of again as typeof stream) rest.push(JSON.stringify(chunk))
  expect(rest.slice(0, 10)).toEqual(seen)
  expect(JSON.parse(rest.at(-1)!).usage.completion_tokens).toBe(60)
})
