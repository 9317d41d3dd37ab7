/** The way between a client and a server, in which things happen to connections. */
import { createServer, connect as open, type Socket } from 'node:net'

export interface Network {
  readonly url: string
  /** Cuts all connections there are. */
  cut(): void
  /** What the server says is lost, until the next cut. */
  muffle(): void
  /** From now on WebSockets do not get through, as with some proxies: refused, or never answered. */
  blockUpgrades(how?: 'refused' | 'swallowed'): void
  /** From now on nothing but /v1 gets through. */
  onlyV1(): void
  close(): void
}

export async function network(to: string): Promise<Network> {
  const target = Number(new URL(to).port)
  const open_ = new Set<Socket>()
  let blocked: 'refused' | 'swallowed' | null = null
  let onlyV1 = false
  let muffled = false
  const server = createServer((client) => {
    const upstream = open(target, '127.0.0.1')
    open_.add(client)
    client.on('data', (data) => {
      const text = data.toString('latin1')
      if (blocked !== null && /upgrade: websocket/i.test(text)) {
        if (blocked === 'refused')
          client.end('HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n')
      } else if (onlyV1 && /^[A-Z]+ \/(?!v1\/)/.test(text))
        client.end('HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n')
      else upstream.write(data)
    })
    upstream.on('data', (data) => {
      if (!muffled && !client.write(data)) upstream.pause()
    })
    client.on('drain', () => upstream.resume())
    upstream.on('end', () => client.end())
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ]) {
      one.on('error', () => {})
      one.on('close', () => {
        other.destroy()
        open_.delete(client)
      })
    }
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  return {
    url: `http://127.0.0.1:${(server.address() as { port: number }).port}`,
    cut() {
      muffled = false
      for (const socket of open_) socket.destroy()
    },
    muffle() {
      muffled = true
    },
    blockUpgrades(how = 'refused') {
      blocked = how
    },
    onlyV1() {
      onlyV1 = true
    },
    close() {
      server.close()
      for (const socket of open_) socket.destroy()
    },
  }
}
