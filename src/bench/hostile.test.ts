/** Whatever a measured server sends costs one request of the run, and neither the run nor a secret. */
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { systemClock } from '../core/clock.ts'
import { type Called, httpCaller } from './http.ts'
import { askTarget, TargetError } from './target.ts'

const KEY = 'sk-canary-0123456789abcdef'
const deep = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth)
const data = (text: string): string => `data: ${text}\n\n`
const token = (delta: string, reason = 'null', more = ''): string =>
  data(`{"choices":[{"index":0,"delta":${delta},"finish_reason":${reason}}]${more}}`)
const WELL = token('{"content":"hi"}') + token('{}', '"stop"')

type Answer = (response: ServerResponse, authorization: string) => void
const stream =
  (text: string): Answer =>
  (response) =>
    void response.setHeader('content-type', 'text/event-stream').end(text)

/** For ever, until the client has left. */
const endless =
  (piece: string): Answer =>
  (response) => {
    response.setHeader('content-type', 'text/event-stream')
    const timer = setInterval(() => response.write(piece), 20)
    response.on('close', () => clearInterval(timer))
  }

const ANSWERS: Readonly<Record<string, Answer>> = {
  timings: stream(data('{"choices":[],"timings":{"prompt_ms":{"toString":1,"valueOf":1}}}') + WELL),
  'timings-deep': stream(data(`{"choices":[],"timings":{"prompt_ms":${deep(20_000)}}}`) + WELL),
  'content-deep': stream(token(`{"content":${deep(200_000)}}`) + WELL),
  'document-deep': (response) =>
    void response
      .setHeader('content-type', 'application/json')
      .end(`{"choices":[{"message":{"content":${deep(200_000)}},"finish_reason":"stop"}]}`),
  reason: stream(token('{"content":"hi"}') + token('{}', '"CANARY what was asked"')),
  'reason-key': stream(token('{"content":"hi"}') + token('{}', `"${KEY}"`)),
  echo: (response, authorization) => {
    response.setHeader('x-request-id', authorization).setHeader('x-cache', KEY)
    stream(WELL)(response, authorization)
  },
  'error-key': (response) =>
    void response.writeHead(400, { 'content-type': 'application/json' }).end(`{"error":{"code":"${KEY}"}}`),
  tokens: endless(token('{"content":"hi"}')),
  comments: endless(': still here\n\n'),
  line: endless('x'.repeat(1024 * 1024)),
}

let server: Server
let base: string
beforeAll(async () => {
  server = createServer((asked, response) => {
    const name = asked.url!.split('/')[1]
    asked.resume()
    asked.on('end', () => {
      if (name === 'open-list') return void response.write('{')
      if (name === 'long-list') return endless('x'.repeat(1024 * 1024))(response, '')
      ANSWERS[name](response, asked.headers.authorization ?? '')
    })
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterAll(async () => {
  server.closeAllConnections()
  await new Promise((done) => server.close(done))
})

async function ask(name: string): Promise<Called> {
  const headers = { authorization: `Bearer ${KEY}` }
  const bounds = { silenceMs: 20_000, answerMs: 700 }
  const caller = httpCaller({ clock: systemClock, base: `${base}/${name}`, api: 'chat', headers, ...bounds })
  const call = { id: 'r-1', body: '{}', stream: true, scheduledMono: systemClock.monoMs() }
  return caller.call(call, new AbortController().signal).finally(() => caller.close())
}

describe('a strange answer', () => {
  it.each([
    ['timings', null],
    ['timings-deep', null],
    ['content-deep', 'garbage'],
    ['document-deep', 'garbage'],
    ['reason', null],
    ['tokens', 'timeout'],
    ['comments', 'timeout'],
    ['line', 'too_large'],
  ])('%s ends as %s', async (name, code) => {
    expect((await ask(name)).errorCode).toBe(code)
  })

  it.each(['reason', 'reason-key', 'echo', 'error-key'])('%s: neither text nor key is kept', async (name) => {
    const kept = JSON.stringify(await ask(name))
    expect(kept).not.toContain('CANARY')
    expect(kept.toLowerCase()).not.toContain(KEY)
  })
})

describe('a target whose list of models does not end', () => {
  it('is told as such', async () => {
    await expect(askTarget(`${base}/open-list`, {}, 500)).rejects.toThrow(TargetError)
  })

  it('is read as far as a list may be long', async () => {
    expect((await askTarget(`${base}/long-list`, {}, 20_000)).models).toEqual([])
  })
})
