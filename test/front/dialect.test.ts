/**
 * A dialect is a folder and a line in the list: one that numbers its own events is added here, and everything that a
 * client can do in OpenAI's it can do in that one, through the whole server.
 */
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Dialect } from '../../src/core/ports/dialect.ts'
import { DIALECTS } from '../../src/dialects/index.ts'
import { numberedDialect } from '../conformance/numbered.ts'
import { readSse } from '../conformance/read.ts'
import { startTestApp, type TestApp } from './app.ts'

let app: TestApp
beforeAll(async () => {
  ;(DIALECTS.spoken as Dialect[]).push(numberedDialect as Dialect)
  app = await startTestApp({}, {}, {}, { dialects: DIALECTS })
})
afterAll(() => app.stop())

const call = (path: string, body?: object, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(`http://127.0.0.1:${app.port}${path}`, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { authorization: `Bearer ${app.key}`, 'content-type': 'application/json', ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
const read = async (answer: Promise<Response>): Promise<any> => (await answer).json()
const ASK = { model: 'demo', ask: 'demo: tokens=6 delay=1 ttft=1' }
const said = async (job: string): Promise<string> => {
  const events = readSse(Buffer.from(await (await call(`/v1/jobs/${job}/events`)).text()).toString('latin1'))
  const chunks = events.flatMap(({ text }) => /^event: chunk\ndata: (.*)$/.exec(text)?.[1] ?? [])
  return chunks.map((chunk) => JSON.parse(chunk).choices[0]?.delta.content ?? '').join('')
}

it('is streamed, and resumed after each event, from where its location is', async () => {
  const live = await call('/v1/numbered', { ...ASK, live: true })
  expect(live.status).toBe(200)
  expect(live.headers.get('content-type')).toContain('text/event-stream')
  const all = readSse(await live.text())
  expect(all.map(({ n }) => n)).toEqual(all.map((_, i) => i + 1))
  expect(all.at(-1)?.text).toContain('event: completed')
  const location = live.headers.get('location')!
  expect(location).toMatch(/\/events\?dialect=numbered$/)
  for (const [i, { n }] of all.entries()) {
    const rest = await call(location, undefined, { 'last-event-id': `1-${n}` })
    if (i === all.length - 1) expect(rest.status).toBe(204)
    else expect(readSse(await rest.text())).toEqual(all.slice(i + 1))
  }
  expect((await call(`${location}&after=${all.length + 1}`)).status).toBe(400)
})

it('is resumed while it is made', async () => {
  const ask = { ...ASK, ask: 'demo: tokens=40 delay=10 ttft=1', live: true }
  const first = await call('/v1/numbered', ask)
  const location = first.headers.get('location')!
  const reader = first.body!.getReader()
  let text = ''
  while (!text.includes('id: 1-9\n')) text += Buffer.from((await reader.read()).value!).toString('latin1')
  await reader.cancel()
  const known = readSse(text.slice(0, text.lastIndexOf('\n\n') + 2))
  const rest = readSse(await (await call(location, undefined, { 'last-event-id': `1-${known.length}` })).text())
  expect([...known, ...rest]).toEqual(readSse(await (await call(location)).text()))
})

it('is answered whole, in its own words, as it was asked to be', async () => {
  const answer = await call('/v1/numbered', ASK)
  expect(answer.status).toBe(200)
  const job = answer.headers.get('sluice-job')!
  const text = await said(job)
  expect(text.length).toBeGreaterThan(10)
  expect(await answer.json()).toEqual({ said: text })
  expect(await (await call(answer.headers.get('location')!)).json()).toEqual({ said: text })
  expect(await (await call('/v1/numbered', { ...ASK, quiet: true })).json()).toEqual({ said: null })
})

it('is a job, whose result is in its dialect, and whose request is in OpenAI’s', async () => {
  const { id } = await read(call('/v1/jobs', { endpoint: '/v1/numbered', request: { ...ASK, quiet: true } }))
  expect(await (await call(`/v1/jobs/${id}/result?wait_ms=50000`)).json()).toEqual({ said: null })
  expect(await (await call(`/v1/jobs/${id}/request`)).json()).toMatchObject({
    messages: [{ role: 'user', content: ASK.ask }],
  })
  const later = await call('/v1/numbered', { ...ASK, live: true }, { prefer: 'respond-async' })
  expect(later.status).toBe(202)
  expect(later.headers.get('location')).toMatch(/dialect=numbered$/)
})

it('has errors of its own: of the request, the key, the model and the job', async () => {
  const wrong = await call('/v1/numbered', { model: 'demo' })
  expect([wrong.status, await wrong.text()]).toEqual([400, '{"oops":"invalid_request"}'])
  const stranger = await call('/v1/numbered', ASK, { authorization: 'Bearer nobody' })
  expect([stranger.status, await stranger.text()]).toEqual([401, '{"oops":"invalid_api_key"}'])
  const none = await call('/v1/numbered', { ...ASK, model: 'none' })
  expect([none.status, await none.text()]).toEqual([404, '{"oops":"model_not_found"}'])
  const failed = await call('/v1/numbered', { ...ASK, ask: 'demo: fail=400' })
  expect(failed.status).toBeGreaterThanOrEqual(400)
  expect(JSON.parse(await failed.text())).toHaveProperty('oops')
})

it('is among the names that a wrong one is answered with', async () => {
  const { id } = await read(
    call('/v1/jobs', { request: { model: 'demo', messages: [{ role: 'user', content: 'x' }] } }),
  )
  const { error } = await read(call(`/v1/jobs/${id}/events?dialect=klingon`))
  const forms = DIALECTS.read.map(({ name }) => name)
  const names = ['native', ...forms, ...DIALECTS.spoken.flatMap(({ stream }) => stream?.name ?? [])]
  expect(names).toEqual(expect.arrayContaining(['native', 'chat', 'numbered']))
  expect(error.message).toBe(`"dialect" must be ${names.map((name) => `"${name}"`).join(' or ')}.`)
  const { error: endpoint } = await read(call('/v1/jobs', { endpoint: '/v1/x', request: {} }))
  expect(endpoint.message).toContain('/v1/numbered')
})

it('is not spoken any more: its results can not be told, its events can', async () => {
  const { id } = await read(call('/v1/jobs', { endpoint: '/v1/numbered', request: ASK }))
  expect((await call(`/v1/jobs/${id}/result?wait_ms=50000`)).status).toBe(200)
  const spoken = DIALECTS.spoken as Dialect[]
  const gone = spoken.pop()!
  try {
    const { error } = await read(call(`/v1/jobs/${id}/result`))
    expect(error).toMatchObject({ code: 'not_acceptable', message: expect.stringContaining('"numbered"') })
    expect((await said(id)).length).toBeGreaterThan(10)
  } finally {
    spoken.push(gone)
  }
})
