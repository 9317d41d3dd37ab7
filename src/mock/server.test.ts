import { afterAll, beforeAll, expect, it } from 'vitest'
import { type MockServer, startMock } from './server.ts'

let mock: MockServer
beforeAll(async () => {
  mock = await startMock({ port: 0 })
})
afterAll(() => mock?.close())

const post = (path: string): Promise<Response> =>
  fetch(`${mock.url}${path}`, { method: 'POST', body: JSON.stringify({ model: 'mock-n2', input: 'x', prompt: 'x' }) })

it.each([
  ['/v1/chat/completions', 'chat.completion'],
  ['/v1/completions', 'text_completion'],
  ['/v1/embeddings', 'list'],
])('serves %s', async (path, object) => {
  expect(await (await post(path)).json()).toMatchObject({ object })
})

it.each(['/v1/responses', '/v1/messages', '/v1/moderations', '/v1/chat/completions/x', '/'])(
  'takes no other path for one of these, and says which they are: %s',
  async (path) => {
    const before = mock.stats.requests
    const answer = await post(path)
    expect(answer.status).toBe(404)
    const { error } = (await answer.json()) as { error: { message: string } }
    for (const served of ['/v1/chat/completions', '/v1/completions', '/v1/embeddings', 'Sluice'])
      expect(error.message).toContain(served)
    expect(mock.stats.requests).toBe(before)
  },
)

it("tells Anthropic's clients in their form", async () => {
  expect(await (await post('/v1/messages')).json()).toMatchObject({ type: 'error', error: { type: 'not_found_error' } })
})
