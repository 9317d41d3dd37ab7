/** Prompts that weigh more than estimated: what the upstream reports of some is held for those after them. */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { eventually } from '../conformance/harness.ts'
import { startTestApp, type TestApp } from './app.ts'
import { request, send } from './wire.ts'

const PROMPT_TOKENS = 1_000
const OUTPUT_TOKENS = 5
const CALL = PROMPT_TOKENS + OUTPUT_TOKENS
const ANSWER = JSON.stringify({
  ...{ id: 'c1', object: 'chat.completion', created: 1, model: 'm' },
  choices: [{ index: 0, message: { role: 'assistant', content: 'Hi' }, finish_reason: 'stop' }],
  usage: { prompt_tokens: PROMPT_TOKENS, completion_tokens: OUTPUT_TOKENS, total_tokens: CALL },
})
/** More than twenty calls. */
const TOKENS_PER_MINUTE = 20.5 * CALL
const KNOWN = 8
const CROWD = 40

let upstream: Server
let app: TestApp
/** When the upstream was asked, ms. */
let asked: number[]

beforeEach(async () => {
  asked = []
  upstream = createServer((request, response) => {
    request.resume()
    asked.push(performance.now())
    const isAlone = asked.length <= KNOWN
    setTimeout(
      () => response.writeHead(200, { 'content-type': 'application/json' }).end(ANSWER),
      // So that a crowd is in flight together
      isAlone ? 0 : 200,
    )
  })
  await new Promise<void>((done) => upstream.listen(0, '127.0.0.1', done))
  const base_url = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}/v1`
  const limits = { tokens_per_minute: Math.floor(TOKENS_PER_MINUTE) }
  app = await startTestApp(
    {},
    { models: [{ name: 'chat', provider: 'openai-compatible', model: 'm', base_url, limits }] },
  )
})
afterEach(async () => {
  await app?.stop()
  upstream.closeAllConnections()
  upstream.close()
})

const post = (path: string, body: object) =>
  send(app.port, request('POST', path, { authorization: `Bearer ${app.key}` }, JSON.stringify(body)))
const chat = (n: number) => ({
  model: 'chat',
  max_tokens: OUTPUT_TOKENS,
  messages: [{ role: 'user', content: `${n} ${'A prompt of some words. '.repeat(14)}` }],
})

it('a crowd is not sent more than a minute allows, once some were answered', async () => {
  for (let i = 0; i < KNOWN; i++) expect((await post('/v1/chat/completions', chat(i))).status).toBe(200)
  const jobs = await Promise.all(Array.from({ length: CROWD }, (_, i) => post('/v1/jobs', { request: chat(i) })))
  expect(jobs.map(({ status }) => status)).toEqual(jobs.map(() => 202))
  // All that fits is used …
  await eventually(() => expect(asked.length).toBeGreaterThanOrEqual(18))
  // … and nothing more, when those are answered, too
  await new Promise((done) => setTimeout(done, 600))
  expect(asked.at(-1)! - asked[0]).toBeLessThan(60_000)
  expect(asked.length * CALL).toBeLessThanOrEqual(TOKENS_PER_MINUTE)
})
