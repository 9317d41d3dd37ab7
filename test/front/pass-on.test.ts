/** What only the provider can judge is passed on, byte for byte; what would harm us is refused, naming the setting. */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { startTestApp, type TestApp } from './app.ts'
import { type Answer, request, send } from './wire.ts'

const ANSWER = JSON.stringify({
  id: 'chatcmpl-1',
  object: 'chat.completion',
  created: 1,
  model: 'x',
  choices: [{ index: 0, message: { role: 'assistant', content: 'ok' }, finish_reason: 'stop' }],
  usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 },
})
const STREAM = [
  '{"id":"c","object":"chat.completion.chunk","created":1,"model":"x","choices":[{"index":0,' +
    '"delta":{"role":"assistant","content":"ok"},"finish_reason":null}]}',
  '{"id":"c","object":"chat.completion.chunk","created":1,"model":"x","choices":[{"index":0,"delta":{},' +
    '"finish_reason":"stop"}]}',
  '[DONE]',
]
  .map((data) => `data: ${data}\n\n`)
  .join('')

let upstream: Server
/** Bodies as they came to the provider. */
const got: string[] = []
let app: TestApp

beforeAll(async () => {
  upstream = createServer((request, response) => {
    const parts: Buffer[] = []
    request.on('data', (part: Buffer) => parts.push(part))
    request.on('end', () => {
      const body = Buffer.concat(parts).toString('utf8')
      got.push(body)
      const streams = (JSON.parse(body) as { stream?: boolean }).stream === true
      response.writeHead(200, { 'content-type': streams ? 'text/event-stream' : 'application/json' })
      response.end(streams ? STREAM : ANSWER)
    })
  })
  await new Promise<void>((done) => upstream.listen(0, '127.0.0.1', done))
  const { port } = upstream.address() as AddressInfo
  app = await startTestApp(
    {},
    { models: [{ name: '*', provider: 'openai-compatible', base_url: `http://127.0.0.1:${port}/v1` }] },
  )
})
afterAll(async () => {
  await app?.stop()
  upstream?.close()
})

const post = (body: string): Promise<Answer> =>
  send(app.port, request('POST', '/v1/chat/completions', { authorization: `Bearer ${app.key}` }, body))
const HELLO = '"model":"m","messages":[{"role":"user","content":"hello"}]'

it.each<[string, string]>([
  ['max_tokens -1', '"max_tokens":-1'],
  ['max_tokens 0', '"max_tokens":0'],
  ['max_tokens 1e12', '"max_completion_tokens":1e12'],
  ['max_tokens as text', '"max_tokens":"10"'],
  ['a seed of 64 bits', '"seed":9223372036854775807'],
  ['a seed with a fraction', '"seed":1.0'],
  ['20 stops', `"stop":${JSON.stringify(Array.from({ length: 20 }, (_, i) => `s${i}`))}`],
  ['a stop of null', '"stop":[null]'],
  ['metadata with lists', '"metadata":{"tags":["a","b"],"n":7,"deep":{"x":null}}'],
  ['n = 1,000', '"n":1000'],
  ['temperature 3', '"temperature":3'],
  ['temperature 1e999', '"temperature":1e999'],
  ['top_p -1', '"top_p":-1'],
  ['logprobs as a number', '"logprobs":5'],
  ['top_logprobs 500', '"top_logprobs":500'],
  ['logit_bias of 101', '"logit_bias":{"50256":101}'],
  ['logit_bias as a list', '"logit_bias":[[1,2]]'],
  ['response_format without a type', '"response_format":{"schema":{}}'],
  ['tool_choice of a list', '"tool_choice":["auto"]'],
  ['parallel_tool_calls as text', '"parallel_tool_calls":"yes"'],
  ['tools that are no list', '"tools":{"a":1}'],
  ['members nobody knows', '"reasoning":{"effort":"max"},"top_k":-5'],
  [
    'schema properties named as members of an object',
    '"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object",' +
      '"properties":{"constructor":{"type":"string"},"prototype":{"type":"string"},"__proto__":{"type":"string"},' +
      '"toString":{},"hasOwnProperty":{},"\\u005f_defineGetter__":{}}}}}]',
  ],
  ['constructor at the top', '"constructor":{"prototype":{"isAdmin":true}}'],
  ['__proto__ at the top', '"__proto__":{"stream":"no","sluice":{"lane":"x"},"isAdmin":true}'],
])('passes on, unchanged: %s', async (_name, member) => {
  const answer = await post(`{${HELLO},${member}}`)
  expect(answer.status, answer.body).toBe(200)
  expect(got.at(-1)).toContain(member)
  expect(({} as { isAdmin?: boolean }).isAdmin).toBe(undefined)
})

