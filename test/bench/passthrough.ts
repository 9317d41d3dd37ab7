/** A plain Node proxy, as most would write it: node:http on both sides, piped. passthrough.ts PORT UPSTREAM_PORT */
import { Agent, createServer, request } from 'node:http'

const [port, upstream] = process.argv.slice(2).map(Number)
const agent = new Agent({ keepAlive: true, maxSockets: Infinity })

createServer((incoming, response) => {
  const outgoing = request(
    {
      host: '127.0.0.1',
      port: upstream,
      path: incoming.url,
      method: incoming.method,
      headers: incoming.headers,
      agent,
    },
    (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(response)
    },
  )
  outgoing.on('error', () => response.destroy())
  response.on('close', () => outgoing.destroy())
  incoming.pipe(outgoing)
}).listen(port, '127.0.0.1')
