/** Another model in the place of one that fails: who may use it, what it costs, and how soon it answers. */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type MockServer, startMock } from '../../src/mock/server.ts'
import { chunk, RawUpstream, response, stream } from '../../src/routing/providers/testing/upstream.ts'
import { ADMIN_KEY, startTestApp, type TestApp } from './app.ts'
import { type Answer, chat, request, send } from './wire.ts'

let mock: MockServer
let failing: Server
let failed = 0
let app: TestApp
beforeEach(async () => {
  mock = await startMock({ port: 0 })
  failed = 0
  failing = createServer((_request, response) => {
    failed++
    response.writeHead(500, { 'content-type': 'application/json' }).end('{"error":{"message":"down"}}')
  })
  await new Promise<void>((resolve) => failing.listen(0, '127.0.0.1', resolve))
})
afterEach(async () => {
  await app?.stop()
  await mock.close()
  failing.closeAllConnections()
  failing.close()
})

/** No lighter than what the upstream counts for any prompt. */
const PROMPT = 'Please tell me, in five tokens or fewer, what became of the nineteen that you count for a prompt.'

const at = (url: string) => ({ provider: 'openai-compatible', base_url: `${url}/v1` })
/** `m` has so many deployments, which all fail; `other` answers. */
async function start({ deployments = 1, tenant = {} }: { deployments?: number; tenant?: object } = {}): Promise<void> {
  const dead = `http://127.0.0.1:${(failing.address() as AddressInfo).port}`
  const own = Array.from({ length: deployments }, (_, i) => ({
    ...{ name: 'm', deployment: `dead${i}`, ...at(dead), price: { input: 1, output: 1 } },
    ...(i === 0 && { fallbacks: { general: ['other'] } }),
  }))
  app = await startTestApp(
    {},
    {
      models: [...own, { name: 'other', model: 'mock-n5', ...at(mock.url), price: { input: 1_000, output: 1_000 } }],
      tenants: [{ name: 'default', ...tenant }],
    },
  )
}
const post = (model = 'm', key = app.key): Promise<Answer> =>
  send(
    app.port,
    request(
      'POST',
      '/v1/chat/completions',
      { authorization: `Bearer ${key}` },
      JSON.stringify({ ...chat(PROMPT), model, max_tokens: 5 }),
    ),
  )
