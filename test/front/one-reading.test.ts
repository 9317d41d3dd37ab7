/**
 * A request means to its upstream what it means to us: one that another parser may read in another way (a member twice,
 * a member in another case) is refused at every door, with guards and without. What is unknown passes.
 */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { encode, openPeer } from '../protocol/peer.ts'
import { startTestApp, type TestApp } from './app.ts'
import { type Answer, request, send } from './wire.ts'

const ANSWER = JSON.stringify({
  object: 'chat.completion',
  choices: [{ index: 0, message: { role: 'assistant', content: 'hi' }, finish_reason: 'stop' }],
})
/** Of the dialect. */
const WORDS = ['user', 'system', 'tool', 'assistant', 'text', 'function', 'auto', 'object', 'string', 'ok', 'usage']
let upstream: Server
/** Bodies that came to it. */
const got: string[] = []
let app: TestApp
beforeAll(async () => {
  upstream = createServer((req, res) => {
    let body = ''
    req.on('data', (data) => {
      body += data
    })
    req.on('end', () => {
      got.push(body)
      res.setHeader('content-type', 'application/json').end(ANSWER)
    })
  })
  await new Promise<void>((done) => upstream.listen(0, '127.0.0.1', done))
  const { port } = upstream.address() as AddressInfo
  const guards = [
    { guard: 'allow-models', models: ['ok'] },
    { guard: 'max-context', tokens: 200 },
    { guard: 'deny-terms', terms: ['forbidden fruit'] },
  ]
  const words = { guard: 'deny-terms', terms: WORDS }
  app = await startTestApp(
    {},
    {
      models: ['ok', 'secret'].map((name) => ({
        name,
        provider: 'openai-compatible',
        base_url: `http://127.0.0.1:${port}/v1`,
      })),
      tenants: [{ name: 'guarded', guards }, { name: 'free' }, { name: 'words', guards: [words] }],
    },
  )
})
afterAll(async () => {
  await app?.stop()
  upstream.close()
})

const post = (key: string, path: string, body: string, headers: Record<string, string> = {}): Promise<Answer> =>
  send(app.port, request('POST', path, { authorization: `Bearer ${key}`, ...headers }, body))
interface Told {
  readonly code: string
  readonly param: string | null
}
const errorIn = (body: string): Told => (JSON.parse(body) as { error: Told }).error
const told = ({ code, param }: Told): readonly unknown[] => [code, param]

/** What each door answers a request with: the code, and the member that it names. */
async function doors(key: string, raw: string): Promise<Readonly<Record<string, readonly unknown[]>>> {
  const plain = await post(key, '/v1/chat/completions', raw)
  const later = await post(key, '/v1/chat/completions', raw, { prefer: 'respond-async' })
  const job = await post(key, '/v1/jobs', `{"request":${raw}}`)
  const list = await post(key, '/v1/jobs', `{"jobs":[{"request":${raw}}]}`)
  const { data } = JSON.parse(list.body) as { data: ReadonlyArray<{ error: Told }> }
  const peer = await openPeer(`http://127.0.0.1:${app.port}`, { headers: { authorization: `Bearer ${key}` } })
  peer.write(encode(`{"t":"submit","id":"s","request":${raw}}`))
  const { id, error } = await peer.next('error')
  peer.drop()
  expect(id).toBe('s')
  return {
    plain: told(errorIn(plain.body)),
    later: told(errorIn(later.body)),
    job: told(errorIn(job.body)),
    list: told(data[0].error),
    socket: told(error as Told),
  }
}

const HELLO = '"messages":[{"role":"user","content":"hello"}]'
const BAD = '[{"role":"user","content":"forbidden fruit"}]'

