/** `policy: cheapest` where the configuration names no price: the list's decide, and the trace shows them. */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { ADMIN_KEY, startTestApp, type TestApp } from './app.ts'
import { request, send } from './wire.ts'

let upstream: Server
let app: TestApp
/** Models that the provider was asked for. */
let seen: string[]

beforeEach(async () => {
  seen = []
  upstream = createServer(async (request, response) => {
    let body = ''
    for await (const part of request) body += part
    seen.push(JSON.parse(body).model)
    const choices = [{ index: 0, message: { role: 'assistant', content: 'Hi' }, finish_reason: 'stop' }]
    const usage = { prompt_tokens: 1_000, completion_tokens: 500, total_tokens: 1_500 }
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end(JSON.stringify({ id: 'c1', object: 'chat.completion', created: 1, model: 'm', choices, usage }))
  })
  await new Promise<void>((done) => upstream.listen(0, '127.0.0.1', done))
})
afterEach(async () => {
  await app?.stop()
  upstream.close()
})

const DEAR = 'gpt-5.3-codex'
const CHEAP = 'gpt-5-mini'
async function start(policy: string, more: object = {}): Promise<void> {
  const base_url = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}/v1`
  const at = { name: 'chat', provider: 'openai', base_url, api_key: { env: 'KEY' } }
  const models = [
    { ...at, model: DEAR, deployment: 'dear', ...more },
    { ...at, model: CHEAP, deployment: 'cheap' },
    { ...at, model: 'of-nobody', deployment: 'unknown' },
  ]
  app = await startTestApp({}, { models, routing: { policy } }, { KEY: 'sk-0123456789' })
}
async function ask(times: number): Promise<void> {
  for (let n = 0; n < times; n++) {
    const body = JSON.stringify({ model: 'chat', max_tokens: 500, messages: [{ role: 'user', content: `hello ${n}` }] })
    const headers = { authorization: `Bearer ${app.key}` }
    expect((await send(app.port, request('POST', '/v1/chat/completions', headers, body))).status).toBe(200)
  }
}
const admin = async (path: string, body?: object): Promise<Record<string, any>> => {
  const headers = { authorization: `Bearer ${ADMIN_KEY}` }
  const text = body === undefined ? undefined : JSON.stringify(body)
  return JSON.parse((await send(app.adminPort, request(body === undefined ? 'GET' : 'POST', path, headers, text))).body)
}

it('goes where the list says that it costs least, and is charged by it', async () => {
  await start('cheapest')
  await ask(8)
  expect(seen).toEqual(Array(8).fill(CHEAP))
  const { total } = await admin('/admin/usage')
  // 1,000 tokens in at 0.25 dollars a million, 500 out at 2
  expect(total['nano_dollars']).toBe(8 * (1_000 * 250 + 500 * 2_000))
  const told = JSON.stringify(await admin('/admin/route/explain', { model: 'chat', prompt_tokens: 1_000 }))
  expect(told).toContain('nano_dollars')
})

it('a price of the configuration beats that of the list', async () => {
  await start('cheapest', { price: { input: 0.001, output: 0.001 } })
  await ask(4)
  expect(seen).toEqual(Array(4).fill(DEAR))
})

it('under another policy prices decide nothing', async () => {
  await start('round-robin')
  await ask(6)
  expect(new Set(seen)).toEqual(new Set([DEAR, CHEAP, 'of-nobody']))
})
