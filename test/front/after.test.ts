/** Jobs that come after others, over HTTP: what their model is sent, and what becomes of them when one fails. */
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { startTestApp, type TestApp } from './app.ts'

type Said = Record<string, any>

let app: TestApp
/** Where an end is told a moment before it is stored, as by default. */
let safe: TestApp
const prompts: Said[][] = []
const held: ServerResponse[] = []

/** Says what it was told last, in capitals; holds what says "hold" until it is let go; refuses what says "fail". */
const provider = createServer((request, response) => {
  let body = ''
  request.on('data', (data) => (body += data))
  request.on('end', () => {
    const { messages } = JSON.parse(body) as { messages: Said[] }
    prompts.push(messages)
    const last = JSON.stringify(messages.at(-1)!['content'])
    if (last.includes('hold')) return held.push(response)
    if (last.includes('fail')) return refuse(response)
    if (last.includes('decline')) return answer(response, 'I will not.', 'refusal')
    return answer(response, last.includes('"type"') ? 'joined' : `SAID ${JSON.parse(last)}`)
  })
})
const refuse = (response: ServerResponse): void => void response.writeHead(400).end('{"error":{"message":"as asked"}}')
function answer(response: ServerResponse, text: string, member = 'content'): void {
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  response.write(`data: ${JSON.stringify({ id: 'a', choices: [{ index: 0, delta: { [member]: text } }] })}\n\n`)
  const usage = { prompt_tokens: 7, completion_tokens: Math.ceil(text.length / 5) }
  const end = { id: 'a', choices: [{ index: 0, delta: {}, finish_reason: 'stop' }], usage }
  response.end(`data: ${JSON.stringify(end)}\n\ndata: [DONE]\n\n`)
}
async function letGo(): Promise<void> {
  await expect.poll(() => held.length, { timeout: 20_000 }).toBeGreaterThan(0)
  for (const response of held.splice(0)) answer(response, 'let go')
}

const EMBEDS = { name: 'demo', provider: 'demo' }
beforeAll(async () => {
  await new Promise<void>((done) => provider.listen(0, '127.0.0.1', done))
  const base = `http://127.0.0.1:${(provider.address() as AddressInfo).port}/v1`
  app = await startTestApp(
    {},
    {
      models: [{ name: 'echo', provider: 'openai-compatible', base_url: base }, EMBEDS],
      tenants: [{ name: 'other' }],
    },
  )
  safe = await startTestApp(
    {},
    { durability: 'power', models: [{ name: 'echo', provider: 'openai-compatible', base_url: base }] },
  )
})
afterAll(async () => {
  await app?.stop()
  await safe?.stop()
  provider.closeAllConnections()
  provider.close()
})

