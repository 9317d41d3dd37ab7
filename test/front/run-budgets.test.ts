/** Budgets of runs hold against parallel steps that nobody knows the length of, streamed or not. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { startTestApp, type TestApp } from './app.ts'

type Said = Record<string, any>

/** Answers of 200 tokens, a token each millisecond, or in one piece. */
const LONG = 200
const provider = createServer((request, response) => {
  let body = ''
  request.on('data', (data) => (body += data))
  request.on('end', async () => {
    const usage = { prompt_tokens: 10, completion_tokens: LONG, total_tokens: 10 + LONG }
    const base = { id: 'a', created: 1, model: 'm' }
    if ((JSON.parse(body) as Said)['stream'] !== true) {
      const message = { role: 'assistant', content: 'word '.repeat(LONG) }
      const whole = {
        ...base,
        object: 'chat.completion',
        usage,
        choices: [{ index: 0, message, finish_reason: 'stop' }],
      }
      response.writeHead(200, { 'content-type': 'application/json' })
      return response.end(JSON.stringify(whole))
    }
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    const tell = (delta: object, finish: string | null = null, more = {}): void =>
      void response.write(
        `data: ${JSON.stringify({ ...base, choices: [{ index: 0, delta, finish_reason: finish }], ...more })}\n\n`,
      )
    for (let i = 0; i < LONG && !response.destroyed; i++) {
      tell({ content: 'word ' })
      await new Promise((done) => setTimeout(done, 1))
    }
    tell({}, 'stop', { usage })
    return response.end('data: [DONE]\n\n')
  })
})
let app: TestApp

beforeAll(async () => {
  await new Promise<void>((done) => provider.listen(0, '127.0.0.1', done))
  const base = `http://127.0.0.1:${(provider.address() as AddressInfo).port}/v1`
  const model = { name: 'm', provider: 'openai-compatible', base_url: base, price: { input: 10, output: 20 } }
  app = await startTestApp({}, { models: [model], workers: { concurrency: 60 } })
}, 60_000)
afterAll(async () => {
  await app?.stop()
  provider.closeAllConnections()
  provider.close()
})

async function call(path: string, body?: object): Promise<[number, Said]> {
  const response = await fetch(`http://127.0.0.1:${app.port}${path}`, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { authorization: `Bearer ${app.key}`, 'content-type': 'application/json' },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  return [response.status, text.startsWith('{') ? (JSON.parse(text) as Said) : {}]
}

it.each([
  ['tokens', false, { tokens: 1_000 }],
  ['tokens', true, { tokens: 1_000 }],
  ['dollars', false, { usd: 0.02 }],
] as Array<[string, boolean, { readonly tokens?: number; readonly usd?: number }]>)(
  'a budget of %s (streams: %s) is not passed by forty steps at once',
  async (_what, stream, budget) => {
    const [, { id: run }] = await call('/v1/runs', { budget })
    const ask = { model: 'm', messages: [{ role: 'user', content: 'Write.' }], stream, sluice: { run, policy: 'wait' } }
    const told = await Promise.all(Array.from({ length: 40 }, () => call('/v1/chat/completions', ask)))
    expect(told.some(([status]) => status === 200)).toBe(true)
    const [, { totals }] = await call(`/v1/runs/${run}`)
    // What was under way when it ran out, a few tokens a step
    const { total_tokens: tokens, usd } = totals
    expect('tokens' in budget ? tokens / budget.tokens! : usd / budget.usd!).toBeLessThanOrEqual(1.1)
    expect('tokens' in budget ? tokens / budget.tokens! : usd / budget.usd!).toBeGreaterThan(0.5)
  },
)

it('tells what was charged though its jobs are erased, and what is left', async () => {
  const [, { id: run }] = await call('/v1/runs', { budget: { tokens: 100_000, steps: 9, usd: 1 } })
  const ids: string[] = []
  for (let i = 0; i < 2; i++) {
    const [, { id }] = await call('/v1/jobs', {
      request: { model: 'm', messages: [{ role: 'user', content: 'Write.' }] },
      run,
    })
    ids.push(id)
    await expect.poll(async () => (await call(`/v1/jobs/${id}`))[1]['state']).toBe('done')
  }
  const charged = { total_tokens: 420, steps: 2, usd: (2 * (10 * 10 + 200 * 20)) / 1e6 }
  const left = { held: { tokens: 0, usd: 0, steps: 0 }, remaining: { tokens: 99_580, usd: 1 - charged.usd, steps: 7 } }
  expect((await call(`/v1/runs/${run}`))[1]).toMatchObject({
    totals: { ...charged, jobs: 2, is_partial: false },
    ...left,
  })
  for (const id of ids)
    await fetch(`http://127.0.0.1:${app.port}/v1/jobs/${id}`, {
      method: 'DELETE',
      headers: { authorization: `Bearer ${app.key}` },
    })
  await expect.poll(async () => (await call(`/v1/runs/${run}`))[1]['totals'].jobs).toBe(0)
  expect((await call(`/v1/runs/${run}`))[1]).toMatchObject({
    totals: { ...charged, jobs: 0, is_partial: true },
    ...left,
  })
})