describe.each(['guarded', 'free'])('a member that is there twice, or in another case, is refused (%s)', (tenant) => {
  it.each([
    ['the model', `{"model":"secret","model":"ok",${HELLO}}`, 'model', 'request.'],
    ['the model by an escape', `{"\\u006dodel":"secret","model":"ok",${HELLO}}`, 'model', 'request.'],
    ['messages', `{"model":"ok","messages":${BAD},${HELLO}}`, 'messages', 'request.'],
    [
      'a text',
      '{"model":"ok","messages":[{"role":"user"},{"role":"user","content":"forbidden fruit","content":"a"}]}',
      'messages[1].content',
      'request.',
    ],
    [
      'the text of a part',
      '{"model":"ok","messages":[{"role":"user","content":["x",{"type":"text","text":"forbidden fruit","text":"a"}]}]}',
      'messages[0].content[1].text',
      'request.',
    ],
    [
      'a name of a schema',
      `{"model":"ok","tools":[{"function":{"parameters":{"a":1,"a":2}}}],${HELLO}}`,
      'tools[0].function.parameters.a',
      'request.',
    ],
    ['stream', `{"model":"ok","stream":true,"stream":false,${HELLO}}`, 'stream', 'request.'],
    ['what no parser keeps apart', `{"model":"ok","__proto__":1,"__proto__":2,${HELLO}}`, '__proto__', 'request.'],
    ['an empty name', `{"model":"ok","x":{"":1,"":2},${HELLO}}`, 'x.', 'request.'],
    ['Model', `{"model":"ok","Model":"secret",${HELLO}}`, 'Model', ''],
    ['MESSAGES', `{"model":"ok",${HELLO},"MESSAGES":${BAD}}`, 'MESSAGES', ''],
    ['Stream alone', `{"model":"ok",${HELLO},"Stream":true}`, 'Stream', ''],
    ['a letter that folds to one of ours', `{"model":"ok",${HELLO},"meſſages":${BAD}}`, 'meſſages', ''],
    ['what a caller may not set', `{"model":"ok",${HELLO},"Api_Base":"http://x"}`, 'Api_Base', ''],
  ])('%s', async (_name, raw, param, before) => {
    const { key } = await app.addKey(tenant)
    const sent = got.length
    const inJob = ['invalid_request', before + param]
    expect(await doors(key, raw)).toEqual({
      plain: ['invalid_request', param],
      later: ['invalid_request', param],
      job: inJob,
      list: ['invalid_request', `jobs[0].${before}${param}`],
      socket: inJob,
    })
    expect(got).toHaveLength(sent)
  })
})

it('so are the request of a job, and the list of jobs', async () => {
  const { key } = await app.addKey('guarded')
  const job = `"request":{"model":"ok",${HELLO}}`
  for (const [body, param] of [
    [`{${job},${job}}`, 'request'],
    [`{"jobs":[{${job}}],"jobs":[{${job}}]}`, 'jobs'],
  ])
    expect(told(errorIn((await post(key, '/v1/jobs', body)).body))).toEqual(['invalid_request', param])
  const list = JSON.parse((await post(key, '/v1/jobs', `{"jobs":[{${job},${job}},{${job}}]}`)).body)
  expect([told(list.data[0].error), list.data[1].object]).toEqual([['invalid_request', 'jobs[0].request'], 'job'])
})

it('what is unknown, and there once, passes byte for byte', async () => {
  const { key } = await app.addKey('guarded')
  const raw = `{"model":"ok",${HELLO},"topK":1,"Temperature":0,"x":{"Model":1,"model":2},"y":[{"a":1},{"a":1}]}`
  expect((await post(key, '/v1/chat/completions', raw)).status).toBe(200)
  expect(got.at(-1)).toBe(raw)
})

