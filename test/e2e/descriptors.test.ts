/** Out of file descriptors, an accepted job waits: that is not the provider's fault, nor the job's (D16). */
import { execFileSync, spawnSync } from 'node:child_process'
import { Agent, request } from 'node:http'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { chunk, RawUpstream, stream } from '../../src/routing/providers/testing/upstream.ts'
import { type Server, startServer } from './server.ts'

const job = { request: { model: 'm', messages: [{ role: 'user', content: 'hello' }] } }
const hasPrlimit = spawnSync('prlimit', ['--version']).status === 0

let server: Server
let upstream: RawUpstream
const agent = new Agent({ keepAlive: true, maxSockets: 1 })

beforeAll(async () => {
  upstream = new RawUpstream()
  await upstream.start()
  upstream.says(stream(chunk('{"content":"Hi"}'), chunk('{}', '"stop"'), '[DONE]'))
  server = await startServer(
    `durability: memory\nmodels: [{ name: m, provider: openai-compatible, base_url: "${upstream.url}/v1" }]\n` +
      'http: { keep_alive_ms: 60s }\n',
  )
})
afterAll(async () => {
  agent.destroy()
  await server?.stop()
  await upstream?.stop()
})

/** Always over the same connection: the server can't accept another. */
function ask(method: string, path: string, body?: object): Promise<Record<string, any>> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(server.url)
    const headers = { authorization: `Bearer ${server.key}`, 'content-type': 'application/json' }
    const asked = request({ agent, hostname, port, method, path, headers }, (response) => {
      let text = ''
      response.on('data', (part) => (text += String(part)))
      response.on('end', () => resolve(JSON.parse(text) as Record<string, any>))
    })
    asked.on('error', reject)
    asked.end(body === undefined ? undefined : JSON.stringify(body))
  })
}

it.skipIf(!hasPrlimit)('waits, and goes on when there are some again', async () => {
  // In memory: what a store does without descriptors is its own matter
  const warm = await ask('POST', '/v1/jobs', job)
  expect(await ask('GET', `/v1/jobs/${warm['id']}?wait_ms=20000`)).toMatchObject({ state: 'done' })
  for (const socket of upstream.sockets) socket.destroy()
  upstream.asked.length = 0
  const limit = (soft: string): void => void execFileSync('prlimit', ['--pid', String(server.pid), `--nofile=${soft}:`])
  // What is open stays open, and nothing new can be opened
  limit('3')
  const made = await ask('POST', '/v1/jobs', job)
  const stuck = await ask('GET', `/v1/jobs/${made['id']}?wait_ms=1500`)
  expect([stuck['error'], upstream.asked.length]).toEqual([null, 0])
  expect(['queued', 'waiting', 'leased']).toContain(stuck['state'])
  expect(server.output()).toContain('EMFILE')
  limit('4096')
  const ended = await ask('GET', `/v1/jobs/${made['id']}?wait_ms=20000`)
  expect([ended['state'], upstream.asked.length]).toEqual(['done', 1])
})
