/** What somebody new asks for beside what is served: each answer says what to do, in the words of their API. */
import Anthropic, { NotFoundError } from '@anthropic-ai/sdk'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestApp, type TestApp } from './app.ts'

const MAX_BODY_BYTES = 4_096

let app: TestApp
beforeAll(async () => {
  const models = [
    { name: 'demo', provider: 'demo' },
    { name: 'demo-*', provider: 'demo' },
    { name: '*', provider: 'demo' },
  ]
  app = await startTestApp({ max_body_bytes: MAX_BODY_BYTES }, { models })
})
afterAll(() => app?.stop())

const ask = (method: string, path: string, body?: string | ReadableStream): Promise<Response> =>
  fetch(`http://127.0.0.1:${app.port}${path}`, {
    method,
    headers: { authorization: `Bearer ${app.key}`, 'content-type': 'application/json' },
    ...(body !== undefined && { body, duplex: 'half' }),
  } as RequestInit)
interface Told {
  readonly type?: string
  readonly error: { readonly type: string; readonly message: string; readonly code: string }
}
const told = async (answer: Response): Promise<Told> => (await answer.json()) as Told

describe('models that a request may name', () => {
  it('are listed; patterns are beside them', async () => {
    const list = (await (await ask('GET', '/v1/models')).json()) as Record<string, unknown>
    expect(list).toMatchObject({ first_id: 'demo', last_id: 'demo', patterns: ['demo-*', '*'] })
    expect(list['data']).toMatchObject([{ id: 'demo' }])
  })
  it.each(['*', 'demo-*'])('%s is none', async (name) => {
    expect((await ask('GET', `/v1/models/${name}`)).status).toBe(404)
  })
  it('a name that a pattern matches is one', async () => {
    expect(await (await ask('GET', '/v1/models/demo-9')).json()).toMatchObject({ id: 'demo-9' })
  })
})

describe("OpenAI's API: what is not served is not taken for an id of what is", () => {
  it.each([
    ['POST', '/v1/responses/compact', 'previous_response_id'],
    ['POST', '/responses/compact', 'previous_response_id'],
  ])('%s %s', async (method, path, instead) => {
    const answer = await ask(method, path, method === 'GET' ? undefined : '{}')
    const { error } = await told(answer)
    expect([answer.status, error.code]).toEqual([404, 'route_not_found'])
    expect(error.message).toContain(instead)
  })
  it('what is served by another method is told as before', async () => {
    const answer = await ask('POST', '/v1/models', '{}')
    expect([answer.status, answer.headers.get('allow')]).toEqual([405, 'HEAD, GET'])
  })
})

describe('a body that is too large', () => {
  const large = JSON.stringify({ model: 'demo', input: 'x'.repeat(MAX_BODY_BYTES) })
  it('is told its size, and the limit', async () => {
    const answer = await ask('POST', '/v1/responses', large)
    const { error } = await told(answer)
    expect([answer.status, error.code]).toEqual([413, 'body_too_large'])
    expect(error.message).toContain(`${large.length} bytes`)
    expect(error.message).toContain(`${MAX_BODY_BYTES} (http.max_body_bytes)`)
  })
  it('is told the limit where nobody knows its size', async () => {
    const answer = await ask('POST', '/v1/messages', new Blob([large]).stream())
    expect(answer.status).toBe(413)
    expect((await told(answer)).error.message).toContain(`${MAX_BODY_BYTES} (http.max_body_bytes)`)
  })
})

describe("Anthropic's API", () => {
  it.each([
    ['POST', '/v1/messages/batches', 404, 'not_found_error', '/v1/batches'],
    ['GET', '/v1/messages/batches/b1/results', 404, 'not_found_error', '/v1/batches'],
    ['GET', '/v1/messages', 405, 'invalid_request_error', 'POST'],
    ['POST', '/messages/nothing', 404, 'not_found_error', 'count_tokens'],
  ])('%s %s is refused as it refuses', async (method, path, status, type, text) => {
    const answer = await ask(method, path, method === 'GET' ? undefined : '{}')
    const body = await told(answer)
    expect(answer.status).toBe(status)
    expect(body).toMatchObject({ type: 'error', error: { type } })
    expect(body.error.message).toContain(text)
  })
  it('what only begins alike is no part of it', async () => {
    expect(await told(await ask('GET', '/v1/messagesx'))).not.toHaveProperty('type')
  })

  const client = (): Anthropic =>
    new Anthropic({ baseURL: `http://127.0.0.1:${app.port}`, apiKey: app.key, maxRetries: 0 })
  const HELLO = { model: 'demo', max_tokens: 9, messages: [{ role: 'user' as const, content: 'demo: tokens=2' }] }
  it('its SDK finds the id of a request', async () => {
    const { _request_id: id } = await client().messages.create(HELLO, { headers: { 'x-request-id': 'req-of-mine' } })
    expect(id).toBe('req-of-mine')
    const { request_id: streamed } = await client().messages.stream(HELLO).withResponse()
    expect(streamed).toMatch(/^req/)
  })
  it.each([
    { ...HELLO, model: '' },
    { ...HELLO, max_tokens: 0 },
  ])('also of one that is refused', async (request) => {
    const error = await client()
      .messages.create(request)
      .catch((thrown: unknown) => thrown)
    expect((error as NotFoundError).requestID).toMatch(/^req/)
  })
  it('and of one for a route that there is not', async () => {
    const error = await client()
      .messages.batches.list()
      .catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(NotFoundError)
    expect((error as NotFoundError).requestID).toMatch(/^req/)
  })
  it("answers of other APIs don't carry it twice", async () => {
    expect((await ask('GET', '/v1/models')).headers.get('request-id')).toBeNull()
  })
})
