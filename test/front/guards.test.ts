/** What an operator forbids a tenant is refused at every door, and stored nowhere. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openPeer } from '../protocol/peer.ts'
import { startTestApp, type TestApp } from './app.ts'
import { type Answer, request, send } from './wire.ts'

const GUARDS = [
  { guard: 'max-context', tokens: 20 },
  { guard: 'allow-models', models: ['demo', 'talks-*'] },
  { guard: 'deny-terms', terms: ['Project Falcon'] },
]
const models = ['demo', 'other', 'talks-a', 'talks-b'].map((name) => ({ name, provider: 'demo' }))

let app: TestApp
/** Of a tenant with guards, and of one without. */
let guarded: string
let free: string
beforeAll(async () => {
  const reader = { name: 'reader', guards: [{ guard: 'deny-terms', terms: ['falcon'] }] }
  app = await startTestApp({}, { models, tenants: [{ name: 'guarded', guards: GUARDS }, { name: 'free' }, reader] })
  guarded = (await app.addKey('guarded')).key
  free = (await app.addKey('free')).key
})
afterAll(() => app?.stop())

const chat = (content: unknown, model = 'demo'): Record<string, unknown> => ({
  model,
  messages: [{ role: 'user', content }],
})
const post = (path: string, body: object, headers: Record<string, string> = {}, key = guarded): Promise<Answer> =>
  send(app.port, request('POST', path, { authorization: `Bearer ${key}`, ...headers }, JSON.stringify(body)))
const jobs = async (): Promise<readonly { readonly id: string }[]> =>
  JSON.parse((await send(app.port, request('GET', '/v1/jobs', { authorization: `Bearer ${guarded}` }))).body).data

const SHORT = 'demo: tokens=1 ttft=0'
const LONG = `${SHORT} ${'x'.repeat(80)}`
/** What is asked for, and what it is refused for. */
const BLOCKED: ReadonlyArray<readonly [string, Record<string, unknown>, number, string, string | null]> = [
  ['a prompt that is too long', chat(LONG), 400, 'context_length_exceeded', null],
  ['a model that is not allowed', chat(SHORT, 'other'), 403, 'model_not_allowed', 'model'],
  ['a term', chat(`${SHORT} about project falcon`), 400, 'content_blocked', null],
  ['a term in a part', chat([{ type: 'text', text: `PROJECT FALCON ${SHORT}` }]), 400, 'content_blocked', null],
]
const errorOf = (answer: Answer): unknown[] => {
  const { code, param } = (JSON.parse(answer.body) as { error: { code: string; param: string | null } }).error
  return [answer.status, code, param]
}

it('models that a tenant may not use are not listed for it', async () => {
  const get = (path: string, key: string): Promise<Answer> =>
    send(app.port, request('GET', path, { authorization: `Bearer ${key}` }))
  const listed = async (key: string): Promise<readonly string[]> =>
    JSON.parse((await get('/v1/models', key)).body).data.map(({ id }: { id: string }) => id)
  expect(await listed(guarded)).toEqual(['demo', 'talks-a', 'talks-b'])
  expect(await listed(free)).toEqual(['demo', 'other', 'talks-a', 'talks-b'])
  expect(errorOf(await get('/v1/models/other', guarded))).toEqual([403, 'model_not_allowed', 'model'])
  expect((await get('/v1/models/talks-a', guarded)).status).toBe(200)
  expect((await get('/v1/models/othr', guarded)).body).not.toContain('other')
  expect((await get('/v1/models/othr', free)).body).toContain('\\"other\\"')
})

