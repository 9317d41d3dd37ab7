/**
 * D6, the upstream's side: whatever it answers, in the sizes and shapes that hurt, it holds the loop for less than
 * 200 ms at a stretch, on the whole way: read, judged, stored, rendered in every form, remembered.
 */
import { request as httpRequest } from 'node:http'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { DEEP } from '../depth.ts'
import { encode, openPeer } from '../protocol/peer.ts'
import { startTestApp, type TestApp } from './app.ts'
import { type LargeUpstream, startLargeUpstream } from './large-upstream.ts'
import { watchLoop } from './loop.ts'

const HELD_MS = 200
const BYTES = 16_000_000

let app: TestApp
let upstream: LargeUpstream
beforeAll(async () => {
  upstream = await startLargeUpstream()
  const model = { name: 'm', provider: 'openai-compatible', base_url: upstream.url, kinds: ['chat', 'embedding'] }
  app = await startTestApp({}, { models: [model], durability: 'process' })
})
afterAll(async () => {
  await app?.stop()
  await upstream?.stop()
})

const many = (before: string, piece: string, after: string, length = BYTES): Buffer =>
  Buffer.from(before + piece.repeat(Math.floor((length - before.length - after.length) / piece.length)) + after)
const HEAD = '{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,'
const END = '"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}'
/** As a document and as an event. */
const inAnswer = (before: string, piece: string, after: string, length = BYTES) => ({
  document: () => many(`${HEAD}"message":{"role":"assistant",${before}`, piece, `${after}},${END}`, length),
  event: () =>
    Buffer.concat([
      Buffer.from('data: '),
      many(`${HEAD}"delta":{"role":"assistant",${before}`, piece, `${after}},${END}`, length),
      Buffer.from('\n\ndata: [DONE]\n\n'),
    ]),
})

type Answers = ReadonlyArray<readonly [string, ReturnType<typeof inAnswer>]>
/** At the caps of core/answer-limits.ts, and beyond them: one of each kind. */
const answers: Answers = [
  ['one long text', inAnswer('"content":"', 'some text ', '"')],
  ['many small objects', inAnswer('"content":"x","x":[', '{"a":0},', '0]')],
  ['lists in lists', inAnswer('"content":"x","x":[', `${'['.repeat(60)}${']'.repeat(60)},`, '0]')],
]
/** More of those kinds. */
const moreAnswers: Answers = [
  ['white space', inAnswer('"content":"x"', ' ', '')],
  [
    'log probabilities',
    inAnswer('"content":"x","x":[', '{"token":"ab","logprob":-0.12,"bytes":[97,98]},', '0]', 7_000_000),
  ],
  ['one long text of two-byte characters', inAnswer('"content":"', 'é', '"', BYTES / 2)],
  ['one long text of backslashes', inAnswer('"content":"', '\\\\', '"')],
  ['one long text of line ends', inAnswer('"content":"', '\\n', '"')],
  ['an image', inAnswer('"content":"x","images":[{"type":"image_url","image_url":{"url":"data:,', 'AAAA', '"}}]')],
  ['small objects', inAnswer('"content":"x","x":[', '{"a":0},', '0]', 2_350_000)],
  ['empty lists', inAnswer('"content":"x","x":[', '[],', '0]', 890_000)],
  ['small numbers', inAnswer('"content":"x","x":[', '1,', '0]', 1_990_000)],
  ['long numbers', inAnswer('"content":"x","x":[', '0.1234567890123,', '0]', 15_900_000)],
  ['line ends', inAnswer('"content":"x"', '\r', '')],
]

const response = (body: Buffer, type: string): Buffer =>
  Buffer.concat([
    Buffer.from(`HTTP/1.1 200 OK\r\ncontent-type: ${type}\r\ncontent-length: ${body.length}\r\n\r\n`),
    body,
  ])

/** What comes back is thrown away: an answer as text would cost this thread what is measured. */
function ask(method: string, path: string, body?: object): Promise<{ bytes: number; start: string; job: string }> {
  return new Promise((done, failed) => {
    const call = httpRequest(
      { port: app.port, method, path, headers: { authorization: `Bearer ${app.key}` } },
      (answer) => {
        let [bytes, start] = [0, '']
        answer.on('data', (data: Buffer) => {
          bytes += data.length
          if (start.length < 400) start += data.toString('latin1', 0, 400)
        })
        answer.on('end', () => done({ bytes, start, job: String(answer.headers['sluice-job']) }))
        answer.on('error', failed)
      },
    )
    call.on('error', failed)
    call.end(body === undefined ? '' : JSON.stringify(body))
  })
}

