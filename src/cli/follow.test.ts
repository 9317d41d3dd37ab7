/** `jobs follow` against a server that cuts, dies and comes back: the text is printed once and whole. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, it } from 'vitest'
import { createClient } from './client.ts'
import type { Output } from './command.ts'
import { follow } from './follow.ts'

const servers: Server[] = []
afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    await new Promise((done) => server.close(done))
  }
})

/** What the client asks besides events: is the server there, and the job? */
function answersPlainly({ url }: IncomingMessage, response: ServerResponse): boolean {
  if (url!.endsWith('/events')) return false
  response.setHeader('content-type', 'application/json').end('{"state":"leased"}')
  return true
}

/** `handler`: of the job's events. */
const serve = (handler: (request: IncomingMessage, response: ServerResponse) => void): Promise<string> =>
  serveAll((request, response) => {
    if (!answersPlainly(request, response)) handler(request, response)
  })

async function serveAll(handler: (request: IncomingMessage, response: ServerResponse) => void): Promise<string> {
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
const seqAfter = (request: IncomingMessage): number =>
  Number(/^1-(\d+)$/.exec(String(request.headers['last-event-id'] ?? '1-0'))![1])

/** Sends a few events, then half of the next one, and cuts. */
const cutting =
  (every: number, seen: string[]) =>
  (request: IncomingMessage, response: ServerResponse): void => {
    seen.push(
      `${request.method} ${request.url} ${request.headers['last-event-id'] ?? 'start'} ` +
        `${request.headers.authorization}`,
    )
    let seq = seqAfter(request)
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
  expect(await follow(client, 'job_1', { after: null, json: false, out })).toBe('done')
  expect(out.text.replaceAll('\n', '')).toBe(WHOLE)
  expect(out.notes).toEqual(['(attempt 2, continue, on b)', '(done)'])
  expect(seen.length).toBe(Math.ceil(LOG.length / 4))
  expect(seen.slice(0, 2)).toEqual([
    'GET /v1/jobs/job_1/events start Bearer key',
    'GET /v1/jobs/job_1/events 1-4 Bearer key',
  ])
})

it('goes on while the server is away, and starts after a given cursor', async () => {
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
  expect(await follow(createClient(url, 'key'), 'job_1', { after: null, json: false, out })).toBe('failed')
  expect(out.text).toBe('wrong\nright\n')
  expect(out.notes).toEqual([
    '(the text above is withdrawn: worker_lost; again from the start:)',
    'failed: It broke. (provider_cut)',
  ])
})

it('writes events as JSON lines for machines', async () => {
  const out = screen()
  const url = await serve(cutting(99, []))
  await follow(createClient(url, 'key'), 'job_1', { after: '1-32', json: true, out })
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
  const url = await serveAll((request, response) =>
    request.url!.endsWith('/events') ? response.writeHead(204).end() : response.end('{"state":"canceled"}'),
  )
  expect(await follow(createClient(url, 'key'), 'job_1', { after: '1-34', json: false, out: screen() })).toBe(
    'canceled',
  )
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
    }),
  ).rejects.toMatchObject({ message: 'Gone.', exitCode: status === 401 ? 4 : 1 })
  expect(asked).toBe(1)
})

it('asks nothing more of a server that does not know the job', async () => {
  const asked: string[] = []
  const url = await serveAll((request, response) => {
    asked.push(request.url!)
    response.writeHead(404).end('{"error":{"code":"conversation_not_found","message":"Gone."}}')
  })
  await expect(
    follow(createClient(url, 'key'), 'job_1', { after: null, json: false, out: screen() }),
  ).rejects.toMatchObject({ message: 'Gone.', exitCode: 1 })
  expect(asked).toEqual(['/v1/jobs/job_1'])
})

it('gives up at last on a server that sends nothing, however it answers', async () => {
  let tries = 0
  const url = await serve((_request, response) => {
    tries++
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write(': hb\n\n', () => response.destroy())
  })
  await expect(
    follow(createClient(url, 'key'), 'job_1', { after: null, json: false, out: screen(), maxTries: 3 }),
  ).rejects.toMatchObject({ message: expect.stringContaining('no answer from http://127'), exitCode: 3 })
  expect(tries).toBe(3)
})

it('shows the first choice, its refusal and its tool calls', async () => {
  const out = screen()
  const delta = (index: number, more: object): [string, object] => ['chunk', { choices: [{ index, delta: more }] }]
  const call = (f: object): object => ({ tool_calls: [{ index: 0, function: f }] })
  const url = await serve((_request, response) => {
    const events = [
      delta(0, { content: null, refusal: 'No. ' }),
      delta(1, { content: 'the second choice' }),
      delta(0, call({ name: 'look_up', arguments: '{"q":' })),
      delta(0, call({ arguments: '"x"}' })),
      ['end', { state: 'done' }],
    ] as Array<[string, object]>
    response.end(
      events.map(([type, data], i) => `id: 1-${i + 1}\nevent: ${type}\ndata: ${JSON.stringify(data)}\n\n`).join(''),
    )
  })
  await follow(createClient(url, 'key'), 'job_1', { after: null, json: false, out })
  expect(out.text).toBe('No. \nlook_up: {"q":"x"}\n')
})

it('does not wait for a server that was never there', async () => {
  const url = await serve(() => {})
  await new Promise((done) => servers.pop()!.close(done))
  await expect(
    follow(createClient(url, 'key'), 'job_1', {
      after: null,
      json: false,
      out: screen(),
    }),
  ).rejects.toThrow(/no answer from http:\/\/127/)
})
