/**
 * An upstream in a thread of its own, so that what it computes is not counted as the server's: it answers every request
 * with the bytes that it was given last.
 */
import { createServer } from 'node:net'
import { isMainThread, parentPort, Worker } from 'node:worker_threads'

export interface LargeUpstream {
  readonly url: string
  /** The whole response: head and body. */
  says(response: Uint8Array): void
  stop(): Promise<unknown>
}

export async function startLargeUpstream(): Promise<LargeUpstream> {
  const worker = new Worker(new URL(import.meta.url), { execArgv: [] })
  const port = await new Promise<number>((done) => worker.once('message', done))
  return {
    url: `http://127.0.0.1:${port}/v1`,
    says: (response) => worker.postMessage(response),
    stop: () => worker.terminate(),
  }
}

if (!isMainThread && parentPort !== null) {
  let response: Uint8Array = new Uint8Array()
  parentPort.on('message', (bytes: Uint8Array) => {
    response = bytes
  })
  const server = createServer((socket) => {
    socket.on('error', () => {})
    let text = ''
    socket.on('data', (data) => {
      text += data.toString('latin1')
      const head = text.indexOf('\r\n\r\n')
      if (head < 0 || text.length < head + 4 + Number(/content-length: (\d+)/i.exec(text)?.[1] ?? 0)) return
      text = ''
      socket.end(response)
    })
  })
  server.listen(0, '127.0.0.1', () => parentPort!.postMessage((server.address() as { port: number }).port))
}