it.each<[string, string]>([
  ['a role of its own', '{"role":"critic","content":"hello"}'],
  ['a role named as a member of an object', '{"role":"constructor","content":"hello"}'],
  [
    'a content part of another kind',
    '{"role":"user","content":[{"type":"video_url","video_url":{"url":"https://a.test"}}]}',
  ],
  ['a content part without a type', '{"role":"user","content":[{"text":"hello"}]}'],
  ['content parts that are texts', '{"role":"user","content":["hello","you"]}'],
  ['a message without content', '{"role":"assistant"}'],
  [
    'members named as those of an object',
    '{"role":"user","content":"hello","__proto__":{"role":"system"},"constructor":1}',
  ],
])('passes on, unchanged: a message with %s', async (_name, message) => {
  const answer = await post(`{"model":"m","messages":[${message}]}`)
  expect(answer.status, answer.body).toBe(200)
  expect(got.at(-1)).toContain(message)
})

it('takes model names with an owner before them', async () => {
  const answer = await post('{"model":"@cf/meta/llama-3-8b","messages":[{"role":"user","content":"hello"}]}')
  expect(answer.status, answer.body).toBe(200)
})

it('takes 150 tools of 20 parameters, each with a description and choices', async () => {
  const properties = Object.fromEntries(
    Array.from({ length: 20 }, (_, i) => [`p${i}`, { type: 'string', description: 'what it is', enum: ['a', 'b'] }]),
  )
  const tools = Array.from({ length: 150 }, (_, i) => ({
    type: 'function',
    function: { name: `f${i}`, parameters: { type: 'object', properties, required: ['p0'] } },
  }))
  const answer = await post(`{${HELLO},"tools":${JSON.stringify(tools)}}`)
  expect(answer.status, answer.body.slice(0, 300)).toBe(200)
})

it('takes 10,000 messages with parts', async () => {
  const messages = Array.from({ length: 10_000 }, () => ({ role: 'user', content: [{ type: 'text', text: 'x' }] }))
  const answer = await post(JSON.stringify({ model: 'm', messages }))
  expect(answer.status, answer.body.slice(0, 300)).toBe(200)
})

it('names the setting and the count where a body has more keys, or is deeper, than it may', async () => {
  const keys = await post(`{${HELLO},"x":[${'{"a":1},'.repeat(60_000)}1]}`)
  expect([keys.status, keys.code]).toEqual([400, 'invalid_request'])
  expect(keys.body).toContain('has 60005 keys, more than 50000, the limit set by http.max_keys')
  const deep = await post(`{${HELLO},"x":${'['.repeat(70)}${']'.repeat(70)}}`)
  expect(deep.body).toContain('nested deeper than 64, the limit set by http.max_depth')
})

it('passes on a body with a BOM, but none with a member twice: parsers differ in which of them counts', async () => {
  expect((await post(`\ufeff{${HELLO}}`)).status).toBe(200)
  expect(got.at(-1)!.startsWith('{')).toBe(true)
  const twice = await post(`{${HELLO},"seed":1,"seed":2}`)
  expect([twice.status, twice.code]).toEqual([400, 'invalid_request'])
  expect(got.at(-1)).not.toContain('seed')
})
