/** What Node's own request costs: reads the body, answers 429. bare.ts PORT */
import { createServer } from 'node:http'

const ANSWER = JSON.stringify({
  error: { message: 'Rate limit reached.', type: 'requests', code: 'rate_limit_exceeded' },
})

createServer((incoming, response) => {
  incoming.resume()
  incoming.on('end', () => {
    response.writeHead(429, { 'content-type': 'application/json', 'content-length': ANSWER.length })
    response.end(ANSWER)
  })
}).listen(Number(process.argv[2]), '127.0.0.1')
