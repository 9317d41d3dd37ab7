/** Who repeats a request, and when: an SDK obeys the answer's headers, so that its retries do not multiply ours. */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import OpenAI, { APIError } from 'openai'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { startTestApp, type TestApp } from './app.ts'
import { type Answer, request, send } from './wire.ts'

interface Script {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body: string
}
const answer = (status: number, error: object, headers: Readonly<Record<string, string>> = {}): Script => ({
  status,
  headers: { 'content-type': 'application/json', ...headers },
  body: JSON.stringify({ error }),
})

let upstream: Server
let script: Script
let calls = 0
let app: TestApp
let openai: OpenAI
/** What the SDK asked of us. */
let asked = 0

beforeAll(async () => {
  upstream = createServer((request, response) => {
    calls++
    request.resume()
    request.on('end', () => {
      response.writeHead(script.status, script.headers)
      response.end(script.body)
    })
  })
  await new Promise<void>((done) => upstream.listen(0, '127.0.0.1', done))
  const { port } = upstream.address() as AddressInfo
  app = await startTestApp(
    { bad_keys_per_minute: 1_000, headers_timeout_ms: 500, request_timeout_ms: 1_000 },
    {
      models: [{ name: 'up', provider: 'openai-compatible', base_url: `http://127.0.0.1:${port}/v1` }],
      queue: { max_attempts: 3, retry_base_ms: 1 },
    },
  )
  openai = new OpenAI({
    baseURL: `http://127.0.0.1:${app.port}/v1`,
    apiKey: app.key,
    maxRetries: 5,
    fetch: (url, init) => {
      asked++
      return fetch(url, init)
    },
  })
})
afterEach(() => {
  calls = 0
  asked = 0
})
afterAll(async () => {
  await app?.stop()
  upstream?.close()
})

const refusal = async (more: object = {}): Promise<APIError> => {
  const error = await openai.chat.completions
    .create({ model: 'up', messages: [{ role: 'user', content: 'hello' }], ...more })
    .then(
      () => null,
      (thrown: unknown) => thrown,
    )
  expect(error).toBeInstanceOf(APIError)
  return error as APIError
}

describe.each([false, true])('stream: %s', (stream) => {
  it.each<[string, Script, number, number]>([
    ['500, three attempts of ours', answer(500, { message: 'boom' }), 3, 502],
    ['a wrong provider key', answer(401, { message: 'bad key' }), 1, 502],
    ['a used-up quota', answer(429, { message: 'x', code: 'insufficient_quota' }), 1, 502],
    ['a refusal', answer(400, { message: 'no' }), 1, 400],
    ['garbage', { status: 200, headers: { 'content-type': 'text/html' }, body: '<html>' }, 3, 502],
  ])('the SDK repeats nothing after %s', async (_name, said, upstreamCalls, status) => {
    script = said
    const error = await refusal({ stream })
    expect([error.status, error.headers!.get('x-should-retry'), error.headers!.get('retry-after')]).toEqual([
      status,
      'false',
      null,
    ])
    expect([asked, calls]).toEqual([1, upstreamCalls])
  })
})

const post = (body: object, headers: Record<string, string> = {}): Promise<Answer> =>
  send(
    app.port,
    request('POST', '/v1/chat/completions', { authorization: `Bearer ${app.key}`, ...headers }, JSON.stringify(body)),
  )
/** Of the job that was made. */
const read = (made: Answer, what: string): Promise<Answer> =>
  send(
    app.port,
    request('GET', `/v1/jobs/${made.headers['sluice-job']}/${what}`, { authorization: `Bearer ${app.key}` }),
  )
const hello = { model: 'up', messages: [{ role: 'user', content: 'hello' }] }
const retry = ({ headers }: Answer): readonly unknown[] => [
  headers['x-should-retry'],
  headers['retry-after'],
  headers['retry-after-ms'],
]
const NEVER = ['false', undefined, undefined]

describe('a job of its own', () => {
  it.each([false, true])(
    '429 until its deadline: told, with the time that the provider asked for (stream: %s)',
    async (stream) => {
      script = answer(429, { message: 'slow down' }, { 'retry-after': '1' })
      const got = await post({ ...hello, stream, sluice: { deadline_ms: 300 } })
      // The second never got its turn: the model still cools down
      expect(['429 provider_rate_limited', '504 deadline_exceeded']).toContain(`${got.status} ${got.code}`)
      // At least what it asked for: the wait grows while it goes on refusing
      const [again, seconds] = retry(got)
      expect([again, Number(seconds) >= 1]).toEqual(['true', true])
    },
  )

  it('to read a failed job again changes nothing', async () => {
    script = answer(500, { message: 'boom' })
    const made = await post(hello, { prefer: 'respond-async' })
    const got = await read(made, 'result?wait_ms=50000')
    expect([got.status, ...retry(got)]).toEqual([502, ...NEVER])
  })

  it('to read an expired job again changes nothing, though to submit it again may', async () => {
    script = answer(429, { message: 'slow down' }, { 'retry-after': '1' })
    const made = await post({ ...hello, sluice: { deadline_ms: 100 } }, { prefer: 'respond-async' })
    for (const what of ['result?wait_ms=50000', 'events?dialect=chat']) {
      const got = await read(made, what)
      expect([429, 504]).toContain(got.status)
      expect(retry(got), what).toEqual(NEVER)
    }
  })
})

describe('a refusal', () => {
  it.each<[string, () => Promise<Answer>, number]>([
    ['no key', () => post(hello, { authorization: '' }), 401],
    ['a wrong key', () => post(hello, { authorization: 'Bearer sk-sluice-no' }), 401],
    ['no model', () => post({ ...hello, model: 'nope' }), 404],
    ['a bad request', () => post({ model: 'up' }), 400],
    ['no route', () => send(app.port, request('GET', '/v9/x')), 404],
    ['no HTTP', () => send(app.port, 'nonsense\r\n\r\n'), 400],
  ])('%s: never', async (_name, ask, status) => {
    const got = await ask()
    expect([got.status, ...retry(got)]).toEqual([status, ...NEVER])
  })

  it('a time-out of the request itself: again', async () => {
    const got = await send(
      app.port,
      request('POST', '/v1/chat/completions', { authorization: `Bearer ${app.key}`, 'content-length': '900' }, '{'),
    )
    expect([got.status, ...retry(got)]).toEqual([408, 'true', '1', '1000'])
  })
})