describe('max-context counts whatever text there is', () => {
  const long = 'words '.repeat(200)
  const ask = (content: unknown, more: object = {}): string =>
    JSON.stringify({ model: 'ok', messages: [{ role: 'user', content }], ...more })
  const image = { type: 'image_url', image_url: { url: 'https://example.com/a.png' } }
  it.each([
    ['a part within a part', ask([{ type: 'tool_result', content: [{ type: 'text', text: long }] }])],
    ['a part of an unknown kind', ask([{ type: 'odd', odd: long }])],
    ['a name', JSON.stringify({ model: 'ok', messages: [{ role: 'user', name: long, content: 'a' }] })],
    ['reasoning', JSON.stringify({ model: 'ok', messages: [{ role: 'assistant', reasoning_content: long }] })],
    ['a prompt', ask('a', { prompt: long })],
    ['a prediction', ask('a', { prediction: { type: 'content', content: long } })],
    ['names in a schema', ask('a', { tools: [{ function: { parameters: { properties: { [long]: {} } } } }] })],
    ['text as a file', ask([{ type: 'file', file: { file_data: `data:text/plain,${long}` } }])],
    ['words where an image belongs', ask([{ type: 'image_url', image_url: { url: long } }])],
    [
      'Chinese in a tool',
      ask('a', { tools: [{ type: 'function', function: { name: 'f', description: '漢'.repeat(300) } }] }),
    ],
    ['an image', ask([image])],
    ['a file by its id', ask([{ type: 'file', file: { file_id: 'file-1' } }])],
  ])('%s', async (_name, raw) => {
    const { key } = await app.addKey('guarded')
    const sent = got.length
    const refused = ['context_length_exceeded', null]
    const refusals = { plain: refused, later: refused, job: refused, list: refused, socket: refused }
    expect(await doors(key, raw)).toEqual(refusals)
    expect(got).toHaveLength(sent)
  })
})

describe('deny-terms reads what models read', () => {
  const part = (...parts: readonly unknown[]): string =>
    JSON.stringify({ model: 'ok', messages: [{ role: 'user', content: parts }] })
  const tool = (parameters: object, name = 'f'): string =>
    JSON.stringify({
      model: 'ok',
      messages: [{ role: 'user', content: 'a' }],
      tools: [{ type: 'function', function: { name, parameters } }],
    })
  it.each([
    ['a document', part({ type: 'document', source: { type: 'text', data: 'forbidden fruit' } })],
    ['words where a file belongs', part({ type: 'file', file: { file_data: 'forbidden fruit' } })],
    [
      'a text file',
      part({ type: 'file', file: { file_data: `data:text/plain;base64,${btoa('the forbidden fruit')}` } }),
    ],
    ['words where an image belongs', part({ type: 'image_url', image_url: { url: 'data:,forbidden fruit' } })],
    ['the name of a parameter', tool({ properties: { 'forbidden fruit': {} } })],
    ['a default, whatever it is called', tool({ default: { url: 'forbidden fruit' } })],
    [
      'a name in arguments',
      JSON.stringify({
        model: 'ok',
        messages: [{ role: 'assistant', tool_calls: [{ function: { arguments: { 'forbidden fruit': 1 } } }] }],
      }),
    ],
    ['two parts', part({ type: 'text', text: 'forbidden ' }, { type: 'text', text: 'fruit' })],
    ['a role', JSON.stringify({ model: 'ok', messages: [{ role: 'forbidden fruit', content: 'a' }] })],
  ])('%s', async (_name, raw) => {
    const { key } = await app.addKey('guarded')
    const sent = got.length
    const refused = ['content_blocked', null]
    const refusals = { plain: refused, later: refused, job: refused, list: refused, socket: refused }
    expect(await doors(key, raw)).toEqual(refusals)
    expect(got).toHaveLength(sent)
  })

  it('and no words of the dialect: they are in every request', async () => {
    const { key } = await app.addKey('words')
    const raw = JSON.stringify({
      model: 'ok',
      messages: [
        { role: 'system', content: 'a' },
        { role: 'user', content: [{ type: 'text', text: 'a' }] },
        { role: 'assistant', tool_calls: [{ id: 'c', type: 'function', function: { name: 'f', arguments: '{}' } }] },
        { role: 'tool', tool_call_id: 'c', content: 'a' },
      ],
      tools: [{ type: 'function', function: { name: 'f', parameters: { type: 'object', properties: { a: {} } } } }],
      tool_choice: 'auto',
      response_format: { type: 'json_schema', json_schema: { name: 'a', schema: { type: 'string' } } },
      stream_options: { include_usage: true },
    })
    expect((await post(key, '/v1/chat/completions', raw)).status).toBe(200)
    const own = JSON.stringify({ model: 'ok', messages: [{ role: 'user', content: 'the user' }] })
    expect((await post(key, '/v1/chat/completions', own)).code).toBe('content_blocked')
  })
})
