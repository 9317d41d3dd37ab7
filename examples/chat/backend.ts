/**
 * The chat's own backend: it serves the page, knows the user, and gives the page a ticket. Of the conversations it sees
 * nothing: the page talks to Sluice.
 */
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { rolldown } from 'rolldown'

const PAGE = join(import.meta.dirname, 'page')
const TICKET_WITHIN_MS = 10_000

export interface ChatOptions {
  /** 0: any free one. */
  readonly port: number
  /** Where Sluice is. */
  readonly url: string
  /** Its API key; stays here. */
  readonly key: string
  readonly model: string
  /** Kills Sluice and starts it again; resolves with how long it was away. Absent: the page has no such button. */
  readonly kill?: () => Promise<number>
}

export interface Chat {
  readonly origin: string
  close(): void
}

/** Rejects with the system's error for a port that is taken. */
export async function startChat(options: ChatOptions): Promise<Chat> {
  const { url } = options
  const read = (name: string): string => readFileSync(join(PAGE, name), 'utf8')
  const html = read('index.html')
    .replace('{{url}}', inAttribute(url))
    .replace('{{model}}', inAttribute(options.model))
    .replace('{{kill}}', String(options.kill !== undefined))
  const files = new Map([
    ['/', { type: 'text/html', body: html }],
    ['/style.css', { type: 'text/css', body: read('style.css') }],
    ['/main.js', { type: 'text/javascript', body: await bundle(join(PAGE, 'main.ts')) }],
  ])
  const headers = {
    'content-security-policy': [
      "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; base-uri 'none'; form-action 'none'",
      `frame-ancestors 'none'; connect-src 'self' ${url} ${url.replace(/^http/, 'ws')}`,
    ].join('; '),
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
    'cache-control': 'no-store',
  }
  let origin = ''

  const server = createServer((request, response) => {
    request.resume()
    const { method, url: path = '/' } = request
    const file = files.get(path)
    if (method === 'POST' && path === '/ticket') void reply(response, giveTicket(options, userOf(request), origin))
    else if (method === 'POST' && path === '/kill') void reply(response, kill(request))
    else if (method !== 'GET' || file === undefined) response.writeHead(404, headers).end()
    else if (request.headers.host !== new URL(origin).host) response.writeHead(302, { location: origin }).end()
    else {
      // Your login goes here; this one makes each browser a user
      const cookie =
        userOf(request) === null
          ? { 'set-cookie': `user=${randomUUID()}; HttpOnly; SameSite=Strict; Path=/; Max-Age=31536000` }
          : {}
      response.writeHead(200, { ...headers, ...cookie, 'content-type': `${file.type}; charset=utf-8` }).end(file.body)
    }
  })

  async function reply(response: ServerResponse, made: Promise<Reply>): Promise<void> {
    const [status, body] = await made
    response.writeHead(status, { ...headers, 'content-type': 'application/json' }).end(JSON.stringify(body))
  }

  /** Only from our own page. */
  async function kill(request: IncomingMessage): Promise<Reply> {
    if (options.kill === undefined || request.headers.origin !== origin || userOf(request) === null)
      return [404, { error: { message: 'There is nothing to kill here.' } }]
    try {
      return [200, { downMs: await options.kill() }]
    } catch (error) {
      return [500, { error: { message: (error as Error).message } }]
    }
  }

  await listen(server, options.port)
  origin = `http://127.0.0.1:${(server.address() as { port: number }).port}`
  return {
    origin,
    close() {
      server.close()
      server.closeAllConnections()
    },
  }
}

type Reply = readonly [
  status: number,
  body: { readonly error?: { readonly message: string }; readonly downMs?: number },
]

/** Valid once, for this user and from this page only. */
export async function giveTicket({ url, key }: ChatOptions, user: string | null, origin: string): Promise<Reply> {
  if (user === null) return [401, { error: { message: 'Nobody is logged in: load the page again.' } }]
  try {
    const made = await fetch(`${url}/v1/tickets`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify({ user, origin }),
      signal: AbortSignal.timeout(TICKET_WITHIN_MS),
    })
    return [made.status, (await made.json()) as Reply[1]]
  } catch {
    return [502, { error: { message: `${url} can't be reached.` } }]
  }
}

/** The page's script with the client in it, as one file. */
async function bundle(input: string): Promise<string> {
  const alias = { '@sluice/client': fileURLToPath(import.meta.resolve('@sluice/client')) }
  const built = await rolldown({ input, platform: 'browser', resolve: { alias } })
  const { output } = await built.generate({ format: 'esm', minify: true })
  await built.close()
  return output[0].code
}

const listen = (server: Server, port: number): Promise<void> =>
  new Promise((done, failed) => {
    server.once('error', failed)
    server.listen(port, '127.0.0.1', () => {
      server.off('error', failed)
      done()
    })
  })

function userOf({ headers }: IncomingMessage): string | null {
  return /(?:^|; )user=([\w-]{36})(?:;|$)/.exec(headers.cookie ?? '')?.[1] ?? null
}

const inAttribute = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('"', '&quot;')
