/** A thread that answers at once: what is measured against it is what the client itself adds. */
import { createServer } from 'node:http'
import { parentPort } from 'node:worker_threads'

const event = (more: string): string =>
  `data: {"id":"floor","object":"chat.completion.chunk","created":0,"model":"floor",${more}}\n\n`
const chunk = (delta: string, finish = 'null'): string =>
  event(`"choices":[{"index":0,"delta":${delta},"finish_reason":${finish}}]`)
const USAGE = event('"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}')
const HEAD = chunk('{"role":"assistant","content":""}') + chunk('{"content":" a"}')
const REST = `${chunk('{"content":" b"}')}${chunk('{}', '"stop"')}${USAGE}data: [DONE]\n\n`

const server = createServer((request, response) => {
  request.resume()
  request.on('end', () => {
    if (request.method !== 'POST') return void response.end('{"data":[]}')
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write(HEAD)
    response.end(REST)
  })
})
server.listen(0, '127.0.0.1', () => parentPort?.postMessage((server.address() as { port: number }).port))