const call = async (path: string, body?: object, key = app.key, at = app): Promise<[number, Said]> => {
  const response = await fetch(`http://127.0.0.1:${at.port}${path}`, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
  return [response.status, (await response.json()) as Said]
}
const asks = (content: unknown): Said => ({ model: 'echo', messages: [{ role: 'user', content }] })
async function submit(content: unknown, more: Said = {}): Promise<string> {
  const [status, { id, error }] = await call('/v1/jobs', { request: asks(content), ...more })
  expect([status, error ?? null]).toEqual([202, null])
  return id
}
const ended = async (id: string): Promise<Said> => (await call(`/v1/jobs/${id}?wait_ms=30000`))[1]
const output = (job: string): Said => ({ type: 'job_output', job })

it('fans out and joins: the join is sent what the others answered', async () => {
  const [a, b] = [await submit('one'), await submit('hold two')]
  const join = await submit([{ type: 'text', text: 'Join:' }, output(a), output(b)], { after: [a, b, a] })
  const child = await submit([output(join)], { after: [join], parent: join })
  const [, waiting] = await call(`/v1/jobs/${child}`)
  expect(waiting).toMatchObject({
    state: 'queued',
    parent: join,
    after: [join],
    queue: { position: null, waits_for_jobs: 1 },
  })
  await letGo()
  expect(await ended(child)).toMatchObject({ state: 'done', queue: null })
  expect(prompts.slice(-2).map((messages) => messages[0]['content'])).toEqual([
    [
      { type: 'text', text: 'Join:' },
      { type: 'text', text: 'SAID one' },
      { type: 'text', text: 'let go' },
    ],
    'joined',
  ])
})

it('waits until the end of what it comes after is stored', async () => {
  const at = safe
  const pairs = Array.from({ length: 10 }, async () => {
    const [, first] = await call('/v1/jobs', { request: asks('hold this') }, at.key, at)
    const after = { request: asks([output(first['id'])]), after: [first['id']] }
    const [, { id }] = await call('/v1/jobs', after, at.key, at)
    return id as string
  })
  const ids = await Promise.all(pairs)
  await expect.poll(() => held.length, { timeout: 20_000 }).toBe(10)
  await letGo()
  for (const id of ids) {
    const [, { state, error }] = await call(`/v1/jobs/${id}?wait_ms=30000`, undefined, at.key, at)
    expect([state, error]).toEqual(['done', null])
  }
})

it('fails what comes after one that fails or is canceled, and what comes after that', async () => {
  for (const how of ['fail', 'cancel']) {
    const first = await submit('hold this')
    const then = await submit('x', { after: [first] })
    const last = await submit('y', { after: [then] })
    await expect.poll(() => held.length, { timeout: 20_000 }).toBe(1)
    if (how === 'cancel') await call(`/v1/jobs/${first}/cancel`, {})
    else refuse(held[0])
    held.length = 0
    for (const [id, before] of [
      [then, first],
      [last, then],
    ]) {
      const { state, error } = await ended(id)
      expect([state, error.code, error.message]).toEqual([
        'failed',
        'dependency_failed',
        expect.stringContaining(before),
      ])
    }
  }
})

it('refuses what could never run, and tells nobody of the jobs of others', async () => {
  const failed = await submit('please fail')
  await ended(failed)
  const { key } = await app.addKey('other')
  const foreign = (await call('/v1/jobs', { request: asks('x') }, key))[1]['id']
  const refused = async (more: Said, content: unknown = 'x'): Promise<unknown[]> => {
    const [status, { error }] = await call('/v1/jobs', { request: asks(content), ...more })
    return [status, error.code, error.param]
  }
  expect(await refused({ after: [failed] })).toEqual([424, 'dependency_failed', 'after'])
  for (const name of ['after', 'parent'])
    for (const id of [foreign, 'job_00000000000000000000000000'])
      expect(await refused({ [name]: name === 'after' ? [id] : id })).toEqual([404, 'job_not_found', name])
  for (const after of ['x', {}, [7], Array(65).fill(failed), ['job_../../etc']])
    expect(await refused({ after })).toEqual([400, 'invalid_request', 'after'])
  expect(await refused({ parent: 'resp_1' })).toEqual([400, 'invalid_request', 'parent'])
  const done = await submit('fine')
  await ended(done)
  expect(await refused({ after: [done] }, [output(failed)])).toEqual([
    ...[400, 'invalid_request', 'messages[0].content[0].job'],
  ])
  const [, embedding] = await call('/v1/jobs', { endpoint: '/v1/embeddings', request: { model: 'demo', input: 'x' } })
  expect(await refused({ after: [embedding['id']] }, [output(embedding['id'])])).toEqual([
    ...[400, 'invalid_request', 'messages'],
  ])
  expect(await refused({ after: [done], conversation: 'talk' }, [output(done)])).toEqual([
    ...[400, 'invalid_request', 'messages[0].content[0]'],
  ])
  expect(await refused({}, [output(done)])).toEqual([400, 'invalid_request', 'messages[0].content[0].job'])
})

it('an output is one however it is spelled', async () => {
  const first = await submit('spelled')
  const body = JSON.stringify({ request: asks([output(first)]), after: [first] }).replace(
    'job_output',
    'job\\u005foutput',
  )
  const response = await fetch(`http://127.0.0.1:${app.port}/v1/jobs`, {
    method: 'POST',
    headers: { authorization: `Bearer ${app.key}`, 'content-type': 'application/json' },
    body,
  })
  expect(await ended(((await response.json()) as Said)['id'])).toMatchObject({ state: 'done' })
  expect(prompts.at(-1)![0]['content']).toBe('SAID spelled')
})

it('a child belongs to the run of its parent', async () => {
  const parent = await submit('x', { run: 'r1' })
  const child = await submit('y', { parent })
  expect((await ended(child))['run']).toBe('r1')
  const [status, { error }] = await call('/v1/jobs', { request: asks('x'), parent, run: 'r2' })
  expect([status, error.param]).toEqual([400, 'run'])
})

it('a plain POST waits for others as well, in its connection', async () => {
  const first = await submit('first')
  const body = { ...asks([output(first)]), sluice: { after: [first] } }
  const [status, { choices }] = await call('/v1/chat/completions', body)
  expect([status, choices?.[0].message.content]).toEqual([200, 'SAID SAID first'])
})

it('what is put in is bounded by how often it stands there', async () => {
  const long = await submit('x'.repeat(300 << 10))
  await ended(long)
  const parts = (n: number): Said[] => Array.from({ length: n }, () => output(long))
  expect(await ended(await submit(parts(2), { after: [long] }))).toMatchObject({ state: 'done' })
  expect(prompts.at(-1)![0]['content'].map(({ text }: Said) => text.length)).toEqual(Array(2).fill((300 << 10) + 5))
  const [sent, most] = [prompts.length, 'conversations.max_prompt_bytes']
  const { state, error } = await ended(await submit(parts(60), { after: [long] }))
  expect([state, error?.code, error?.message]).toEqual(['failed', 'body_too_large', expect.stringContaining(most)])
  expect(prompts.length).toBe(sent)
})

it('only an output that is asked for has to be kept', async () => {
  const [gone, slow] = [await submit('gone soon'), await submit('hold this')]
  await ended(gone)
  const after = [gone, slow]
  const [plain, asking] = [await submit('x', { after }), await submit([output(gone)], { after })]
  const erased = await fetch(`http://127.0.0.1:${app.port}/v1/jobs/${gone}`, {
    method: 'DELETE',
    headers: { authorization: `Bearer ${app.key}` },
  })
  expect(erased.ok).toBe(true)
  await letGo()
  expect(await ended(plain)).toMatchObject({ state: 'done' })
  expect((await ended(asking))['error']).toMatchObject({
    code: 'dependency_failed',
    message: expect.stringContaining('no longer kept'),
  })
})

it('a refusal is put in as what it says', async () => {
  const refused = await submit('decline this')
  await ended(await submit([output(refused)], { after: [refused] }))
  expect(prompts.at(-1)![0]['content']).toBe('I will not.')
})

it('a repeat joins its job, though what it comes after is erased and its run is canceled', async () => {
  const first = await submit('x')
  await ended(first)
  const body = { request: asks('y'), after: [first], run: 'ends', idempotency_key: 'again' }
  const [, { id }] = await call('/v1/jobs', body)
  await ended(id)
  await call('/v1/runs/ends/cancel', {})
  const repeated = async (more: Said = {}): Promise<unknown[]> => {
    const [status, { id: joined, error }] = await call('/v1/jobs', { ...body, ...more })
    return [status, joined ?? error.code]
  }
  expect(await repeated()).toEqual([200, id])
  expect(await repeated({ idempotency_key: 'another' })).toEqual([409, 'run_canceled'])
  expect(await repeated({ request: asks('z') })).toEqual([409, 'run_canceled'])
  await fetch(`http://127.0.0.1:${app.port}/v1/jobs/${first}`, {
    method: 'DELETE',
    headers: { authorization: `Bearer ${app.key}` },
  })
  expect(await repeated()).toEqual([200, id])
  expect(await repeated({ idempotency_key: 'another' })).toEqual([404, 'job_not_found'])
})

it('an output stands in the messages of all dialects that have some, and nowhere else', async () => {
  const first = await submit('of all')
  const content = [output(first)]
  const messages = [{ role: 'user', content }]
  const bodies = {
    '/v1/responses': { model: 'echo', input: messages },
    '/v1/messages': { model: 'echo', messages, max_tokens: 10 },
  }
  for (const [endpoint, request] of Object.entries(bodies)) {
    const [status, { id }] = await call('/v1/jobs', { endpoint, request, after: [first] })
    expect([status, (await ended(id))['state']]).toEqual([202, 'done'])
    expect(prompts.at(-1)).toEqual([{ role: 'user', content: 'SAID of all' }])
    expect((await call('/v1/jobs', { endpoint, request }))[1]['error']).toMatchObject({ code: 'invalid_request' })
  }
  const request = { model: 'demo', input: content }
  const [status, { error }] = await call('/v1/jobs', { endpoint: '/v1/embeddings', request, after: [first] })
  expect([status, error?.param, error?.message]).toEqual([400, 'input', expect.stringContaining('job_output')])
})

it('what is put in is part of what a job weighs: a budget has no room for it, whenever it is answered', async () => {
  await call('/v1/runs', { id: 'small', budget: { tokens: 40_000 } })
  const of = { run: 'small' }
  const long = await submit('word '.repeat(10_000))
  await ended(long)
  const [status, { error }] = await call('/v1/jobs', {
    ...of,
    after: [long],
    request: { ...asks(Array.from({ length: 5 }, () => output(long))), max_tokens: 5 },
  })
  expect([status, error?.code]).toEqual([429, 'run_budget_exceeded'])
  expect(await ended(await submit([output(long)], { ...of, after: [long] }))).toMatchObject({ state: 'done' })
  const slow = await submit('hold this', { after: [long] })
  await expect.poll(() => held.length, { timeout: 20_000 }).toBe(1)
  const sent = prompts.length
  const waits = await submit(
    Array.from({ length: 5 }, () => output(slow)),
    { ...of, after: [slow] },
  )
  answer(held.pop()!, 'word '.repeat(10_000))
  const { state, error: why } = await ended(waits)
  expect([state, why?.code, prompts.length - sent]).toEqual(['failed', 'run_budget_exceeded', 0])
})

it('what is redriven comes after the redrives of what failed, and takes their answers', async () => {
  const again = async (id: string): Promise<unknown[]> => {
    const [status, { id: made, error }] = await call(`/v1/jobs/${id}/redrive`, {})
    return [status, made ?? error.message]
  }
  const failing = async (): Promise<void> => {
    await expect.poll(() => held.length, { timeout: 20_000 }).toBe(1)
    refuse(held.pop()!)
  }
  const [fine, broken] = [await submit('fine'), await submit('hold this')]
  const after = [fine, broken]
  const join = await submit([output(fine), output(broken)], { after })
  await failing()
  expect((await ended(join))['state']).toBe('failed')
  expect(await again(join)).toEqual([424, expect.stringContaining(`${broken}, which this job comes after`)])
  const [, second] = await again(broken)
  await failing()
  await ended(second as string)
  expect(await again(join)).toEqual([424, expect.stringContaining(`${second}, which this job comes after`)])
  const [, third] = await again(second as string)
  const [status, whole] = await again(join)
  expect(status).toBe(202)
  await letGo()
  expect(await ended(whole as string)).toMatchObject({ state: 'done', after: [fine, third], redrive_of: join })
  expect(prompts.at(-1)![0]['content'].map(({ text }: Said) => text)).toEqual(['SAID fine', 'let go'])
})

it('a response that goes on from one of a run is of that run', async () => {
  const respond = async (more: Said): Promise<string> => {
    const [status, { id, error }] = await call('/v1/responses', { model: 'echo', input: 'x', ...more })
    expect([status, error ?? null]).toEqual([200, null])
    return id
  }
  const first = await respond({ sluice: { run: 'talk' } })
  const second = await respond({ previous_response_id: first })
  await respond({ previous_response_id: second, sluice: { run: 'other' } })
  const [, { jobs }] = await call('/v1/runs/talk')
  expect(jobs.map(({ state }: Said) => state)).toEqual(['done', 'done'])
})
