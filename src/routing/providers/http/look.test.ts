import { afterEach, beforeEach, expect, it } from 'vitest'
import { manualClock } from '../../../../test/manual-clock.ts'
import { RawUpstream, response, SECRET } from '../testing/upstream.ts'

const upstream = new RawUpstream()
beforeEach(async () => {
  upstream.asked.length = 0
  await upstream.start()
})
afterEach(() => upstream.stop())

const look = (path = '/health', bounds = { timeoutMs: 5_000, maxBytes: 100 }) => upstream.provider.look!(path, bounds)

it('asks for a page of the server, not below the base URL, with the headers of calls', async () => {
  upstream.says(response('200 OK', 'fine'))
  expect(await look('/metrics')).toEqual({ status: 200, text: 'fine' })
  expect(upstream.asked[0]).toContain('GET /metrics HTTP/1.1\r\n')
  expect(upstream.asked[0]).toContain(`authorization: Bearer ${SECRET}\r\n`)
})

it.each([
  ['503 Service Unavailable', ''],
  ['404 Not Found', ''],
  ['302 Found', 'location: http://127.0.0.1:1/\r\n'],
])('%s is told by its status: nothing of it is read, and nobody is sent elsewhere', async (status, headers) => {
  upstream.says(response(status, 'x'.repeat(1_000), headers))
  expect(await look()).toEqual({ status: Number(status.slice(0, 3)), text: '' })
  expect(upstream.asked.length).toBe(1)
})

it('reads no more than it may', async () => {
  upstream.says(response('200 OK', 'x'.repeat(101)))
  expect(await look()).toEqual({ failure: 'an answer of more than 100 bytes' })
  upstream.says(response('200 OK', 'x'.repeat(1_000_000)))
  expect(await look('/health', { timeoutMs: 5_000, maxBytes: 0 })).toEqual({ status: 200, text: '' })
})

it.each([
  ['nothing', ''],
  ['a head', 'HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n'],
  ['a part', 'HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc'],
])('waits no longer than it may: %s', async (_, text) => {
  const clock = manualClock()
  await upstream.stop()
  const late = new RawUpstream()
  await late.start({ clock })
  const came = new Promise<void>((asked) => {
    late.answer = (socket) => void socket.write(text, () => asked())
  })
  const looked = late.provider.look!('/health', { timeoutMs: 100, maxBytes: 100 })
  await came
  clock.advance(101)
  expect(await looked).toEqual({ failure: 'no answer within 100 ms' })
  await late.stop()
})

it('what is no HTTP, and nobody there', async () => {
  upstream.answer = (socket) => void socket.end('hello\r\n\r\n')
  expect(await look()).toMatchObject({
    failure: expect.stringMatching(/^(garbage|unreachable|cut) \(/),
    isLocal: false,
  })
  await upstream.stop()
  expect(await look()).toMatchObject({ isLocal: true })
})
