/**
 * Ports for servers that are started later, or again. They lie below those that the kernel gives to outgoing
 * connections: nobody else takes one while its server is down. Each process of the tests draws from a part of its own.
 */
import { createServer } from 'node:net'

const [FIRST, PARTS, PORTS] = [12_000, 60, 300]
const first = FIRST + (process.pid % PARTS) * PORTS
let drawn = Math.floor(Math.random() * PORTS)

export async function freePort(): Promise<number> {
  for (;;) {
    const port = first + (drawn++ % PORTS)
    const probe = createServer()
    const isFree = await new Promise<boolean>((done) => {
      probe.once('error', () => done(false))
      probe.listen(port, '127.0.0.1', () => done(true))
    })
    if (!isFree) continue
    await new Promise((done) => probe.close(done))
    return port
  }
}
