/** An answer that a limit cuts ends as one that has reached `max_tokens`, however it is read. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type MockServer, startMock } from '../../src/mock/server.ts'
import { ADMIN_KEY, startTestApp, type TestApp } from './app.ts'

let mock: MockServer
let app: TestApp
let key: string

beforeAll(async () => {
  mock = await startMock({ port: 0 })
  const own = { provider: 'openai-compatible', base_url: `${mock.url}/v1`, price: { input: 0.25, output: 2 } }
  app = await startTestApp(
    {},
    {
      models: [
        { name: 'long', ...own, model: 'mock-n200-d4' },
        { name: 'streamed', ...own, model: 'mock-n200-d4', stream: 'always' },
        { name: 'short', ...own, model: 'mock-n40' },
      ],
      tenants: [{ name: 'limited', limits: { each_user: { output_tokens_per_minute: 24, when_out: 'cut' } } }],
    },
  )
  key = (await app.addKey('limited')).key
})
afterAll(async () => {
  await app?.stop()
  await mock?.close()
})

async function ask(model: string, user: string, stream: boolean, more: object = {}): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${app.port}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model, user, stream, ...more, messages: [{ role: 'user', content: 'Hi' }] }),
  })
  expect(response.status).toBe(200)
  return response.text()
}

/** What was booked for this user. */
async function booked(user: string): Promise<Array<Record<string, unknown>>> {
  const response = await fetch(`http://127.0.0.1:${app.adminPort}/admin/usage/records?user=${user}`, {
    headers: { authorization: `Bearer ${ADMIN_KEY}` },
  })
  return ((await response.json()) as { data: Array<Record<string, unknown>> }).data
}

it('as a stream: a last chunk with its finish reason, then [DONE]', async () => {
  const text = await ask('long', 'streams', true)
  const events = text.split('\n\n').flatMap((event) => /^data: (.+)$/m.exec(event)?.[1] ?? [])
  expect(events.at(-1)).toBe('[DONE]')
  const chunks = events.slice(0, -1).map((event) => JSON.parse(event))
  expect(chunks.at(-1)).toMatchObject({
    id: chunks[0].id,
    object: 'chat.completion.chunk',
    choices: [{ index: 0, delta: {}, finish_reason: 'length' }],
  })
  expect(chunks.at(-1).choices[0].sluice.cut).toMatchObject({ level: 'user', name: 'streams', unit: 'output_tokens' })
  const shown = chunks.filter(({ choices }) => choices[0].delta.content).length
  expect(shown).toBeLessThan(150)
  const usage = { end: 'cut', attempt: 1, estimated: true, completion_tokens: shown }
  await expect.poll(() => booked('streams')).toMatchObject([usage])
  const [record] = await booked('streams')
  expect(record['nano_dollars']).toBe(250 * Number(record['prompt_tokens']) + 2_000 * shown)
})

it('as a stream that is to tell its usage: it does, by our own count', async () => {
  const text = await ask('long', 'counts', true, { stream_options: { include_usage: true } })
  const chunks = text.split('\n\n').flatMap((event) => /^data: (\{.+)$/m.exec(event)?.[1] ?? [])
  const [last, usage] = chunks.slice(-2).map((event) => JSON.parse(event))
  expect(last.choices[0].finish_reason).toBe('length')
  const [record] = await booked('counts')
  expect(usage).toMatchObject({
    id: last.id,
    object: 'chat.completion.chunk',
    choices: [],
    usage: { completion_tokens: record['completion_tokens'], prompt_tokens: record['prompt_tokens'], estimated: true },
  })
})

it('as JSON, where its upstream streams', async () => {
  const { choices, usage } = JSON.parse(await ask('streamed', 'reads', false))
  const cut = { level: 'user', name: 'reads', unit: 'output_tokens' }
  expect(choices).toMatchObject([{ index: 0, finish_reason: 'length', sluice: { cut } }])
  expect(usage).toMatchObject({ estimated: true })
  expect(usage.completion_tokens).toBeLessThan(150)
  expect(await booked('reads')).toMatchObject([{ end: 'cut', completion_tokens: usage.completion_tokens }])
})

it('but not one that came in one piece: it is complete, and charged in full', async () => {
  const { choices } = JSON.parse(await ask('short', 'waits', false))
  expect(choices).toMatchObject([{ finish_reason: 'stop' }])
  expect(await booked('waits')).toMatchObject([{ end: 'done', estimated: false, completion_tokens: 40 }])
})

it('leaves the upstream nothing to do', async () => {
  await ask('long', 'aborts', true)
  await expect.poll(() => mock.stats.active).toBe(0)
  expect(mock.stats.aborted).toBeGreaterThan(0)
})
