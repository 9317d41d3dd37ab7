/**
 * The chat's own backend: it knows the user, and gives the page a ticket. Of the conversation it sees nothing: the page talks to Sluice.
 *
 *   SLUICE_KEY=sk-sluice-… node examples/chat/server.ts [--port 4180]
 */
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { rolldown } from 'rolldown'

const { SLUICE_URL = 'http://127.0.0.1:4100', SLUICE_KEY, SLUICE_MODEL = 'demo' } = process.env
const { values } = parseArgs({ options: { port: { type: 'string', default: '4180' } } })
const ORIGIN = `http://127.0.0.1:${values.port}`
const PAGE = join(import.meta.dirname, 'page')

if (!SLUICE_KEY) fail('Set SLUICE_KEY to an API key; Sluice prints one at its first start.')
await checkSluice()

const read = (name: string): string => readFileSync(join(PAGE, name), 'utf8')
const files = new Map([
  [
    '/',
    {
      type: 'text/html',
      body: read('index.html')
        .replace('{{url}}', inAttribute(SLUICE_URL))
        .replace('{{model}}', inAttribute(SLUICE_MODEL)),
    },
  ],
  ['/style.css', { type: 'text/css', body: read('style.css') }],
  ['/main.js', { type: 'text/javascript', body: await bundle(join(PAGE, 'main.ts')) }],
])
const HEADERS = {
  'content-security-policy': [
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    `connect-src 'self' ${SLUICE_URL} ${SLUICE_URL.replace(/^http/, 'ws')}`,
  ].join('; '),
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cache-control': 'no-store',
}

createServer(answer)
  .on('error', (error: NodeJS.ErrnoException) =>
    fail(error.code === 'EADDRINUSE' ? `Port ${values.port} is taken; name another with --port.` : error.message),
  )
  .listen(Number(values.port), '127.0.0.1', () => process.stdout.write(`Chat: ${ORIGIN}\n`))

function answer(request: IncomingMessage, response: ServerResponse): void {
  request.resume()
  const { method, url = '/' } = request
  const file = files.get(url)
  if (method === 'POST' && url === '/ticket') void giveTicket(userOf(request), response)
  else if (method !== 'GET' || file === undefined) response.writeHead(404, HEADERS).end()
  else if (request.headers.host !== new URL(ORIGIN).host) response.writeHead(302, { location: ORIGIN }).end()
  else {
    // Your login stands here; this one makes a user of each browser
    const cookie =
      userOf(request) === null
        ? { 'set-cookie': `user=${randomUUID()}; HttpOnly; SameSite=Strict; Path=/; Max-Age=31536000` }
        : {}
    response.writeHead(200, { ...HEADERS, ...cookie, 'content-type': `${file.type}; charset=utf-8` }).end(file.body)
  }
}

/** Good once, for this user and from this page only. The key stays here. */
async function giveTicket(user: string | null, response: ServerResponse): Promise<void> {
  const [status, body] =
    user === null ? [401, { error: { message: 'Nobody is logged in: load the page again.' } }] : await askSluice(user)
  response.writeHead(status, { ...HEADERS, 'content-type': 'application/json' }).end(JSON.stringify(body))
}

type Answer = { readonly error?: { readonly message: string } }
async function askSluice(user: string): Promise<[number, Answer]> {
  try {
    const made = await fetch(`${SLUICE_URL}/v1/tickets`, {
      method: 'POST',
      headers: { authorization: `Bearer ${SLUICE_KEY}`, 'content-type': 'application/json' },
      body: JSON.stringify({ user, origin: ORIGIN }),
      signal: AbortSignal.timeout(10_000),
    })
    return [made.status, (await made.json()) as Answer]
  } catch {
    return [502, { error: { message: `${SLUICE_URL} can't be reached.` } }]
  }
}

/** Says at once what would only be seen in the page. */
async function checkSluice(): Promise<void> {
  const [status, { error }] = await askSluice('nobody')
  if (status !== 201) fail(error?.message ?? `${SLUICE_URL} answered with HTTP ${status}.`)
  const asked = { origin: ORIGIN, 'access-control-request-method': 'GET' }
  const { ok } = await fetch(`${SLUICE_URL}/v1/jobs`, { method: 'OPTIONS', headers: asked })
  if (!ok) process.stderr.write(`Sluice will refuse this page: start it with --http-cors-origins ${ORIGIN}\n`)
}

/** The page's script with the client in it, as one file. */
async function bundle(input: string): Promise<string> {
  const alias = { '@sluice/client': fileURLToPath(import.meta.resolve('@sluice/client')) }
  const built = await rolldown({ input, platform: 'browser', resolve: { alias } })
  const { output } = await built.generate({ format: 'esm', minify: true })
  await built.close()
  return output[0].code
}

function userOf({ headers }: IncomingMessage): string | null {
  return /(?:^|; )user=([\w-]{36})(?:;|$)/.exec(headers.cookie ?? '')?.[1] ?? null
}

function inAttribute(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('"', '&quot;')
}

function fail(message: string): never {
  process.stderr.write(`${message}\n`)
  process.exit(1)
}
