/** What a provider is sent in a conversation, against one that is as strict as OpenAI's. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { startTestApp, type TestApp } from './app.ts'

type Said = Record<string, any>

let app: TestApp
const prompts: Said[][] = []

/** Answers by the last message: with a call, with an error, or with text; always as `system`, with its reasoning. */
const provider = createServer((request, response) => {
  let body = ''
  request.on('data', (data) => (body += data))
  request.on('end', () => {
    const { messages } = JSON.parse(body) as { messages: Said[] }
    prompts.push(messages)
    const wrong = whatIsWrong(messages)
    const last = JSON.stringify(messages.at(-1))
    if (wrong !== null || last.includes('please fail')) {
      response.writeHead(400, { 'content-type': 'application/json' })
      return response.end(JSON.stringify({ error: { message: wrong ?? 'as asked', code: null } }))
    }
    const call = { index: 0, id: `call_${prompts.length}`, type: 'function', function: { name: 'f', arguments: '' } }
    const deltas: Said[] = last.includes('please call')
      ? [{ role: 'system', tool_calls: [call] }, { tool_calls: [{ index: 0, id: '', function: { arguments: '{}' } }] }]
      : [{ role: 'system', reasoning_content: 'hm' }, { content: `answer ${prompts.length}` }]
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    for (const delta of deltas)
      response.write(`data: ${JSON.stringify({ id: 'a', choices: [{ index: 0, delta }] })}\n\n`)
    response.end('data: {"id":"a","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n')
  })
})

function whatIsWrong(messages: readonly Said[]): string | null {
  const open = new Set<string>()
  for (const { role, content, tool_calls: calls, tool_call_id: id, ...rest } of messages) {
    if (role === 'tool' ? !open.delete(id) : open.size > 0) return 'calls and results do not match'
    for (const call of calls ?? []) open.add(call.id)
    if (Object.keys(rest).some((name) => name !== 'reasoning_content')) return `unknown ${Object.keys(rest)}`
    if (content === null && !calls?.length) return 'empty message'
  }
  return open.size > 0 ? 'a call without its result' : null
}

beforeAll(async () => {
  await new Promise<void>((done) => provider.listen(0, '127.0.0.1', done))
  const base = {
    provider: 'openai-compatible',
    base_url: `http://127.0.0.1:${(provider.address() as AddressInfo).port}/v1`,
  }
  app = await startTestApp(
    {},
    {
      models: [
        { ...base, name: 'strict', context_tokens: 2_000 },
        { ...base, name: 'reasons', conversation_members: ['reasoning_content'] },
      ],
    },
  )
})
afterAll(async () => {
  await app?.stop()
  provider.close()
})

/** Returns the prompt that the provider got. */
async function say(conversation: string, messages: readonly Said[], state = 'done', model = 'strict'): Promise<Said[]> {
  const headers = { authorization: `Bearer ${app.key}`, 'content-type': 'application/json' }
  const post = await fetch(`http://127.0.0.1:${app.port}/v1/jobs`, {
    method: 'POST',
    headers,
    body: JSON.stringify({ conversation, request: { model, messages } }),
  })
  const { id } = (await post.json()) as { id: string }
  const job = (await (
    await fetch(`http://127.0.0.1:${app.port}/v1/jobs/${id}?wait_ms=50000`, { headers })
  ).json()) as Said
  expect([job['state'], job['error']?.message], JSON.stringify(job['error'])).toEqual([
    state,
    state === 'done' ? undefined : expect.any(String),
  ])
  return prompts.at(-1)!
}
const user = (content: unknown): Said => ({ role: 'user', content })
const resultOf = (prompt: readonly Said[], content: string): Said => ({
  role: 'tool',
  tool_call_id: prompt.flatMap((m) => m['tool_calls'] ?? []).at(-1)?.id ?? `call_${prompts.length}`,
  content,
})
const roles = (prompt: readonly Said[]): string[] => prompt.map((m) => m['role'])

it('a result stays with its call, however little fits', async () => {
  await say('tools', [user(`please call ${'x'.repeat(5_000)}`)])
  const prompt = await say('tools', [resultOf([], 'r'.repeat(2_000))])
  expect(roles(prompt)).toEqual(['user', 'assistant', 'tool'])
  await say('tools', [user('y'.repeat(1_200))])
  expect(roles(await say('tools', [user('and now?')]))).toEqual(['user', 'assistant', 'user'])
})

it('the result of a turn that failed stays with its call', async () => {
  await say('fails', [user('please call')])
  await say('fails', [{ ...resultOf([], 'it is 7; please fail') }], 'failed')
  const prompt = await say('fails', [user('again')])
  expect([roles(prompt), prompt[2]['content']]).toEqual([['user', 'assistant', 'tool', 'user'], 'it is 7; please fail'])
})

it('a call that nobody answered does not spoil the conversation', async () => {
  await say('left', [user('please call')])
  expect(await say('left', [user('never mind')])).toEqual([user('please call'), user('never mind')])
})

it('an answer goes back as the assistant’s, with the members that the model wants', async () => {
  const answered = async (model: string): Promise<Said> => {
    await say(model, [user('hello')], 'done', model)
    return (await say(model, [user('and?')], 'done', model))[1]
  }
  expect(await answered('strict')).toEqual({ role: 'assistant', content: expect.stringMatching(/^answer/) })
  expect(await answered('reasons')).toEqual({
    role: 'assistant',
    content: expect.stringMatching(/^answer/),
    reasoning_content: 'hm',
  })
})

it('an image does not drive out what was said', async () => {
  const url = `data:image/png;base64,${'A'.repeat(700_000)}`
  await say('image', [user('remember 42')])
  await say('image', [user([{ type: 'image_url', image_url: { url } }])])
  expect((await say('image', [user('what was it?')]))[0]).toEqual(user('remember 42'))
})

it('results that answer no call are refused before the provider is asked', async () => {
  await say('nobody', [user('hello')])
  const asked = prompts.length
  await say('nobody', [{ role: 'tool', tool_call_id: 'call_unknown', content: '1' }], 'failed')
  expect(prompts.length).toBe(asked)
})
