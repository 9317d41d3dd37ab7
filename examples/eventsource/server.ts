/**
 * A page with nothing but the browser's own EventSource. Its backend adds the API key, and passes on which event the
 * page saw last:
 *
 *   SLUICE_API_KEY=sk-sluice-… node examples/eventsource/server.ts [--port 4191]
 */
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { parseArgs } from 'node:util'

const { SLUICE_URL = 'http://127.0.0.1:4100', SLUICE_API_KEY, SLUICE_MODEL = 'demo' } = process.env
const { values } = parseArgs({ options: { port: { type: 'string', default: '4191' } } })
const PAGE = readFileSync(join(import.meta.dirname, 'index.html'))
const MAX_QUESTION_BYTES = 10_000
const WITHIN_MS = 10_000

if (!SLUICE_API_KEY) fail('Set SLUICE_API_KEY to an API key; Sluice prints one at its first start.')
const authorization = `Bearer ${SLUICE_API_KEY}`

const server = createServer((request, response) => {
  void answer(request, response).catch((error: Error) => {
    // A stream that has begun is cut: the EventSource comes back for the rest
    if (response.headersSent) response.destroy()
    else response.writeHead(502).end(error.message)
  })
})
server.once('error', (error: NodeJS.ErrnoException) =>
  fail(error.code === 'EADDRINUSE' ? `Port ${values.port} is taken; choose another with --port.` : error.message),
)
server.listen(Number(values.port), '127.0.0.1', () =>
  process.stdout.write(`Page: http://127.0.0.1:${(server.address() as AddressInfo).port}\n`),
)

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { pathname, searchParams } = new URL(request.url!, 'http://page')
  // Your login goes here; this one makes each browser a user
  const user = /(?:^|; )user=([0-9a-f-]{36})(?:;|$)/.exec(request.headers.cookie ?? '')?.[1]
  if (request.method === 'GET' && pathname === '/') {
    const cookie = user === undefined ? { 'set-cookie': `user=${randomUUID()}; HttpOnly; SameSite=Strict; Path=/` } : {}
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8', ...cookie }).end(PAGE)
  } else if (user === undefined) response.writeHead(401).end('Load the page first.')
  else if (request.method === 'POST' && pathname === '/ask') await submit(request, response, user)
  else if (request.method === 'GET' && pathname === '/events') {
    await follow(request, response, user, searchParams.get('job') ?? '')
  } else response.writeHead(404).end()
}

/** The job goes on whether anybody reads it or not. */
async function submit(request: IncomingMessage, response: ServerResponse, user: string): Promise<void> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > MAX_QUESTION_BYTES) return void response.writeHead(413).end('That is too long.')
    chunks.push(chunk)
  }
  const messages = [{ role: 'user', content: Buffer.concat(chunks).toString() }]
  const made = await fetch(`${SLUICE_URL}/v1/jobs`, {
    method: 'POST',
    headers: { authorization, 'content-type': 'application/json', 'sluice-user': user },
    body: JSON.stringify({ request: { model: SLUICE_MODEL, messages } }),
    signal: AbortSignal.timeout(WITHIN_MS),
  })
  response.writeHead(made.status, { 'content-type': 'application/json' }).end(await made.text())
}

/** Another user's job is none of this one's. */
async function follow(request: IncomingMessage, response: ServerResponse, user: string, id: string): Promise<void> {
  const job = `${SLUICE_URL}/v1/jobs/${encodeURIComponent(id)}`
  const found = await fetch(job, { headers: { authorization }, signal: AbortSignal.timeout(WITHIN_MS) })
  const owner = ((await found.json()) as { user?: string }).user
  if (!found.ok || owner !== user) return void response.writeHead(404).end('You have no such job.')

  const left = new AbortController()
  response.once('close', () => left.abort())
  const last = request.headers['last-event-id']
  const events = await fetch(`${job}/events`, {
    headers: { authorization, ...(typeof last === 'string' && { 'last-event-id': last }) },
    signal: left.signal,
  })
  // 204 is the end: it stops the EventSource
  const type = events.headers.get('content-type')
  response.writeHead(events.status, { 'cache-control': 'no-store', ...(type !== null && { 'content-type': type }) })
  if (events.body === null) response.end()
  else await pipeline(Readable.fromWeb(events.body), response)
}

function fail(message: string): never {
  process.stderr.write(`${message}\n`)
  process.exit(1)
}
