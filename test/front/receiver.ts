/** A receiver of webhooks, as its owner writes it: it keeps what came, and answers as it is told. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Came {
  readonly path: string
  readonly id: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  readonly atMs: number
}

export type Answers = (response: ServerResponse, came: Came, request: IncomingMessage) => void

export interface Receiver {
  readonly url: string
  readonly came: Came[]
  /** Of this path; null: 204. */
  answer(path: string, answers: Answers | null): void
  at(path: string): readonly Came[]
  close(): void
}

/** `port`: one that it had before; 0: any. */
export async function startReceiver(port = 0): Promise<Receiver> {
  const came: Came[] = []
  const answers = new Map<string, Answers>()
  const server = createServer((request, response) => {
    let body = ''
    request.setEncoding('utf8')
    request.on('data', (text: string) => (body += text))
    request.on('end', () => {
      const path = request.url ?? ''
      const headers = request.headers as Record<string, string>
      const one = { path, id: headers['webhook-id'] ?? '', headers, body, atMs: Date.now() }
      came.push(one)
      const own = answers.get(path)
      if (own === undefined) response.writeHead(204).end()
      else own(response, one, request)
    })
  })
  await new Promise<void>((done) => server.listen(port, '127.0.0.1', done))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    came,
    answer(path, how) {
      if (how === null) answers.delete(path)
      else answers.set(path, how)
    },
    at: (path) => came.filter((one) => one.path === path),
    close() {
      server.closeAllConnections()
      server.close()
    },
  }
}

export const status =
  (code: number, headers: Readonly<Record<string, string>> = {}): Answers =>
  (response) =>
    void response.writeHead(code, headers).end()
