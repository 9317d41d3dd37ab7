/** The way between a client and a server, in which things happen to connections. */
import { createServer, connect as open, type Socket } from 'node:net'

export interface Network {
  readonly url: string
  /** Cuts all connections there are. */
  cut(): void
  /** What the server says is lost, until the next cut. */
  muffle(): void
  /** From now on WebSockets do not get through, as with some proxies. */
  blockUpgrades(): void
  close(): void
}

export async function network(to: string): Promise<Network> {
  const target = Number(new URL(to).port)
  const open_ = new Set<Socket>()
  let blocked = false
  let muffled = false
  const server = createServer((client) => {
    const upstream = open(target, '127.0.0.1')
    open_.add(client)
    client.on('data', (data) => {
      if (blocked && /upgrade: websocket/i.test(data.toString('latin1')))
        client.end('HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n')
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
    blockUpgrades() {
      blocked = true
    },
    close() {
      server.close()
      for (const socket of open_) socket.destroy()
    },
  }
}
