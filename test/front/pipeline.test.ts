/**
 * What one connection asks for in one go, and clients that close their side before the answer: each answer, in its
 * place.
 */
import { connect } from 'node:net'
import { afterEach, expect, it } from 'vitest'
import { expectInTime } from '../in-time.ts'
import { startTestApp, type TestApp } from './app.ts'
import { chat, request } from './wire.ts'

let app: TestApp
afterEach(() => app?.stop())

const auth = (): Record<string, string> => ({ authorization: `Bearer ${app.key}` })
const post = (content: string, more: object = {}, headers: object = {}): Buffer =>
  request('POST', '/v1/chat/completions', { ...auth(), ...headers }, JSON.stringify(chat(content, more)))
const QUICK = 'demo: tokens=3 delay=20 ttft=50'
const BREW = Buffer.from('BREW /v1/models HTTP/1.1\r\nhost: a\r\n\r\n')

/** Writes all of it at once, and reads until the server closes. */
function exchange(bytes: Buffer, end: boolean): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ port: app.port, host: '127.0.0.1', allowHalfOpen: true })
    let text = ''
    socket.on('data', (data) => (text += data.toString('latin1')))
    socket.on('error', () => {})
    const done = (): void => {
      socket.destroy()
      resolve(text)
    }
    socket.on('end', done)
    socket.on('close', done)
    if (end) socket.end(bytes)
    else socket.write(bytes)
  })
}
/** Final ones. */
const statuses = (text: string): readonly number[] =>
  [...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => Number(status)).filter((status) => status >= 200)

it.each<[string, () => Buffer, readonly number[], string]>([
  ['JSON', () => post(QUICK), [200], '"finish_reason":"stop"'],
  ['a stream', () => post(QUICK, { stream: true }), [200], 'data: [DONE]'],
  ['a job', () => post(QUICK, {}, { prefer: 'respond-async' }), [202], '"object":"job"'],
  ['a refusal', () => post(QUICK, { model: 'nope' }), [404], 'model_not_found'],
  ['two at once', () => Buffer.concat([post(QUICK), post(QUICK, { model: 'nope' })]), [200, 404], 'model_not_found'],
])('a client that closes its side gets its answer: %s', async (_name, bytes, expected, last) => {
  app = await startTestApp()
  const text = await exchange(bytes(), true)
  expect(statuses(text)).toEqual(expected)
  expect(text).toContain(last)
})

it('also when the answer takes longer than the grace of readers', async () => {
  app = await startTestApp({ disconnect_grace_ms: 300 })
  const text = await exchange(post('demo: tokens=30 delay=40 ttft=50'), true)
  expect(statuses(text)).toEqual([200])
})

it('a client that is gone is noticed by the end of the grace, also where nothing is written to it', async () => {
  app = await startTestApp({ disconnect_grace_ms: 400 })
  const socket = connect({ port: app.port, host: '127.0.0.1' })
  socket.write(post('demo: tokens=2000 delay=20 ttft=1'))
  const jobs = async (): Promise<readonly { state: string }[]> =>
    (
      (await (await fetch(`http://127.0.0.1:${app.port}/v1/jobs`, { headers: auth() })).json()) as {
        data: { state: string }[]
      }
    ).data
  await expect.poll(async () => (await jobs())[0]?.state).toBe('leased')
  socket.destroy()
  const from = performance.now()
  await expect.poll(async () => (await jobs())[0].state).toBe('canceled')
  expectInTime(performance.now() - from, 4_000)
  expect(performance.now() - from).toBeGreaterThan(350)
})

it.each<[string, () => Buffer, number]>([
  ['202', () => post(QUICK, {}, { prefer: 'respond-async' }), 202],
  ['a slow JSON answer', () => post('demo: tokens=10 delay=50 ttft=100'), 200],
  ['a stream', () => post('demo: tokens=10 delay=50 ttft=100', { stream: true }), 200],
])(
  'what is no request is refused after the answers before it, not in their place: %s',
  async (_name, first, status) => {
    app = await startTestApp()
    const text = await exchange(Buffer.concat([first(), BREW]), false)
    expect(statuses(text)).toEqual([status, 405])
    expect(text.trimEnd().endsWith('}')).toBe(true)
    expect(statuses(await exchange(Buffer.concat([first(), first(), Buffer.from('\x16\x03\x01')]), false))).toEqual([
      status,
      status,
      400,
    ])
  },
)

it('a connection asks for so many answers at once, and no more', async () => {
  app = await startTestApp()
  const one = request('GET', '/v1/models', auth())
  const last = request('GET', '/v1/models', { ...auth(), connection: 'close' })
  const slow = post('demo: tokens=5 delay=20 ttft=1500')
  const text = await exchange(Buffer.concat([slow, ...Array.from({ length: 300 }, () => one), last]), false)
  const got = statuses(text)
  expect(got.length).toBe(302)
  expect([got[0], got[1], got[100], got[200]]).toEqual([200, 200, 429, 429])
})
