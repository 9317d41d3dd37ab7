/** A model that dies while it thinks: where thought is not shown, another one answers, and nobody sees it. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { startTestApp, type TestApp } from './app.ts'

let app: TestApp
const thinks = createServer((request, response) => {
  request.resume().on('end', () => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write('data: {"id":"a","choices":[{"index":0,"delta":{"role":"assistant","reasoning_content":"Hm"}}]}\n\n')
    setTimeout(() => response.destroy(), 200)
  })
})

beforeAll(async () => {
  await new Promise<void>((done) => thinks.listen(0, '127.0.0.1', done))
  const base = `http://127.0.0.1:${(thinks.address() as AddressInfo).port}/v1`
  app = await startTestApp(
    {},
    {
      models: [
        { name: 'm', deployment: 'first', provider: 'openai-compatible', base_url: base, order: 1 },
        { name: 'm', deployment: 'second', provider: 'demo', order: 2 },
      ],
    },
  )
})
afterAll(async () => {
  await app?.stop()
  thinks.closeAllConnections()
  thinks.close()
})

const ask = async (path: string, body: object): Promise<[number, string]> => {
  const response = await fetch(`http://127.0.0.1:${app.port}${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${app.key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'm', stream: true, ...body }),
  })
  return [response.status, await response.text()]
}
const FAST = 'demo: tokens=8 delay=1 ttft=1'
const messages = [{ role: 'user', content: FAST }]

it('completions and messages go on elsewhere', async () => {
  const [status, text] = await ask('/v1/completions', { prompt: FAST })
  expect([status, text.includes('error'), text.trim().endsWith('[DONE]')]).toEqual([200, false, true])
  const [, events] = await ask('/v1/messages', { messages, max_tokens: 99 })
  expect(events.match(/event: message_start/g)).toHaveLength(1)
  expect([events.includes('event: error'), events.includes('event: message_stop')]).toEqual([false, true])
})

it('where thought is shown, it ends with an error', async () => {
  const thinking = { type: 'enabled', budget_tokens: 1_024 }
  const [, events] = await ask('/v1/messages', { messages, max_tokens: 99, thinking })
  expect([events.includes('event: error'), events.includes('event: message_stop')]).toEqual([true, false])
})
