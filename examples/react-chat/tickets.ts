/**
 * The backend of this application: it knows the user, and gives the page a ticket for that user. A real one does the
 * same in one route; the API key stays there.
 */
import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Plugin } from 'vite'

const WITHIN_MS = 10_000
const COOKIE = 'HttpOnly; SameSite=Strict; Path=/; Max-Age=31536000'

interface Sluice {
  readonly url: string
  readonly key: string | undefined
}
type Next = () => void

export function tickets(sluice: Sluice): Plugin {
  const serve = (request: IncomingMessage, response: ServerResponse, next: Next): void => {
    if (request.url !== '/ticket') {
      // Your login goes here; this one makes each browser a user
      if (userOf(request) === null) response.setHeader('set-cookie', `user=${randomUUID()}; ${COOKIE}`)
      return next()
    }
    request.resume()
    void answer(sluice, request).then(([status, body]) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body)),
    )
  }
  const serveIn = ({ middlewares }: { middlewares: { use(handler: typeof serve): unknown } }): void =>
    void middlewares.use(serve)
  return { name: 'tickets', configureServer: serveIn, configurePreviewServer: serveIn }
}

type Reply = readonly [status: number, body: unknown]
const failed = (status: number, message: string): Reply => [status, { error: { message } }]

async function answer({ url, key }: Sluice, request: IncomingMessage): Promise<Reply> {
  const { origin, host } = request.headers
  const user = userOf(request)
  // Only from our own page
  if (request.method !== 'POST' || origin !== `http://${host}`) return failed(404, 'There is nothing here.')
  if (user === null) return failed(401, 'Nobody is logged in: load the page again.')
  if (!key) return failed(500, 'Set SLUICE_API_KEY: Sluice prints an API key at its first start.')
  try {
    const made = await fetch(`${url}/v1/tickets`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify({ user, origin }),
      signal: AbortSignal.timeout(WITHIN_MS),
    })
    return [made.status, await made.json()]
  } catch {
    return failed(502, `${url} can't be reached.`)
  }
}

const userOf = ({ headers }: IncomingMessage): string | null =>
  /(?:^|; )user=([\w-]{36})(?:;|$)/.exec(headers.cookie ?? '')?.[1] ?? null
