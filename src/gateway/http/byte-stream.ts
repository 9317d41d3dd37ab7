/** An answer of bytes that are made as they are read: a client that reads slowly slows their maker down. */
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { SluiceError } from '../../core/errors.ts'
import type { Headers } from './answer.ts'
import type { Exchange } from './exchange.ts'

/** A client that takes nothing for this long is considered gone. */
const STALLED_MS = 30_000

/** A file that is deleted while it is read: its reader is cut, and nobody has to look after that. */
export const isGone = (error: unknown): boolean => SluiceError.from(error).code === 'file_not_found'

/**
 * What fails before the first byte is thrown. After that the connection is cut, so that no client takes a part for the
 * whole; `failed` is told, unless a file is gone.
 */
export async function sendBytes(
  exchange: Exchange,
  chunks: AsyncIterable<Uint8Array>,
  failed: (error: unknown) => void,
  headers: Headers = { 'content-type': 'application/octet-stream' },
  status = 200,
): Promise<void> {
  const { response } = exchange
  const iterator = chunks[Symbol.asyncIterator]()
  const closed = new AbortController()
  exchange.onClose(() => closed.abort())
  try {
    let next = await iterator.next()
    if (response.headersSent || response.destroyed) return
    response.setTimeout(STALLED_MS, () => void response.destroy())
    response.writeHead(status, exchange.headers({ ...headers, 'cache-control': 'no-store' }))
    while (next.done !== true && !response.destroyed) {
      if (!response.write(next.value)) await once(response, 'drain', { signal: closed.signal })
      next = await iterator.next()
    }
    response.end()
  } catch (error) {
    if (!response.headersSent) throw error
    if (!closed.signal.aborted && !isGone(error)) failed(error)
    response.destroy()
  } finally {
    await iterator.return?.()
  }
}

/** Resolves once the peer has taken enough that more may be written, or is gone. */
export function room(response: ServerResponse): Promise<void> {
  if (response.destroyed || !response.writableNeedDrain) return Promise.resolve()
  return new Promise((done) => {
    const over = (): void => {
      response.off('drain', over)
      response.off('close', over)
      done()
    }
    response.on('drain', over)
    response.on('close', over)
  })
}
