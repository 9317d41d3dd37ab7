/** A TCP proxy on loopback that fails as networks do. */
import { connect, createServer, type Server, type Socket } from 'node:net'

/** `up`: to the server. `down`: to its clients. */
export type Way = 'up' | 'down'
const WAYS: readonly Way[] = ['up', 'down']

interface Pair {
  /** Where the bytes of each way come from. */
  readonly from: Readonly<Record<Way, Socket>>
}

export class FaultProxy {
  readonly port: number
  readonly #server: Server
  readonly #pairs = new Set<Pair>()
  readonly #stalled = new Set<Way>()
  #isCut = false
  #delayMs = 0
  #target: number

  private constructor(server: Server, target: number) {
    this.#server = server
    this.#target = target
    this.port = (server.address() as { port: number }).port
    server.on('connection', (client) => this.#accept(client))
  }

  static async start(target: number): Promise<FaultProxy> {
    const server = createServer()
    await new Promise<void>((done, fail) => {
      server.once('error', fail)
      server.listen(0, '127.0.0.1', done)
    })
    return new FaultProxy(server, target)
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`
  }

  get connections(): number {
    return this.#pairs.size
  }

  /** Resets all connections; new ones go to another port. */
  retarget(port: number): void {
    this.#target = port
    this.drop()
  }

  /** Resets all connections, and new ones, until `heal`. */
  cut(): void {
    this.#isCut = true
    this.drop()
  }

  /** Resets the connections there are; new ones are let through. */
  drop(): void {
    for (const { from } of this.#pairs) for (const way of WAYS) from[way].resetAndDestroy()
  }

  /** Nothing passes, and nobody is told, until `heal`. What was sent meanwhile then arrives. */
  stall(...ways: readonly Way[]): void {
    for (const way of ways.length === 0 ? WAYS : ways) this.#stalled.add(way)
    for (const pair of this.#pairs) this.#flow(pair)
  }

  /** What passes from now on arrives so much later. */
  delay(ms: number): void {
    this.#delayMs = ms
  }

  heal(): void {
    this.#isCut = false
    this.#delayMs = 0
    this.#stalled.clear()
    for (const pair of this.#pairs) this.#flow(pair)
  }

  async close(): Promise<void> {
    this.cut()
    await new Promise((done) => this.#server.close(done))
  }

  #accept(client: Socket): void {
    client.on('error', () => {})
    if (this.#isCut) {
      client.resetAndDestroy()
      return
    }
    const server = connect(this.#target, '127.0.0.1')
    server.on('error', () => {})
    const pair: Pair = { from: { up: client, down: server } }
    this.#pairs.add(pair)
    this.#pass(client, server, () => this.#pairs.delete(pair))
    this.#pass(server, client, () => this.#pairs.delete(pair))
    this.#flow(pair)
  }

  #flow({ from }: Pair): void {
    for (const way of WAYS)
      if (this.#stalled.has(way)) from[way].pause()
      else from[way].resume()
  }

  #pass(from: Socket, to: Socket, gone: () => void): void {
    from.setNoDelay(true)
    const late: Array<{ readonly at: number; readonly fn: () => void }> = []
    // One after the other, although the delay may have become shorter
    const run = (): void => {
      for (;;) {
        const next = late[0]
        if (next === undefined) return
        const ms = next.at - performance.now()
        if (ms > 0) return void setTimeout(run, ms)
        late.shift()
        next.fn()
      }
    }
    const later = (fn: () => void): void => {
      late.push({ at: performance.now() + this.#delayMs, fn })
      if (late.length === 1) run()
    }
    from.on('data', (bytes: Buffer) => later(() => to.writable && to.write(bytes)))
    from.on('end', () => later(() => to.end()))
    from.on('close', (hadError) => {
      gone()
      later(() => (hadError ? to.resetAndDestroy() : to.end()))
    })
  }
}
