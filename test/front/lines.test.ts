/** What a stream and a whole answer are written in is the dialect's: one of plain lines, through the whole server. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Dialect } from '../../src/core/ports/dialect.ts'
import { DIALECTS } from '../../src/dialects/index.ts'
import { linesDialect } from '../conformance/lines.ts'
import { startTestApp, type TestApp } from './app.ts'

const TYPE = 'text/plain; charset=utf-8'
let app: TestApp
beforeAll(async () => {
  ;(DIALECTS.spoken as Dialect[]).push(linesDialect as Dialect)
  app = await startTestApp({ heartbeat_ms: 100 }, {}, {}, { dialects: DIALECTS })
})
afterAll(() => app?.stop())

const call = (path: string, body?: object, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(`http://127.0.0.1:${app.port}${path}`, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { authorization: `Bearer ${app.key}`, 'content-type': 'application/json', ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
const ask = (prompt: string, stream: boolean): Promise<Response> => call('/v1/lines', { model: 'demo', prompt, stream })
const typeOf = (answer: Response): string | null => answer.headers.get('content-type')

it('is streamed as lines, and resumed after any of them', async () => {
  const live = await ask('demo: tokens=5 delay=1 ttft=1', true)
  expect(typeOf(live)).toBe(TYPE)
  const location = live.headers.get('location')!
  const lines = (await live.text()).split('\n')
  expect(lines.splice(-2)).toEqual(['done', ''])
  expect(lines).toHaveLength(5)
  for (let n = 1; n <= lines.length; n++) {
    const rest = await call(location, undefined, { 'last-event-id': `1-${n}`, accept: 'text/plain' })
    expect(typeOf(rest)).toBe(TYPE)
    expect(await rest.text()).toBe([...lines.slice(n), 'done', ''].join('\n'))
  }
  const head = await fetch(`http://127.0.0.1:${app.port}${location}`, {
    method: 'HEAD',
    headers: { authorization: `Bearer ${app.key}` },
  })
  expect(typeOf(head)).toBe(TYPE)
  const refused = await call(location, undefined, { accept: 'text/event-stream' })
  expect(refused.status).toBe(406)
  expect(await refused.text()).toContain('text/plain')
})

it('has no heartbeat, where it has none: neither before its headers nor in a silence', async () => {
  const slow = await ask('demo: tokens=3 delay=350 ttft=400', true)
  const lines = (await slow.text()).split('\n')
  expect(lines).toHaveLength(5)
  expect(lines.at(-2)).toBe('done')
})

it('is answered whole as text, and its result is text too', async () => {
  const whole = await ask('demo: tokens=5 delay=1 ttft=1', false)
  expect(typeOf(whole)).toBe(TYPE)
  const text = await whole.text()
  expect(text.length).toBeGreaterThan(5)
  const result = await call(whole.headers.get('location')!)
  expect([typeOf(result), await result.text()]).toEqual([TYPE, text])
})

it.each([
  ['a request', () => call('/v1/lines', { model: 'demo' }), 400],
  ['a model', () => call('/v1/lines', { model: 'none', prompt: 'x' }), 404],
  ['a whole answer', () => ask('demo: fail=400 ttft=1', false), 400],
  ['a stream', () => ask('demo: fail=400 ttft=1', true), 400],
])('its errors are lines with a status: %s', async (_name, send, status) => {
  const answer = await send()
  expect([answer.status, typeOf(answer)]).toEqual([status, TYPE])
  expect(await answer.text()).toMatch(/^error: .+\n$/)
})

it('is in the messages that name endpoints', async () => {
  for (const body of [{ request: 1 }, { endpoint: '/v1/x', request: {} }])
    expect(await (await call('/v1/jobs', body)).text()).toContain(
      '/v1/audio/transcriptions or /v1/audio/translations or /v1/lines',
    )
})
