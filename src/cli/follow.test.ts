/** `jobs follow` against a server that cuts, dies and comes back: the text is printed once and whole. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import fc from 'fast-check'
import { afterEach, expect, it } from 'vitest'
import { systemClock } from '../core/clock.ts'
import { createClient } from './client.ts'
import type { Output } from './command.ts'
import { splitEvents } from './events.ts'
import { follow } from './follow.ts'

const servers: Server[] = []
afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    await new Promise((done) => server.close(done))
  }
})

async function serve(handler: (request: IncomingMessage, response: ServerResponse) => void): Promise<string> {
  const server = createServer(handler)
  servers.push(server)
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

function screen(): Output & { text: string; notes: string[] } {
  return {
    text: '',
    notes: [],
    write(text) {
      this.text += text
    },
    print(line) {
      this.text += `${line}\n`
    },
    note(line) {
      this.notes.push(line)
    },
  }
}

const chunk = (content: string): [string, object] => ['chunk', { choices: [{ index: 0, delta: { content } }] }]
const LOG: ReadonlyArray<[string, object]> = [
  ['attempt', { n: 1, mode: 'first', deployment: 'a' }],
  ...Array.from({ length: 20 }, (_, i) => chunk(`word${i} `)),
  ['attempt', { n: 2, mode: 'continue', deployment: 'b' }],
  ...Array.from({ length: 10 }, (_, i) => chunk(`more${i} `)),
  ['usage', { choices: [], usage: {} }],
  ['end', { state: 'done' }],
]
const WHOLE = LOG.map(
  ([, data]) => (data as { choices?: Array<{ delta?: { content: string } }> }).choices?.[0]?.delta?.content ?? '',
).join('')
const wire = (seq: number): string =>
  `id: 1-${seq}\nevent: ${LOG[seq - 1][0]}\ndata: ${JSON.stringify(LOG[seq - 1][1])}\n\n`
const seqBehind = (request: IncomingMessage): number =>
  Number(/^1-(\d+)$/.exec(String(request.headers['last-event-id'] ?? '1-0'))![1])

/** Sends a few events, then half of the next one, and cuts. */
const cutting =
  (every: number, seen: string[]) =>
  (request: IncomingMessage, response: ServerResponse): void => {
    seen.push(
      `${request.method} ${request.url} ${request.headers['last-event-id'] ?? 'start'} ` +
        `${request.headers.authorization}`,
    )
    let seq = seqBehind(request)
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    for (let i = 0; i < every && seq < LOG.length; i++) response.write(wire(++seq))
    response.write(': hb\n')
    if (seq < LOG.length) response.write(wire(seq + 1).slice(0, -9), () => response.destroy())
    else response.end()
  }

it('prints the whole text once, over any number of cuts', async () => {
  const seen: string[] = []
  const out = screen()
  const client = createClient(await serve(cutting(4, seen)), 'key')
  expect(await follow(client, 'job_1', { after: null, json: false, out, clock: systemClock, retryMs: 1 })).toBe('done')
  expect(out.text.replaceAll('\n', '')).toBe(WHOLE)
  expect(out.notes).toEqual(['(attempt 2, continue, on b)', '(done)'])
  expect(seen.length).toBe(Math.ceil(LOG.length / 4))
  expect(seen.slice(0, 2)).toEqual([
    'GET /v1/jobs/job_1/events start Bearer key',
    'GET /v1/jobs/job_1/events 1-4 Bearer key',
  ])
})

it('goes on while the server is away, and starts behind a given cursor', async () => {
  const out = screen()
  let calls = 0
  const url = await serve((request, response) => {
    if (++calls === 1) return cutting(2, [])(request, response)
    if (calls < 4) return response.destroy()
    if (calls === 4)
      return response
        .writeHead(503, { 'content-type': 'application/json' })
        .end('{"error":{"code":"draining","message":"later"}}')
    cutting(99, [])(request, response)
  })
  expect(
    await follow(createClient(url, 'key'), 'job_1', {
      after: '1-19',
      json: false,
      out,
      clock: systemClock,
      retryMs: 1,
    }),
  ).toBe('done')
  expect(out.text.startsWith('word18 word19')).toBe(true)
  expect(calls).toBe(5)
})

