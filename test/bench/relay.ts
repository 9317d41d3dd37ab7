/**
 * A plain WebSocket relay on the `ws` package, as most would write it: per message one upstream call. relay.ts PORT
 * UPSTREAM_PORT token|read: a frame for each token, parsed and serialized again; or a frame for each read, its bytes
 * as they came.
 */
import { Agent, request } from 'node:http'
import { WebSocketServer } from 'ws'

const [port, upstream] = process.argv.slice(2, 4).map(Number)
const byToken = process.argv[4] === 'token'
const agent = new Agent({ keepAlive: true, maxSockets: Infinity })

new WebSocketServer({ port, host: '127.0.0.1', perMessageDeflate: false }).on('connection', (ws) => {
  ws.on('message', (message: Buffer) => {
    const body = JSON.stringify((JSON.parse(message.toString()) as { request: unknown }).request)
    const headers = {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
      authorization: 'Bearer sk-mock-0123456789',
    }
    const outgoing = request(
      { host: '127.0.0.1', port: upstream, path: '/v1/chat/completions', method: 'POST', headers, agent },
      (answer) => {
        let rest = ''
        answer.setEncoding('utf8')
        answer.on('data', (part: string) => {
          if (!byToken) return ws.send(part)
          const blocks = (rest + part).split('\n\n')
          rest = blocks.pop()!
          for (const block of blocks)
            if (block.startsWith('data: {'))
              ws.send(JSON.stringify({ t: 'ev', e: [{ chunk: JSON.parse(block.slice(6)) as unknown }] }))
        })
        answer.on('end', () => ws.send('{"t":"end"}'))
      },
    )
    outgoing.on('error', () => ws.terminate())
    ws.once('close', () => outgoing.destroy())
    outgoing.end(body)
  })
})
