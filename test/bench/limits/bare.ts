/**
 * What Node's own request costs: reads the body and answers 429, with the headers and about the bytes of a refusal.
 * bare.ts PORT
 */
import { createServer } from 'node:http'

const ANSWER = JSON.stringify({
  error: {
    message:
      'Rate limit reached for mock-n1 (user out) on requests per min (RPM): Limit 1, Used 1, Requested 1. ' +
      'Please try again in 1m3.214s.',
    type: 'requests',
    param: null,
    limit: { level: 'user', name: 'out', unit: 'requests', limit: 1, remaining: 0, requested: 1, reset_ms: 58214 },
    code: 'rate_limit_exceeded',
  },
})
const HEADERS = [
  ...['content-type', 'application/json; charset=utf-8', 'content-length', String(ANSWER.length)],
  ...['cache-control', 'no-store', 'x-request-id', 'req_0123456789abcdef01234567'],
  ...['retry-after', '64', 'retry-after-ms', '63214', 'x-should-retry', 'false'],
  ...['x-ratelimit-limit-requests', '1', 'x-ratelimit-remaining-requests', '0'],
  ...['x-ratelimit-reset-requests', '58.214s'],
  ...['ratelimit-policy', '"user-requests";q=1;w=60', 'ratelimit', '"user-requests";r=0;t=59'],
]

createServer((incoming, response) => {
  incoming.resume()
  incoming.on('end', () => {
    response.writeHead(429, HEADERS)
    response.end(ANSWER, 'latin1')
  })
}).listen(Number(process.argv[2]), '127.0.0.1')