/** What is slow is slow each time: the least of three tries. */
async function heldMs(work: () => Promise<unknown>): Promise<number> {
  let least = Infinity
  for (let tries = 0; tries < 3 && least >= HELD_MS; tries++) {
    const loop = watchLoop()
    loop.start()
    await work()
    least = Math.min(least, loop.stop())
  }
  return least
}

async function follow(job: string): Promise<void> {
  const peer = await openPeer(`http://127.0.0.1:${app.port}`, { headers: { authorization: `Bearer ${app.key}` } })
  peer.socket.removeAllListeners('data')
  let tail = ''
  const ended = new Promise<void>((done) =>
    peer.socket.on('data', (data: Buffer) => {
      tail = tail.slice(-300) + data.toString('latin1', Math.max(0, data.length - 2_000))
      if (/"t":"(?:end|error)"/.test(tail)) done()
    }),
  )
  const write = (frame: object): void => peer.write(encode(JSON.stringify(frame), { mask: new Uint8Array(4) }))
  write({ t: 'hello' })
  write({ t: 'attach', id: '1', job })
  await ended
  peer.drop()
}

const chat = (more: object = {}) => ({ model: 'm', messages: [{ role: 'user', content: 'hello' }], ...more })

let conversations = 0
describe.each(DEEP ? [...answers, ...moreAnswers] : answers)('%s', (_name, { document, event }) => {
  it.each([
    ['as a document', false],
    ['as an event', true],
  ])('%s', async (_form, stream) => {
    upstream.says(response(stream ? event() : document(), stream ? 'text/event-stream' : 'application/json'))
    let job = ''
    const held: Record<string, number> = {}
    // In a conversation: all that is done without one, and then it is remembered
    held['answer'] = await heldMs(async () => {
      const sluice = { conversation: `c${++conversations}` }
      const answer = await ask('POST', '/v1/chat/completions', chat({ stream, sluice }))
      job = answer.job
    })
    held['result'] = await heldMs(() => ask('GET', `/v1/jobs/${job}/result`))
    held['chat events'] = await heldMs(() => ask('GET', `/v1/jobs/${job}/events?dialect=chat`))
    held['socket'] = await heldMs(() => follow(job))
    expect(Object.entries(held).filter(([, ms]) => ms >= HELD_MS)).toEqual([])
  })
})

it('2,048 embeddings of 1,536 numbers', async () => {
  const vector = Array.from({ length: 1_536 }, (_, i) => (Math.sin(i) / 2).toFixed(7)).join(',')
  const data = Array.from({ length: 2_048 }, (_, i) => `{"object":"embedding","index":${i},"embedding":[${vector}]}`)
  const body = Buffer.from(`{"object":"list","data":[${data.join(',')}],"usage":{"prompt_tokens":1,"total_tokens":1}}`)
  upstream.says(response(body, 'application/json'))
  let job = ''
  const held: Record<string, number> = {}
  held['plain'] = await heldMs(async () => {
    const answer = await ask('POST', '/v1/embeddings', { model: 'm', input: Array.from({ length: 2_048 }, () => 'x') })
    expect(answer.bytes).toBe(body.length)
    job = answer.job
  })
  held['result'] = await heldMs(() => ask('GET', `/v1/jobs/${job}/result`))
  held['socket'] = await heldMs(() => follow(job))
  expect(Object.entries(held).filter(([, ms]) => ms >= HELD_MS)).toEqual([])
})

it.each([
  ['as a document', false],
  ['as an event', true],
])('one text of more than 16 MiB is refused, and says so: %s', async (_form, stream) => {
  const { document, event } = inAnswer('"content":"', 'some text ', '"', 40_000_000)
  upstream.says(response(stream ? event() : document(), stream ? 'text/event-stream' : 'application/json'))
  let start = ''
  const held = await heldMs(async () => {
    const answer = await ask('POST', '/v1/chat/completions', chat({ stream }))
    start = answer.start
  })
  expect(start).toContain('larger than 16 MiB')
  expect(start).toContain('result_too_large')
  expect(held).toBeLessThan(HELD_MS)
})