it('says what is withdrawn, and how it failed', async () => {
  const out = screen()
  const url = await serve((_request, response) => {
    const events: Array<[string, object]> = [
      chunk('wrong'),
      ['reset', { reason: 'worker_lost' }],
      chunk('right'),
      ['end', { state: 'failed', error: { code: 'provider_cut', message: 'It broke.' } }],
    ]
    response.end(
      events
        .map(([type, data], i) => `id: 1-${i + 1}\r\nevent:${type}\r\ndata: ${JSON.stringify(data)}\r\n\r\n`)
        .join(''),
    )
  })
  expect(await follow(createClient(url, 'key'), 'job_1', { after: null, json: false, out, clock: systemClock })).toBe(
    'failed',
  )
  expect(out.text).toBe('wrong\nright\n')
  expect(out.notes).toEqual([
    '(the text above is withdrawn: worker_lost; again from the start:)',
    'failed: It broke. (provider_cut)',
  ])
})

it('writes events as JSON lines for machines', async () => {
  const out = screen()
  const url = await serve(cutting(99, []))
  await follow(createClient(url, 'key'), 'job_1', { after: '1-32', json: true, out, clock: systemClock })
  expect(
    out.text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line)),
  ).toEqual([
    { id: '1-33', event: 'usage', data: LOG[32][1] },
    { id: '1-34', event: 'end', data: LOG[33][1] },
  ])
})

it('asks for the state when the cursor is at the end already', async () => {
  const url = await serve((request, response) =>
    request.url!.endsWith('/events') ? response.writeHead(204).end() : response.end('{"state":"canceled"}'),
  )
  expect(
    await follow(createClient(url, 'key'), 'job_1', { after: '1-34', json: false, out: screen(), clock: systemClock }),
  ).toBe('canceled')
})

it.each([
  [401, 'invalid_token'],
  [404, 'conversation_not_found'],
  [410, 'job_gone'],
])('ends with what the server refuses for good: %s', async (status, code) => {
  let asked = 0
  const url = await serve((_request, response) => {
    asked++
    response.writeHead(status).end(JSON.stringify({ error: { code, message: 'Gone.' } }))
  })
  await expect(
    follow(createClient(url, 'key'), 'job_1', {
      after: null,
      json: false,
      out: screen(),
      clock: systemClock,
      retryMs: 1,
    }),
  ).rejects.toMatchObject({ message: 'Gone.', exitCode: status === 401 ? 4 : 1 })
  expect(asked).toBe(1)
})

it('does not wait for a server that was never there', async () => {
  const url = await serve(() => {})
  await new Promise((done) => servers.pop()!.close(done))
  await expect(
    follow(createClient(url, 'key'), 'job_1', {
      after: null,
      json: false,
      out: screen(),
      clock: systemClock,
      retryMs: 60_000,
    }),
  ).rejects.toThrow(/no answer from http:\/\/127/)
})

it('reads the same events however the bytes are split', async () => {
  const text =
    'event: chunk\nid: 1-1\ndata: {"a":"ä€😀"}\n\n: hb\ndata:x\ndata:  y\n\nid: 1-2\n\nevent: end\r\n' +
    'data: last\r\n\r\ndata: cut off'
  const expected = [
    { id: '1-1', type: 'chunk', data: '{"a":"ä€😀"}' },
    { id: null, type: 'message', data: 'x\n y' },
    { id: null, type: 'end', data: 'last' },
  ]
  const bytes = Buffer.from(text)
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(bytes.length)), async (cuts) => {
      const at = [0, ...cuts.toSorted((a, b) => a - b), bytes.length]
      const parts = at.slice(1).map((end, i) => bytes.subarray(at[i], end))
      const bytesOf = async function* () {
        yield* parts
      }
      const events: unknown[] = []
      for await (const event of splitEvents(bytesOf())) events.push(event)
      expect(events).toEqual(expected)
    }),
    { numRuns: 200 },
  )
})
