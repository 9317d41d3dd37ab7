/** A thread that answers at once: what is measured against it is what the client itself adds. */
import { createServer } from 'node:http'
import { parentPort } from 'node:worker_threads'

const chunk = (delta: string, finish = 'null'): string =>
  `data: {"id":"floor","object":"chat.completion.chunk","created":0,"model":"floor","choices":[{"index":0,"delta":${delta},"finish_reason":${finish}}]}\n\n`
const HEAD = chunk('{"role":"assistant","content":""}') + chunk('{"content":" a"}')
const REST = `${chunk('{"content":" b"}')}${chunk('{}', '"stop"')}data: {"id":"floor","object":"chat.completion.chunk","created":0,"model":"floor","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}\n\ndata: [DONE]\n\n`

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