async function keyFor(models: readonly string[]): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${app.adminPort}/admin/keys`, {
    method: 'POST',
    headers: { authorization: `Bearer ${ADMIN_KEY}`, 'content-type': 'application/json' },
    body: JSON.stringify({ models }),
  })
  return ((await response.json()) as { key: string }).key
}

it('answers whoever may use it, and nobody else', async () => {
  await start()
  const only = await keyFor(['m'])
  const both = await keyFor(['m', 'other'])
  expect((await post('other', only)).status).toBe(403)
  expect((await post('m', only)).status).toBe(502)
  expect(mock.stats.requests).toBe(0)
  expect((await post('m', both)).status).toBe(200)
})

it("nor those whose tenant's guards forbid it", async () => {
  await start({ tenant: { guards: [{ guard: 'allow-models', models: ['m'] }] } })
  expect((await post()).status).toBe(502)
  expect(mock.stats.requests).toBe(0)
})

it('is paid by the budget of who asked for the cheaper one', async () => {
  // Some 25 tokens at $1,000 a million: $0.025
  await start({ tenant: { limits: { dollars_per_day: 0.1 } } })
  const answers = await Promise.all(Array.from({ length: 8 }, () => post()))
  const well = answers.filter(({ status }) => status === 200).length
  expect(well).toBeGreaterThan(0)
  expect(well).toBeLessThanOrEqual(4)
  expect(mock.stats.requests).toBe(well)
})

it('answers at once, however many deployments fail before, and for as long as they do', async () => {
  await start({ deployments: 4 })
  const began = performance.now()
  for (let i = 0; i < 40; i++) expect((await post()).status).toBe(200)
  // A retry budget of two a second would have made it 10 s
  expect(performance.now() - began).toBeLessThan(8_000)
  expect(mock.stats.requests).toBe(40)
  // They are left alone in time
  expect(failed).toBeLessThan(80)
})

describe('a refusal inside a 200, before any text', () => {
  const upstream = new RawUpstream()
  beforeEach(() => upstream.listen())
  afterEach(() => upstream.stop())

  const event = (value: { type: string }): string => `event: ${value.type}\ndata: ${JSON.stringify(value)}\n\n`
  const sse = (text: string): string => response('200 OK', text).replace('application/json', 'text/event-stream')
  const usage = { input_tokens: 3, output_tokens: 1 }
  const message = { id: 'msg_1', type: 'message', role: 'assistant', model: 'm', content: [], usage }
  const anthropic = [
    { type: 'message_start', message: { ...message, stop_reason: null } },
    { type: 'message_delta', delta: { stop_reason: 'refusal' }, usage },
    { type: 'message_stop' },
  ]
  const blocked = {
    promptFeedback: { blockReason: 'SAFETY' },
    usageMetadata: { promptTokenCount: 3, totalTokenCount: 3 },
  }
  const safety = { candidates: [{ finishReason: 'SAFETY', index: 0 }], usageMetadata: blocked.usageMetadata }
  const FILTERED = {
    ...{ id: 'c', object: 'chat.completion', created: 1, model: 'm' },
    choices: [{ index: 0, message: { role: 'assistant', content: '' }, finish_reason: 'content_filter' }],
    usage: { prompt_tokens: 3, completion_tokens: 0, total_tokens: 3 },
  }

  it.each([
    [
      'of a stream',
      'openai-compatible',
      true,
      stream(chunk('{"role":"assistant","content":""}'), chunk('{}', '"content_filter"'), '[DONE]'),
    ],
    ['of a document', 'openai-compatible', false, response('200 OK', JSON.stringify(FILTERED))],
    ["Anthropic's", 'anthropic', true, sse(anthropic.map(event).join(''))],
    [
      "Anthropic's, of a document",
      'anthropic',
      false,
      response('200 OK', JSON.stringify({ ...message, stop_reason: 'refusal' })),
    ],
    ["Google's, of the prompt", 'google', true, sse(`data: ${JSON.stringify(blocked)}\n\n`)],
    ["Google's, of the answer", 'google', true, sse(`data: ${JSON.stringify(safety)}\n\n`)],
    ["Google's, of a document", 'google', false, response('200 OK', JSON.stringify(blocked))],
  ])('%s: its fallback answers, unseen, and without one it is passed on', async (_what, provider, streams, bytes) => {
    upstream.says(bytes)
    const deployment = { provider, model: 'x', base_url: `${upstream.url}/v1`, api_key: { env: 'KEY' } }
    app = await startTestApp(
      {},
      {
        models: [
          { name: 'm', ...deployment, deployment: 'strict', fallbacks: { content_policy: ['other'] } },
          { name: 'alone', ...deployment, deployment: 'alone' },
          { name: 'other', model: 'mock-n5', ...at(mock.url) },
        ],
      },
      { KEY: 'a-key' },
    )
    const asked = async (model: string): Promise<string> => {
      const body = JSON.stringify({ ...chat(PROMPT), model, stream: streams })
      const headers = { authorization: `Bearer ${app.key}` }
      const answer = await send(app.port, request('POST', '/v1/chat/completions', headers, body))
      expect(answer.status, answer.body).toBe(200)
      return answer.body
    }
    const alone = await asked('alone')
    expect(alone).toContain('"content_filter"')
    const replaced = await asked('m')
    expect(replaced).not.toContain('content_filter')
    expect(replaced).toContain('"stop"')
    expect(mock.stats.requests).toBe(1)
  })
})