describe.each(BLOCKED)('%s', (_name, body, status, code, param) => {
  it('is refused as a plain POST, as one that is not waited for, and as a job', async () => {
    const wanted = [status, code, param]
    expect(errorOf(await post('/v1/chat/completions', body))).toEqual(wanted)
    expect(errorOf(await post('/v1/chat/completions', { ...body, stream: true }))).toEqual(wanted)
    expect(errorOf(await post('/v1/chat/completions', body, { prefer: 'respond-async' }))).toEqual(wanted)
    expect(errorOf(await post('/v1/jobs', { request: body }))).toEqual(wanted)
    expect(errorOf(await post('/v1/jobs', { request: body, conversation: 'c' }))).toEqual(wanted)
    expect(await jobs()).toEqual([])
  })

  it('is refused in its place in a list, and the others are taken', async () => {
    const list = await post('/v1/jobs', { jobs: [{ request: body }, { request: chat(SHORT) }, { request: body }] })
    expect(list.status).toBe(202)
    const { data } = JSON.parse(list.body)
    const refused = (i: number): object => ({ code, param: param === null ? null : `jobs[${i}].${param}` })
    expect([data[0].error, data[1].object, data[2].error]).toMatchObject([refused(0), 'job', refused(2)])
    const erased = request('DELETE', `/v1/jobs/${data[1].id}`, { authorization: `Bearer ${guarded}` })
    expect((await send(app.port, erased)).status).toBe(204)
  })

  it('is refused over a WebSocket', async () => {
    const socket = await openPeer(`http://127.0.0.1:${app.port}`, { headers: { authorization: `Bearer ${guarded}` } })
    socket.say({ t: 'submit', id: 's1', request: body })
    expect(await socket.next('error')).toMatchObject({ id: 's1', error: { code, param } })
    socket.drop()
    expect(await jobs()).toEqual([])
  })

  it('is no business of other tenants', async () => {
    expect((await post('/v1/chat/completions', body, {}, free)).status).toBe(200)
  })
})

it('lets the rest pass: other models of a pattern, and text that is an image', async () => {
  for (const body of [chat(SHORT), chat(SHORT, 'talks-a')])
    expect((await post('/v1/chat/completions', body)).status).toBe(200)
  // In base64 as much as a term may be: by chance
  const image = { type: 'image_url', image_url: { url: `data:image/png;base64,${'A'.repeat(1_000)}falcon` } }
  const { key } = await app.addKey('reader')
  expect((await post('/v1/chat/completions', chat([{ type: 'text', text: SHORT }, image]), {}, key)).status).toBe(200)
  expect((await post('/v1/chat/completions', chat(`${SHORT} falcon`), {}, key)).code).toBe('content_blocked')
  expect((await post('/v1/embeddings', { model: 'demo', input: 'short' })).status).toBe(200)
  expect(errorOf(await post('/v1/embeddings', { model: 'demo', input: ['ok', 'Project Falcon'] }))).toEqual([
    400,
    'content_blocked',
    null,
  ])
})

it('a reload changes them; a job that was taken before is not redriven against them', async () => {
  const tenant = (guards: readonly object[]): Record<string, unknown> => ({ tenants: [{ name: 'changing', guards }] })
  await app.reload(tenant([]))
  const { key } = await app.addKey('changing')
  await app.admin('/admin/pause', { tenant: 'changing' })
  const made = await post('/v1/jobs', { request: chat(SHORT, 'other'), deadline_ms: 1 }, {}, key)
  const { id } = JSON.parse(made.body) as { id: string }
  const ended = request('GET', `/v1/jobs/${id}/result?wait_ms=50000`, { authorization: `Bearer ${key}` })
  expect((await send(app.port, ended)).code).toBe('deadline_exceeded')
  await app.reload(tenant(GUARDS))
  expect(errorOf(await post(`/v1/jobs/${id}/redrive`, {}, {}, key))).toEqual([403, 'model_not_allowed', 'model'])
  expect((await app.admin(`/admin/jobs/${id}/redrive`)).status).toBe(403)
  await app.reload(tenant([]))
  expect((await post(`/v1/jobs/${id}/redrive`, {}, {}, key)).status).toBe(202)
})
