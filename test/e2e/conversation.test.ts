/** A conversation typed faster than it is answered: each prompt holds the answers before it. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type MockServer, startMock } from '../../src/mock/server.ts'
import { type Server, startServer } from './server.ts'

let mock: MockServer
let server: Server

beforeAll(async () => {
  mock = await startMock({ port: 0, keepBodies: true })
  server = await startServer(
    `models:\n  - { name: "mock-*", provider: openai-compatible, base_url: "${mock.url}/v1" }\n`,
  )
})
afterAll(async () => {
  await server?.stop()
  await mock?.close()
})

const post = async (path: string, body: unknown): Promise<any> =>
  (
    await fetch(`${server.url}${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${server.key}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
  ).json()
const get = async (path: string): Promise<any> =>
  (await fetch(`${server.url}${path}`, { headers: { authorization: `Bearer ${server.key}` } })).json()
const say = (conversation: string, content: string) => ({
  conversation,
  request: { model: 'mock-n8-d5-f20', messages: [{ role: 'user', content }] },
})

it('answers in order, each prompt with all that was said before', async () => {
  // Five messages, each acknowledged before the next is sent (else their order is the network's), none waits for an
  // answer
  const jobs: any[] = []
  for (const text of ['one', 'two', 'three', 'four', 'five']) jobs.push(await post('/v1/jobs', say('chat-a', text)))
  const other = await post('/v1/jobs', say('chat-b', 'elsewhere'))
  for (const job of [...jobs, other]) expect(job.state).toMatch(/queued|waiting|leased|done/)
  const last = await get(`/v1/jobs/${jobs[4].id}/result?wait_ms=50000`)
  expect(last.choices[0].finish_reason).toBe('stop')

  const prompts = (await mock.bodies())
    .map((b) => (JSON.parse(b) as { messages: Array<{ role: string; content: string }> }).messages)
    .filter((m) => m.some((x) => x.content === 'one'))
  expect(prompts.map((p) => p.length)).toEqual([1, 3, 5, 7, 9])
  for (const prompt of prompts)
    expect(prompt.map((m) => m.role)).toEqual(prompt.map((_, i) => (i % 2 === 0 ? 'user' : 'assistant')))
  // The answers in the last prompt are the ones that were given
  for (const [i, job] of jobs.slice(0, 4).entries()) {
    const answer = await get(`/v1/jobs/${job.id}/result`)
    expect(prompts[4][2 * i + 1].content).toBe(answer.choices[0].message.content)
  }
  const conversation = await get('/v1/conversations/chat-a')
  expect(conversation.turns).toHaveLength(5)
})
