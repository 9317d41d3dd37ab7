/** A store that has no room for an image has none for the next: its provider is not paid for it again. */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { startTestApp, type TestApp } from '../front/app.ts'

let app: TestApp
let upstream: Server
let calls = 0

beforeAll(async () => {
  const image = { b64_json: Buffer.alloc(100_000, 5).toString('base64') }
  upstream = createServer((request, response) => {
    calls++
    request.resume()
    if (request.url!.endsWith('speech')) {
      response.writeHead(200, { 'content-type': 'audio/mpeg' })
      response.end(Buffer.alloc(100_000, 7))
    } else {
      response.writeHead(200, { 'content-type': 'application/json' })
      response.end(JSON.stringify({ created: 7, data: [image] }))
    }
  })
  await new Promise<void>((done) => upstream.listen(0, '127.0.0.1', done))
  const base_url = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}/v1`
  const model = (name: string) => ({ name, provider: 'openai-compatible', base_url, kinds: ['image', 'speech'] })
  app = await startTestApp({}, { models: [model('makes')], files: { max_tenant_bytes: '64KiB' } })
})
afterAll(async () => {
  await app?.stop()
  upstream?.closeAllConnections()
  upstream?.close()
})

const request = (path: string, body?: object): Promise<Response> =>
  fetch(`http://127.0.0.1:${app.port}${path}`, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { authorization: `Bearer ${app.key}`, 'content-type': 'application/json' },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })

it.each([
  ['/v1/images/generations', { model: 'makes', prompt: 'a lake' }],
  ['/v1/audio/speech', { model: 'makes', input: 'hello', voice: 'alloy' }],
])('%s: one call, and its job has ended', async (endpoint, body) => {
  calls = 0
  const { id } = (await (await request('/v1/jobs', { endpoint, request: body })).json()) as { id: string }
  const job = (await (await request(`/v1/jobs/${id}?wait_ms=20000`)).json()) as object
  expect(job).toMatchObject({ state: 'failed', attempts: 1, error: { code: 'storage_full' } })
  expect(calls).toBe(1)
  // What was begun is removed behind its end
  await vi.waitFor(
    async () => expect(((await (await request('/v1/files')).json()) as { data: object[] }).data).toEqual([]),
    10_000,
  )
})
