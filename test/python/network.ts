/** A network between a client and a server, which cuts streams, loses answers and has a proxy's own opinions. */
import { createServer, type IncomingMessage, request } from 'node:http'

export interface Refusal {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body: string
}

export interface Network {
  readonly url: string
  /** How the next streams end, each after so many bytes: `torn` in mid-flight, or `ended` as if nothing were wrong. */
  cuts: Array<{ readonly after: number; readonly how: 'torn' | 'ended' }>
  /** How the proxy itself answers the next requests, before it passes them on. */
  refusals: Refusal[]
  /** So many answers to POSTs are lost: the server has done it, and the client doesn't know. */
  losses: number
  /** "METHOD path" of all that came, without the query. */
  readonly seen: string[]
  /** `last-event-id` of each request for events. */
  readonly cursors: Array<string | undefined>
  /** As it was at first. */
  reset(): void
  close(): Promise<void>
}

export async function startNetwork(server: () => string): Promise<Network> {
  const proxy = createServer((incoming, response) => {
    const path = incoming.url!.split('?')[0]
    network.seen.push(`${incoming.method} ${path}`)
    if (path.endsWith('/events')) network.cursors.push(incoming.headers['last-event-id'] as string | undefined)
    const refusal = network.refusals.shift()
    if (refusal !== undefined) {
      incoming.resume()
      response.writeHead(refusal.status, refusal.headers).end(refusal.body)
      return
    }
    const upstream = request(
      server() + incoming.url,
      { method: incoming.method!, headers: incoming.headers },
      (answer: IncomingMessage) => {
        if (incoming.method === 'POST' && network.losses > 0) {
          network.losses--
          answer.resume()
          answer.once('end', () => response.destroy())
          return
        }
        response.writeHead(answer.statusCode!, answer.headers)
        const isStream = answer.headers['content-type']?.startsWith('text/event-stream')
        const cut = isStream ? network.cuts.shift() : undefined
        let bytes = 0
        answer.on('data', (part: Buffer) => {
          bytes += part.length
          if (!response.destroyed) response.write(part)
          if (cut === undefined || bytes < cut.after || response.destroyed || response.writableEnded) return
          upstream.destroy()
          if (cut.how === 'ended') response.end()
          else response.destroy()
        })
        answer.on('end', () => response.end())
        answer.on('error', () => response.destroy())
      },
    )
    upstream.on('error', () => response.destroy())
    response.on('close', () => upstream.destroy())
    incoming.pipe(upstream)
  })
  await new Promise<void>((done) => proxy.listen(0, '127.0.0.1', done))
  const network: Network = {
    url: `http://127.0.0.1:${(proxy.address() as { port: number }).port}`,
    cuts: [],
    refusals: [],
    losses: 0,
    seen: [],
    cursors: [],
    reset() {
      network.cuts = []
      network.refusals = []
      network.losses = 0
      network.seen.length = 0
      network.cursors.length = 0
    },
    close: () =>
      new Promise((done) => {
        proxy.closeAllConnections()
        proxy.close(() => done())
      }),
  }
  return network
}

/** What Sluice answers while it can't: worth another try. */
export const busy = (status: number, code: string, headers: Readonly<Record<string, string>> = {}): Refusal => ({
  status,
  headers: { 'content-type': 'application/json', 'x-should-retry': 'true', 'retry-after-ms': '20', ...headers },
  body: JSON.stringify({ error: { message: code, type: 'server_error', param: null, code } }),
})
export const html = (status: number): Refusal => ({
  status,
  headers: { 'content-type': 'text/html' },
  body: '<html><h1>a proxy</h1></html>',
})
