/** Which connections carry another request, and which requests are sent again: over real sockets. */
import { once } from 'node:events'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { systemClock } from '../../../core/clock.ts'
import { chunk, codeOf, frame, HEAD, RawUpstream, sse, stream } from '../testing/upstream.ts'

const ANSWER = stream(chunk('{"content":"Hi"}'), chunk('{}', '"stop"'), '[DONE]')

let upstream: RawUpstream
/** How far the client's clock is ahead. */
let ahead = 0
let sweeps = true

beforeEach(async () => {
  ahead = 0
  sweeps = true
  upstream = new RawUpstream()
  await upstream.start({
    clock: {
      ...systemClock,
      monoMs: () => systemClock.monoMs() + ahead,
      every: (ms, fn) => systemClock.every(ms, () => sweeps && fn()),
    },
  })
})
afterEach(() => upstream.stop())

const called = async (): Promise<string> => codeOf(await upstream.call())

it('what follows an answer uncalled for is never taken for the next one', async () => {
  upstream.says(ANSWER + stream(chunk('{"content":"somebody else\'s"}'), chunk('{}', '"stop"'), '[DONE]'), ANSWER)
  expect(await called()).toBe('done')
  const { events } = await upstream.call()
  expect(events.join('')).not.toContain('somebody')
  expect(upstream.sockets.length).toBe(2)
})

it('a connection is used again for as long as its server says, less half a second', async () => {
  upstream.says(ANSWER.replace('\r\n', '\r\nkeep-alive: timeout=3600\r\n'))
  for (let i = 0; i < 3; i++) expect(await called()).toBe('done')
  expect(upstream.sockets.length).toBe(1)
  upstream.says(ANSWER.replace('\r\n', '\r\nkeep-alive: timeout=30\r\n'))
  await called()
  ahead += 29_500
  await called()
  expect(upstream.sockets.length).toBe(2)
})

it('and for less than a minute if it says nothing, or more', async () => {
  upstream.says(ANSWER, ANSWER.replace('\r\n', '\r\nkeep-alive: timeout=3600\r\n'), ANSWER)
  for (const connections of [1, 2, 3]) {
    expect(await called()).toBe('done')
    expect(upstream.sockets.length).toBe(connections)
    ahead += 55_000
  }
})

it('a request is on its way once its connection stands, at once on one that is kept', async () => {
  upstream.says(ANSWER)
  for (const isKept of [false, true]) {
    const began = systemClock.monoMs()
    let atEnd: number | null = null
    await new Promise<void>((done) => {
      const run = upstream.provider.start(
        {
          kind: 'chat',
          body: Buffer.from('{"model":"m","messages":[]}'),
          stream: true,
          requestId: 'r',
          timeouts: { ttftMs: 9_000, interTokenMs: 9_000, totalMs: 9_000 },
        },
        {
          events() {},
          document() {},
          end() {
            atEnd = run.sentMono
            done()
          },
        },
      )
      if (isKept) expect(run.sentMono).toBeGreaterThanOrEqual(began)
      else expect(run.sentMono).toBeNull()
    })
    expect(atEnd).toBeGreaterThanOrEqual(began)
  }
  expect(upstream.sockets.length).toBe(1)
})

it('a request whose answer had begun is not sent again', async () => {
  upstream.says(ANSWER)
  await called()
  upstream.answer = (socket) => void socket.end('HTTP/1.1 20')
  expect(await called()).not.toBe('done')
  expect(upstream.asked.length).toBe(2)
})

it('nor is one that was under way when the client was closed', async () => {
  upstream.says(ANSWER)
  await called()
  const asked = Promise.withResolvers<void>()
  upstream.answer = () => asked.resolve()
  const outcome = called()
  await asked.promise
  upstream.provider.close()
  expect(await outcome).toBe('provider_unreachable')
  expect([upstream.asked.length, upstream.sockets.length]).toEqual([2, 1])
})

it('what comes after the end of an answer is read only so far', async () => {
  sweeps = false
  const begun = HEAD + frame(sse([chunk('{"content":"Hi"}'), chunk('{}', '"stop"'), '[DONE]']))
  upstream.says(begun)
  expect(await called()).toBe('done')
  const [socket] = upstream.sockets
  const closed = once(socket, 'close')
  const more = setInterval(() => socket.write(frame(`:${'x'.repeat(8_000)}\n\n`), 'latin1'), 1)
  await closed
  clearInterval(more)
  expect(socket.bytesWritten).toBeGreaterThan(64 * 1024)
})
