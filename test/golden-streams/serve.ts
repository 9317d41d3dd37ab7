/**
 * Replays the recordings at their pace: the model's name is the stream's. For tools that want a server.
 *
 *   node test/golden-streams/serve.ts [PORT]     POST /v1/chat/completions {"model": "worked", "stream": true, …}
 */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { systemClock } from '../../src/core/clock.ts'
import { STREAMS } from './streams.ts'

export async function serveGolden(port: number): Promise<{ readonly url: string; close(): Promise<void> }> {
  const server: Server = createServer(async (request, response) => {
    const startMono = systemClock.monoMs()
    let body = ''
    for await (const part of request) body += String(part)
    const asked = body === '' ? {} : (JSON.parse(body) as { model?: string })
    const stream = STREAMS.find(({ name }) => name === asked.model)
    if (stream === undefined) {
      response.writeHead(404, { 'content-type': 'application/json' })
      return response.end(JSON.stringify({ object: 'list', data: STREAMS.map(({ name }) => ({ id: name })) }))
    }
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.flushHeaders()
    for (const [ms, bytes] of stream.reads) {
      const waitMs = startMono + ms - systemClock.monoMs()
      if (waitMs > 0) await new Promise<void>((next) => setTimeout(next, waitMs))
      response.write(bytes)
    }
    response.end()
  })
  await new Promise<void>((done) => server.listen(port, '127.0.0.1', done))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      server.closeAllConnections()
      await new Promise((done) => server.close(done))
    },
  }
}

if (import.meta.main) {
  const { url } = await serveGolden(Number(process.argv[2] ?? 4_111))
  console.log(
    `${STREAMS.length} golden streams at ${url}/v1/chat/completions: ${STREAMS.map((s) => s.name).join(', ')}`,
  )
}
