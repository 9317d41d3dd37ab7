/** Holds streams open and reads them. streams.ts URL COUNT MODEL; writes a line when all have begun. */
import { Agent, request } from 'node:http'
import { KEY } from '../targets.ts'

const [url, count, model] = [process.argv[2], Number(process.argv[3]), process.argv[4]]
const agent = new Agent({ keepAlive: true, maxSockets: Infinity })
let begun = 0
for (let i = 0; i < count; i++) {
  const sent = request(
    `${url}/v1/chat/completions`,
    { method: 'POST', agent, headers: { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' } },
    (response) => {
      response.once('data', () => {
        if (++begun === count) process.stdout.write('all have begun\n')
      })
      response.resume()
    },
  )
  sent.on('error', () => process.exit(1))
  sent.end(JSON.stringify({ model, stream: true, messages: [{ role: 'user', content: 'x' }] }))
}
